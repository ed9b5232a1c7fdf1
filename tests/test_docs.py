"""README and docs/: every command and every block of Python in them is right, and every link leads somewhere.

Commands are parsed by the real parsers. Those that take a second or less run for real, on small images.
"""

import argparse
import ast
import inspect
import itertools
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import vdsrlib
from vdsrlib.cli.app import build_parser
from vdsrlib.datasets.catalog import TEST_SETS
from vdsrlib.imaging.image_file import save_image
from vdsrlib.inference.onnx import export_onnx
from vdsrlib.models.checkpoint import load
from vdsrlib.training.recipe import Recipe

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "vdsrlib/results/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
VARIABLE = re.compile(r"\w+=\S*")


class Command(NamedTuple):
    """One command of a page, as a shell splits it; without the variables set before it."""

    page: str
    words: tuple[str, ...]

    @property
    def vdsr(self) -> list[str] | None:
        """The arguments of ``vdsr``, called by that name, as a module, or by torchrun; None for others."""
        if self.words[0] == "vdsr":
            return list(self.words[1:])
        if "vdsrlib" in self.words and self.words[self.words.index("vdsrlib") - 1] == "-m":
            return list(self.words[self.words.index("vdsrlib") + 1 :])
        return None


def blocks(kind: str) -> list[tuple[str, str]]:
    """Page and text of the fenced blocks of a kind."""
    return [
        (path.relative_to(ROOT).as_posix(), match[2])
        for path in PAGES
        for match in BLOCK.finditer(path.read_text(encoding="utf-8"))
        if match[1] == kind
    ]


def shell_commands() -> Iterator[Command]:
    """The commands of all blocks of shell, with their shell variables put in."""
    for page, text in blocks("sh"):
        variables: dict[str, str] = {}
        for line in text.replace("\\\n", " ").splitlines():
            for name, value in variables.items():
                line = line.replace(f"${name}", value)
            for part in line.split(" && "):
                words = shlex.split(part, comments=True)
                if len(words) == 1 and VARIABLE.fullmatch(words[0].replace(" ", "_")):
                    name, _, value = words[0].partition("=")
                    variables[name] = value
                    continue
                while words and VARIABLE.fullmatch(words[0]):
                    words.pop(0)
                if words:
                    yield Command(page, tuple(words))


def inline_commands() -> Iterator[Command]:
    """The whole command lines between backticks, as tables have them."""
    for path in PAGES:
        text = BLOCK.sub("", path.read_text(encoding="utf-8"))
        for span in SPAN.findall(text):
            words = shlex.split(span.replace("'", '"')) if span.count("'") % 2 == 0 else span.split()
            while words and VARIABLE.fullmatch(words[0]):
                words.pop(0)
            command = Command(path.relative_to(ROOT).as_posix(), tuple(words or [""]))
            program = command.words[0] in ("vdsr", "papermill", "python", "torchrun", "make")
            if program and len(words) > 1:
                yield command


COMMANDS = sorted({*shell_commands(), *inline_commands()})
OURS = [command for command in COMMANDS if command.vdsr is not None]
OTHERS = [command for command in COMMANDS if command.vdsr is None]


def name_of(command: Command) -> str:
    return f"{command.page}: {' '.join(command.words)}"


@pytest.mark.parametrize("command", OURS, ids=name_of)
def test_the_command_line_takes_it(command):
    arguments = [word for word in command.vdsr if word != "…"]
    only_a_name = len(arguments) == (2 if arguments[:1] == ["data"] else 1) or not arguments
    if only_a_name or "--help" in arguments:
        with pytest.raises(SystemExit) as stopped:
            build_parser().parse_args([*arguments, "--help"])
        assert stopped.value.code == 0
    else:
        build_parser().parse_args(arguments)


def known_options(parser: argparse.ArgumentParser) -> set[str]:
    """All options of a parser and of the commands below it."""
    with pytest.raises(SystemExit):  # the options of a command are added once they are needed
        parser.parse_args(["--help"])
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= set().union(*(known_options(inner) for inner in action.choices.values()))
    return found


def test_the_options_in_prose_exist():
    known = known_options(build_parser()) | {"--nproc-per-node", "--node-rank", "--logdir"}
    for path in (ROOT / "docs").glob("*.md"):
        for span in SPAN.findall(BLOCK.sub("", path.read_text(encoding="utf-8"))):
            options = {word for word in span.split() if word.startswith("--")}
            assert options <= known, f"{path.name}: {span}"


