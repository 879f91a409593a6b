"""The images of predictions, drawn: on a figure, and as files."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from landmarkfer.files import replacing
from landmarkfer.progress import SILENT, Progress
from landmarkfer.reporting.faces import FaceNote, annotate_image, faces_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CROP_SIZE = 224
"""Side in pixels of the faces that are written."""
_SAVED = re.compile(r"\d{5,}-.*\.jpg")


@dataclass(frozen=True)
class Drawing:
    """One image with what is to be drawn on it.

    Attributes:
        number: Of the image among all.
        source: Its path.
        pixels: uint8 `[H, W, 3]`; None if it cannot be read.
        notes: Its faces.
        title: What was predicted, for a figure.
    """

    number: int
    source: str
    pixels: NDArray[np.uint8] | None
    notes: tuple[FaceNote, ...]
    title: str

    def annotated(self) -> Image.Image | None:
        """The image with its faces; None if it cannot be read."""
        return None if self.pixels is None else annotate_image(self.pixels, self.notes)


@dataclass(frozen=True)
class Crop:
    """One face, upright and of a fixed size: `face` of image `number`."""

    number: int
    source: str
    face: int
    pixels: NDArray[np.uint8]


def plot_images(drawings: Iterable[Drawing], columns: int) -> "Figure":
    """Images in a grid, with what was predicted above each."""
    shown = list(drawings)
    titles = [f"{shortened(Path(one.source).name, 32)}\n{shortened(one.title)}" for one in shown]
    return faces_figure([one.annotated() for one in shown], titles, columns)


def save_images(
    drawings: Iterable[Drawing], folder: Path, total: int, progress: Progress = SILENT
) -> list[Path]:
    """Write each image with its faces drawn, as `NNNNN-<name>.jpg`; what cannot be read is left out.

    Args:
        drawings: The images.
        folder: Where to.
        total: How many there are.
        progress: Counts them.

    Returns:
        The files.
    """
    written = []
    for drawing in progress.track(drawings, "writing images", total):
        picture = drawing.annotated()
        if picture is not None:
            written.append(folder / f"{drawing.number:05d}-{Path(drawing.source).stem}.jpg")
            with replacing(written[-1]) as path:
                picture.save(path, quality=90)
    return written


def save_crops(crops: Iterable[Crop], folder: Path) -> None:
    """Write each face as `NNNNN-<name>-<face>.jpg`."""
    for crop in crops:
        name = f"{crop.number:05d}-{Path(crop.source).stem}-{crop.face}.jpg"
        with replacing(folder / name) as path:
            Image.fromarray(crop.pixels).save(path, quality=92)


def remove_earlier(folder: Path, written: Sequence[Path], sources: Iterable[str]) -> None:
    """Remove what an earlier save wrote to a folder, unless it is written anew or is one of the sources."""
    earlier = [path for path in folder.glob("*.jpg") if _SAVED.fullmatch(path.name) and path not in written]
    if not earlier:
        return
    # The predicted images themselves may lie there under such names; those of a cache are relative paths.
    own = {(base / name).resolve() for name in sources for base in (Path(), folder.parent)}
    for path in earlier:
        if path.is_file() and path.resolve() not in own:
            path.unlink()


def shortened(text: str, length: int = 40) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
