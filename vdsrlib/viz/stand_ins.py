"""Pictures with a slider that need no kernel: in JupyterLab, on an exported page and in the book.

They stand in for a widget where nothing runs. The slider is a plain ``<input type=range>``, so the keyboard
moves it, too. Where a page strips event handlers (a notebook that is not trusted), the first state stays.
"""

import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vdsrlib.errors import InputError
from vdsrlib.imaging.colour import to_uint8
from vdsrlib.viz.captioned import CaptionedImage

Picture = np.ndarray | CaptionedImage

MOVE_LINE = "this.closest('figure').style.setProperty('--line', this.value + '%')"
SHOW_ONE = (
    "const figure = this.closest('figure'), chosen = Number(this.value);"
    "figure.querySelectorAll('img').forEach((image, i) => image.hidden = i !== chosen);"
    "figure.querySelector('output').value = this.dataset.labels.split('|')[chosen];"
    "this.setAttribute('aria-valuetext', figure.querySelector('output').value)"
)
SLIDER = '<input type="range" autocomplete="off" style="display:block;width:100%;margin:6px 0" '


@dataclass(frozen=True)
class StandIn:
    """HTML of a figure with a slider; a notebook shows it.

    Attributes:
        markup: the figure; the same on every run.
        alt: what it shows, in a sentence.
    """

    markup: str
    alt: str

    def _repr_html_(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        return self.alt


def before_after(left: Picture, right: Picture, labels: tuple[str, str], alt: str) -> StandIn:
    """Show two pictures on one another, with a line between them that a slider moves.

    Args:
        left: the picture to the left of the line: uint8 or float in [0, 1], H x W or H x W x 3, kept as JPEG;
            a ``CaptionedImage`` is kept as its ``content`` says.
        right: the one to the right of it, of the same size.
        labels: their names.
        alt: what the pictures show, in a sentence, for readers who do not see them.

    Raises:
        InputError: the two differ in size.
    """
    pictures = _captioned(left), _captioned(right)
    sizes = [f"{picture.pixels.shape[1]} x {picture.pixels.shape[0]}" for picture in pictures]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"{labels[0]} and {labels[1]} are {' and '.join(sizes)} pixels; give two of one size"
        )
    width = pictures[0].pixels.shape[1]
    image = 'style="display:block;width:100%;margin:0'
    below = _image(pictures[1], f"{labels[1]}: {alt}", f'{image}"')
    clip = "position:absolute;top:0;left:0;clip-path:inset(0 calc(100% - var(--line)) 0 0)"
    above = _image(pictures[0], f"{labels[0]}: {alt}", f'{image};{clip}"')
    line = "position:absolute;top:0;bottom:0;left:var(--line);width:2px;margin-left:-1px;background:#d55e00"
    one, two = map(html.escape, labels)
    content = (
        f'<div style="position:relative">{below}{above}<div style="{line}"></div></div>'
        f'{SLIDER}min="0" max="100" value="50" oninput="{MOVE_LINE}" '
        f'aria-label="line between {one} and {two}">'
        '<figcaption style="display:flex;justify-content:space-between">'
        f"<span>◀ {one}</span><span>{two} ▶</span></figcaption>"
    )
    return _figure(content, alt, f"max-width:{width}px;--line:50%")


def layer_slider(pictures: Sequence[Picture], labels: Sequence[str], alt: str) -> StandIn:
    """Show one of several pictures, which a slider chooses.

    Args:
        pictures: as for ``before_after``; their sizes may differ.
        labels: their names, as many.
        alt: what they show together, in a sentence.

    Raises:
        InputError: there are no pictures, or not as many labels.
    """
    if not pictures or len(pictures) != len(labels):
        raise InputError(f"give one label a picture, got {len(pictures)} pictures and {len(labels)} labels")
    chosen = [_captioned(picture) for picture in pictures]
    width = max(picture.pixels.shape[1] for picture in chosen)
    style = 'style="max-width:100%;margin:0"'
    images = [
        _image(picture, f"{label}: {alt}", style if i == 0 else f"hidden {style}")
        for i, (picture, label) in enumerate(zip(chosen, labels, strict=True))
    ]
    names = html.escape("|".join(label.replace("|", "/") for label in labels))
    content = (
        f'<output style="display:block">{html.escape(labels[0])}</output>'
        f'{SLIDER}min="0" max="{len(chosen) - 1}" value="0" data-labels="{names}" oninput="{SHOW_ONE}" '
        f'aria-label="{html.escape(alt)}" aria-valuetext="{html.escape(labels[0])}">{"".join(images)}'
    )
    return _figure(content, alt, f"max-width:{width}px")


def _captioned(picture: Picture) -> CaptionedImage:
    if isinstance(picture, CaptionedImage):
        return replace(picture, titled=True)  # the slider has a caption of its own
    return CaptionedImage(to_uint8(picture), "", "photograph", titled=True)


def _image(picture: CaptionedImage, alt: str, attributes: str) -> str:
    data, _ = picture._repr_mimebundle_()
    kind = next(kind for kind in data if kind.startswith("image/"))
    return f'<img src="data:{kind};base64,{data[kind]}" alt="{html.escape(alt)}" {attributes}>'


def _figure(content: str, alt: str, style: str) -> StandIn:
    """Put a figure around it, whose identifier follows from what it shows."""
    identifier = f"stand-in-{hashlib.sha256(content.encode()).hexdigest()[:8]}"
    opening = f'<figure id="{identifier}" class="stand-in" role="group" aria-label="{html.escape(alt)}"'
    return StandIn(f'{opening} style="margin:0 0 1em;{style}">{content}</figure>', alt)
