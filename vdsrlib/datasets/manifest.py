"""The manifest of the image sets: it identifies their images by the pixels.

Nothing in manifest.json depends on a file's name or format. Of each image it keeps hashes, the scores of
plain interpolation, and 64 scattered pixels. By these, a copy's distance from the original can be told
without the original.
"""

import base64
import json
from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import features
from tqdm import tqdm

from vdsrlib.datasets.catalog import ALL_TEST_SETS, ALL_TRAINING_SETS, list_images
from vdsrlib.datasets.leaks import perceptual_hash
from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import as_rgb
from vdsrlib.imaging.formats import FORMATS
from vdsrlib.imaging.image_file import read_image
from vdsrlib.protocol import PROTOCOLS, Protocol
from vdsrlib.utils.atomic import atomic
from vdsrlib.utils.hashing import hash_bytes, hash_file

PATH = Path(__file__).with_name("manifest.json")
SCALES = (2, 3, 4)
MULTIPLES = (2, 3, 4, 12)  # people crop the files themselves, top left, to a multiple of these


@dataclass(frozen=True)
class Entry:
    """One image of a set.

    Attributes:
        name: as in the copy the manifest was made from, with its suffix.
        height: pixels.
        width: pixels.
        channels: 1 (grey) or 3.
        pixels: SHA-256 of the decoded RGB bytes, row by row; a grey image counts three times.
        file: SHA-256 of the file where it is a JPEG, since decoders do not all give the same pixels; else "".
        phash: 64-bit perceptual hash, hexadecimal.
        samples: 64 pixels as RGB, base64; ``sample`` says which.
        crops: "WIDTHxHEIGHT" -> first 16 digits of ``pixels`` of that top left part.
        interpolation: of a test set, protocol -> PSNR of interpolation at x2, x3, x4 in dB.
    """

    name: str
    height: int
    width: int
    channels: int
    pixels: str
    file: str
    phash: str
    samples: str
    crops: dict[str, str]
    interpolation: dict[str, list[float]]

    def hash_bits(self) -> np.ndarray:
        """The 64 bits of ``phash``."""
        return np.unpackbits(np.frombuffer(bytes.fromhex(self.phash), np.uint8)).astype(bool)

    def difference(self, image: np.ndarray) -> np.ndarray:
        """Sampled differences (64 x 3, grey levels) of an image of the same size from the original."""
        original = np.frombuffer(base64.b64decode(self.samples), np.uint8).reshape(-1, 3)
        return sample(image).astype(int) - original


def sample(image: np.ndarray) -> np.ndarray:
    """Take 64 pixels (64 x 3, uint8) at places that depend on the image's size alone."""
    places = np.random.PCG64(0).random_raw(64) % np.uint64(image.shape[0] * image.shape[1])
    return as_rgb(image).reshape(-1, 3)[places]


def pixel_hash(image: np.ndarray) -> str:
    """Hash an image's RGB samples; a grey image counts three times."""
    return hash_bytes(as_rgb(image))


def interpolation_psnr(image: np.ndarray, scale: float, protocol: Protocol) -> float:
    """Score interpolation under a protocol: PSNR in dB."""
    hr, _, ilr = protocol.pair(image, scale)
    return protocol.score(ilr, hr, scale).psnr


def describe_image(path: Path, scored: bool) -> Entry:
    """Compute everything that the manifest keeps of an image file; ``scored`` says whether to score it."""
    image = read_image(path)
    height, width = image.shape[:2]
    crops = {}
    for multiple in MULTIPLES:
        h, w = height // multiple * multiple, width // multiple * multiple
        if (h, w) != (height, width):
            crops[f"{w}x{h}"] = pixel_hash(image[:h, :w])[:16]
    return Entry(
        name=path.name,
        height=height,
        width=width,
        channels=1 if image.ndim == 2 else 3,
        pixels=pixel_hash(image),
        file=hash_file(path) if FORMATS[path.suffix.lower()] == "JPEG" else "",
        phash=np.packbits(perceptual_hash(image)).tobytes().hex(),
        samples=base64.b64encode(sample(image).tobytes()).decode(),
        crops=crops,
        interpolation={
            name: [round(interpolation_psnr(image, scale, protocol), 4) for scale in SCALES]
            for name, protocol in PROTOCOLS.items()
            if scored
        },
    )


def load_manifest() -> dict[str, list[Entry]]:
    """Load the sets of the manifest: name -> images."""
    sets = json.loads(PATH.read_text(encoding="utf-8"))["sets"]
    return {name: [Entry(**image) for image in found] for name, found in sets.items()}


def write_manifest(root: Path) -> None:
    """Make manifest.json from the sets under ``root``; one line an image, so that a change can be read.

    Raises:
        InputError: there is none of the known sets.
    """
    known = (*ALL_TRAINING_SETS, *ALL_TEST_SETS)
    sets = [name for name in known if (root / name).is_dir()]
    if not sets:
        raise InputError(f"{root} holds none of {', '.join(known)}.")
    blocks = []
    for name in sets:
        paths = tqdm(list_images(root / name), name, disable=None)
        lines = ",\n".join(
            "  " + json.dumps(asdict(describe_image(path, name in ALL_TEST_SETS))) for path in paths
        )
        blocks.append(f' "{name}": [\n{lines}\n ]')
    decoder = "libjpeg-turbo" if features.check("libjpeg_turbo") else "libjpeg"
    version = features.version("libjpeg_turbo") or features.version("jpg")
    with atomic(PATH) as temporary:
        temporary.write_text(
            f'{{"jpeg decoder": "{decoder} {version}",\n"sets": {{\n' + ",\n".join(blocks) + "\n}}\n",
            encoding="utf-8",
        )


def add_arguments(parser: ArgumentParser) -> None:
    """Define the options of ``manifest``."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder that holds the right copies")


def run(arguments: Namespace) -> int:
    """Write the manifest; return 0.

    Raises:
        InputError: the folder holds none of the known sets.
    """
    write_manifest(arguments.folder)
    return 0
