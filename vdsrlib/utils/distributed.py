"""Several processes that train one network, started by ``torchrun`` and joined here.

Without ``torchrun`` there is a world of one, and every function here does nothing.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from vdsrlib.errors import InputError, MainProcessError
from vdsrlib.utils.processes import process_count


@dataclass(frozen=True)
class World:
    """The processes that train together.

    Attributes:
        device: where this process computes.
        rank: which one this is. Rank 0 is the main process: it alone reads states, validates, reports and
            writes.
        size: how many there are.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def mean(self, value: Tensor) -> Tensor:
        """Average a value over all processes."""
        if self.size == 1:
            return value
        value = value.clone()
        dist.all_reduce(value)
        return value / self.size

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        if self.size == 1:
            return flag  # without waiting for the device
        return self.mean(torch.tensor(float(flag), device=self.device)).item() > 0

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all processes, by rank, in every process."""
        values = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def broadcast_from_main(self, make: Callable[[], Any]) -> Any:
        """Call ``make`` in the main process, and return its result in every process.

        Raises:
            InputError: the main process raised it.
            MainProcessError: likewise, in the other processes.
        """
        box: list[Any] = [None]
        if self.is_main:
            try:
                box = [make()]
            except InputError as error:
                box = [error]
        if self.size > 1:
            dist.broadcast_object_list(box, src=0, device=self.device)
        if isinstance(box[0], InputError):
            raise box[0] if self.is_main else MainProcessError(str(box[0]))
        return box[0]


@contextmanager
def init_distributed(device: torch.device) -> Iterator[World]:
    """Join the processes that ``torchrun`` started (it says so in the environment); leave at the end.

    Processes on CUDA take one GPU each, by LOCAL_RANK, and talk by NCCL; others talk by Gloo.
    """
    size = process_count()
    if size == 1:
        yield World(device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    # The first process validates while the others wait for it, on Urban100 for hours.
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(days=1))
    try:
        yield World(device, dist.get_rank(), size)
        dist.barrier()  # one that leaves while another still talks may abort
    finally:
        dist.destroy_process_group()
