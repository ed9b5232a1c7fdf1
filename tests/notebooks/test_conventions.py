"""What all notebooks have in common: their order, their tags, their exercises, and tidy outputs.

That they run from top to bottom, and still print what is committed, is nbval's part (see the Makefile).
"""

import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CHAPTERS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
APPENDICES = sorted((NOTEBOOKS / "appendix").glob("*.ipynb"))
SOLUTIONS = sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))
EVERY = [*CHAPTERS, *APPENDICES, *SOLUTIONS]
FOLDED = {"plumbing", "remove-cell", "remove-input", "parameters"}
TAGS = FOLDED | {"nbval-check-output", "nbval-skip", "raises-exception", "hide-input"}


def name_of(path):
    return path.relative_to(NOTEBOOKS).with_suffix("").as_posix()


def notebooks(paths):
    """Parametrize with notebooks."""
    return pytest.mark.parametrize("path", paths, ids=name_of)


def read(path):
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def tags(cell):
    return set(cell.metadata.get("tags", ()))


def section(text, title):
    """The text of the section with this heading."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {title}"
    return found[1]


def exercises(chapter):
    """The exercises' texts, which are the items of a numbered list."""
    return re.findall(r"^\d+\. .*(?:\n(?!\d+\. ).*)*", section(prose(chapter), "Exercises"), re.MULTILINE)


def text_of(output):
    return "".join(output.get("text", "")) + "".join(
        str(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/")
    )


class TestOutputs:
    @notebooks(EVERY)
    def test_are_from_one_run_in_order(self, path):
        counts = [cell.execution_count for cell in code_cells(read(path))]
        assert counts == list(range(1, len(counts) + 1))

    @notebooks(EVERY)
    def test_hold_no_error_warning_path_or_widget_state(self, path):
        notebook = read(path)
        assert "widgets" not in notebook.metadata
        assert "papermill" not in notebook.metadata
        for cell in code_cells(notebook):
            for output in cell.outputs:
                assert output.output_type != "error" or "raises-exception" in tags(cell)
                assert output.get("name") != "stderr", text_of(output)
                assert not re.search(r"(^|[\s'\"(])/(home|root|tmp|work|Users|opt)/", text_of(output))

    @notebooks(EVERY)
    def test_are_small(self, path):
        assert path.stat().st_size <= (600_000 if path in CHAPTERS else 150_000)

    def test_are_small_together(self):
        assert sum(path.stat().st_size for path in EVERY) < 6_000_000

    @notebooks(CHAPTERS)
    def test_some_are_checked(self, path):
        checked = [cell for cell in code_cells(read(path)) if "nbval-check-output" in tags(cell)]
        assert checked
        assert all(any(text_of(output).strip() for output in cell.outputs) for cell in checked)


class TestCells:
    @notebooks(EVERY)
    def test_have_tags_that_mean_something(self, path):
        for cell in code_cells(read(path)):
            assert tags(cell) <= TAGS
            if tags(cell) & FOLDED:
                assert cell.metadata.get("jupyter", {}).get("source_hidden"), cell.source[:60]

    @notebooks(EVERY)
    def test_plumbing_is_out_of_sight(self, path):
        for cell in code_cells(read(path)):
            assert "NBVAL_CHECK_OUTPUT" not in cell.source, "nbval goes by the tag nbval-check-output"
            if "plumbing" in tags(cell) or "parameters" in tags(cell):
                assert "remove-cell" in tags(cell)
            if re.search(r"refuse_unknown\(In\)|write_record\(|versions\(\)", cell.source):
                assert "plumbing" in tags(cell), cell.source[:60]

    @notebooks([*CHAPTERS, *APPENDICES])
    def test_the_parameters_are_checked_at_once(self, path):
        """A cell of parameters, the next one checks them, and the table at the end explains them."""
        notebook = read(path)
        cells = code_cells(notebook)
        places = [i for i, cell in enumerate(cells) if "parameters" in tags(cell)]
        if not places:
            assert path in APPENDICES or path.name[:2] == "00"
            return
        (place,) = places
        assert cells[place].source.startswith("# Chapter parameters\n")
        assert cells[place + 1].source.startswith("refuse_unknown(In)")
        names = re.findall(r"^(\w+):", cells[place].source, re.MULTILINE)
        table = section(prose(notebook), "Parameters")
        assert "| parameter | meaning |" in table
        assert not {name for name in names if f"`{name}`" not in table}

    @notebooks(EVERY)
    def test_the_first_one_imports(self, path):
        first = code_cells(read(path))[0].source
        assert re.match(r"(import|from) ", first)
        assert len(first.splitlines()) <= 16


class TestChapters:
    @notebooks(CHAPTERS)
    def test_have_a_question_and_a_picture_on_the_first_screen(self, path):
        first, *_ = cells = read(path).cells
        assert first.cell_type == "markdown"
        assert re.match(rf"# {int(path.name[:2])} · ", first.source)
        assert "**Question: " in first.source
        shown = [cell for cell in cells if "remove-cell" not in tags(cell)][:5]
        outputs = [output for cell in shown for output in cell.get("outputs", ())]
        assert any(re.search("image/|text/html", str([*output.get("data", ())])) for output in outputs)

    @notebooks(CHAPTERS)
    def test_end_with_what_to_take_away_and_exercises(self, path):
        chapter = read(path)
        text = prose(chapter)
        places = [text.find(each) for each in ("**What to take away.", "## Exercises", "## Parameters")]
        if path.name[:2] == "00":
            places = [place for place in places if place >= 0]
        assert -1 not in places
        assert places == sorted(places)
        assert 3 <= len(exercises(chapter)) <= 5
        assert "Predict" in section(text, "Exercises")
        assert f"(solutions/{path.name})" in section(text, "Exercises")

    @notebooks(CHAPTERS)
    def test_are_read_in_twenty_minutes(self, path):
        words = re.findall(r"[\w’'-]{2,}", prose(read(path)).partition("## Parameters")[0])
        assert len(words) < 1500

    @notebooks(CHAPTERS)
    def test_have_a_solution_for_each_exercise(self, path):
        """Each is proven by an assertion."""
        solution = NOTEBOOKS / "solutions" / path.name
        assert solution in SOLUTIONS
        proofs = [cell for cell in code_cells(read(solution)) if re.search(r"^ *assert ", cell.source, re.M)]
        assert len(proofs) >= len(exercises(read(path)))

    @notebooks([*APPENDICES, *SOLUTIONS])
    def test_have_appendices_and_solutions_with_titles(self, path):
        number = path.name.split("_")[0]
        title = f"# {number} · " if path in APPENDICES else f"# {int(number)} · "
        assert read(path).cells[0].source.startswith(title)


def test_the_readme_names_every_chapter_and_appendix():
    readme = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\(notebooks/([\w/]+)\.ipynb\)", readme))
    assert named >= {name_of(path) for path in (*CHAPTERS, *APPENDICES)}


@notebooks(EVERY)
def test_links_to_files_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", prose(read(path))):
        if not re.match(r"https?:|attachment:|mailto:", target):
            assert (path.parent / target).exists(), target
