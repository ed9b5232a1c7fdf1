"""A recipe of a second, and what tests ask of the runs that it gives."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vdsrlib.models import checkpoint
from vdsrlib.training.recipe import Recipe
from vdsrlib.utils.logs import logger

TINY = Recipe(
    name="tiny",
    scales=(2.0, 3.0),
    depth=3,
    width=4,
    patch_size=16,
    batch_size=2,
    steps=30,
    optimizer="adam",
    learning_rate=1e-3,
    decay_steps=0,
    ema=0.9,
)


@contextmanager
def reporting(to: Callable[[str], object]) -> Iterator[None]:
    """Give every line that the package reports to a function, whose errors stop what reports."""
    handler, level = logging.Handler(), logger.level
    handler.emit = lambda record: to(record.getMessage())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def weights(run_or_path) -> dict[str, torch.Tensor]:
    path = getattr(run_or_path, "weights", run_or_path)
    return checkpoint.load(path, device="cpu").model.state_dict()


def identical(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def scalars(folder, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def saved_step(folder) -> int:
    return torch.load(folder / "state.pt", weights_only=True)["step"]


def left(folder) -> set[str]:
    """What a run left, besides its lock."""
    return {path.name for path in (folder / "run").iterdir()} - {"state.lock"}