@pytest.mark.parametrize("command", OTHERS, ids=name_of)
def test_the_other_commands_name_what_is_there(command):
    program, *arguments = command.words
    match Path(program).name:
        case "make":
            targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
            assert {word for word in arguments if word[0] != "-"} <= set(targets)
        case "papermill":
            notebook = json.loads((ROOT / arguments[0]).read_text(encoding="utf-8"))
            cells = [c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", ())]
            known = set(re.findall(r"^(\w+):", "".join(cells[0]["source"]), re.MULTILINE))
            pairs = itertools.pairwise(arguments)
            assert {name for flag, name in pairs if flag in ("-p", "-r")} <= known
        case "pip":
            extras = {extra for word in arguments for extra in re.findall(r"\w+", word.partition("[")[2])}
            project = pytest.importorskip("tomllib").loads(
                (ROOT / "pyproject.toml").read_text(encoding="utf-8")
            )["project"]
            assert extras <= project["optional-dependencies"].keys()
        case "python":
            script = ROOT / arguments[0]
            source = script.read_text(encoding="utf-8")
            assert all(f'"{word}"' in source for word in arguments if word.startswith("--"))
        case "conda":
            assert (ROOT / arguments[-1]).is_file()
        case "pre-commit":
            assert (ROOT / ".pre-commit-config.yaml").is_file()
        case "tensorboard" | "export":
            pass
        case _:
            pytest.fail(f"{program} is a command that this test does not know")


@pytest.fixture
def folder(tmp_path, monkeypatch, photo):
    """A folder with the files that the pages speak of, all small."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VDSR_DATA", raising=False)
    folders = ("photos", "hr", "sr", *TEST_SETS)
    for name in (*(f"{folder}/a" for folder in folders), "photo", "hr", "sr"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        save_image(path, photo[:60, :72])
    save_image(tmp_path / "photo.jpg", photo[:60, :72])
    save_image(tmp_path / "lr/a.png", photo[:15, :18])
    return tmp_path


def is_quick(command: Command) -> bool:
    """Whether it runs in a second on the files of ``folder``, with a small network."""
    words = command.vdsr or []
    runs = ("upscale", "evaluate", "score", "export", "features")
    others = {"VDSR_Official.mat", "torchrun", "--help"}
    return len(words) > 1 and words[0] in runs and others.isdisjoint(words)


@pytest.mark.parametrize(
    "command",
    [c for c in OURS if is_quick(c) and c.words[0] == "vdsr" and c.page != "vdsrlib/results/README.md"],
    ids=name_of,
)
def test_quick_commands_run(command, folder, call_cli, tiny):
    arguments = command.vdsr
    cleaning = arguments[-2:] == ["--scale", "1"]  # for which one network alone was trained
    if arguments[0] != "score" and not cleaning and not {"--weights", "--network"} & set(arguments):
        arguments += ["--weights", str(tiny)]
    if "--network" in arguments and arguments[-1].endswith(".onnx"):
        export_onnx(arguments[-1], load(tiny, "cpu"))
    arguments = ["200x150" if word == "1920x1080" else word for word in arguments]
    status, _, errors = call_cli(*arguments)
    assert status == 0, errors


def bind(function):
    """In the function's place: takes the arguments that it takes, and does nothing."""
    signature = inspect.signature(function)
    return lambda *args, **kwargs: signature.bind(*args, **kwargs)


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_python_runs(page, text, folder, monkeypatch):
    """All but trainings, whose arguments are checked."""
    monkeypatch.setattr(vdsrlib, "train", bind(vdsrlib.train))
    exec(compile(ast.parse(text), page, "exec"), {})


@pytest.mark.parametrize(("page", "text"), blocks("toml"))
def test_recipes_are_recipes(page, text):
    assert Recipe(**pytest.importorskip("tomllib").loads(text))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("http"):
            continue
        name, _, heading = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in slugs, target


def test_the_readme_is_short_and_names_every_page():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) < 150
    for path in (ROOT / "docs").glob("*.md"):
        assert f"docs/{path.name}" in readme
        assert path.name == "index.md" or f"({path.name})" in index


def test_the_page_on_the_interface_has_every_name():
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    assert all(re.search(rf"`{name}\b", page) for name in vdsrlib.__all__)
