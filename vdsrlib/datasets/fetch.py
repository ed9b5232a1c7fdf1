"""Fetch the image sets, prove them by their pixels, and put each into a folder of its own.

Usage: python data_scripts/get.py Set5 Set14 B100 Urban100 T91 BSD200 [--to DIR] [--from FILE_OR_DIR ...]

Names are those of sources.json, and 291 (T91 and BSD200) and all (the six above). Every set appears in one
step, complete and verified, or not at all; until then, what was downloaded is kept for the next run.
Images are recognised by their pixels: the layout of an archive or folder does not matter.
"""

import argparse
import io
import json
import math
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pooch
from filelock import FileLock, Timeout
from PIL import Image

from vdsrlib.datasets import archives, manifest, verify
from vdsrlib.datasets.catalog import TEST_SETS, TRAINING_SETS, data_root, list_images
from vdsrlib.datasets.download import Downloader, DownloadError
from vdsrlib.datasets.manifest import Entry
from vdsrlib.errors import InputError, explain_write_error
from vdsrlib.imaging.image_file import save_image

SOURCES = Path(__file__).with_name("sources.json")
GROUPS = {"291": TRAINING_SETS, "all": (*TRAINING_SETS, *TEST_SETS)}
TRIES = 3
PAUSE = 1.0  # seconds before the second try; twice as long before the third
GOOD = (verify.SAME, verify.DECODED, "grey as RGB")  # the last is put right by writing it as grey


class DatasetFetcher:
    """Gets sets into a folder. One process at a time works there, and only in its folder ``.downloads``."""

    def __init__(self, to: Path, timeout: float) -> None:
        self.to, self.timeout = to, timeout
        self.work = to / ".downloads"
        self.sources = json.loads(SOURCES.read_text(encoding="utf-8"))
        self.sets = manifest.load_manifest()

    def get(self, name: str, given: Sequence[Path]) -> None:
        """Make the set's folder, from what is given or else from the first address that has it.

        Raises:
            InputError: nothing has the set, or its folder exists and holds something else.
        """
        if self.is_complete(name):
            print(f"{name}: is in {self.to / name} already")
            return
        if given:
            self.install(name, (member for source in given for member in archives.archived_images(source)))
            return
        reasons = []
        for mirror in self.sources[name]["mirrors"]:
            try:
                archive = self.fetch(mirror["url"], mirror.get("hash"))
                try:
                    self.install(name, archives.archived_images(archive))
                except NotTheDataset:
                    if "hash" not in mirror:  # perhaps an error page: ask again the next time
                        archive.unlink()
                    raise
                return
            except (DownloadError, NotTheDataset) as error:
                print(f"{name}: {mirror['url']}: {error}", file=sys.stderr)
                reasons.append(mirror["url"])
        links = "\n  ".join(reasons + self.sources[name].get("by hand", []))
        raise InputError(
            f"{name} could not be fetched. Download one of these with a browser, or find another copy:\n"
            f"  {links}\nThen run\n"
            f"  python data_scripts/get.py {name} --to {self.to} --from FILE_OR_FOLDER"
        )

    def is_complete(self, name: str) -> bool:
        """Whether the set's folder is complete.

        Raises:
            InputError: it exists and is not.
        """
        folder = self.to / name
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return False
        try:
            paths = list_images(folder)
            problem = self.problem(name, paths)
        except InputError as error:
            problem = str(error)
        if problem:
            raise InputError(f"{folder} exists, but: {problem}. Move it away first; it was left as it is.")
        return True

    def problem(self, name: str, paths: Sequence[Path]) -> str:
        """What is wrong with a set's images; empty where they are right."""
        if name not in self.sets:
            count = self.sources[name]["count"]
            return "" if len(paths) == count else f"it has {len(paths)} images instead of {count}"
        found = verify.compare([verify.Copy(path) for path in paths], name, self.sets[name])
        wrong = [f"{kind} {len(f)}" for kind in verify.KINDS[2:] if (f := found.of_kind(kind))]
        wrong += [f"missing {len(found.missing)}"] if found.missing else []
        return ", ".join(wrong)

    def fetch(self, url: str, known_hash: str | None) -> Path:
        """The file at an address, downloaded once; a failure that may pass is tried again, later and later.

        Raises:
            Failure: it is not to be had.
            InputError: it cannot be written here.
        """
        downloader = Downloader(self.work, self.timeout, verifiable=known_hash is not None)
        for attempt in range(TRIES):
            try:
                print(url + (f" (try {attempt + 1} of {TRIES})" if attempt else ""), flush=True)
                path = pooch.retrieve(url, known_hash, path=self.work, downloader=downloader)
                return Path(path)
            except ValueError as error:
                if "does not match the known hash" not in str(error):
                    raise
                failure = DownloadError("its hash differs from the one on record", downloader.resumed)
            except DownloadError as error:
                failure = error
            if not failure.again or attempt == TRIES - 1:
                raise failure
            time.sleep(PAUSE * 2**attempt)
        raise AssertionError("unreachable")

    def install(self, name: str, members: archives.Members) -> None:
        """Pick the set's images and make its folder, in one step.

        Raises:
            Useless: the set is not among them, or not whole, or not as it should be.
        """
        stage = self.work / "stage"
        shutil.rmtree(stage, ignore_errors=True)  # of a run that was killed
        stage.mkdir(parents=True)
        try:
            with explain_write_error(self.to):
                ready = stage / name
                ready.mkdir()
                if name in self.sets:
                    self.pick_by_pixels(name, members, stage, ready)
                else:
                    self.pick_by_folder(name, members, ready)
                folder = self.to / name
                if folder.exists():
                    folder.rmdir()  # it is empty, else is_there would have raised
                ready.replace(folder)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        proof = "all verified by their pixels" if name in self.sets else "counted only"
        print(f"{name}: {len(list_images(folder))} images in {folder}, {proof}")

    def pick_by_pixels(self, name: str, members: archives.Members, stage: Path, ready: Path) -> None:
        """Take the images whose pixels prove them."""
        entries = self.sets[name]
        copies: list[verify.Copy] = []
        for path, content in readable(members):
            if plausible(content, entries):
                file = stage / f"{len(copies)}{PurePosixPath(path).suffix.lower()}"
                file.write_bytes(content)
                copies.append(verify.Copy(file))
        done: set[str] = set()
        for copy, entry in zip(copies, verify.match(copies, entries), strict=True):
            if entry is None or entry.name in done or verify.judge(copy, entry)[0] not in GOOD:
                continue
            done.add(entry.name)
            target = ready / Path(entry.name).with_suffix(copy.path.suffix)
            if copy.image.ndim == 3 and entry.channels == 1:
                save_image(target.with_suffix(".png"), copy.image[..., 0])
            elif copy.path.suffix in (".png", ".jpg", ".jpeg"):
                copy.path.replace(target)
            else:
                save_image(target.with_suffix(".png"), copy.image)
        if len(done) < len(entries):
            remaining = [copy for copy in copies if copy.path.exists()]
            rest = [entry for entry in entries if entry.name not in done]
            found = verify.compare(remaining, name, rest)
            kinds = [f"{kind} {len(f)}" for kind in verify.KINDS[2:-3] if (f := found.of_kind(kind))]
            kinds += [f"missing {len(found.missing)}"] if found.missing else []
            raise NotTheDataset(
                f"{len(done)} of the {len(entries)} images of {name} are right; {', '.join(kinds)}"
            )

    def pick_by_folder(self, name: str, members: archives.Members, ready: Path) -> None:
        """Take the images of a folder by their number alone."""
        wanted, count = self.sources[name]["folder"], self.sources[name]["count"]
        for path, content in readable(members):
            if wanted in PurePosixPath(path).parts[:-1]:
                (ready / PurePosixPath(path).name).write_bytes(content)
        found = len(list(ready.iterdir()))
        if found != count:
            raise NotTheDataset(f"there are {found} images in a folder {wanted} instead of {count}")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other process gets sets into the same folder."""
        with explain_write_error(self.to):
            self.work.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.work / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"Another get.py is at work in {self.to}; waiting for it.", flush=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def clean(self) -> None:
        """Remove what was downloaded; the lock stays, since another process may be waiting for it."""
        for path in self.work.iterdir():
            if path.name != "lock":
                path.unlink()


class NotTheDataset(Exception):
    """A file or folder does not hold the right copy of a set."""


def readable(members: archives.Members) -> archives.Members:
    """The members; an archive that is broken or refused is a useless one."""
    try:
        yield from members
    except InputError as error:
        raise NotTheDataset(str(error)) from error


def plausible(content: bytes, entries: Sequence[Entry]) -> bool:
    """Whether an image file is as large as an image of the set, or little smaller; its pixels stay packed."""
    try:
        with Image.open(io.BytesIO(content)) as file:
            width, height = file.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return any(0 <= e.height - height <= 12 and 0 <= e.width - width <= 12 for e in entries)


def seconds(text: str) -> float:
    """A number of seconds above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no time; write a number of seconds above 0")
    return value


