"""The options of enlarging: speed and memory, which change the result by rounding alone; edges; the file."""

from collections.abc import Callable
from dataclasses import dataclass

from vdsrlib.errors import InputError
from vdsrlib.imaging.encoding import DEFAULT_ENCODING, EncodingOptions
from vdsrlib.imaging.formats import MAX_PIXELS
from vdsrlib.inference.backends import Network
from vdsrlib.inference.tiling import MEMORY

ALPHA = ("seen", "separate")
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
        alpha: how transparency is enlarged. "seen": as the picture looks on any background; colours that are
            wholly transparent are not kept. "separate": colours as if all were opaque, and alpha as a grey
            image of its own, for textures whose alpha is a mask.
        wrap: whether opposite borders meet, as those of a texture that is laid in tiles.

    Raises:
        InputError: there is no such way to enlarge transparency.
    """

    backend: str | Network = "auto"
    precision: str = "auto"
    memory: int = MEMORY
    max_pixels: int = MAX_PIXELS
    progress: Progress | None = None
    encoding: EncodingOptions = DEFAULT_ENCODING
    alpha: str = "seen"
    wrap: bool = False

    def __post_init__(self) -> None:
        if self.alpha not in ALPHA:
            raise InputError(f"alpha must be one of {', '.join(ALPHA)}, got {self.alpha!r}")
