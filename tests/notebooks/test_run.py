"""What ``make tutorial`` runs: every notebook in its folder, also where one fails."""

import importlib.util
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]


def load():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("run_notebooks", ROOT / "notebooks" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """``notebooks/run.py`` with notebooks of its own: a chapter, an appendix that fails, a solution."""
    module = load()
    monkeypatch.setattr(module, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(module, "RUN", tmp_path / "runs" / "tutorial")
    cells = {
        "04_chapter": "from pathlib import Path; print(Path().resolve().name)",
        "appendix/A_fails": "raise ValueError('this one fails')",
        "solutions/04_chapter": "from pathlib import Path; print(Path().resolve().name)",
    }
    for name, source in cells.items():
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        nbformat.write(notebook, path)
    return module


def test_a_failed_one_does_not_keep_the_rest_from_running(runner, capsys):
    assert runner.main([]) == 1
    out, error = capsys.readouterr()
    assert "[2/3] appendix/A_fails ... FAILED" in out
    assert "2 of 3 notebooks" in out
    assert "this one fails" in error
    assert "Failed: appendix/A_fails" in error
    for name, folder in {"04_chapter": "tutorial", "solutions/04_chapter": "solutions"}.items():
        (cell,) = nbformat.read(runner.RUN / f"{name}.ipynb", 4).cells
        assert cell.outputs[0].text == f"{folder}\n"


def test_an_unknown_name(runner, capsys):
    assert runner.main(["04_chapter", "05_nothing"]) == 2
    assert "There is no notebook 05_nothing" in capsys.readouterr().err
    assert not runner.RUN.exists()


def test_chapters_come_first_and_solutions_last():
    names = load().find_notebooks()
    assert names[0] == "00_start_here"
    assert set(names) == {
        path.relative_to(ROOT / "notebooks").with_suffix("").as_posix()
        for path in (ROOT / "notebooks").rglob("*.ipynb")
    }
    kinds = [name.split("/")[0] if "/" in name else "" for name in names]
    assert kinds == sorted(kinds)
