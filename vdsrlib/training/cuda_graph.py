"""CUDA graphs: hundreds of small kernels, recorded once and then launched as one."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from vdsrlib.errors import Notice

WARM_UP = 3  # calls in which memory is set aside and algorithms are chosen, before one can be recorded


class GraphedStep:
    """A function of tensors on a GPU, always of the same shapes, replayed from its fourth call on.

    A step of VDSR's training is hundreds of kernels, most of them short; launched one by one from Python,
    they keep the GPU waiting. The function may change other tensors in place, but must not depend on anything
    else that changes, and must not wait for the GPU.

    Args:
        function: from tensors to a tensor.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Call the function. Where it cannot be recorded, a Notice says so, and calls go on plainly."""
        self.calls += 1
        if self.calls <= WARM_UP:  # on a stream of its own, as the recording will be
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                result = self.function(*inputs)
            torch.cuda.current_stream().wait_stream(stream)
            return result
        if self.calls == WARM_UP + 1:
            self.record(*inputs)
        if self.graph is None:
            return self.function(*inputs)
        for kept, new in zip(self.inputs, inputs, strict=True):
            kept.copy_(new)
        self.graph.replay()
        return self.output.clone()

    def record(self, *inputs: Tensor) -> None:
        """Record the function, which computes nothing yet."""
        self.inputs = [x.clone() for x in inputs]
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self.output = self.function(*self.inputs)
            self.graph = graph
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            warnings.warn(
                f"CUDA graphs do not work here ({reason}); training goes on without.", Notice, stacklevel=3
            )
