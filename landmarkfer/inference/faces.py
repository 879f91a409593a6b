"""What was predicted of new images: one row per image, in the order of the input.

An image in which no face was found, or that cannot be read, has its row too, and never a label.

| column of `to_frame()` | meaning |
| --- | --- |
| `source` | path of the image, as it was given; `image-N` for the N-th of images without a path |
| `face` | number of the face in its image, from 0; missing where there is none |
| `x0`, `y0`, `x1`, `y1` | bounds of the landmarks, in pixels of the upright image |
| `detector_score` | score of the face detector, where it gives one |
| `yaw`, `pitch`, `roll` | of the head, in degrees; see `face.pose` |
| `status`, `error` | `ok`, `no_face` or `unreadable`, and why it cannot be read |
| `label`, `confidence` | the most probable class and its probability |
| `p_<class>` | probability of each class |
| `set` | prediction set: classes joined by `|`, where the model has calibrated thresholds |
| `abstained` | where a least confidence was asked for: whether it was missed, so that there is no label |
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from landmarkfer.data.row import Status
from landmarkfer.errors import SourceError
from landmarkfer.face.alignment import crop_landmarks
from landmarkfer.face.geometry import to_pixels
from landmarkfer.face.pose import head_angles
from landmarkfer.files import replacing
from landmarkfer.progress import Progress, shown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Box = tuple[float, float, float, float]
Pixels = NDArray[np.uint8]

SET_SEPARATOR = "|"
PREDICTIONS_NAME = "predictions"
MOST_PLOTTED = 24
_SAVED_IMAGE = re.compile(r"\d{5,}-.*\.jpg")


@dataclass(frozen=True, eq=False)
class Face:
    """What was predicted of one image.

    Attributes:
        source: Path of the image, or `image-N`.
        status: `ok`, `no_face` or `unreadable`.
        error: Why the image is unreadable.
        label: The most probable class; None without a face, and where the model abstained.
        confidence: The probability of the most probable class; None without a face.
        probabilities: Probability by class, empty without a face.
        prediction_set: Classes of the prediction set; None where the model has none.
        abstained: Whether `confidence` was below what was asked for.
        box: `x0, y0, x1, y1` in pixels of the upright image.
        landmarks: float32 `[478, 3]`, fractions of the image.
        size: Width and height of the upright image in pixels.
        angles: Yaw, pitch and roll in degrees.
        detector_score: Of the face detector, where it gives one.
    """

    source: str
    status: Status
    error: str | None = None
    label: str | None = None
    confidence: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    prediction_set: tuple[str, ...] | None = None
    abstained: bool = False
    box: Box | None = None
    landmarks: NDArray[np.float32] | None = None
    size: tuple[float, float] | None = None
    angles: tuple[float, float, float] | None = None
    detector_score: float | None = None

    def __repr__(self) -> str:
        return f"<Face {self.source}: {self.caption}>"

    @property
    def caption(self) -> str:
        """Label and confidence, or why there is none."""
        if self.status != "ok" or self.confidence is None:
            return self.error or self.status.replace("_", " ")
        return f"{self.label or 'abstained'} {100 * self.confidence:.0f} %"


@dataclass(frozen=True)
class Pictures:
    """Where the images of faces are read again when they are drawn.

    Attributes:
        read: Pixels `uint8 [H, W, 3]` of an image by its number; None if there is none.
        crop: Side in pixels of the aligned crops that the images are; None where they are whole images.
    """

    read: Callable[[int], Pixels | None]
    crop: int | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Faces(Sequence[Face]):
    """Predictions of N images, in the order of the input; see the table at the top of this module.

    `faces[0]` is a `Face`, `faces[10:20]` a part. Arrays are NaN where there is no face. Pickled predictions
    read the pictures of files again where they lie; given arrays and PIL images go into the pickle.

    Attributes:
        classes: Class names in the order of the probabilities, C of them.
        sources: Path of each image, or `image-N`.
        statuses: Of each image.
        errors: Why an image is unreadable.
        landmarks: float32 `[N, 478, 3]`, fractions of the image.
        sizes: float32 `[N, 2]`, width and height of the upright images in pixels.
        scores: float64 `[N]`, of the face detector.
        probabilities: float64 `[N, C]`.
        sets: bool `[N, C]`, which classes are in the prediction set; None where the model has none.
        least_confidence: Below which there is no label; None if that was not asked for.
        pictures: Where the images are read from for pictures; None where there are none.
        numbers: int64 `[N]`, of each image in `pictures`.
    """

    classes: tuple[str, ...]
    sources: tuple[str, ...]
    statuses: tuple[Status, ...]
    errors: tuple[str | None, ...]
    landmarks: NDArray[np.float32]
    sizes: NDArray[np.float32]
    scores: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    sets: NDArray[np.bool_] | None = None
    least_confidence: float | None = None
    pictures: Pictures | None = None
    numbers: NDArray[np.int64] | None = None

    @classmethod
    def joined(cls, parts: "Sequence[Faces]", pictures: Pictures | None) -> "Faces":
        """The faces of several parts, at least one, whose pictures are numbered through."""
        first = parts[0]
        return replace(
            first,
            sources=tuple(name for part in parts for name in part.sources),
            statuses=tuple(status for part in parts for status in part.statuses),
            errors=tuple(error for part in parts for error in part.errors),
            **{
                name: np.concatenate([getattr(part, name) for part in parts])
                for name in ("landmarks", "sizes", "scores", "probabilities")
            },
            sets=None if first.sets is None else np.concatenate([part.sets for part in parts]),
            pictures=pictures,
            numbers=np.arange(sum(map(len, parts))),
        )

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.sources)

    @overload
    def __getitem__(self, index: int) -> Face: ...
    @overload
    def __getitem__(self, index: slice) -> "Faces": ...
    def __getitem__(self, index: int | slice) -> "Face | Faces":
        if isinstance(index, slice):
            return self._part(index)
        if not isinstance(index, int | np.integer):
            raise TypeError(f"rows are chosen by a number or a slice, not by {type(index).__name__}")
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} rows, and no row {index}")
        return self._face(index % len(self))

    def __iter__(self) -> Iterator[Face]:
        return (self._face(row) for row in range(len(self)))

    def __repr__(self) -> str:
        counts = {name: self.statuses.count(name) for name in ("ok", "no_face", "unreadable")}
        text = f"{len(self):,} images, {counts['ok']:,} with a face"
        if counts["no_face"]:
            text += f", {counts['no_face']:,} without"
        if counts["unreadable"]:
            text += f", {counts['unreadable']:,} unreadable"
        labels = [label for label in self.labels if label is not None]
        found = {name: labels.count(name) for name in self.classes}
        counted = ", ".join(f"{name} {count:,}" for name, count in found.items() if count)
        return f"<Faces: {text}{'; ' + counted if counted else ''}>"

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(max_rows=20))

    @property
    def labels(self) -> list[str | None]:
        """The label of each row; None without a face, and where the model abstained."""
        return [None if number < 0 else self.classes[number] for number in self._label_numbers()]

    @property
    def confidences(self) -> NDArray[np.float64]:
        """Probability `[N]` of the most probable class; NaN without a face."""
        return self.probabilities.max(axis=1, initial=-np.inf) if len(self) else np.empty(0)

    @property
    def abstained(self) -> NDArray[np.bool_]:
        """Bool `[N]`: whether there is a face, and the confidence is below what was asked for."""
        if self.least_confidence is None:
            return np.zeros(len(self), dtype=bool)
        return self.confidences < self.least_confidence

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Bounds `[N, 4]` of the landmarks as `x0, y0, x1, y1`, in pixels of the upright image."""
        points = self.landmarks[..., :2] * self.sizes[:, None]  # [N, 478, 2]
        return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1).astype(np.float64)

    @property
    def angles(self) -> NDArray[np.float64]:
        """Yaw, pitch and roll `[N, 3]` in degrees; see `face.pose`."""
        return head_angles(to_pixels(self.landmarks, self.sizes[:, 0], self.sizes[:, 1]))

    def to_frame(self) -> "pd.DataFrame":
        """The rows as a table; see the top of this module. Columns that do not apply are left out."""
        import pandas as pd

        number = [0 if status == "ok" else None for status in self.statuses]

        def text(values: Sequence[str | None]) -> "pd.Series":
            return pd.Series(list(values), dtype="string")

        columns: dict[str, object] = {"source": text(self.sources), "face": pd.Series(number, dtype="Int64")}
        columns |= dict(zip(("x0", "y0", "x1", "y1"), self.boxes.T, strict=True))
        if np.isfinite(self.scores).any():
            columns["detector_score"] = self.scores
        columns |= dict(zip(("yaw", "pitch", "roll"), self.angles.T, strict=True))
        columns |= {"status": text(self.statuses), "error": text(self.errors)}
        columns |= {"label": text(self.labels), "confidence": self.confidences}
        columns |= {f"p_{name}": p for name, p in zip(self.classes, self.probabilities.T, strict=True)}
        if self.sets is not None:
            names = [self._set(row) for row in range(len(self))]
            columns["set"] = text([None if held is None else SET_SEPARATOR.join(held) for held in names])
        if self.least_confidence is not None:
            columns["abstained"] = self.abstained
        return pd.DataFrame(columns)

    def plot(self, columns: int = 4, *, limit: int = MOST_PLOTTED) -> "Figure":
        """The images with boxes, landmarks, labels and confidence, as a Matplotlib figure.

        Args:
            columns: Images in a line.
            limit: How many are drawn, from the first on; `faces[24:].plot()` shows the next.
        """
        from landmarkfer.reporting.faces import annotate_face, faces_figure

        pictures, titles = [], []
        for row in range(min(limit, len(self))):
            picture = self._picture(row)
            pictures.append(None if picture is None else annotate_face(*picture))
            face = self._face(row)
            titles.append(f"{Path(face.source).name}\n{_shortened(face.caption)}")
        return faces_figure(pictures, titles, columns)

    def save(self, out: str | Path, *, images: bool = True, progress: "Progress | bool" = False) -> Path:
        """Write `predictions.csv`, `predictions.parquet` and, in `images/`, the annotated images.

        Args:
            out: Folder; made if need be. Tables in it are replaced, and annotated images of an earlier save,
                which are `images/NNNNN-*.jpg`, are removed; all else stays.
            images: Whether to write the images.
            progress: True shows a bar; or where to report to.

        Returns:
            The folder.

        Raises:
            SourceError: The folder cannot be written.
        """
        folder = Path(out)
        try:
            table = self.to_frame()
            with replacing(folder / f"{PREDICTIONS_NAME}.csv") as path:
                table.to_csv(path, index=False)
            with replacing(folder / f"{PREDICTIONS_NAME}.parquet") as path:
                table.to_parquet(path, index=False)
            written = set()
            if images and self.pictures is not None:
                with shown(progress) as report:
                    for row in report.track(range(len(self)), "writing images", len(self)):
                        written.add(self._save_image(row, folder / "images"))
            self._remove_earlier_images(folder, written)
        except OSError as error:
            raise SourceError(f"cannot write to {folder}: {error.strerror or error}.") from error
        return folder

    def _save_image(self, row: int, folder: Path) -> Path | None:
        from landmarkfer.reporting.faces import annotate_face

        picture = self._picture(row)
        if picture is None:
            return None
        face = self._face(row)
        written = folder / f"{row:05d}-{Path(face.source).stem}.jpg"
        with replacing(written) as path:
            annotate_face(*picture, _shortened(face.caption)).save(path, quality=90)
        return written

    def _remove_earlier_images(self, folder: Path, written: set[Path | None]) -> None:
        found = [path for path in (folder / "images").glob("*.jpg") if _SAVED_IMAGE.fullmatch(path.name)]
        earlier = [path for path in found if path not in written and path.is_file()]
        if not earlier:
            return
        # The predicted images themselves may lie there under such names; those of a cache are relative paths.
        own = {(base / name).resolve() for name in self.sources for base in (Path(), folder)}
        for path in earlier:
            if path.resolve() not in own:
                path.unlink()

    def _picture(self, row: int) -> tuple[Pixels, NDArray | None] | None:
        """Pixels of a row's image, and its landmarks in pixels of it; None if it cannot be read."""
        if self.pictures is None or self.numbers is None:
            return None
        pixels = self.pictures.read(int(self.numbers[row]))
        if pixels is None:
            return None
        if self.statuses[row] != "ok":
            return pixels, None
        height, width = pixels.shape[:2]
        if self.pictures.crop is None:
            return pixels, to_pixels(self.landmarks[row], width, height)
        whole_width, whole_height = (round(side) for side in self.sizes[row].tolist())
        return pixels, crop_landmarks(self.landmarks[row], whole_width, whole_height, width)

    def _label_numbers(self) -> NDArray[np.int64]:
        """The most probable class of each row, `[N]`; -1 where there is no label."""
        if not len(self):
            return np.empty(0, np.int64)
        known = np.isfinite(self.probabilities).all(axis=1) & ~self.abstained
        return np.where(known, np.nan_to_num(self.probabilities, nan=-1).argmax(axis=1), -1)

    def _set(self, row: int) -> tuple[str, ...] | None:
        if self.sets is None or self.statuses[row] != "ok":
            return None
        return tuple(name for name, held in zip(self.classes, self.sets[row], strict=True) if held)

    def _part(self, index: slice) -> "Faces":
        return replace(
            self,
            sources=self.sources[index],
            statuses=self.statuses[index],
            errors=self.errors[index],
            landmarks=self.landmarks[index],
            sizes=self.sizes[index],
            scores=self.scores[index],
            probabilities=self.probabilities[index],
            sets=None if self.sets is None else self.sets[index],
            numbers=None if self.numbers is None else self.numbers[index],
        )

    def _face(self, row: int) -> Face:
        width, height = self.sizes[row].tolist()
        size = None if np.isnan(width) else (width, height)
        if self.statuses[row] != "ok":
            return Face(self.sources[row], self.statuses[row], self.errors[row], size=size)
        one = self._part(slice(row, row + 1))
        x0, y0, x1, y1 = one.boxes[0].tolist()
        yaw, pitch, roll = one.angles[0].tolist()
        score = float(self.scores[row])
        return Face(
            source=self.sources[row],
            status=self.statuses[row],
            label=one.labels[0],
            confidence=float(one.confidences[0]),
            probabilities=dict(zip(self.classes, self.probabilities[row].tolist(), strict=True)),
            prediction_set=self._set(row),
            abstained=bool(one.abstained[0]),
            box=(x0, y0, x1, y1),
            landmarks=self.landmarks[row],
            size=size,
            angles=(yaw, pitch, roll),
            detector_score=None if np.isnan(score) else score,
        )


def decoded(data: bytes | None) -> Pixels | None:
    """Pixels `uint8 [H, W, 3]` of an image that a cache stores; None if there is none."""
    from PIL import Image

    if data is None:
        return None
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def _shortened(text: str, length: int = 40) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
