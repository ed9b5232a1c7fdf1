"""Score a network and interpolation on a set of images, under one protocol."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from vdsrlib.datasets.catalog import image_set
from vdsrlib.errors import InputError, WriteError, explain_out_of_memory
from vdsrlib.evaluation.cache import ScoreCache, TimedScore, timed_score
from vdsrlib.imaging.image_file import read_with_notes
from vdsrlib.inference.predict import Predict, check_channels, predict, predict_luma
from vdsrlib.models.checkpoint import Checkpoint
from vdsrlib.protocol import PAPER, Protocol, Score, get_protocol
from vdsrlib.utils.distributed import World
from vdsrlib.utils.hashing import hash_file
from vdsrlib.utils.parsing import parse_scales
from vdsrlib.utils.paths import user_path

if TYPE_CHECKING:  # takes half a second, which enlarging does not need
    import pandas as pd

METHODS = ("interpolation", "model")
COLUMNS = ("image", "scale", "method", "psnr", "ssim", "seconds")


def evaluate(
    net: Checkpoint | None,
    images: str | Path | Iterable[str | Path],
    scales: float | str | Sequence[float] = (2, 3, 4),
    *,
    protocol: Protocol | str | None = None,
    predict: Predict = predict,
    cache: str | Path | None = None,
    world: World | None = None,
    skip_broken: bool = False,
) -> pd.DataFrame:
    """Measure PSNR and SSIM of interpolation and of a network on a set of HR images.

    Args:
        net: the network; None for interpolation alone.
        images: the name of a set in VDSR_DATA, a folder, or the paths of image files.
        scales: real numbers above 1, in any spelling of ``parse_scales``.
        protocol: the rules, or their name; default: those the network was trained under.
        predict: how the network is applied: ``predict``, ``self_ensemble`` or ``predict_luma``.
        cache: a folder where scores are kept and found again, see ``ScoreCache``.
        world: the processes that share the images; each gets the whole result.
        skip_broken: leave out images that cannot be scored, instead of raising.

    Returns:
        A row for an image, a scale and a method ("interpolation" or "model"): its PSNR in dB, its SSIM, and
        the seconds it took (NaN if an older cache did not keep them). Its ``attrs`` hold "failed" (a
        sentence for every image that was left out), "notes" (a sentence for every image that reading
        changed, unless its scores were found in the cache) and "sha256" (of the images' hashes, in order).

    Raises:
        InputError: there is no image, one cannot be read or is too small or too large for the memory, two
            have one name, the network does not fit the protocol, or the cache cannot be written.

    >>> from vdsrlib.datasets.catalog import embedded
    >>> scores = evaluate(None, embedded(["chelsea.png"]), scales=3)
    >>> scores[["image", "scale", "method", "psnr", "ssim"]].round({"psnr": 2, "ssim": 4})
         image  scale         method   psnr    ssim
    0  chelsea    3.0  interpolation  32.88  0.8534
    """
    rules = _rules(net, protocol)
    jobs = list(itertools.product(_paths(images), parse_scales(scales)))
    if net and predict is not predict_luma:
        check_channels(net.model, rules)
    kept = ScoreCache(user_path(cache)) if cache else None
    score = partial(_score, net, rules, predict=predict, cache=kept)
    found, failed = _score_all(score, jobs, world or World(torch.device("cpu")), skip_broken)
    if not found:
        raise InputError(" ".join(failed))
    return _to_frame(found, failed)


def mean_scores(scores: pd.DataFrame, by: Sequence[str] = ("scale", "method")) -> pd.DataFrame:
    """Average PSNR and SSIM over the images of a frame that ``evaluate`` or ``score`` made.

    Infinite PSNRs, of images equal to their ground truth, are left out of the mean of PSNR.

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
    return finite.groupby(list(by), sort=False)[list(Score._fields)].mean()


def check_unique_stems(paths: Iterable[Path]) -> None:
    """Raise InputError if two images have one name, as ``a.png`` and ``a.bmp``: rows are told apart by it."""
    known: dict[str, Path] = {}
    for path in paths:
        if path.stem in known:
            raise InputError(f"{known[path.stem]} and {path} have one name; rename or remove one of them")
        known[path.stem] = path


def _rules(net: Checkpoint | None, protocol: Protocol | str | None) -> Protocol:
    if isinstance(protocol, str):
        return get_protocol(protocol)
    return protocol or (net.protocol if net else PAPER)


def _paths(images: str | Path | Iterable[str | Path]) -> list[Path]:
    paths = image_set(images) if isinstance(images, str | Path) else [user_path(path) for path in images]
    if not paths:
        raise InputError("there is no image to score")
    check_unique_stems(paths)
    return paths


class _ImageScores(NamedTuple):
    """What was found out about an image at a scale; notes say what reading changed, if it was read."""

    sha256: str
    scores: dict[str, TimedScore]
    notes: list[str]


Job = tuple[Path, float]


def _score_all(
    score: Callable[[Path, float], _ImageScores], jobs: Sequence[Job], world: World, skip_broken: bool
) -> tuple[dict[Job, _ImageScores], list[str]]:
    """Share the jobs among the processes: the scores in the order of the jobs, and why others have none."""
    found: dict[int, _ImageScores] = {}
    failed: list[str] = []
    mine = range(world.rank, len(jobs), world.size)
    for index in tqdm(mine, leave=False, disable=None if world.is_main else True):  # None: only in a terminal
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
    parts = world.gather((found, failed))
    found = {index: scores for part, _ in parts for index, scores in part.items()}
    sentences = dict.fromkeys(sentence for _, part in parts for sentence in part)
    return {jobs[index]: found[index] for index in sorted(found)}, list(sentences)


def _score(
    net: Checkpoint | None,
    rules: Protocol,
    path: Path,
    scale: float,
    *,
    predict: Predict,
    cache: ScoreCache | None,
) -> _ImageScores:
    """Score an image at a scale; it is decoded and degraded once, and not at all if its scores are known."""
    digest = hash_file(path)  # before it is decoded, after which it may be gone
    notes: list[str] = []

    @lru_cache
    def pair() -> tuple[np.ndarray, np.ndarray]:
        image, changes = read_with_notes(path)
        notes.extend(changes)
        hr, _, ilr = rules.pair(image, scale)
        return hr, ilr

    def interpolation() -> Score:
        hr, ilr = pair()
        return rules.score(ilr, hr, scale)

    def network(net: Checkpoint) -> Score:
        hr, ilr = pair()
        return rules.score(predict(net.model, ilr, rules), hr, scale)

    get = cache.get if cache else lambda compute, *_: timed_score(compute)
    key = digest, {k: v for k, v in dataclasses.asdict(rules).items() if k != "name"}, scale
    scores = {"interpolation": get(interpolation, *key)}
    if net:
        how = getattr(predict, "__name__", repr(predict))
        scores["model"] = get(lambda: network(net), *key, net.hash, how)
    return _ImageScores(digest, scores, notes)


def _to_frame(found: dict[Job, _ImageScores], failed: list[str]) -> pd.DataFrame:
    import pandas as pd

    rows, hashes, notes = [], {}, {}
    for (path, scale), image in found.items():
        for method, timed in image.scores.items():
            rows.append((path.stem, scale, method, *timed.score, timed.seconds))
        hashes[path] = image.sha256
        if image.notes:
            notes[path] = f"{path}: {'; '.join(image.notes)}."
    frame = pd.DataFrame(rows, columns=COLUMNS).astype({"seconds": float})
    sha256 = hashlib.sha256("".join(hashes.values()).encode()).hexdigest()
    frame.attrs = {"failed": failed, "notes": list(notes.values()), "sha256": sha256}
    return frame
