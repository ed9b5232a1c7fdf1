"""The options of enlarging: speed and memory, which change the result by rounding alone, and the file."""

from collections.abc import Callable
from dataclasses import dataclass

from vdsrlib.imaging.encoding import DEFAULT_ENCODING, EncodingOptions
from vdsrlib.imaging.formats import MAX_PIXELS
from vdsrlib.inference.backends import Network
from vdsrlib.inference.tiling import MEMORY

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class InferenceOptions:
    """How to compute an enlargement.

    Attributes:
        backend: "auto", a name of ``backends.BACKENDS``, or a network that ``backends.prepare`` has returned.
        precision: a name of ``backends.PRECISIONS``, or "auto" for the fastest that loses nothing.
        memory: bytes for the network's work on a tile; see ``tiling``.
        max_pixels: images with more, read or made, are refused.
        progress: is called with the tiles done and their number, after each tile.
        encoding: quality of a file, and what to leave out of it.
    """

    backend: str | Network = "auto"
    precision: str = "auto"
    memory: int = MEMORY
    max_pixels: int = MAX_PIXELS
    progress: Progress | None = None
    encoding: EncodingOptions = DEFAULT_ENCODING
