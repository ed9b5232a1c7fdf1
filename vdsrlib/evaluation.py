"""Scores: a network and interpolation, image by image, under one protocol."""

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from vdsrlib.distributed import World
from vdsrlib.engine import Network, prepare
from vdsrlib.files import InputError, WriteError, check_writable, memory_for, sha256, write_json
from vdsrlib.images import merge_luma, read_with_notes, split_luma
from vdsrlib.model import VDSR
from vdsrlib.protocol import PAPER, Protocol, Score
from vdsrlib.tiling import MEMORY, tile_pixels, tiled


def predict(
    model: VDSR, ilr: np.ndarray, protocol: Protocol, engine: str | Network = "auto", memory: int = MEMORY
) -> np.ndarray:
    """ILR to SR with the network, in float32 on the network's device.

    Args:
        model: in evaluation mode, on any device.
        ilr: floating, about [0, 1], H x W (luma) or H x W x 3, as many channels as the network has.
        protocol: gives the range in which the network works.
        engine: as in ``engine.prepare``.
        memory: bytes for the network's work; an image that needs more is computed in tiles, exactly.

    Returns:
        float64, same shape and range, not clipped.
    """
    batch = network_input(model, ilr, protocol)
    out = tiled(prepare(model, engine), batch, model.depth, tile_pixels(model, memory))[0]
    sr = out.permute(1, 2, 0).cpu().numpy().astype(np.float64)
    return protocol.from_network(sr.reshape(ilr.shape))


def network_input(model: VDSR, ilr: np.ndarray, protocol: Protocol) -> torch.Tensor:
    """ILR as for ``predict`` to a batch of one, 1 x C x H x W, float32, in the network's range and place."""
    check_fit(model, protocol)
    planes = np.atleast_3d(protocol.to_network(ilr)).transpose(2, 0, 1)[None]
    return torch.from_numpy(planes.astype(np.float32)).to(next(model.parameters()).device)


def check_fit(model: VDSR, protocol: Protocol) -> None:
    """Raise InputError where the network's channels are not the protocol's."""
    if model.channels != protocol.channels:
        raise InputError(
            f"The {protocol.name} protocol works on {protocol.colour} ({protocol.channels} channels), "
            f"and these weights on {model.channels}; choose weights or a protocol that fit."
        )


def self_ensemble(model: VDSR, ilr: np.ndarray, protocol: Protocol) -> np.ndarray:
    """The mean of ``predict`` over the eight rotations and flips of ILR; eight times the work."""
    total = np.zeros(ilr.shape)
    for turns in range(4):
        for flip in (slice(None), slice(None, None, -1)):
            sr = predict(model, np.rot90(ilr, turns)[:, flip].copy(), protocol)
            total += np.rot90(sr[:, flip], -turns)
    return total / 8


def predict_luma(model: VDSR, ilr: np.ndarray, protocol: Protocol) -> np.ndarray:
    """``predict`` for RGB (H x W x 3) with a luma network: it takes the luma, and chroma stays ILR's.

    The network works on [0, 1], whatever the range in which the protocol scores. SR is clipped to [0, 1].
    """
    y, chroma = split_luma(ilr)
    return merge_luma(predict(model, y, PAPER), chroma)


Predict = Callable[[VDSR, np.ndarray, Protocol], np.ndarray]


METHODS = ("interpolation", "model")


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
        text = json.dumps(key)
        path = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"
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
        check_fit(model, protocol)
    check_names(paths)
    mine = slice(world.rank, None, world.size) if world else slice(None)
    found: dict[int, Scored] = {}
    failed: list[str] = []
    for index, path in list(enumerate(paths))[mine]:
        try:
            with memory_for(path, "leave it out, or take a part of it"):
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
        "sha256": hashlib.sha256(hashes.encode()).hexdigest(),
        "seconds": sum(known) if len(known) == len(seconds) else None,
    }


def check_names(paths: Sequence[Path]) -> None:
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
    digest = sha256(path)  # before it is decoded, after which it may be gone
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


def _timed(compute: Callable[[], Score]) -> Timed:
    started = time.perf_counter()
    score = compute()
    return Timed(score, round(time.perf_counter() - started, 3))
