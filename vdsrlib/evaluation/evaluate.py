"""Score a network and interpolation on a set of images, under one protocol."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from vdsrlib.errors import InputError
from vdsrlib.evaluation.cache import ScoreCache, timed_score
from vdsrlib.evaluation.frames import ImageScores, score_images
from vdsrlib.evaluation.images import check_unique_stems, find_images
from vdsrlib.evaluation.methods import Method, enlarge
from vdsrlib.evaluation.pairing import find_pairs
from vdsrlib.evaluation.score import score_pair
from vdsrlib.imaging.image_file import read_with_notes
from vdsrlib.inference.batches import check_channels
from vdsrlib.inference.predict import Predict, predict, predict_luma
from vdsrlib.models.checkpoint import Checkpoint, scale_advice
from vdsrlib.protocol import PAPER, Protocol, Score, get_protocol
from vdsrlib.utils.distributed import World
from vdsrlib.utils.hashing import hash_file
from vdsrlib.utils.parsing import parse_scales
from vdsrlib.utils.paths import user_path

if TYPE_CHECKING:  # takes half a second, which enlarging does not need
    import pandas as pd


def evaluate(
    net: Checkpoint | Method | None,
    images: str | Path | Iterable[str | Path],
    scales: float | str | Sequence[float] = (2, 3, 4),
    *,
    protocol: Protocol | str | None = None,
    predict: Predict = predict,
    lr: str | Path | None = None,
    cache: str | Path | None = None,
    world: World | None = None,
    skip_broken: bool = False,
) -> pd.DataFrame:
    """Measure PSNR and SSIM of interpolation and of a network on a set of HR images.

    Args:
        net: the network; or another method, a function from LR and the scale to SR, see ``Method``; None for
            interpolation alone.
        images: the name of a set in VDSR_DATA, a folder, or the paths of image files.
        scales: real numbers above 1, in any spelling of ``parse_scales``.
        protocol: the rules, or their name; default: those the network was trained under.
        predict: how the network is applied: ``predict``, ``self_ensemble`` or ``predict_luma``.
        lr: a folder of LR images for one scale, which are enlarged instead of degraded HR; its files are
            paired with the images by name, see ``pair_by_name``.
        cache: a folder where scores are kept and found again, see ``ScoreCache``.
        world: the processes that share the images; each gets the whole result.
        skip_broken: leave out images that cannot be scored, instead of raising.

    Returns:
        A row for an image, a scale and a method ("interpolation" or "model"): its PSNR in dB, its SSIM, and
        the seconds it took (NaN if an older cache did not keep them). Its ``attrs`` hold "failed" (a
        sentence for every image that was left out), "notes" (sentences on files that are no images, on
        scales that the network was not trained for, on images that reading changed, unless their scores were
        found in the cache, and on infinite PSNRs) and "sha256" (of the images' hashes, in order).

    Raises:
        InputError: there is no image, one cannot be read or is too small or too large for the memory, two
            have one name, the network does not fit the protocol, or the cache cannot be written.

    >>> from vdsrlib.datasets.catalog import embedded
    >>> scores = evaluate(None, embedded(["chelsea.png"]), scales=3)
    >>> scores[["image", "scale", "method", "psnr", "ssim"]].round({"psnr": 2, "ssim": 4})
         image  scale         method   psnr    ssim
    0  chelsea    3.0  interpolation  32.88  0.8534
    """
    if isinstance(net, nn.Module) or not (net is None or isinstance(net, Checkpoint) or callable(net)):
        kinds = "what vdsrlib.load returns, a function of LR and scale, or None"
        raise InputError(f"net must be {kinds}, got {type(net).__name__}")
    rules = _rules(net, protocol)
    paths, notes = find_images(images)
    check_unique_stems(paths)
    scales = parse_scales(scales)
    if isinstance(net, Checkpoint):
        notes += filter(None, (scale_advice(net, scale) for scale in scales))
        if predict is not predict_luma:
            check_channels(net.model, rules)
    kept = ScoreCache(user_path(cache)) if cache else None
    pairs, problems = _pairs(lr, paths, scales, skip_broken) if lr else (dict.fromkeys(paths), [])
    score = partial(_score, net, rules, pairs, predict=predict, cache=kept)
    jobs = list(itertools.product(pairs, scales))
    frame = score_images(score, jobs, world=world, skip_broken=skip_broken)
    frame.attrs["notes"] = [*notes, *frame.attrs["notes"]]
    frame.attrs["failed"] += problems
    return frame


def _pairs(
    lr: str | Path, paths: Sequence[Path], scales: Sequence[float], skip_broken: bool
) -> tuple[dict[Path, Path], list[str]]:
    """Find the LR of each image, and say which files have no partner."""
    if len(scales) > 1:
        raise InputError(f"scales must be one scale where LR is given, got {len(scales)}")
    return find_pairs(lr, paths, skip_broken=skip_broken)


def _rules(net: Checkpoint | Method | None, protocol: Protocol | str | None) -> Protocol:
    if isinstance(protocol, str):
        return get_protocol(protocol)
    return protocol or (net.protocol if isinstance(net, Checkpoint) else PAPER)


def _score(
    net: Checkpoint | Method | None,
    rules: Protocol,
    pairs: Mapping[Path, Path | None],
    path: Path,
    scale: float,
    *,
    predict: Predict,
    cache: ScoreCache | None,
) -> ImageScores:
    """Score an image at a scale; it is decoded and degraded once, and not at all if its scores are known."""
    lr_path = pairs[path]
    digest = hash_file(path)  # before it is decoded, after which it may be gone
    lr_digest = [hash_file(lr_path)] if lr_path else []
    notes: list[str] = []

    @lru_cache
    def read(path: Path) -> np.ndarray:
        pixels, changes = read_with_notes(path)
        notes.extend(changes)
        return pixels

    def image() -> np.ndarray:
        return read(path)

    @lru_cache
    def pair() -> tuple[np.ndarray, np.ndarray]:
        if lr_path:
            return rules.real_pair(image(), read(lr_path), scale)
        hr, _, ilr = rules.pair(image(), scale)
        return hr, ilr

    def interpolation() -> Score:
        hr, ilr = pair()
        return rules.score(ilr, hr, scale)

    def network(net: Checkpoint) -> Score:
        hr, ilr = pair()
        return rules.score(predict(net.model, ilr, rules), hr, scale)

    def method(net: Method) -> Score:
        lr = read(lr_path) if lr_path else None
        return score_pair(enlarge(net, image(), scale, rules, lr), image(), scale, rules)

    get = cache.get if cache else lambda compute, *_: timed_score(compute)
    key = digest, {k: v for k, v in dataclasses.asdict(rules).items() if k != "name"}, scale, *lr_digest
    scores = {"interpolation": get(interpolation, *key)}
    if isinstance(net, Checkpoint):
        how = getattr(predict, "__name__", repr(predict))
        scores["model"] = get(partial(network, net), *key, net.hash, how)
    elif net:  # whose content is not known, and therefore not kept
        scores["model"] = timed_score(partial(method, net))
    return ImageScores("".join([digest, *lr_digest]), scores, notes)
