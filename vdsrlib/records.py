"""Measured results, each with the parameters, weights, device and versions that made it.

The stored results in ``vdsrlib/results/`` were measured with the shipped weights. They are part of the
package, as the weights are, so a chapter shows them wherever it runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdsrlib.errors import InputError
from vdsrlib.models.checkpoint import Checkpoint
from vdsrlib.utils.atomic import write_json
from vdsrlib.utils.device import device_name, versions
from vdsrlib.utils.hashing import hash_file

if TYPE_CHECKING:
    import pandas as pd
    import torch

RESULTS = Path(__file__).parent / "results"


def write_record(
    path: str | Path,
    results: Any,
    *,
    parameters: dict[str, Any],
    device: torch.device,
    weights: Checkpoint | None = None,
    files: Iterable[Path] = (),
) -> None:
    """Write results as JSON, with everything that is needed to make them again.

    Args:
        path: the file; it is written atomically.
        results: any JSON value.
        parameters: the parameters as they were used.
        device: where the results were computed.
        weights: the network, if there was one.
        files: those that were written with these results; ``check_replaceable`` knows them again.

    Raises:
        WriteError: the file cannot be written.
    """
    write_json(
        path,
        {
            "parameters": parameters,
            "weights": weights.record() if weights else None,
            "device": device_name(device),
            "versions": versions(),
            "files": {file.name: hash_file(file) for file in files},
            "results": results,
        },
    )
    print(f"Results: {path}")


def check_replaceable(files: Iterable[Path], record: Path) -> None:
    """Refuse to replace files that no earlier run made.

    Args:
        files: that would be written.
        record: what an earlier run has written beside them, with ``write_record``; it would be replaced, too.

    Raises:
        InputError: there is another file under one of these names.
    """
    made = _files_of(record)
    foreign = [file for file in files if os.path.lexists(file) and not _is_made(file, made or {})]
    if made is None and os.path.lexists(record):
        foreign.insert(0, record)
    if foreign:
        raise InputError(
            f"{foreign[0]} is taken, and not by an earlier run of this chapter; write another name"
        )


def _is_made(file: Path, made: Mapping[str, str]) -> bool:
    return file.is_file() and made.get(file.name) == hash_file(file)


def _files_of(record: Path) -> dict[str, str] | None:
    """Read the names and hashes of the files that a record lists; None where it is no record of ours."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def stored_path(name: str) -> Path:
    """Return the path of a stored result, such as ``04_evaluate.json`` or ``figures_6_7.png``.

    Raises:
        InputError: there is no stored result of that name.
    """
    path = RESULTS / name
    if not path.is_file():
        raise InputError(f"there is no stored result {name!r} in {RESULTS}")
    return path


def stored_record(name: str) -> dict[str, Any]:
    """Read a stored record.

    >>> stored_record("published.json")["paper"]["Table 3"]["Set5"]["2"]["VDSR"]
    [37.53, 0.9587]

    Raises:
        InputError: there is no stored record of that name.
    """
    return json.loads(stored_path(name).read_text(encoding="utf-8"))


def stored_scores(*names: str) -> pd.DataFrame:
    """Read the scores of stored evaluations, the records ``04_evaluate*.json`` of chapter 4.

    Args:
        names: of the records, one below the other in the frame.

    Returns:
        A row for a set, an image, a scale and a method: its PSNR in dB and its SSIM.

    >>> scores = stored_scores("04_evaluate.json", "04_evaluate_urban100.json")
    >>> [*scores.columns]
    ['set', 'image', 'scale', 'method', 'psnr', 'ssim']
    >>> [*scores.method.unique()]
    ['interpolation', 'ours', "the authors' weights"]

    Raises:
        InputError: there is no stored record of that name.
    """
    import pandas as pd

    rows = [row for name in names for row in stored_record(name)["results"]["scores"]]
    return pd.DataFrame(rows)


def published_scores(rules: str) -> pd.DataFrame:
    """Read Table 3 as it was published under a protocol's rules.

    Args:
        rules: "paper" or "replication".

    Returns:
        A row for a set, a scale and a method ("interpolation" or "VDSR"): its mean PSNR in dB and SSIM.

    >>> published_scores("paper").head(2)
        set  scale         method   psnr    ssim
    0  Set5    2.0  interpolation  33.66  0.9299
    1  Set5    2.0           VDSR  37.53  0.9587
    """
    import pandas as pd

    rows = [
        (images, float(scale), method, *score)
        for images, by_scale in stored_record("published.json")[rules]["Table 3"].items()
        for scale, by_method in by_scale.items()
        for method, score in by_method.items()
    ]
    return pd.DataFrame(rows, columns=["set", "scale", "method", "psnr", "ssim"])
