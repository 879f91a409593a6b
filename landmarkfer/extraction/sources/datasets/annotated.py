"""Data sets with a file of annotation for each image: AffectNet and CK+.

AffectNet (Mollahosseini et al. 2019): `train_set/images/0.jpg` and `train_set/annotations/0_exp.npy`, a
number. CK+ (Lucey et al. 2010): `cohn-kanade-images/S005/001/S005_001_00000011.png` and
`Emotion/S005/001/S005_001_00000011_emotion.txt`, a number of the sequence's last image. The others of a
sequence, which begins neutral and ends at the expression, have no label of their own.
"""

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from landmarkfer.errors import SourceError
from landmarkfer.extraction.decode import UnreadableImage
from landmarkfer.extraction.sources.containers.listing import Listing
from landmarkfer.extraction.sources.tables.official import AFFECTNET_MEANING
from landmarkfer.progress import SILENT, Progress, counted

_CK = ("neutral", "angry", "contempt", "disgust", "fear", "happy", "sad", "surprise")
CK_MEANING: dict[str, str | None] = {str(number): name for number, name in enumerate(_CK)}
"""CK+'s numbers."""


@dataclass(frozen=True)
class Annotations:
    """Labels as annotation files spell them, by image; what they mean; the names of these files."""

    title: str
    labels: dict[str, str]
    meaning: Mapping[str, str | None]
    files: list[str]
    remark: str


@dataclass(frozen=True)
class _Kind:
    title: str
    pattern: re.Pattern[str]  # of an annotation file, with the groups `folder` and `stem`
    is_of: Callable[[str, re.Match[str]], bool]
    read: Callable[[bytes], str]
    meaning: Mapping[str, str | None]


def _of_affectnet(image: str, match: re.Match[str]) -> bool:
    return image.rsplit("/", 1)[0] == f"{match['folder']}images"


def _read_npy(data: bytes) -> str:
    return str(np.load(io.BytesIO(data), allow_pickle=False).reshape(-1)[0])


def _read_number(data: bytes) -> str:
    return f"{float(data.decode('ascii')):g}"


_KINDS = (
    _Kind(
        "AffectNet",
        re.compile(r"^(?P<folder>(?:.*/)?)annotations/(?P<stem>[^/]+)_exp\.npy$"),
        _of_affectnet,
        _read_npy,
        AFFECTNET_MEANING,
    ),
    _Kind(
        "CK+",
        re.compile(r"^(?P<folder>(?:.*/)?)Emotion[^/]*/(?:.*/)?(?P<stem>S\d{3}_\d{3}_\d{8})_emotion\.txt$"),
        lambda image, match: True,
        _read_number,
        CK_MEANING,
    ),
)


def read_annotations(listing: Listing, progress: Progress = SILENT) -> Annotations | None:
    """The labels that files beside the images give.

    Args:
        listing: The files of a data set.
        progress: Reports the annotation files read.

    Returns:
        The labels; None where there are no such files.

    Raises:
        SourceError: An annotation file cannot be read.
    """
    for kind in _KINDS:
        found = {name: match for name in listing.others if (match := kind.pattern.match(name))}
        if not found:
            continue
        by_stem: dict[str, list[str]] = {}
        for image, _ in listing.images:
            by_stem.setdefault(image.rsplit("/", 1)[-1].rsplit(".", 1)[0], []).append(image)
        labels = {}
        for number, (name, match) in enumerate(found.items()):
            if number % 100 == 0:
                progress(f"reading the annotations of {kind.title}", number, len(found))
            for image in by_stem.get(match["stem"], ()):
                if kind.is_of(image, match):
                    labels[image] = _read(listing, name, kind)
        progress(f"reading the annotations of {kind.title}", len(found), len(found))
        if labels:
            remark = (
                f"Labels are those of {kind.title}'s annotations: {counted(len(labels), 'image')} with one."
            )
            rest = [n for n in listing.others if re.search(r"_(?:exp|lnd|aro|val)\.npy$", n)]
            return Annotations(kind.title, labels, kind.meaning, [*found, *rest], remark)
    return None


def _read(listing: Listing, name: str, kind: _Kind) -> str:
    try:
        content = listing.reader.read(listing.others[name])
        assert isinstance(content, bytes)
        return kind.read(content)
    except (UnreadableImage, ValueError, OSError, IndexError) as error:
        raise SourceError(f"{name}, an annotation of {kind.title}, cannot be read: {error}.") from error
