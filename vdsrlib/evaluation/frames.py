"""Score many images, and lay their scores out as a tidy frame."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm import tqdm

from vdsrlib.errors import InputError, WriteError, explain_out_of_memory
from vdsrlib.evaluation.cache import TimedScore
from vdsrlib.protocol import Score
from vdsrlib.utils.distributed import World

if TYPE_CHECKING:  # takes half a second, which enlarging does not need
    import pandas as pd

COLUMNS = ("image", "scale", "method", "psnr", "ssim", "seconds")

Job = tuple[Path, float]
"""An image and a scale."""


class ImageScores(NamedTuple):
    """The scores of an image at a scale.

    Attributes:
        sha256: hash of the image's file.
        scores: by method.
        notes: what reading changed, each a few words.
    """

    sha256: str
    scores: dict[str, TimedScore]
    notes: Sequence[str]


def score_images(
    score: Callable[[Path, float], ImageScores],
    jobs: Sequence[Job],
    *,
    world: World | None = None,
    skip_broken: bool = False,
) -> pd.DataFrame:
    """Score images one after the other, shared among processes, with a progress bar in a terminal.

    Args:
        score: scores one image at a scale.
        jobs: what to score.
        world: the processes that share the jobs; each gets the whole result.
        skip_broken: leave out what cannot be scored, instead of raising.

    Returns:
        The frame that ``evaluate`` describes.

    Raises:
        InputError: an image cannot be scored, or none could be.
    """
    found: dict[int, ImageScores] = {}
    failed: list[str] = []
    rank, size = (world.rank, world.size) if world else (0, 1)
    mine = range(rank, len(jobs), size)
    for index in tqdm(mine, leave=False, disable=True if rank else None):  # None: shown in a terminal alone
        path, scale = jobs[index]
        try:
            with explain_out_of_memory(path, "leave it out, or take a part of it"):
                found[index] = score(path, scale)
        except WriteError:  # of the cache; no image is to blame
            raise
        except InputError as error:
            sentence = str(error) if path.name in str(error) else f"{path}: {error}"
            if not skip_broken:
                raise InputError(sentence) from error
            failed.append(sentence)
    parts = world.gather((found, failed)) if world else [(found, failed)]
    found = {index: scores for part, _ in parts for index, scores in part.items()}
    sentences = dict.fromkeys(sentence for _, part in parts for sentence in part)
    if not found:
        raise InputError(" ".join(sentences))
    return _to_frame({jobs[index]: found[index] for index in sorted(found)}, list(sentences))


def _to_frame(found: dict[Job, ImageScores], failed: list[str]) -> pd.DataFrame:
    import pandas as pd

    rows, hashes, notes = [], {}, []
    for (path, scale), image in found.items():
        hashes[path] = image.sha256
        if image.notes:
            notes.append(f"{path}: {'; '.join(image.notes)}.")
        for method, timed in image.scores.items():
            rows.append((path.stem, scale, method, *timed.score, timed.seconds))
            if timed.score.psnr == np.inf:
                notes.append(f"{path}: {method} equals HR at x{scale:g}, and is left out of the mean of PSNR")
    frame = pd.DataFrame(rows, columns=COLUMNS).astype({"seconds": float})
    sha256 = hashlib.sha256("".join(hashes.values()).encode()).hexdigest()
    frame.attrs = {"failed": failed, "notes": list(dict.fromkeys(notes)), "sha256": sha256}
    return frame


def mean_scores(scores: pd.DataFrame, by: Sequence[str] = ("scale", "method")) -> pd.DataFrame:
    """Average PSNR and SSIM over the images of a frame that ``evaluate`` or ``score`` made.

    Infinite PSNRs, of images equal to their ground truth, are left out of the mean of PSNR, which is infinite
    where there are no others.

    Args:
        scores: the frame.
        by: the columns that stay apart.

    >>> import pandas as pd
    >>> values = {"psnr": [30, 34, np.inf], "ssim": [0.8, 0.9, 1.0]}
    >>> mean_scores(pd.DataFrame({"scale": 2.0, "method": "model", **values})).loc[2, "model"].round(2)
    psnr    32.0
    ssim     0.9
    Name: (2.0, model), dtype: float64
    """
    finite = scores.replace({"psnr": {np.inf: np.nan}})
    means = finite.groupby(list(by), sort=False)[list(Score._fields)].mean()
    lowest = scores.groupby(list(by), sort=False).psnr.min()
    return means.assign(psnr=means.psnr.where(lowest != np.inf, np.inf))
