"""Pixels of training images, in memory or mapped from files."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def plane_bytes(image: np.ndarray) -> bytes:
    """H x W x C as the bytes of C planes."""
    return image.transpose(2, 0, 1).tobytes()


def tensor_of(buffer: memoryview, dtype: torch.dtype) -> Tensor:
    """The numbers in memory; none where patches are degraded by themselves."""
    return torch.frombuffer(buffer, dtype=dtype) if len(buffer) else torch.empty(0, dtype=dtype)


def memory_mapped(path: Path, dtype: torch.dtype) -> Tensor:
    """The numbers in a file, read as they are needed; nothing is written back to it."""
    count = path.stat().st_size // dtype.itemsize
    return (
        torch.from_file(str(path), shared=False, size=count, dtype=dtype)
        if count
        else tensor_of(memoryview(b""), dtype)
    )