def main(typed: Sequence[str] | None = None) -> int:
    """The command ``data_scripts/get.py``."""
    names = [*json.loads(SOURCES.read_text(encoding="utf-8")), *GROUPS]
    parser = argparse.ArgumentParser(description="Fetch the image sets, and prove them by their pixels.")
    parser.add_argument("sets", nargs="+", metavar="SET", choices=names, help=", ".join(names))
    parser.add_argument("--to", metavar="DIR", help="folder for the sets (default: VDSR_DATA, else data)")
    parser.add_argument(
        "--from",
        dest="given",
        action="extend",
        nargs="+",
        default=[],
        type=Path,
        metavar="FILE_OR_DIR",
        help="take the images from these archives or folders instead of the network",
    )
    parser.add_argument(
        "--timeout", type=seconds, default=30, help="seconds until a silent server is given up"
    )
    options = parser.parse_args(typed)
    pooch.get_logger().setLevel("ERROR")
    try:
        to = Path(options.to).expanduser() if options.to else data_root() or Path("data")
        getter, failed = DatasetFetcher(to, options.timeout), []
        with getter.alone():
            wanted = [part for name in options.sets for part in GROUPS.get(name, (name,))]
            for name in dict.fromkeys(wanted):
                try:
                    getter.get(name, options.given)
                except (InputError, NotTheDataset) as error:
                    print(f"get: {error}", file=sys.stderr)
                    failed.append(name)
            if not failed:
                getter.clean()
        return 1 if failed else 0
    except InputError as error:
        print(f"get: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("get: stopped; the same command goes on from here.", file=sys.stderr)
        return 130
