# make tutorial   run all chapters, appendices and solutions into runs/tutorial/ and make a book of them
# make book       make the book, runs/book/, of the notebooks as they are committed
# make test       run the test suite: library, command line, notebooks
# make test-hard run the tests of hard environments: no home, a full disk, signals at any moment; minutes
# make lab        open the chapters in JupyterLab
# make check      lint, format, types, and which room imports from which
# make notebooks  run all notebooks, and refresh the committed outputs
# make weights    run the trainings and measurements that need a GPU (tools/gpu.py) into RUNS (runs/weights/), for
#                 14 minutes; wants VDSR_DATA; the next call goes on where it was. OPTIONS="--rehearse" rehearses
# make ship       put what was trained there into the package, and its records into vdsrlib/results/
# All of them install what they need into .venv on first use. CHAPTERS="04_evaluate solutions/04_evaluate" picks
# notebooks.

PYTHON ?= python3
BIN := .venv/bin
UNTIDY := metadata.papermill cell.metadata.papermill cell.metadata.execution
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: tutorial book run test test-hard lab check notebooks weights ship
.DELETE_ON_ERROR:

# The stamp is newer than what it was made from, so a second run installs nothing.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# Where a chapter fails, the book is made nevertheless: its page shows where.
tutorial: .venv/installed
	$(BIN)/python notebooks/run.py $(CHAPTERS); status=$$?; \
	    $(BIN)/python tools/book.py runs/tutorial && exit $$status

book: .venv/installed
	$(BIN)/python tools/book.py

run: .venv/installed
	$(BIN)/python notebooks/run.py $(CHAPTERS)

# The committed outputs are those of a machine without data sets, less what changes from run to run.
notebooks: export VDSR_DATA :=
notebooks: run
	find runs/tutorial -name '*.ipynb' -exec $(BIN)/nbstripout --keep-output --keep-count --keep-id \
	    --drop-empty-cells --extra-keys '$(UNTIDY)' {} +
	cd runs/tutorial && find . -name '*.ipynb' -exec cp {} ../../notebooks/{} \;

# Two processes share the files of tests; those of a file stay together, as they share what is slow to make.
WORKERS ?= 2
test: .venv/installed
	$(BIN)/python -m pytest --doctest-modules vdsrlib
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests
	rm -rf runs/nbval
	mkdir -p runs
	cp -R notebooks runs/nbval
	VDSR_DATA= $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --nbval-lax --nbval-current-env runs/nbval

test-hard: .venv/installed
	$(BIN)/python -m pytest -m hard tests/hard tests/notebooks

lab: .venv/installed
	$(BIN)/jupyter lab notebooks

RUNS ?= runs/weights
# JOBS="vdsr-rgb paper-2" picks some; python tools/gpu.py RUNS --list lists them, with what each costs.
weights: .venv/installed
	$(if $(VDSR_DATA),,$(error Set VDSR_DATA to the folder of T91, BSD200 and Set5))
	$(BIN)/python tools/gpu.py $(RUNS) $(JOBS) $(OPTIONS)

# What is trained so far goes into the package, as float16, and its records into vdsrlib/results/.
ship: .venv/installed
	$(BIN)/python tools/ship.py $(RUNS)

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
