"""NumPy files: `.npz` of images and labels, and pairs of `.npy` files.

Names in use are known: `images, labels`, `x, y`, `x_train, y_train, x_test, y_test` and the like. Images are
`[N, H, W]`, `[N, H, W, 1 or 3]` or `[N, 1 or 3, H, W]`, of integers from 0 to 255 or of floats from 0 to 1 or
to 255. Labels are numbers or text `[N]`, or one-hot `[N, C]`. Nothing pickled is loaded.
"""

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from landmarkfer.data.split_names import StatedSplit, TwoSplits, stated_split
from landmarkfer.errors import SourceError
from landmarkfer.extraction.decode import UnreadableImage
from landmarkfer.extraction.sources.containers.archive import TemporaryFolder
from landmarkfer.extraction.sources.entry import Entry, Key, Source
from landmarkfer.extraction.sources.labels import read_labels
from landmarkfer.extraction.sources.options import SourceOptions

ARRAY_ENDINGS = (".npz", ".npy")

_IMAGES = re.compile(r"(?i)^(?:x|images?|imgs?|faces?|data|pixels|arr_0)(?:[_-]?(?P<of>.*))?$")
_LABELS = re.compile(r"(?i)^(?:y|labels?|targets?|emotions?|classes|arr_1)(?:[_-]?(?P<of>.*))?$")
_OF_FIRST = re.compile(r"(?i)^(?P<of>.+?)[_-](?P<what>x|y|images?|imgs?|faces?|labels?|targets?|emotions?)$")


_PLAIN = ("", "all", "data")


@dataclass
class ArrayReader:
    """Reads images of `.npy` files; keys are `<file>:<row>`."""

    paths: tuple[str, ...]
    _arrays: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def __reduce__(self) -> tuple[type["ArrayReader"], tuple[tuple[str, ...]]]:
        return ArrayReader, (self.paths,)

    def read(self, key: Key) -> np.ndarray:
        """Return one image, `uint8 [H, W]` or `[H, W, 3]`; see `Reader.read`."""
        number, row = map(int, str(key).split(":"))
        if number not in self._arrays:
            self._arrays[number] = np.load(self.paths[number], mmap_mode="r", allow_pickle=False)
        return _as_pixels(np.array(self._arrays[number][row]), self._top(number))

    def _top(self, number: int) -> float:
        """What is white in floats: 1, or 255 where the first images hold more than 1."""
        array = self._arrays[number]
        return 255.0 if array.dtype.kind != "f" or float(np.nanmax(array[:64])) > 1.0 else 1.0


def open_arrays(files: list[Path], name: str, options: SourceOptions | None = None) -> Source:
    """List the images of NumPy files.

    Args:
        files: One `.npz`, or `.npy` files of which some hold images and others their labels. With
            `options.labels`, the labels of a single file of images.
        name: Of the source.
        options: Names of labels and splits.

    Returns:
        The source; ids are `<array>#<row>`.

    Raises:
        SourceError: A file cannot be read without pickle, holds no images, or numbers of labels differ.
    """
    options = options or SourceOptions()
    holds = TemporaryFolder()
    arrays = _named_arrays(files, holds)
    images = {key: path for key, path in arrays.items() if _is_images(path)}
    labels = {key: path for key, path in arrays.items() if key not in images}
    if options.labels:
        labels = _named_arrays(list(options.labels), holds)
    if not images:
        raise SourceError(
            f"{name} holds the arrays {', '.join(f'{k} {_shape(p)}' for k, p in arrays.items())}, and none "
            f"of images: "
            "[N, H, W], [N, H, W, 3] or [N, 3, H, W]."
        )
    ids: list[str] = []
    keys: list[str] = []
    raw: list[str | None] = []
    splits: list[StatedSplit | None] = []
    for number, (key, path) in enumerate(images.items()):
        count = len(np.load(path, mmap_mode="r", allow_pickle=False))
        values = _labels_of(key, count, images, labels)
        ids += [f"{key}#{row:07d}" for row in range(count)]
        keys += [f"{number}:{row}" for row in range(count)]
        raw += values
        splits += [_split_of(key, options.split_names)] * count
    read = read_labels(raw, ids, options.label_names, where=f"the labels of {name}")
    entries = [
        Entry(image_id, place, label, split.split if split else None, split.subset if split else None)
        for image_id, place, label, split in zip(ids, keys, read.labels, splits, strict=True)
    ]
    source = Source("arrays", name, entries, ArrayReader(tuple(map(str, images.values()))))
    source.remarks, source.readings, source.holds = read.remarks, read.readings, holds
    unused = [key for key in labels if not any(_goes_with(key, image, images, labels) for image in images)]
    if unused:
        source.remarks.append(f"Arrays that are not used: {', '.join(unused)}.")
    odd = [key for key in images if _part(key) not in _PLAIN and _split_of(key, options.split_names) is None]
    if odd and len(images) > 1:
        source.remarks.append(
            f"{', '.join(odd)} {'states' if len(odd) == 1 else 'state'} no split; --split-names does."
        )
    if options.group_column is not None:
        raise SourceError(f"{name} has no columns, so --group-column names nothing; leave it out.")
    return source


