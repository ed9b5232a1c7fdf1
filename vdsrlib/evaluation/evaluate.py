"""Scores: a network and interpolation, image by image, under one protocol."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vdsrlib.errors import InputError, WriteError, explain_out_of_memory
from vdsrlib.evaluation.cache import ScoreCache, Scored, _timed
from vdsrlib.imaging.image_file import read_with_notes
from vdsrlib.inference.predict import Predict, check_channels, predict, predict_luma
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import Protocol, Score
from vdsrlib.utils.distributed import World
from vdsrlib.utils.hashing import hash_bytes, hash_file

METHODS = ("interpolation", "model")


def evaluate(
    model: VDSR | None,
    protocol: Protocol,
    paths: Sequence[Path],
    scale: float,
    *,
    predict: Predict = predict,
    cache: ScoreCache | None = None,
    world: World | None = None,
    skip_broken: bool = False,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """PSNR and SSIM of interpolation and of the network on a set of images.

    Args:
        model: in evaluation mode, on any device; None for interpolation alone.
        protocol: the rules.
        paths: HR images.
        scale: a real number above 1.
        predict: how the network is applied: ``predict``, ``self_ensemble`` or ``predict_luma``.
        cache: where scores are kept and found again.
        world: the processes that share the images among them; each gets the whole result.
        skip_broken: leave out images that cannot be scored, rather than raise.
        progress: is given the name of each image when it is done.

    Returns:
        {"images": [{"name", "interpolation": {"psnr", "ssim"}, "model": {...}}], "mean": {...},
        "failed": [a sentence for each image that was left out],
        "notes": [a sentence for each image that was changed in reading, such as one with transparency; not
        for those whose scores were found again],
        "sha256": hash of the images' hashes, in their order,
        "seconds": that it took, those of scores found again included; None where a score has none}.

    Raises:
        InputError: an image cannot be read, is too small or too large for the memory, two have one name, the
            network does not fit, or the cache cannot be written.
    """
    if model is not None and predict is not predict_luma:
        check_channels(model, protocol)
    check_unique_stems(paths)
    mine = slice(world.rank, None, world.size) if world else slice(None)
    found: dict[int, Scored] = {}
    failed: list[str] = []
    for index, path in list(enumerate(paths))[mine]:
        try:
            with explain_out_of_memory(path, "leave it out, or take a part of it"):
                found[index] = _score(model, protocol, path, scale, predict, cache)
        except WriteError:  # of the cache: no image is to blame
            raise
        except InputError as error:
            sentence = str(error) if path.name in str(error) else f"{path}: {error}"
            if not skip_broken:
                raise InputError(sentence) from error
            failed.append(sentence)
            continue
        if progress:
            progress(path.stem)
    if world:
        parts = world.gather((found, failed))
        found = {index: scored for part, _ in parts for index, scored in part.items()}
        failed = [sentence for _, sentences in parts for sentence in sentences]
    if not found:
        raise InputError(" ".join(failed))
    scored = [(paths[index], found[index]) for index in sorted(found)]
    images: list[dict[str, Any]] = [
        {"name": path.stem, **{method: timed.score._asdict() for method, timed in image.scores.items()}}
        for path, image in scored
    ]
    mean = {
        method: {metric: float(np.mean([row[method][metric] for row in images])) for metric in Score._fields}
        for method in METHODS[: 2 if model else 1]
    }
    hashes = "".join(image.sha256 for _, image in scored)
    seconds = [timed.seconds for _, image in scored for timed in image.scores.values()]
    known = [value for value in seconds if value is not None]
    return {
        "images": images,
        "mean": mean,
        "failed": failed,
        "notes": [f"{path}: {'; '.join(image.notes)}." for path, image in scored if image.notes],
        "sha256": hash_bytes(hashes.encode()),
        "seconds": sum(known) if len(known) == len(seconds) else None,
    }


def check_unique_stems(paths: Sequence[Path]) -> None:
    """Raise InputError where two images have one name, as ``a.png`` and ``a.bmp``: which is which?"""
    known: dict[str, Path] = {}
    for path in paths:
        if path.stem in known:
            raise InputError(
                f"{known[path.stem]} and {path} have one name; take one of them away, or rename it."
            )
        known[path.stem] = path


def _score(
    model: VDSR | None,
    protocol: Protocol,
    path: Path,
    scale: float,
    predict: Predict,
    cache: ScoreCache | None,
) -> Scored:
    """One image; it is decoded and degraded once, and not at all when its scores are known."""
    digest = hash_file(path)  # before it is decoded, after which it may be gone
    notes: list[str] = []

    @lru_cache
    def pair() -> tuple[np.ndarray, np.ndarray]:
        image, found = read_with_notes(path)
        notes.extend(found)
        hr = protocol.ground_truth(image, scale)
        return hr, protocol.degrade(hr, scale)[1]

    def interpolation() -> Score:
        hr, ilr = pair()
        return protocol.score(ilr, hr, scale)

    def network(model: VDSR) -> Score:
        hr, ilr = pair()
        return protocol.score(predict(model, ilr, protocol), hr, scale)

    if cache is None:
        scores = {"interpolation": _timed(interpolation)}
        if model:
            scores["model"] = _timed(lambda: network(model))
    else:
        rules = {k: v for k, v in dataclasses.asdict(protocol).items() if k != "name"}
        key = digest, rules, scale
        scores = {"interpolation": cache.get(interpolation, *key)}
        if model:
            scores["model"] = cache.get(lambda: network(model), *key, cache.weights, predict.__name__)
    return Scored(digest, scores, notes)
