"""Measured results on disk: each with the parameters, weights, device and versions that made it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vdsrlib.errors import InputError
from vdsrlib.models.checkpoint import Checkpoint
from vdsrlib.utils.atomic import atomic, write_json
from vdsrlib.utils.device import device_name, versions

if TYPE_CHECKING:  # half a second that no command needs
    from matplotlib.figure import Figure

COMMITTED = Path(__file__).parents[1] / "notebooks" / "results"


def write_record(
    path: str | Path,
    results: Any,
    *,
    parameters: dict[str, Any],
    device: torch.device,
    weights: Checkpoint | None = None,
) -> None:
    """Write results as JSON with all that is needed to make them again.

    Args:
        path: the file.
        results: any JSON value.
        parameters: the chapter's parameters as they were used.
        device: where it was computed.
        weights: the network, if there was one.
    """
    write_json(
        path,
        {
            "parameters": parameters,
            "weights": weights.record() if weights else None,
            "device": device_name(device),
            "versions": versions(),
            "results": results,
        },
    )
    print(f"Results: {path}")


def write_picture(path: str | Path, figure: Figure) -> None:
    """Keep a figure beside the record of its numbers, as PNG, atomically."""
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png")


def stored_record(name: str) -> dict[str, Any]:
    """A record that is kept with the chapters, in ``notebooks/results/``.

    Raises:
        InputError: it is not there, because the package was installed without its repository.
    """
    path = COMMITTED / name
    if not path.is_file():
        raise InputError(f"There is no {path}; clone the repository to have the measured tables.")
    return json.loads(path.read_text(encoding="utf-8"))
