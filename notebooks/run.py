"""Run the notebooks with papermill into runs/tutorial/.

Usage: python notebooks/run.py [NOTEBOOK ...], a notebook being named as its file, without .ipynb:
04_evaluate, appendix/A_whose_bicubic, solutions/04_evaluate. Without a name all are run.
"""

import shutil
import subprocess
import sys
import time
from pathlib import Path

NOTEBOOKS = Path(__file__).parent.resolve()
FOLDERS = (".", "appendix", "solutions")
RUN = NOTEBOOKS.parent / "runs" / "tutorial"


def find_notebooks() -> list[str]:
    """List the notebooks: the chapters, then the appendices, then the solutions."""
    paths = [path for folder in FOLDERS for path in sorted((NOTEBOOKS / folder).glob("[0-9A-Z]*_*.ipynb"))]
    return [path.relative_to(NOTEBOOKS).with_suffix("").as_posix() for path in paths]


def run_notebook(name: str) -> str:
    """Run a notebook in its own folder below ``RUN``; what papermill reports where it fails, else nothing."""
    executed = RUN / f"{name}.ipynb"
    executed.parent.mkdir(parents=True, exist_ok=True)
    papermill = [sys.executable, "-m", "papermill", NOTEBOOKS / f"{name}.ipynb", executed.name]
    papermill += ["-k", "python3", "--no-progress-bar"]
    run = subprocess.run(papermill, cwd=executed.parent, capture_output=True, text=True)
    return run.stderr.strip() or "papermill failed" if run.returncode else ""


def main(names: list[str]) -> int:
    """Run the notebooks one after the other; a failed one does not keep the rest from running."""
    known = find_notebooks()
    names = names or known
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"There is no notebook {', '.join(unknown)} in {NOTEBOOKS}.", file=sys.stderr)
        return 2
    shutil.rmtree(RUN, ignore_errors=True)
    failed, begin = [], time.monotonic()
    for number, name in enumerate(names, start=1):
        print(f"[{number}/{len(names)}] {name} ... ", end="", flush=True)
        start = time.monotonic()
        error = run_notebook(name)
        seconds = time.monotonic() - start
        print("FAILED" if error else f"{seconds:.0f} s", flush=True)
        if error:
            failed.append(name)
            print("\n".join(error.splitlines()[-25:]), file=sys.stderr)
    print(f"{len(names) - len(failed)} of {len(names)} notebooks in {time.monotonic() - begin:.0f} s.")
    if failed:
        print(f"Failed: {', '.join(failed)}; the pages show where.", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
