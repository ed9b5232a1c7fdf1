"""Run the chapters with papermill into runs/tutorial/, and make HTML pages of them.

Usage: python notebooks/run.py [CHAPTER ...], a chapter being named as its file, without .ipynb.
"""

import html
import shutil
import subprocess
import sys
import time
from pathlib import Path

NOTEBOOKS = Path(__file__).parent
RUN = NOTEBOOKS.parent / "runs" / "tutorial"


def main(chapters: list[str]) -> int:
    """Run the chapters one after the other; a failed one does not keep the rest from running."""
    chapters = chapters or sorted(path.stem for path in NOTEBOOKS.glob("[0-9]*.ipynb"))
    unknown = [name for name in chapters if not (NOTEBOOKS / f"{name}.ipynb").is_file()]
    if unknown:
        print(f"There is no chapter {', '.join(unknown)} in {NOTEBOOKS}.", file=sys.stderr)
        return 2
    shutil.rmtree(RUN, ignore_errors=True)
    RUN.mkdir(parents=True)
    failed, rows, begin = [], [], time.monotonic()
    for number, name in enumerate(chapters, start=1):
        print(f"[{number}/{len(chapters)}] {name} ... ", end="", flush=True)
        start = time.monotonic()
        notebook = NOTEBOOKS.resolve() / f"{name}.ipynb"
        papermill = [sys.executable, "-m", "papermill", notebook, f"{name}.ipynb", "-k", "python3"]
        run = subprocess.run([*papermill, "--no-progress-bar"], cwd=RUN, capture_output=True, text=True)
        seconds = time.monotonic() - start
        print(f"{seconds:.0f} s" if run.returncode == 0 else "FAILED", flush=True)
        if run.returncode:
            failed.append(name)
            print("\n".join(run.stderr.strip().splitlines()[-25:]), file=sys.stderr)
        rows.append(
            f'<li><a href="{name}.html">{html.escape(name.replace("_", " "))}</a> ({seconds:.0f} s)</li>'
        )
    executed = sorted(str(path) for path in RUN.glob("*.ipynb"))
    export = [sys.executable, "-m", "nbconvert", "--to", "html", "--template", "html", "--log-level", "ERROR"]
    export.append(f"--TemplateExporter.extra_template_basedirs={NOTEBOOKS.resolve()}")
    subprocess.run([*export, *executed], check=True)
    index = RUN / "index.html"
    page = f"<!doctype html><meta charset=utf-8><title>VDSR</title><h1>VDSR</h1><ol>{''.join(rows)}</ol>"
    index.write_text(page, encoding="utf-8")
    print(f"{len(chapters) - len(failed)} of {len(chapters)} chapters in {time.monotonic() - begin:.0f} s.")
    if failed:
        print(f"Failed: {', '.join(failed)}; the pages show where.", file=sys.stderr)
    print(f"Open {index}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
