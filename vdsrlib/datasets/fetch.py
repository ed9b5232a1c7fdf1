"""Fetch the image sets, prove them by their pixels, and put each into a folder of its own.

Every set appears in one step, complete and verified, or not at all. Until then, what was downloaded is kept
for the next run. Images are recognised by their pixels: the layout of an archive or folder does not matter.
"""

import math
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import Timeout

from vdsrlib.datasets.archives import archived_images
from vdsrlib.datasets.catalog import TEST_SETS, TRAINING_SETS, list_images
from vdsrlib.datasets.install import NotTheDataset, find_faults, install
from vdsrlib.datasets.sources import Source, load_sources
from vdsrlib.errors import InputError, explain_read_error
from vdsrlib.utils.extras import need
from vdsrlib.utils.locks import file_lock
from vdsrlib.utils.paths import user_path

GROUPS = {"291": TRAINING_SETS, "all": (*TRAINING_SETS, *TEST_SETS)}


def add_arguments(parser: ArgumentParser) -> None:
    """Define the options of ``get``."""
    names = [*load_sources(), *GROUPS]
    parser.add_argument("sets", nargs="+", metavar="SET", choices=names, help=", ".join(names))
    parser.add_argument("--to", metavar="DIR", help="folder for the sets (default: VDSR_DATA, else data)")
    parser.add_argument(
        "--from",
        dest="given",
        action="extend",
        nargs="+",
        default=[],
        type=user_path,
        metavar="FILE_OR_DIR",
        help="take the images from these archives or folders instead of the network",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=30,
        metavar="SECONDS",
        help="time until a silent server is given up",
    )


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise ArgumentTypeError(f"timeout must be a number of seconds above 0, got {text}")


def run(arguments: Namespace) -> int:
    """Get the sets that are asked for; return 0, or 1 where one could not be had.

    Raises:
        InputError: the folder cannot be written, or a package that downloads is missing.
    """
    if not arguments.given:
        for package in ("pooch", "requests"):
            need(package, "data")
    to = user_path(arguments.to or os.environ.get("VDSR_DATA") or "data")
    wanted = [part for name in arguments.sets for part in GROUPS.get(name, (name,))]
    fetcher, failed = DatasetFetcher(to, arguments.timeout), False
    try:
        with fetcher.lock():
            for name in dict.fromkeys(wanted):
                try:
                    fetcher.get(name, arguments.given)
                except (InputError, NotTheDataset) as error:
                    print(f"get: {error}", file=sys.stderr)
                    failed = True
            if not failed:
                fetcher.clean()
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C, or a scheduler's stop
        print("get: stopped; the same command goes on from here.", file=sys.stderr)
        raise
    return 1 if failed else 0


class DatasetFetcher:
    """Get sets into a folder. One process at a time works there, and only in its folder ``.downloads``.

    Args:
        to: the folder of the sets.
        timeout: seconds without a byte until an address is given up.
    """

    def __init__(self, to: Path, timeout: float) -> None:
        self.to, self.timeout = to, timeout
        self.work = to / ".downloads"
        self.sources = load_sources()

    def get(self, name: str, given: Sequence[Path]) -> None:
        """Make the set's folder, from what is given or else from the first address that has it.

        Raises:
            InputError: no address has the set, or its folder exists and holds something else.
            NotTheDataset: what is given does not hold the set.
        """
        source = self.sources[name]
        if self.is_complete(source):
            print(f"{name}: is in {self.to / name} already")
            return
        if given:
            install(source, (image for path in given for image in archived_images(path)), self.to, self.work)
        else:
            self.download(source)
        proof = "all verified by their pixels" if source.entries else "counted only"
        print(f"{name}: {len(list_images(self.to / name))} images in {self.to / name}, {proof}")

    def is_complete(self, source: Source) -> bool:
        """Tell whether the set's folder is complete.

        Raises:
            InputError: it exists and is not.
        """
        folder = self.to / source.name
        with explain_read_error(folder):
            if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
                return False
        try:
            faults = find_faults(source, list_images(folder))
        except InputError as error:
            faults = str(error)
        if faults:
            raise InputError(f"{folder} exists, but: {faults}. Move it away first; it was left as it is.")
        return True

    def download(self, source: Source) -> None:
        """Install a set from the first of its addresses that has it.

        Raises:
            InputError: none has; the message says how to get the set by hand.
        """
        from vdsrlib.datasets.download import DownloadError, download

        for url, known_hash in source.mirrors:
            try:
                archive = download(url, known_hash, self.work, self.timeout)
                try:
                    install(source, archived_images(archive), self.to, self.work)
                except NotTheDataset:
                    if not known_hash:  # perhaps an error page: ask again the next time
                        archive.unlink()
                    raise
                return
            except (DownloadError, NotTheDataset) as error:
                print(f"{source.name}: {url}: {error}", file=sys.stderr)
        links = "\n  ".join([mirror.url for mirror in source.mirrors] + source.by_hand)
        raise InputError(
            f"{source.name} could not be fetched. "
            f"Download one of these with a browser, or find another copy:\n  {links}\nThen run\n"
            f"  vdsr data get {source.name} --to {self.to} --from FILE_OR_FOLDER"
        )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Wait until no other process gets sets into the same folder."""
        lock = self.work / "lock"
        with ExitStack() as stack:
            try:
                stack.enter_context(file_lock(lock, timeout=0))
            except Timeout:
                print(f"Another process gets sets into {self.to}; waiting for it.", flush=True)
                stack.enter_context(file_lock(lock))
            yield

    def clean(self) -> None:
        """Remove what was downloaded. The lock stays, since another process may be waiting for it."""
        for path in self.work.iterdir():
            if path.name != "lock":
                path.unlink()
