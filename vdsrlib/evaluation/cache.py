"""Scores that were computed before, found by content."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vdsrlib.protocol import Score
from vdsrlib.utils.atomic import check_writable, write_json
from vdsrlib.utils.hashing import hash_json


class Timed(NamedTuple):
    """A score, and the seconds that it took; None where they were not kept."""

    score: Score
    seconds: float | None


class Scored(NamedTuple):
    """An image: its file's SHA-256, its scores by method, and what changed when it was decoded, if it was."""

    sha256: str
    scores: dict[str, Timed]
    notes: list[str]


@dataclass(frozen=True)
class ScoreCache:
    """Scores that were computed before, a small file each, found by content and never by name.

    What a score depends on is its key: the weights' hash, the image file's hash, every rule of the
    protocol, the scale, and how the network is applied. So a killed evaluation goes on where it was,
    and a changed image or network is scored anew.

    Attributes:
        folder: where the files are.
        weights: SHA-256 of the network's weights.

    Raises:
        WriteError: nothing can be kept in the folder.
    """

    folder: Path
    weights: str

    def __post_init__(self) -> None:
        check_writable(self.folder)

    def get(self, compute: Callable[[], Score], *key: Any) -> Timed:
        """The score under this key; computed and kept when it is not there."""
        path = self.folder / f"{hash_json(key)[:32]}.json"
        try:
            kept = json.loads(path.read_text())
            score, seconds = Score(**kept["score"]), kept.get("seconds")
            if all(map(math.isfinite, (*score, 0 if seconds is None else seconds))):
                return Timed(score, seconds)
        except (OSError, ValueError, TypeError, KeyError, OverflowError):
            pass  # not there, or damaged: computed again
        timed = _timed(compute)
        if math.isfinite(timed.score.psnr):  # JSON has no infinity
            write_json(path, {"key": key, "score": timed.score._asdict(), "seconds": timed.seconds})
        return timed


def _timed(compute: Callable[[], Score]) -> Timed:
    started = time.perf_counter()
    score = compute()
    return Timed(score, round(time.perf_counter() - started, 3))