def _named_arrays(files: list[Path], holds: TemporaryFolder) -> dict[str, Path]:
    """The `.npy` file of each array; those of a `.npz` are unpacked, so that workers map them into memory."""
    arrays: dict[str, Path] = {}
    for path in files:
        try:
            if path.suffix.lower() == ".npy":
                np.load(path, mmap_mode="r", allow_pickle=False)
                arrays[path.stem] = path
                continue
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    arrays[Path(member).stem] = Path(archive.extract(member, holds.path))
        except ValueError as error:
            raise SourceError(
                f"{path} is no array that can be read without pickle, which can run code; save it again as "
                f"numbers."
            ) from error
        except (OSError, zipfile.BadZipFile) as error:
            raise SourceError(f"{path} is damaged or no NumPy file: {error}.") from error
    return arrays


def _shape(path: Path) -> str:
    try:
        return str(list(np.load(path, mmap_mode="r", allow_pickle=False).shape))
    except ValueError:
        return "(pickled)"


def _is_images(path: Path) -> bool:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:
        return False
    if array.dtype.kind not in "uif" or array.ndim not in (3, 4):
        return False
    return array.ndim == 3 or array.shape[3] in (1, 3) or array.shape[1] in (1, 3)


def _labels_of(
    key: str, count: int, images: Mapping[str, Path], labels: Mapping[str, Path]
) -> list[str | None]:
    """The labels of the images of one array: those of the array whose name goes with it."""
    fitting = [path for name, path in labels.items() if _goes_with(name, key, images, labels)]
    if not fitting:
        return [None] * count
    try:
        values = np.load(fitting[0], allow_pickle=False)
    except ValueError as error:
        raise SourceError(
            f"the labels of {key} are pickled, which can run code; save them as numbers or text."
        ) from error
    if values.ndim == 2 and values.shape[1] > 1:
        if (
            values.dtype.kind not in "uifb"
            or not ((values == 0) | (values == 1)).all()
            or (values.sum(1) != 1).any()
        ):
            raise SourceError(
                f"the labels of {key} are {_shape(fitting[0])} and not one-hot; give one class an image, [N]."
            )
        values = values.argmax(axis=1)
    values = values.reshape(-1)
    if len(values) != count:
        raise SourceError(f"{key} holds {count:,} images, and {fitting[0].stem} {len(values):,} labels.")
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist()]


def _goes_with(label: str, image: str, images: Mapping[str, Path], labels: Mapping[str, Path]) -> bool:
    """Whether an array holds the labels of an array of images."""
    if len(labels) == len(images) == 1:
        return True
    return _part(label) == _part(image) and bool(_LABELS.match(label) or _OF_FIRST.match(label))


def _part(name: str) -> str:
    """What an array is of: `train` of `x_train`, `train_images` and `X-train`."""
    first = _OF_FIRST.match(name)
    if first:
        return first["of"].lower()
    match = _IMAGES.match(name) or _LABELS.match(name)
    return (match["of"] or "").lower() if match else name.lower()


def _split_of(name: str, given: Mapping[str, str | None]) -> StatedSplit | None:
    try:
        return stated_split(_part(name) or name, given)
    except TwoSplits:
        return None


def _as_pixels(image: np.ndarray, top: float) -> np.ndarray:
    if image.ndim == 3 and image.shape[2] not in (1, 3):
        image = image.transpose(1, 2, 0)  # [C, H, W] -> [H, W, C]
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if not np.isfinite(image).all():
        raise UnreadableImage("the pixels hold values that are not numbers")
    values = image.astype(np.float64) * (255.0 / top)
    if values.min() < -0.5 or values.max() > 255.5:
        raise UnreadableImage("the pixels hold values outside 0 to 255")
    return np.ascontiguousarray(np.round(values).astype(np.uint8))
