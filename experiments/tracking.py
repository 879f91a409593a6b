r"""How often tracks change the person: synthetic videos of two and three faces that cross.

    python experiments/tracking.py

Each clip has six seconds, 12.5 frames a second, and faces of different shapes that walk straight from one
border to the other and back at random heights and speeds, and change their expression. Where a face is, is
known, so that each face that is found is that of a known person: the nearest one. A *switch* is a frame in
which a person's face has another track than in the frame before that shows it. Clips in which a face hides
more than 60 % of another's are counted apart. Writes `experiments/results/tracking.csv` and `.md`.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from landmarkfer.data.synthetic.clips import Actor, Scene, clip_frames, even_times
from landmarkfer.data.synthetic.motion import N_SHAPES
from landmarkfer.inference.load import load_predictor
from landmarkfer.inference.video.clip import VideoFrame
from landmarkfer.progress import show_progress
from landmarkfer.reporting.markdown import Header, markdown_table, package_versions, write_page

RESULTS = Path("experiments/results/tracking.csv")
WIDTH, HEIGHT, SECONDS, RATE = 640, 480, 6.0, 12.5
HIDDEN = 0.6
NEAR = 0.12
"""Share of an actor's side within which the middle of a face is that actor's."""
FACES = (2, 3)


class Walk:
    """A clip as a source of frames, with where its actors are."""

    name, rate = "synthetic", RATE

    def __init__(self, faces: int, seed: int) -> None:
        rng = np.random.default_rng([faces, seed])
        self.actors = tuple(_actor(number, rng) for number in range(faces))
        self._scene = Scene(SECONDS, self.actors)

    def frames(self, fps: float | None = None) -> Iterator[VideoFrame]:
        """The frames, in order."""
        times = even_times([self._scene], RATE)
        pictures = clip_frames([self._scene], times, (WIDTH, HEIGHT))
        for number, (time_s, pixels) in enumerate(zip(times, pictures, strict=True)):
            yield VideoFrame(number, time_s, pixels)

    def places(self, time_s: float) -> np.ndarray:
        """Middle and side of each actor, `[A, 3]`."""
        found = []
        for actor in self.actors:
            times, x, y = np.array(actor.path, float).T
            found.append((np.interp(time_s, times, x), np.interp(time_s, times, y), actor.side))
        return np.array(found)

    def hides(self) -> bool:
        """Whether a face ever hides most of another's."""
        return any(_hidden(self.places(time_s)) for time_s in even_times([self._scene], RATE))


def _actor(number: int, rng: np.random.Generator) -> Actor:
    side = int(rng.integers(150, 240))
    left, right = side / 2, WIDTH - side / 2
    ends = (left, right) if number % 2 else (right, left)
    turn = float(rng.uniform(2.5, 3.5))
    heights = rng.uniform(side / 2, HEIGHT - side / 2, 3)
    path = ((0.0, ends[0], heights[0]), (turn, ends[1], heights[1]), (SECONDS, ends[0], heights[2]))
    shape = tuple(rng.normal(size=N_SHAPES).clip(-2.5, 2.5).tolist())
    labels = rng.permutation(["neutral", "happy", "surprise", "angry", "sad"])[:3].tolist()
    expressions = tuple((start, label) for start, label in zip((0.0, 2.0, 4.0), labels, strict=True))
    return Actor(shape, expressions, path, side)


def _hidden(places: np.ndarray) -> bool:
    """Whether a face covers `HIDDEN` of one behind it; faces are 55 % of an actor's side."""
    half = places[:, 2] * 0.275
    for back in range(len(places)):
        for front in range(back + 1, len(places)):
            shared = 1.0
            for axis in range(2):
                low = max(places[back, axis] - half[back], places[front, axis] - half[front])
                high = min(places[back, axis] + half[back], places[front, axis] + half[front])
                shared *= max(0.0, high - low)
            if shared > HIDDEN * (2 * half[back]) ** 2:
                return True
    return False


def follow(walk: Walk, predictor: Any) -> dict[str, int]:
    """Frames, faces that were there and found, switches and tracks of one clip."""
    last: dict[int, int] = {}
    counts = {"frames": 0, "there": 0, "found": 0, "switches": 0, "tracks": 0}
    seen: set[int] = set()
    for frame in predictor.track(walk):
        places = walk.places(frame.time_s)
        counts["frames"] += 1
        counts["there"] += len(places)
        boxes = frame.faces.boxes
        for box, track in zip(boxes, frame.tracks, strict=True):
            if track is None:
                continue
            middle = np.array([box[[0, 2]].mean(), box[[1, 3]].mean()])
            apart = np.linalg.norm(places[:, :2] - middle, axis=1)
            person, *others = np.argsort(apart).tolist()
            counts["found"] += 1
            near = apart <= NEAR * places[:, 2]
            if not near[person] or near[others].any():  # whose it is cannot be said
                continue
            counts["switches"] += last.get(person, track) != track
            last[person] = track
            seen.add(track)
    return counts | {"tracks": len(seen)}


@click.command(help=__doc__)
@click.option("--clips", default=10, help="Of each number of faces.")
def main(clips: int) -> None:
    """Track the clips, and write the page."""
    predictor = load_predictor("landmarks")
    rows = []
    with show_progress() as progress:
        wanted = [(faces, seed) for faces in FACES for seed in range(clips)]
        for faces, seed in progress.track(wanted, "tracking clips", len(wanted)):
            walk = Walk(faces, seed)
            rows.append({"faces": faces, "seed": seed, "hidden": walk.hides(), **follow(walk, predictor)})
    table = pd.DataFrame(rows)
    table.to_csv(RESULTS, index=False)
    write(table)


def write(table: pd.DataFrame) -> None:
    """Write the page."""
    cells = []
    for (faces, hidden), part in table.groupby(["faces", "hidden"]):
        sums = part[["frames", "there", "found", "switches", "tracks"]].sum()
        there = int(faces) * len(part)
        cells.append(
            [
                f"{faces} faces" + (", one hidden by another for a while" if hidden else ""),
                f"{len(part)}",
                f"{sums['frames']:,}",
                f"{100 * sums['found'] / sums['there']:.1f}",
                f"{sums['switches']}",
                f"{sums['tracks']} of {there}",
            ]
        )
    header = Header(
        "Tracks of faces that cross",
        ["python experiments/tracking.py"],
        package_versions(),
        datetime.now(UTC).date().isoformat(),
        machine="2 CPU cores",
        introduction=(
            f"Synthetic videos of {SECONDS:g} seconds, {RATE:g} frames a second, {WIDTH} x {HEIGHT} pixels, "
            "in which faces of different shapes walk across and change their expression. *Found*: share of "
            "the faces that are there. A *switch* is a frame in which a person has another track than in the "
            f"frame before that shows it. *Hidden*: a face covers more than {HIDDEN:.0%} of another. All "
            "faces are warped out of one portrait, so that only their shape and their way distinguish them."
        ),
    )
    columns = ["clips of", "clips", "frames", "found, %", "switches", "tracks, of persons"]
    write_page(RESULTS.with_suffix(".md"), RESULTS, header, [markdown_table(columns, cells, text_columns=1)])


if __name__ == "__main__":
    main()
