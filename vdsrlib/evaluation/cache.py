"""Keep scores on disk, found by content, so that no score is computed twice."""

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vdsrlib.protocol import Score
from vdsrlib.utils.atomic import check_writable, write_json


class TimedScore(NamedTuple):
    """A score, and the seconds that it took; None where an older cache did not keep them."""

    score: Score
    seconds: float | None


@dataclass(frozen=True)
class ScoreCache:
    """Scores that were computed before, a small file each, found by content and never by name.

    The key of a score is everything that it depends on: the weights' hash, the image file's hash, every rule
    of the protocol, the scale, and how the network is applied. A killed evaluation therefore resumes where
    it was, and a changed image or network is scored anew.

    Attributes:
        folder: where the files are; it is made if it is not there.

    Raises:
        WriteError: no file can be written in the folder.
    """

    folder: Path

    def __post_init__(self) -> None:
        check_writable(self.folder)

    def get(self, compute: Callable[[], Score], *key: Any) -> TimedScore:
        """Return the score under this key; compute and keep it if it is not there, or damaged."""
        text = json.dumps(key)
        path = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
        try:
            kept = json.loads(path.read_text())
            score, seconds = Score(**kept["score"]), kept.get("seconds")
            if all(map(math.isfinite, (*score, 0 if seconds is None else seconds))):
                return TimedScore(score, seconds)
        except (OSError, ValueError, TypeError, KeyError, OverflowError):
            pass
        timed = timed_score(compute)
        if math.isfinite(timed.score.psnr):  # JSON has no infinity
            write_json(path, {"key": key, "score": timed.score._asdict(), "seconds": timed.seconds})
        return timed


def timed_score(compute: Callable[[], Score]) -> TimedScore:
    """Compute a score and measure the time, to a millisecond."""
    started = time.perf_counter()
    score = compute()
    return TimedScore(score, round(time.perf_counter() - started, 3))
