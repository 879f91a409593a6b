"""Which face of a frame is which face of the frames before.

Faces are assigned to tracks all at once (the Hungarian method), frame by frame, so that whose face it is is
known while the video runs. What counts is where a face lies, given how its track moved, and the shape of its
landmarks, which decides where two faces cross. A face that was away is known again if its shape fits, and if
it can have come so far. After a cut, shape alone counts.

Shape distinguishes people only roughly, and an expression changes it as much as another person does. So a
face that was away has to be much alike, and one that comes back with another expression may get a new number
rather than a wrong one.

Units: pixels of the image, x right and y down; seconds.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from landmarkfer.extraction.detect import box_overlap
from landmarkfer.face.landmarks import CANONICAL, N_MESH
from landmarkfer.face.pose import turns_of

Floats = NDArray[np.float64]

AWAY_S = 0.5
"""Seconds without a face after which a track is away."""
FORGOTTEN_S = 60.0
"""Seconds without a face after which a track ends."""
SAME_SHAPE = 0.045
"""Distance of shapes up to which a face that was away is known again where it can be."""
BRIEFLY_S = 2.0
"""Seconds without a face up to which it is known again where its track leads, by a rough likeness
(`ROUGHLY_SAME`): a face that is away so briefly was hidden, and landmarks of half a face are drawn awry."""
ROUGHLY_SAME = 0.12
SAME_SHAPE_ANYWHERE = 0.03
"""The same after a cut, when a face can be anywhere."""
_SHAPE_WEIGHT = 5.0  # an overlap that is 0.5 less counts as much as shapes 0.1 further apart
_LEAST_OVERLAP = 0.1
_REACH = 1.5  # face widths that a face may lie from where its track leads, and as many more for each second
_RIGHT_THERE = 0.35  # face widths
_LED_S = 1.0  # seconds for which a face is taken to move on
_REMEMBERED = 30  # frames over which a track's shape is averaged


@dataclass(eq=False)
class Track:
    """One face over time.

    Attributes:
        number: Of the track, from 0, in the order of their first frame.
        box: `x0, y0, x1, y1` in the last frame that shows it.
        time_s: Of that frame.
        shape: See `face_shapes`, the mean over the last frames.
        velocity: Of the box's middle, pixels a second.
        frames: Frames that show it.
    """

    number: int
    box: Floats
    time_s: float
    shape: Floats
    velocity: Floats = field(default_factory=lambda: np.zeros(2))
    frames: int = 1

    def expected(self, time_s: float) -> Floats:
        """Where the box is led to, in a second at most."""
        elapsed = min(time_s - self.time_s, _LED_S)
        return self.box + np.tile(self.velocity * elapsed, 2)

    def update(self, time_s: float, box: Floats, shape: Floats, *, moved: bool) -> None:
        """Take over a frame that shows the face; not `moved` across a cut or a gap."""
        elapsed = time_s - self.time_s
        if not moved or elapsed <= 0:
            self.velocity = np.zeros(2)
        else:
            now = (_middles(box) - _middles(self.box)) / elapsed
            self.velocity = (self.velocity + now) / 2 if self.frames > 1 else now
        self.frames += 1
        share = 1 / min(self.frames, _REMEMBERED)
        self.box, self.time_s = box, time_s
        self.shape = (1 - share) * self.shape + share * shape


class TrackKeeper:
    """Assigns the faces of each frame to tracks.

    Args:
        away_s: Seconds without a face after which a track is away; more than frames are apart.

    Attributes:
        tracks: All that are not forgotten, by their number.
    """

    def __init__(self, away_s: float = AWAY_S) -> None:
        self.tracks: dict[int, Track] = {}
        self._away_s = away_s
        self._count = 0

    def assign(self, time_s: float, points: NDArray[np.floating], *, cut: bool = False) -> list[int]:
        """Assign the faces of the next frame.

        Args:
            time_s: Of the frame, later than that of the last one.
            points: Landmarks `[N, 478, 3]` in pixels.
            cut: Whether the frame is the first of another shot.

        Returns:
            The number of each face's track.
        """
        self.tracks = {
            number: track for number, track in self.tracks.items() if time_s - track.time_s <= FORGOTTEN_S
        }
        boxes = np.concatenate([points[..., :2].min(axis=1), points[..., :2].max(axis=1)], axis=1)
        boxes, shapes = boxes.astype(np.float64), face_shapes(points)
        assigned = np.full(len(points), -1)
        there = [track for track in self.tracks.values() if self._is_there(track, time_s) and not cut]
        self._match(there, _costs_there(there, time_s, boxes, shapes), assigned)
        away = [track for track in self.tracks.values() if track.number not in assigned]
        self._match(away, _costs_away(away, time_s, boxes, shapes, cut), assigned)
        for face, number in enumerate(assigned.tolist()):
            if number < 0:
                assigned[face] = self._count
                self.tracks[self._count] = Track(self._count, boxes[face], time_s, shapes[face])
                self._count += 1
            else:
                track = self.tracks[number]
                moved = not cut and self._is_there(track, time_s)
                track.update(time_s, boxes[face], shapes[face], moved=moved)
        return assigned.tolist()

    def _is_there(self, track: Track, time_s: float) -> bool:
        return time_s - track.time_s <= self._away_s

    @staticmethod
    def _match(tracks: list[Track], costs: Floats, assigned: NDArray[np.int64]) -> None:
        """Assign the faces that are not yet assigned to tracks, `costs [T, N]`, infinite where impossible."""
        free = np.flatnonzero(assigned < 0)
        if not tracks or not len(free):
            return
        costs = costs[:, free]
        for row, column in zip(*linear_sum_assignment(np.where(np.isfinite(costs), costs, 1e6)), strict=True):
            if np.isfinite(costs[row, column]):
                assigned[free[column]] = tracks[row].number


def face_shapes(points: NDArray[np.floating]) -> Floats:
    """Shapes of faces, wherever they lie, however large they are and however they are turned.

    The landmarks, centred, at an RMS radius of 1, and turned nearest to the canonical face.

    Args:
        points: `[N, 478, 3]` in pixels.

    Returns:
        `[N, 468, 3]`, without the irises.
    """
    shapes = points[:, :N_MESH].astype(np.float64)
    shapes -= shapes.mean(axis=1, keepdims=True)
    shapes /= np.sqrt(np.square(shapes).sum(axis=2).mean(axis=1))[:, None, None]
    return shapes @ turns_of(shapes, CANONICAL[:N_MESH])


def _costs_there(tracks: list[Track], time_s: float, boxes: Floats, shapes: Floats) -> Floats:
    """What it costs to assign faces `[N]` to tracks `[T]` that were seen just now, `[T, N]`."""
    if not tracks:
        return np.zeros((0, len(boxes)))
    expected = np.stack([track.expected(time_s) for track in tracks])
    shared = np.array([[box_overlap(one, box) for box in boxes.tolist()] for one in expected.tolist()])
    shared, apart = shared.reshape(len(tracks), len(boxes)), _apart(expected, boxes)
    costs = 1 - shared + _SHAPE_WEIGHT * _distances(tracks, shapes)
    return np.where((shared >= _LEAST_OVERLAP) | (apart <= 1), costs, np.inf)


def _costs_away(tracks: list[Track], time_s: float, boxes: Floats, shapes: Floats, cut: bool) -> Floats:
    """The same of tracks that were not seen just now: by shape, as far as the face can have come."""
    if not tracks:
        return np.zeros((0, len(boxes)))
    distances = _distances(tracks, shapes)
    if cut:
        return np.where(distances <= SAME_SHAPE_ANYWHERE, distances, np.inf)
    elapsed = np.array([time_s - track.time_s for track in tracks])[:, None]
    apart = _apart(np.stack([track.box for track in tracks]), boxes)
    possible = (distances <= SAME_SHAPE) & (apart <= _REACH * (1 + elapsed))
    led = _apart(np.stack([track.expected(time_s) for track in tracks]), boxes)
    possible |= (distances <= ROUGHLY_SAME) & (elapsed <= BRIEFLY_S) & (led <= 1)
    possible |= (elapsed <= _LED_S) & (led <= _RIGHT_THERE)  # whatever its landmarks look like
    return np.where(possible, distances + np.minimum(led, 1) * SAME_SHAPE, np.inf)


def _distances(tracks: list[Track], shapes: Floats) -> Floats:
    """RMS distance of shapes from those of tracks, `[T, N]`."""
    apart = np.stack([track.shape for track in tracks])[:, None] - shapes  # [T, N, 468, 3]
    return np.sqrt(np.square(apart).sum(axis=3).mean(axis=2))


def _middles(boxes: Floats) -> Floats:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _apart(some: Floats, others: Floats) -> Floats:
    """Distances of middles in widths of the first boxes, `[S, O]`."""
    widths = np.maximum(some[:, 2] - some[:, 0], 1e-6)[:, None]
    return np.linalg.norm(_middles(some)[:, None] - _middles(others), axis=2) / widths
