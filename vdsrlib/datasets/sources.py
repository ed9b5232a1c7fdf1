"""Where the image sets are published, and what each must hold: sources.json and the manifest together."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vdsrlib.datasets import manifest
from vdsrlib.datasets.manifest import Entry

PATH = Path(__file__).with_name("sources.json")


class Mirror(NamedTuple):
    """An address, and the hash of what it gave, where one is on record: "sha256:…" or "md5:…"."""

    url: str
    hash: str | None = None


@dataclass(frozen=True)
class Source:
    """A published image set.

    Attributes:
        name: as in sources.json.
        mirrors: addresses of archives, which are tried in this order.
        by_hand: addresses that only a browser can use.
        entries: its images; empty where the manifest does not have them.
        folder: of an archive, where the images are, if the manifest does not have them.
        count: of the images in that folder.
    """

    name: str
    mirrors: list[Mirror]
    by_hand: list[str]
    entries: list[Entry]
    folder: str
    count: int


def load_sources() -> dict[str, Source]:
    """Load the published sets by name."""
    entries = manifest.load_manifest()
    return {
        name: Source(
            name,
            [Mirror(**mirror) for mirror in source["mirrors"]],
            source.get("by hand", []),
            entries.get(name, []),
            source.get("folder", ""),
            source.get("count", 0),
        )
        for name, source in json.loads(PATH.read_text(encoding="utf-8")).items()
    }
