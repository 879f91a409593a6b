"""What was predicted of one frame of a video, its faces distinguished.

| column of `to_frame()` | meaning |
| --- | --- |
| `source`, `frame`, `time_s` | the video, the number of the frame in it, seconds from its first picture |
| `cut` | whether the frame is the first of another shot |
| `track` | whose face it is: a number that stays over time; missing where there is no face |
| `smoothed_label`, `smoothed_<class>` | probabilities smoothed over time, and the most probable class |
| `change` | how much the probabilities changed since the track's last frame, 0 to 1; missing after a gap |

The other columns are those of `inference.faces`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landmarkfer.inference.face import Pixels
from landmarkfer.inference.faces import SET_SEPARATOR, Faces

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image

_BARS = 3


@dataclass(frozen=True, eq=False, repr=False)
class TrackedFrame:
    """One frame of a video.

    Attributes:
        number: Of the frame in the video, from 0.
        time_s: Seconds from the first picture.
        cut: Whether it is the first of another shot.
        faces: Its faces, N rows; one row that says why, where there is none.
        tracks: Number of each face's track; None where there is no face.
        smoothed: float64 `[N, C]`, probabilities smoothed over time; NaN where there is no face.
        change: float64 `[N]`, of the probabilities since the track's last frame; NaN after a gap.
        pixels: uint8 `[H, W, 3]`.
    """

    number: int
    time_s: float
    cut: bool
    faces: Faces
    tracks: tuple[int | None, ...]
    smoothed: NDArray[np.float64]
    change: NDArray[np.float64]
    pixels: Pixels

    def __repr__(self) -> str:
        labels = ", ".join(
            f"{track}: {label}"
            for track, label in zip(self.tracks, self.smoothed_labels, strict=True)
            if track is not None
        )
        return f"<TrackedFrame {self.number} at {self.time_s:.3f} s: {labels or 'no face'}>"

    @property
    def smoothed_labels(self) -> tuple[str | None, ...]:
        """The most probable class of each row's smoothed probabilities; None without a face."""
        return tuple(
            None if np.isnan(row).any() else self.faces.classes[int(row.argmax())] for row in self.smoothed
        )

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows as plain values, such as JSON takes; what is missing is None."""
        faces = self.faces
        boxes, angles, confidences = faces.boxes, faces.angles, faces.confidences
        intensities, abstained, labels = faces.intensities, faces.abstained, faces.labels
        found = []
        for row, (track, label) in enumerate(zip(self.tracks, self.smoothed_labels, strict=True)):
            values: dict[str, Any] = {"source": faces.sources[row], "frame": self.number}
            values |= {"time_s": round(self.time_s, 6), "cut": self.cut}
            values |= {"face": None if track is None or faces.faces is None else int(faces.faces[row])}
            values |= {"track": track}
            values |= _numbers(("x0", "y0", "x1", "y1"), boxes[row])
            values |= _numbers(("detector_score",), faces.scores[row : row + 1])
            values |= _numbers(("yaw", "pitch", "roll"), angles[row])
            values |= {"status": faces.statuses[row], "error": faces.errors[row], "label": labels[row]}
            values |= _numbers(("confidence",), confidences[row : row + 1])
            if intensities is not None:
                values |= _numbers(("intensity",), intensities[row : row + 1])
            values |= _numbers([f"p_{name}" for name in faces.classes], faces.probabilities[row])
            if faces.sets is not None:
                held = [name for name, there in zip(faces.classes, faces.sets[row], strict=True) if there]
                values["set"] = None if track is None else SET_SEPARATOR.join(held)
            if faces.least_confidence is not None:
                values["abstained"] = bool(abstained[row])
            values["smoothed_label"] = label
            values |= _numbers([f"smoothed_{name}" for name in faces.classes], self.smoothed[row])
            values |= _numbers(("change",), self.change[row : row + 1])
            found.append(values)
        return found

    def to_frame(self) -> "pd.DataFrame":
        """The rows as a table; see the top of this module."""
        import pandas as pd

        table = pd.DataFrame(self.rows)
        types: dict[str, Any] = dict.fromkeys(
            ("source", "status", "error", "label", "smoothed_label"), "string"
        )
        types |= {"set": "string"} if "set" in table else {}
        types |= dict.fromkeys(("face", "track"), "Int64")
        others = [name for name in table if name not in (*types, "frame", "cut", "abstained")]
        return table.astype(types | dict.fromkeys(others, "float64"))

    def to_dict(self) -> dict[str, Any]:
        """The frame as plain values, such as JSON takes; what is missing is None."""
        whole = {name: self.rows[0][name] for name in ("frame", "time_s", "cut")}
        own = [{name: row[name] for name in row if name not in ("source", *whole)} for row in self.rows]
        return {**whole, "faces": own}

    def draw(self) -> "Image.Image":
        """The picture with each face's box, landmarks, track, label and highest smoothed probabilities."""
        from landmarkfer.reporting.faces import COLOURS, FaceNote, annotate_image

        notes = []
        for row, (track, label) in enumerate(zip(self.tracks, self.smoothed_labels, strict=True)):
            if track is None:
                continue
            by_class = sorted(
                zip(self.faces.classes, self.smoothed[row].tolist(), strict=True), key=lambda pair: -pair[1]
            )
            caption = f"{track}: {label} {100 * by_class[0][1]:.0f} %"
            points, colour = self.faces.points(row, self.pixels), COLOURS[track % len(COLOURS)]
            notes.append(FaceNote(points, caption, "", by_class[:_BARS], colour))
        return annotate_image(self.pixels, notes)


def _numbers(names: Sequence[str], values: NDArray[np.floating]) -> dict[str, float | None]:
    """Numbers by name, to six digits; None for NaN."""
    known = (None if value != value else round(value, 6) for value in values.tolist())
    return dict(zip(names, known, strict=True))
