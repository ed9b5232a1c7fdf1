"""Weights on disk: safetensors with metadata, and the MatConvNet file of the paper's authors.

Weights are never unpickled, because a pickle can run code, and no longer loads once a class has moved.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from scipy.io import loadmat

from vdsrlib.errors import InputError, explain_read_error
from vdsrlib.models.vdsr import VDSR
from vdsrlib.protocol import Protocol, get_protocol
from vdsrlib.utils.atomic import atomic
from vdsrlib.utils.device import choose_device
from vdsrlib.utils.hashing import hash_file
from vdsrlib.utils.parsing import parse_scales
from vdsrlib.utils.paths import user_path

FORMAT = "vdsrlib weights 1"
WEIGHTS = Path(__file__).parents[1] / "weights"
DEFAULT = WEIGHTS / "vdsr.safetensors"
REQUIRED = ("depth", "width", "channels", "protocol", "scales", "recipe", "data")


@dataclass
class Checkpoint:
    """A network, and what is known of its training.

    Attributes:
        model: the network, in evaluation mode.
        info: what it is: depth, width, channels, residual (see ``VDSR``; True where it is not said),
            protocol (a name), scales it was trained for, recipe, data, and whatever else its training
            recorded.
        file: the file's name.
        hash: SHA-256 of the file.
    """

    model: VDSR
    info: dict[str, Any]
    file: str = ""
    hash: str = ""

    @property
    def protocol(self) -> Protocol:
        """The protocol whose input these weights were trained on."""
        return get_protocol(self.info["protocol"])

    def record(self) -> dict[str, Any]:
        """Return what a table must store beside its numbers to say which weights made them."""
        return {"file": self.file, "sha256": self.hash, **self.info}

    def summary(self) -> str:
        """Describe the weights in one line."""
        scales = ", ".join(f"{scale:g}" for scale in self.info["scales"])
        return (
            f"depth {self.model.depth}, width {self.model.width}, {self.model.channels} channel"
            f"{'s' * (self.model.channels > 1)}, {'' if self.model.global_skip else 'not residual, '}"
            f"{self.protocol.name} protocol, scales {scales}, "
            f"trained on {self.info['data']} (SHA-256 {self.hash[:12]})"
        )


def shipped_weights() -> list[Path]:
    """List the weights that come with the package."""
    return sorted(WEIGHTS.glob("*.safetensors"))


def check_scale(net: Checkpoint, scale: float | None) -> None:
    """Raise InputError where an image is to keep its size, and the network has not learnt to clean it.

    >>> check_scale(load("vdsr", "cpu"), 1)
    Traceback (most recent call last):
    vdsrlib.errors.InputError: scale must be above 1 for vdsr.safetensors, got 1; vdsr-photo cleans at scale 1
    """
    if scale == 1 and min(net.info["scales"]) > 1:
        raise InputError(f"scale must be above 1 for {net.file}, got 1; vdsr-photo cleans at scale 1")


def scale_advice(net: Checkpoint, scale: float) -> str | None:
    """Say that a scale is outside those a network was trained for, and which shipped weights fit it.

    Returns:
        A sentence; or None if the scale lies between the smallest and the largest trained for.

    >>> scale_advice(load("paper-2", "cpu"), 4)
    'the weights were trained for x2, not for x4; vdsr fits'
    >>> scale_advice(load(device="cpu"), 1.1)
    'the weights were trained for x1.5 to x4, not for x1.1; interpolation may be better'
    """
    low, high = min(net.info["scales"]), max(net.info["scales"])
    if low <= scale <= high:
        return None
    known = [(path.stem, _metadata(path)) for path in shipped_weights()]
    fitting = [
        (len(info["scales"]), name)
        for name, info in known
        if info["protocol"] == net.info["protocol"]
        and info["recipe"].get("damage", "none") == "none"  # the others are for photographs with faults
        and min(info["scales"]) <= scale <= max(info["scales"])
    ]
    advice = f"{max(fitting)[1]} fits" if fitting else "interpolation may be better"
    trained = f"x{low:g}" if low == high else f"x{low:g} to x{high:g}"
    return f"the weights were trained for {trained}, not for x{scale:g}; {advice}"


def _metadata(path: Path) -> dict[str, Any]:
    """Read what a safetensors file of this project says of itself, without its weights."""
    with safe_open(path, framework="pt") as file:
        return {k: json.loads(v) for k, v in file.metadata().items() if k != "format"}


def save(path: str | Path, model: VDSR, info: dict[str, Any]) -> None:
    """Write the weights as safetensors, atomically; ``info`` becomes the metadata.

    Args:
        path: a name that ends in .safetensors.
        model: its depth, width and channels are recorded, and whether it adds ILR.
        info: must hold protocol, scales, recipe and data; any JSON value may be added.
    """
    network = {"depth": model.depth, "width": model.width, "channels": model.channels}
    info = {**info, **network, "residual": model.global_skip}
    missing = [key for key in REQUIRED if key not in info]
    if missing:
        raise InputError(f"The metadata lacks {', '.join(missing)}.")
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    metadata = {"format": FORMAT, **{k: json.dumps(v) for k, v in info.items()}}
    with atomic(path) as temporary:
        temporary.write_bytes(serialize(tensors, metadata))


def load(name_or_path: str | Path | None = None, device: torch.device | str = "auto") -> Checkpoint:
    """Load weights: shipped ones by name, a safetensors file of this project, or the authors' ``.mat``.

    Args:
        name_or_path: "vdsr", "vdsr-photo", "paper-2_3" or another of ``shipped_weights``; or a file, which
            comes first where both are there. None is "vdsr".
        device: where the network is put; "auto" as in ``choose_device``.

    Raises:
        InputError: there are no such weights, or the file cannot be read, is truncated, a pickle, something
            else altogether, or does not fit the network that its metadata names.

    >>> net = load("vdsr-rgb", device="cpu")
    >>> net.model.depth, net.model.channels, net.protocol.name
    (20, 3, 'replication')
    """
    path = _find(DEFAULT if name_or_path is None else name_or_path)
    digest = hash_file(path)
    model, info = (_load_mat if path.suffix == ".mat" else _load_safetensors)(path)
    # channels-last convolutions are faster on CPUs and GPUs alike
    model.to(choose_device(str(device))).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Checkpoint(model.eval(), info, path.name, digest)


def _find(name_or_path: str | Path) -> Path:
    """Find the file that a path or a shipped name means."""
    path = user_path(name_or_path)
    with explain_read_error(path):
        if path.is_file():
            return path
    shipped = {found.stem: found for found in shipped_weights()}
    if path.suffix or len(path.parts) > 1:  # a path, by its look; the names have neither
        raise InputError(f"There is no weights file {path}.")
    if path.name not in shipped:
        raise InputError(f"unknown weights {path.name!r}; choose {', '.join(shipped)}")
    return shipped[path.name]


def _load_safetensors(path: Path) -> tuple[VDSR, dict[str, Any]]:
    with path.open("rb") as file:
        head = file.read(9)
    # safetensors begins with the length of its JSON, 8 bytes that may look like a pickle's first two
    if head[8:] != b"{" and head.startswith((b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        raise InputError(
            f"{path} is a pickle, which can run code when it is loaded; convert it to safetensors."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is damaged, or no safetensors file ({error}).") from error
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path} holds no weights of this project (its metadata says nothing).")
    try:
        # sorted, as safetensors gives them in another order each time
        info = {k: json.loads(v) for k, v in sorted(metadata.items()) if k != "format"}
        missing = [key for key in REQUIRED if key not in info]
        if missing:
            raise InputError(f"no {', '.join(missing)}")
        get_protocol(info["protocol"])
        info["scales"] = list(parse_scales(list(info["scales"]), one=True))
        if not 2 <= info["depth"] <= max(2, len(tensors)) or info["width"] * info["channels"] > 1e6:
            raise InputError(f"depth {info['depth']}, width {info['width']}")
        residual = info.get("residual", True)
        if not isinstance(residual, bool):
            raise InputError(f"residual {residual!r}")
        with torch.device("meta"):  # no memory is taken by what the metadata claim until the tensors agree
            model = VDSR(info["depth"], info["width"], info["channels"], residual=residual)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: its metadata is damaged ({error}).") from error
    _fill(model, tensors, path)
    return model, info


def _load_mat(path: Path) -> tuple[VDSR, dict[str, Any]]:
    """Load MatConvNet's layout: model.weight{i} is height x width x in x out, model.bias{i} is out x 1."""
    try:
        fields = loadmat(path)["model"][0, 0]
        weights, biases = fields["weight"].ravel(), fields["bias"].ravel()
        tensors = {}
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True), start=1):
            # The last layer has one output map, and MATLAB drops trailing axes of length 1.
            weight = weight.reshape(3, 3, -1, bias.size).transpose(3, 2, 0, 1)
            tensors[f"conv.{i}.weight"] = torch.from_numpy(weight.astype(np.float32))
            tensors[f"conv.{i}.bias"] = torch.from_numpy(bias.ravel().astype(np.float32))
        first = tensors["conv.1.weight"]
        model = VDSR(depth=len(weights), width=first.shape[0], channels=first.shape[1])
    except Exception as error:  # loadmat raises whatever the damage makes it trip over
        raise InputError(f"{path} is damaged, or not in MatConvNet's layout ({error}).") from error
    _fill(model, tensors, path)
    info = {
        "depth": model.depth,
        "width": model.width,
        "channels": model.channels,
        "protocol": "paper",
        "scales": [2, 3, 4],
        "recipe": "published by the paper's authors",
        "data": "the paper's 291 images",
    }
    return model, info


def _fill(model: VDSR, tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Copy the tensors into the model, or say which one does not fit."""
    wanted = model.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors:
            raise InputError(f"{path} does not fit the network: it has no {name}.")
        if name not in wanted:
            raise InputError(f"{path} does not fit the network: {name} has no place in it.")
        if tensors[name].shape != wanted[name].shape:
            raise InputError(
                f"{path} does not fit the network: {name} is {tuple(tensors[name].shape)}, "
                f"not {tuple(wanted[name].shape)}."
            )
        if not torch.isfinite(tensors[name]).all():
            raise InputError(f"{path} holds numbers that are not finite, in {name}.")
    model.to_empty(device="cpu").load_state_dict(tensors)
