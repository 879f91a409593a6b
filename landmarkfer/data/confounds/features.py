"""The features of the images of a cache that may state their class beside the expression, as categories.

Numbers are binned by quantiles, rare values are pooled (`ANOTHER`), what is not known of an image is None.
Brightness, contrast and colour are of the stored picture: the image or, in a cache extracted with a crop
size, the crop.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ANOTHER = "another"
"""The value of images whose own value is rare."""
BINS = 5
"""Quantiles that numbers are binned by."""
FEWEST = 10
"""Images that a value of its own has at least."""
_MOST = 20  # values of its own
_GREY = 2.0  # mean distance of the channels up to which a picture is grey; JPEG's rounding causes less

_FOUND = re.compile(r"(\S+)@\S*=[1-9]")  # a view in which faces were found, in the column `attempts`


@dataclass(frozen=True)
class Feature:
    """A feature and how a share of images that have a value of it is put in words.

    Attributes:
        name: As tables show it.
        having: What images with `{}` do: `have size {}`.
        lacking: What those with another value do; None where that is no way to put it.
        ordered: Whether its values are ranges of numbers.
    """

    name: str
    having: str
    lacking: str | None = None
    ordered: bool = False


SIZE = Feature("image size", "have size {}", "have another size than {}")
ASPECT = Feature("aspect ratio", "have aspect ratio {}", ordered=True)
COLOUR = Feature("colour", "are {}")
BRIGHTNESS = Feature("brightness", "have brightness {}", ordered=True)
CONTRAST = Feature("contrast", "have contrast {}", ordered=True)
FORMAT = Feature("file format", "are {} files", "are no {} files")
FACE = Feature("face found", "are {}")
VIEW = Feature("detection view", "have the face found in {}", "have the face found elsewhere than in {}")
DETECTIONS = Feature("detections", "have {} averaged")
PREFIX = Feature("name prefix", "have names with '{}'", "have names without '{}'")
FOLDER = Feature("source folder", "lie in {}", "lie elsewhere than in {}")

FEATURES = (SIZE, ASPECT, COLOUR, BRIGHTNESS, CONTRAST, FORMAT, FACE, VIEW, DETECTIONS, PREFIX, FOLDER)
"""All, in the order in which equally strong ones are reported."""

_STATUS = {"ok": "with a face", "no_face": "without a face", "unreadable": "unreadable"}

Values = NDArray[np.object_]


def feature_values(
    frame: pd.DataFrame,
    pictures: pd.DataFrame,
    prefixes: Sequence[str],
    folders: Sequence[str],
    formats: Sequence[str | None],
    counted: NDArray[np.bool_],
) -> dict[Feature, Values]:
    """The value of each feature of each image, or None.

    Args:
        frame: Columns `width`, `height`, `status`, `attempts` and `detections`, a row per image.
        pictures: As `pictures.measure_pictures` gives it.
        prefixes: Of the names `[N]`.
        folders: Of the paths `[N]`.
        formats: Of the files `[N]`; where it is None, that of the stored picture counts.
        counted: Bool `[N]`, the images whose values decide on bins and on what is rare.

    Returns:
        Text or None `[N]` by feature.
    """
    width, height = (frame[name].to_numpy(float) for name in ("width", "height"))
    found = (frame["status"] == "ok").to_numpy()
    known = np.isfinite(width) & np.isfinite(height)
    sizes = [f"{w:.0f} x {h:.0f}" if k else None for w, h, k in zip(width, height, known, strict=True)]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = width / height
    chroma = pictures["chroma"].to_numpy(float)
    colours = [None if np.isnan(far) else "grey" if far <= _GREY else "in colour" for far in chroma]
    stated = [one or other for one, other in zip(formats, pictures["format"], strict=True)]
    categories: dict[Feature, Sequence[str | None] | Values] = {
        SIZE: sizes,
        ASPECT: binned(ratio, counted, digits=2),
        COLOUR: colours,
        BRIGHTNESS: binned(pictures["brightness"].to_numpy(float), counted, digits=0),
        CONTRAST: binned(pictures["contrast"].to_numpy(float), counted, digits=0),
        FORMAT: stated,
        FACE: [_STATUS[status] for status in frame["status"]],
        VIEW: [_view(text) if there else None for text, there in zip(frame["attempts"], found, strict=True)],
        DETECTIONS: [
            f"{number} detection{'s' if number > 1 else ''}" if there and number else None
            for number, there in zip(frame["detections"], found, strict=True)
        ],
        PREFIX: list(prefixes),
        FOLDER: list(folders),
    }
    return {feature: pooled(np.array(values, object), counted) for feature, values in categories.items()}


def binned(numbers: NDArray[np.float64], counted: NDArray[np.bool_], digits: int) -> Values:
    """Numbers `[N]` as text, by quantiles; a number that is as frequent as a bin is a category of its own.

    Args:
        numbers: NaN where not known.
        counted: Bool `[N]`, those that decide on the bins.
        digits: Decimal places of the text.
    """
    rounded = np.round(numbers, digits + 2)  # so that equal ones are equal
    known = np.isfinite(rounded)
    found = np.full(len(numbers), None, dtype=object)
    several, counts = np.unique(rounded[known & counted], return_counts=True)
    frequent = several[counts >= max(1.0, counts.sum() / BINS)]
    for number in frequent:
        found[rounded == number] = f"{number:.{digits}f}"
    rest = known & ~np.isin(rounded, frequent)
    deciding = rounded[rest & counted]
    quantiles = np.quantile(deciding, np.arange(1, BINS) / BINS) if len(deciding) else []
    edges = list(dict.fromkeys(f"{edge:.{digits}f}" for edge in quantiles))
    if not edges:
        found[rest] = ANOTHER
        return found
    names = [
        f"below {edges[0]}",
        *(f"{low} to {high}" for low, high in pairwise(edges)),
        f"{edges[-1]} or more",
    ]
    places = np.searchsorted(np.array(edges, float), rounded[rest], side="right")
    found[rest] = np.array(names, dtype=object)[places]
    return found


def place_of(value: str) -> float:
    """Where the text of a range of numbers stands among others."""
    return -np.inf if value.startswith("below") else float(value.split()[0])


def pooled(values: Values, counted: NDArray[np.bool_]) -> Values:
    """Values `[N]` of which the rare ones are `ANOTHER`.

    A value of its own has at least 10 images, and there are at most 20.
    """
    known = pd.Series(values[counted], dtype=object).dropna()
    counts = known.value_counts()
    own = set(counts[counts >= FEWEST].index[:_MOST])
    return np.array([value if value is None or value in own else ANOTHER for value in values], dtype=object)


def _view(attempts: str | None) -> str | None:
    """The first view in which a face was found."""
    match = _FOUND.search(attempts) if isinstance(attempts, str) else None
    return match[1] if match else None
