"""What was predicted of new images: one row per face, in the order of the input.

An image in which no face was found, or that cannot be read, has its row too, and never a label.

| column of `to_frame()` | meaning |
| --- | --- |
| `source` | path of the image, as it was given; `image-N` for the N-th of images without a path |
| `face` | number of the face in its image, from 0, the largest first; missing where there is none |
| `x0`, `y0`, `x1`, `y1` | bounds of the landmarks, in pixels of the upright image |
| `detector_score` | score of the face detector, where it gives one |
| `yaw`, `pitch`, `roll` | of the head, in degrees; see `face.pose` |
| `status`, `error` | `ok`, `no_face` or `unreadable`, and why |
| `label`, `confidence` | the label and its probability |
| `intensity` | of the expression, 0 to 1: the probability that the face is not neutral |
| `p_<class>` | probability of each class |
| `set` | prediction set: classes joined by `|`, where the model has calibrated thresholds |
| `abstained` | where a least confidence was asked for: whether it was missed, so that there is no label |
| `blendshape_<name>` | with `extras`: the detector's 52 blendshapes, 0 to 1 |
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from landmarkfer.data.row import Status
from landmarkfer.errors import SourceError
from landmarkfer.face.alignment import aligned_crop, crop_landmarks
from landmarkfer.face.blendshapes import BLENDSHAPES
from landmarkfer.face.geometry import to_pixels
from landmarkfer.face.pose import head_angles
from landmarkfer.files import replacing
from landmarkfer.inference.face import Face, Pictures, Pixels
from landmarkfer.progress import Progress, counted, shown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from landmarkfer.inference.pictures import Crop, Drawing

SET_SEPARATOR = "|"
PREDICTIONS_NAME = "predictions"
MOST_PLOTTED = 24
NEUTRAL = "neutral"
_BARS = 3  # classes whose probabilities are drawn
_ARRAYS = (
    "landmarks",
    "sizes",
    "scores",
    "probabilities",
    "predicted",
    "sets",
    "numbers",
    "faces",
    "blendshapes",
    "given_boxes",
)


@dataclass(frozen=True, eq=False, repr=False)
class Faces(Sequence[Face]):
    """Predictions of N faces, in the order of the input; see the table at the top of this module.

    An image without a face, or that cannot be read, has a row too.

    `faces[0]` is a `Face`, `faces[10:20]` a part. Arrays are NaN where there is no face. Pickled predictions
    read the pictures of files again where they lie; given arrays and PIL images go into the pickle.

    Attributes:
        classes: Class names in the order of the probabilities, C of them.
        sources: Path of each face's image, or `image-N`.
        statuses: Of each row.
        errors: Why an image is unreadable, or has no face where more is known than that.
        landmarks: float32 `[N, 478, 3]`, fractions of the image.
        sizes: float32 `[N, 2]`, width and height of the upright images in pixels.
        scores: float64 `[N]`, of the face detector.
        probabilities: float64 `[N, C]`, calibrated.
        predicted: int64 `[N]`, number of each label, which need not be the most probable class where training
            weighted the classes (`calibration.fitted`); -1 without a face. The most probable classes if None.
        sets: bool `[N, C]`, which classes are in the prediction set; None where the model has none.
        least_confidence: Below which there is no label; None if that was not asked for.
        pictures: Where the images are read from for pictures; None where there are none.
        numbers: int64 `[N]`, of each row's image among all images.
        faces: int64 `[N]`, of each face in its image, from 0; -1 without a face. If None, a row is an image.
        blendshapes: float32 `[N, 52]`, NaN where missing; None where the detector gives none.
        given_boxes: float64 `[N, 4]`, boxes that were given to search in, in pixels; None without.
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
    faces: NDArray[np.int64] | None = None
    blendshapes: NDArray[np.float32] | None = None
    given_boxes: NDArray[np.float64] | None = None
    predicted: NDArray[np.int64] | None = None

    @classmethod
    def joined(cls, parts: "Sequence[Faces]") -> "Faces":
        """The faces of several parts, at least one, of one call."""
        first = parts[0]

        def whole(name: str) -> Any:
            values = [getattr(part, name) for part in parts]
            return None if any(value is None for value in values) else np.concatenate(values)

        return replace(
            first,
            sources=tuple(name for part in parts for name in part.sources),
            statuses=tuple(status for part in parts for status in part.statuses),
            errors=tuple(error for part in parts for error in part.errors),
            **{name: whole(name) for name in _ARRAYS},
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
        text = f"{counted(counts['ok'], 'face')} in {counted(self.num_images, 'image')}"
        if counts["no_face"]:
            text += f", {counts['no_face']:,} without a face"
        if counts["unreadable"]:
            text += f", {counts['unreadable']:,} unreadable"
        labels = [label for label in self.labels if label is not None]
        found = {name: labels.count(name) for name in self.classes}
        of_labels = ", ".join(f"{name} {count:,}" for name, count in found.items() if count)
        return f"<Faces: {text}{'; ' + of_labels if of_labels else ''}>"

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(max_rows=20))

    @property
    def labels(self) -> list[str | None]:
        """The label of each row; None without a face, and where the model abstained."""
        return [None if number < 0 else self.classes[number] for number in self._label_numbers()]

    @property
    def num_images(self) -> int:
        """How many images the rows are of."""
        return len(self) if self.numbers is None else len(np.unique(self.numbers))

    @property
    def intensities(self) -> NDArray[np.float64] | None:
        """How strong each expression is, `[N]` from 0 to 1: the probability that the face is not neutral.

        None of a model without a class `neutral`, NaN without a face.
        """
        if NEUTRAL not in self.classes:
            return None
        return 1 - self.probabilities[:, self.classes.index(NEUTRAL)]

    @property
    def confidences(self) -> NDArray[np.float64]:
        """Probability `[N]` of the label; NaN without a face."""
        return self.probabilities[np.arange(len(self)), self._predicted()]

    @property
    def abstained(self) -> NDArray[np.bool_]:
        """Bool `[N]`: whether there is a face, and the confidence is below what was asked for."""
        if self.least_confidence is None:
            return np.zeros(len(self), dtype=bool)
        return self.confidences < self.least_confidence

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Bounds `[N, 4]` of the landmarks as `x0, y0, x1, y1`, in pixels of the upright image.

        Without a face, they are those of the box that was given to search in.
        """
        points = self.landmarks[..., :2] * self.sizes[:, None]  # [N, 478, 2]
        bounds = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1).astype(np.float64)
        return bounds if self.given_boxes is None else np.where(np.isnan(bounds), self.given_boxes, bounds)

    @property
    def angles(self) -> NDArray[np.float64]:
        """Yaw, pitch and roll `[N, 3]` in degrees; see `face.pose`."""
        return head_angles(to_pixels(self.landmarks, self.sizes[:, 0], self.sizes[:, 1]))

    def to_dict(self) -> list[dict[str, Any]]:
        """The rows as dictionaries of plain values, such as JSON takes; what is missing is None."""
        frame = self.to_frame().astype(object)
        rows = frame.where(frame.notna(), None).to_dict("records")
        return [{str(name): value for name, value in row.items()} for row in rows]

    def to_frame(self, *, extras: bool = False) -> "pd.DataFrame":
        """The rows as a table; see the top of this module. Columns that do not apply are left out.

        Args:
            extras: Whether blendshapes are columns too, where the detector gives them.
        """
        import pandas as pd

        number = [self._number(row) for row in range(len(self))]

        def text(values: Sequence[str | None]) -> "pd.Series":
            return pd.Series(list(values), dtype="string")

        columns: dict[str, object] = {"source": text(self.sources), "face": pd.Series(number, dtype="Int64")}
        columns |= dict(zip(("x0", "y0", "x1", "y1"), self.boxes.T, strict=True))
        if np.isfinite(self.scores).any():
            columns["detector_score"] = self.scores
        columns |= dict(zip(("yaw", "pitch", "roll"), self.angles.T, strict=True))
        columns |= {"status": text(self.statuses), "error": text(self.errors)}
        columns |= {"label": text(self.labels), "confidence": self.confidences}
        if self.intensities is not None:
            columns["intensity"] = self.intensities
        columns |= {f"p_{name}": p for name, p in zip(self.classes, self.probabilities.T, strict=True)}
        if self.sets is not None:
            names = [self._set(row) for row in range(len(self))]
            columns["set"] = text([None if held is None else SET_SEPARATOR.join(held) for held in names])
        if self.least_confidence is not None:
            columns["abstained"] = self.abstained
        if extras and self.blendshapes is not None:
            columns |= {
                f"blendshape_{name}": values
                for name, values in zip(BLENDSHAPES, self.blendshapes.T, strict=True)
            }
        return pd.DataFrame(columns)

    def plot(self, columns: int = 4, *, limit: int = MOST_PLOTTED) -> "Figure":
        """The images with boxes, landmarks, labels and confidence, as a Matplotlib figure.

        Args:
            columns: Images in a line.
            limit: How many images are drawn, from the first on; `faces[24:].plot()` shows the next.
        """
        from landmarkfer.inference.pictures import plot_images

        return plot_images(islice(self.drawings(captions=False), limit), columns)

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
        from landmarkfer.inference.pictures import remove_earlier, save_images

        folder = Path(out)
        try:
            table = self.to_frame()
            with replacing(folder / f"{PREDICTIONS_NAME}.csv") as path:
                table.to_csv(path, index=False)
            with replacing(folder / f"{PREDICTIONS_NAME}.parquet") as path:
                table.to_parquet(path, index=False)
            with shown(progress) as report:
                drawings = self.drawings() if images and self.pictures is not None else iter(())
                written = save_images(drawings, folder / "images", self.num_images, report)
            remove_earlier(folder / "images", written, self.sources)
        except OSError as error:
            raise SourceError(f"cannot write to {folder}: {error.strerror or error}.") from error
        return folder

    def by_image(self) -> "Iterator[tuple[int, Faces]]":
        """The number of each image, and its rows, which are neighbours."""
        numbers = np.arange(len(self)) if self.numbers is None else self.numbers
        first = np.append(True, numbers[1:] != numbers[:-1])[: len(self)]
        starts = np.flatnonzero(first).tolist()
        for start, stop in zip(starts, [*starts[1:], len(self)], strict=False):
            yield int(numbers[start]), self[start:stop]

    def drawings(self, *, captions: bool = True) -> "Iterator[Drawing]":
        """Each image with its faces, to be drawn, with captions and the highest probabilities or without."""
        from landmarkfer.inference.pictures import Drawing, shortened
        from landmarkfer.reporting.faces import FaceNote

        for number, own in self.by_image():
            pixels = None if own.pictures is None else own.pictures.read(number)
            notes = []
            for row, face in enumerate(own if pixels is not None else ()):
                assert pixels is not None
                points = own.points(row, pixels)
                caption = shortened(face.caption) if captions else None
                bars = face.highest(_BARS) if captions else ()
                notes.append(FaceNote(points, caption, shortened(face.details), bars))
            first = ", ".join(face.caption for face in own[:2])
            yield Drawing(number, own.sources[0], pixels, tuple(notes), first + ", …" * (len(own) > 2))

    def crops(self, size: int | None = None) -> "Iterator[Crop]":
        """The faces, upright and at a fixed scale, see `face.alignment`; of images that can be read.

        Args:
            size: Side in pixels; 224 if None. Stored crops have their own.
        """
        from landmarkfer.inference.pictures import CROP_SIZE, Crop

        for number, own in self.by_image():
            pixels = None if own.pictures is None else own.pictures.read(number)
            for row, face in enumerate(own if pixels is not None else ()):
                assert pixels is not None and own.pictures is not None
                if face.number is None:
                    continue
                whole = own.pictures.crop is None
                crop = aligned_crop(pixels, own.landmarks[row], size or CROP_SIZE) if whole else pixels
                yield Crop(number, face.source, face.number, crop)

    def points(self, row: int, pixels: Pixels) -> NDArray | None:
        """Landmarks `[478, 3]` of a row in pixels of its picture; None without a face."""
        if self.statuses[row] != "ok":
            return None
        height, width = pixels.shape[:2]
        if self.pictures is None or self.pictures.crop is None:
            return to_pixels(self.landmarks[row], width, height)
        whole_width, whole_height = (round(side) for side in self.sizes[row].tolist())
        return crop_landmarks(self.landmarks[row], whole_width, whole_height, width)

    def _label_numbers(self) -> NDArray[np.int64]:
        """The number of each row's label, `[N]`; -1 where there is none."""
        known = np.isfinite(self.probabilities).all(axis=1) & ~self.abstained
        return np.where(known, self._predicted(), -1)

    def _predicted(self) -> NDArray[np.int64]:
        if self.predicted is not None:
            return self.predicted
        return np.nan_to_num(self.probabilities, nan=-1).argmax(axis=1)

    def _number(self, row: int) -> int | None:
        if self.statuses[row] != "ok":
            return None
        return 0 if self.faces is None else int(self.faces[row])

    def _set(self, row: int) -> tuple[str, ...] | None:
        if self.sets is None or self.statuses[row] != "ok":
            return None
        return tuple(name for name, held in zip(self.classes, self.sets[row], strict=True) if held)

    def _part(self, index: slice) -> "Faces":
        arrays: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[index] for name in _ARRAYS
        }
        return replace(
            self,
            sources=self.sources[index],
            statuses=self.statuses[index],
            errors=self.errors[index],
            **arrays,
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
            intensity=None if one.intensities is None else float(one.intensities[0]),
            probabilities=dict(zip(self.classes, self.probabilities[row].tolist(), strict=True)),
            prediction_set=self._set(row),
            abstained=bool(one.abstained[0]),
            box=(x0, y0, x1, y1),
            landmarks=self.landmarks[row],
            size=size,
            angles=(yaw, pitch, roll),
            detector_score=None if np.isnan(score) else score,
            number=self._number(row),
        )


def decoded(data: bytes | None) -> Pixels | None:
    """Pixels `uint8 [H, W, 3]` of an image that a cache stores; None if there is none."""
    from PIL import Image

    if data is None:
        return None
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))
