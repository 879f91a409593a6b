r"""How fast extraction is, what its views find, and how much memory it takes: `results/bench-extraction.md`.

    python experiments/bench/extraction.py fer2013.zip --photos photos.zip
    python experiments/bench/extraction.py fer2013.zip --images 400 --turns 2 --part rate

The second is a short run. Questions, of which `--part` asks one alone, on evenly spaced images of the source,
with default settings:

- rate: the pipeline against MediaPipe alone (each file read, decoded by Pillow and given once, as it is, to
  `FaceMesh.process`, and its points put into an array), against a bare loop that reads and decodes likewise
  and makes the same searches as the pipeline, and against that on images decoded beforehand; all in as many
  processes;
- photographs: the same on photographs (`--photos`);
- views: which first view shows the face of a photograph, and what all views together show, by the size of
  the face: as it is, cut tighter, and pasted small at a random place of pictures without a face (those of
  scikit-image); for the order of views of small images and that of photographs;
- scaling: the pipeline with several workers against one;
- memory: what a worker and the parent hold as the number of images grows.

Rates are of the steady state: the clock starts when every process has made its first detections and stops,
for the pipeline, when the cache is complete. Other work on the machine disturbs them, so that the processes
of all sides of a rate take short turns, and the median of their ratios counts; processor time is disturbed
less. Linux only (`/proc`).
"""

import io
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import click
import numpy as np
import pandas as pd
from _bench import Rows, memory_mb, write_page
from PIL import Image

from landmarkfer.extraction import create_detector, detect_face, extract
from landmarkfer.extraction.decode import decode_array, decode_image
from landmarkfer.extraction.detect import _look
from landmarkfer.extraction.detectors import Detector, default_detector
from landmarkfer.extraction.pipeline import MAX_BATCH
from landmarkfer.extraction.pool import WorkerPool
from landmarkfer.extraction.settings import RETRY_LENIENCE, ExtractSettings
from landmarkfer.extraction.sources.entry import Entry, Reader, Source
from landmarkfer.extraction.sources.open import open_source
from landmarkfer.extraction.worker import Job
from landmarkfer.progress import Progress

RESULTS = Path("experiments/results")
WARM_UP = 32  # images for each process before the clock starts
CHECKPOINTS = (1_000, 2_000, 5_000, 10_000, 20_000, 30_000)
PARTS = ("rate", "photographs", "views", "scaling", "memory")
LOOPS = ("mediapipe alone", "bare loop", "bare loop, decoded beforehand")
THRESHOLD = 0.5
NOTES = """
*MediaPipe alone* reads each file, decodes it with Pillow and gives it to MediaPipe's Face Mesh once, as it
is. The *bare loop* reads and decodes likewise and makes the same searches as the pipeline, but hashes,
stores and writes nothing; *decoded beforehand*, it does not read and decode either. `share_of_…` is the
median ratio of images per second to that loop, `cpu_share_of_…` the median ratio of processor time, which
other work on the machine disturbs less. `found` is the share of images with a face.

Views: the share of pictures whose face the first view shows (threshold 0.5), that in which any view does,
and the number of views tried, in the order for small images (a border of a quarter first) and in that for
photographs (a tenth first).
"""
SIZES = ((640, 480), (600, 800), (1000, 1000))  # of pictures with a pasted face
PASTED = (0.2, 0.3, 0.5)  # the face's share of the shorter side
CUT = (1.0, 0.85, 0.7)  # what remains of a photograph's side, around its middle
BACKGROUNDS = ("coffee", "chelsea", "rocket", "brick", "grass", "gravel")  # of scikit-image
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Speed:
    """Images per second, processor time per image over all processes, and faces found per image."""

    rate: float
    cpu_ms: float
    found: float


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--photos", type=click.Path(exists=True, path_type=Path), help="Photographs with a face each.")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only this; may be repeated.")
@click.option("--images", default=3000, show_default=True, help="Images for rate and scaling.")
@click.option("--photographs", default=1200, show_default=True, help="Photographs for their rate.")
@click.option("--view-images", default=300, show_default=True, help="Photographs for views, drawn at random.")
@click.option("--seed", default=0, show_default=True, help="Draws photographs for views, and places on them.")
@click.option("--workers", default=2, show_default=True, help="Processes.")
@click.option(
    "--turns", default=10, show_default=True, help="Turns of rate, each on its share of the images."
)
@click.option("--repeats", default=3, show_default=True, help="Turns of scaling, each on all images.")
@click.option("--memory-images", default=30_000, show_default=True, help="Images for memory.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=RESULTS, show_default=True)
def main(
    source: Path,
    photos: Path | None,
    parts: tuple[str, ...],
    images: int,
    photographs: int,
    view_images: int,
    seed: int,
    workers: int,
    turns: int,
    repeats: int,
    memory_images: int,
    out: Path,
) -> None:
    """Measure, print, and write the CSV and the report."""
    wanted = parts or PARTS
    listed = open_source(source)
    rows: Rows = []
    if "rate" in wanted:
        rows += rate("rate", listed, images, workers, turns, beforehand=True)
    if photos is not None and "photographs" in wanted:
        rows += rate("photographs", open_source(photos), photographs, workers, turns, beforehand=False)
    if photos is not None and "views" in wanted:
        rows += views(open_source(photos), view_images, seed)
    if "scaling" in wanted:
        rows += scaling(listed, images, workers, repeats)
    if "memory" in wanted:
        rows += memory(listed, memory_images, workers)
    csv = out / "bench-extraction.csv"
    if csv.exists():  # what is measured again replaces all that was there of it
        old = pd.read_csv(csv)
        old[~old["bench"].isin({row[0] for row in rows})].to_csv(csv, index=False)
    shown = {str(source): source.name, str(photos): photos.name if photos else ""}
    write_page(
        csv,
        rows,
        title="Extraction: speed, views and memory",
        introduction=introduction(source, images, photos, photographs, view_images, seed, turns, wanted),
        packages=("mediapipe", "numpy", "pillow", "pyarrow"),
        arguments=[shown.get(text, text) for text in sys.argv[1:]],
    )


def introduction(
    source: Path,
    images: int,
    photos: Path | None,
    photographs: int,
    view_images: int,
    seed: int,
    turns: int,
    wanted: Sequence[str],
) -> str:
    """What the report says before its tables, of the parts that were measured."""
    said = {
        "rate": f"Rate: {images:,} evenly spaced images of {source.name}, medians of {turns} turns.",
        "scaling": f"Scaling: {images:,} evenly spaced images of {source.name}.",
    }
    if photos is not None:
        said["photographs"] = (
            f"Photographs: {photographs:,} evenly spaced ones of {photos.name}, medians of {turns} turns."
        )
        said["views"] = f"Views: {view_images:,} of {photos.name} with 300 pixels and more, seed {seed}."
    text = " ".join(said[part] for part in PARTS if part in wanted and part in said)
    if set(wanted) != set(PARTS):
        text += " Tables that the command does not ask for are of an earlier run, of the version before."
    return f"Default settings. {text}\n{NOTES}"


def sample(source: Source, count: int) -> Source:
    """Take evenly spaced images of a source."""
    places = np.linspace(0, len(source.entries) - 1, min(count, len(source.entries))).round().astype(int)
    entries = [source.entries[place] for place in places]
    return Source(source.kind, source.name, entries, source.reader)


def decoded(source: Source) -> list[np.ndarray]:
    """Read and decode all images of a source."""
    contents = [source.reader.read(entry.key) for entry in source.entries if entry.key is not None]
    images = [decode_image(c) if isinstance(c, bytes) else decode_array(c) for c in contents]
    return [image.pixels for image in images]


def rate(bench: str, source: Source, images: int, workers: int, turns: int, *, beforehand: bool) -> Rows:
    """Compare the pipeline with bare loops and with MediaPipe alone, in turns on the same images."""
    few = sample(source, images)
    alone, bare, ready, ours = LOOPS[0], LOOPS[1], LOOPS[2], f"pipeline, {workers} workers"
    loops = {alone: "mediapipe", bare: "bare_loop", ready: "decoded_beforehand"}
    if not beforehand:
        del loops[ready]
    speeds: dict[str, list[Speed]] = {name: [] for name in (*loops, ours)}
    with ExitStack() as stack:
        settings = ExtractSettings(detector=default_detector())
        job = Job(few.reader, settings, default_detector(), None)
        pool = stack.enter_context(WorkerPool(job, workers, MAX_BATCH))
        crews = {name: stack.enter_context(Crew(name, few.reader, workers)) for name in loops}
        for turn in range(-1, turns):
            # The turn before the first warms up.
            part = few.entries[: WARM_UP * workers] if turn < 0 else few.entries[turn::turns]
            for name in speeds if turn % 2 == 0 else reversed(speeds):
                speed = pipeline_turn(few, part, pool) if name == ours else crews[name].turn(part)
                if turn >= 0:
                    speeds[name].append(speed)
    rows = []
    for name, of_name in speeds.items():
        show(bench, name, of_name)
        rows += speed_rows(bench, name, of_name)
    for name, of in loops.items():
        rows += share_rows(bench, name, speeds[name], ours, speeds[ours], f"_of_{of}")
    return rows


def scaling(source: Source, images: int, workers: int, repeats: int) -> Rows:
    """Compare several workers with one."""
    few = sample(source, images)
    one, several = [], []
    for _ in range(repeats):
        one.append(pipeline(few, 1))
        several.append(pipeline(few, workers))
    names = "1 worker", f"{workers} workers"
    rows: Rows = []
    for name, speeds in zip(names, (one, several), strict=True):
        show("scaling", name, speeds)
        rows += speed_rows("scaling", name, speeds)
    return rows + share_rows("scaling", names[0], one, names[1], several, "")[:1]


def views(source: Source, images: int, seed: int) -> Rows:
    """Compare the two orders of views on photographs whose faces have different sizes."""
    from landmarkfer.extraction.windows import FIRST_VIEW, PHOTOGRAPH_FIRST_VIEW, PHOTOGRAPH_RETRIES, RETRIES

    rng = np.random.default_rng(seed)
    drawn = [source.entries[place] for place in rng.permutation(len(source.entries))[: 2 * images]]
    photographs = [p for p in decoded(Source("", "", drawn, source.reader)) if min(p.shape[:2]) >= 300][
        :images
    ]
    detector = create_detector()
    orders = {
        "border first": (FIRST_VIEW, RETRIES),
        "photographs": (PHOTOGRAPH_FIRST_VIEW, PHOTOGRAPH_RETRIES),
    }
    rows: Rows = []
    for kind, pictures in sized(photographs, rng):
        for order, (first, retries) in orders.items():
            counts = [looked(detector, picture, [first, *retries]) for picture in pictures]
            tries = np.array([count for count, _ in counts])
            found = np.array([seen for _, seen in counts])
            figures = {
                "found_by_first_view": float((found & (tries == 1)).mean()),
                "found": float(found.mean()),
                "views_tried": float(tries.mean()),
            }
            click.echo(f"{kind}, {order}: " + ", ".join(f"{name} {v:.3f}" for name, v in figures.items()))
            rows += [("views", f"{kind}: {order}", "cpu", 1, name, value) for name, value in figures.items()]
    return rows


def sized(
    photographs: Sequence[np.ndarray], rng: np.random.Generator
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Pictures made of photographs of one face each that has about 0.83 of their side."""
    import skimage.data

    for share in CUT:
        pictures = []
        for pixels in photographs:
            height, width = pixels.shape[:2]
            side = int(min(height, width) * share)
            y, x = (height - side) // 2, (width - side) // 2
            pictures.append(np.ascontiguousarray(pixels[y : y + side, x : x + side]))
        yield f"{'as they are' if share == 1 else f'cut to {share:.0%}'}", pictures
    grounds = [np.atleast_3d(getattr(skimage.data, name)())[..., :3] for name in BACKGROUNDS]
    grounds = [np.broadcast_to(ground, (*ground.shape[:2], 3)) for ground in grounds]
    for share in PASTED:
        pictures = []
        for number, pixels in enumerate(photographs):
            width, height = SIZES[number % len(SIZES)]
            ground = Image.fromarray(np.ascontiguousarray(grounds[number % len(grounds)]))
            picture = np.array(ground.resize((width, height), Image.Resampling.BICUBIC))
            side = round(min(width, height) * share / 0.83)
            x, y = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
            face = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
            picture[y : y + side, x : x + side] = face
            pictures.append(picture)
        yield f"face pasted at {share:.0%} of the shorter side", pictures


def looked(detector: Detector, pixels: np.ndarray, order: Sequence[Any]) -> tuple[int, bool]:
    """How many views were tried, and whether the last one showed a face."""
    from landmarkfer.extraction.windows import windows

    height, width = pixels.shape[:2]
    tried = 0
    for view in order:
        opened = windows(view, width, height)
        if not opened:
            continue
        tried += 1
        threshold = THRESHOLD if tried == 1 else THRESHOLD * RETRY_LENIENCE
        if _look(detector, pixels, opened, threshold, 1):
            return tried, True
    return tried, False


class Watch(Progress):
    """Calls a function with the numbers of images done and in all."""

    def __init__(self, watch: Callable[[int, int], None]) -> None:
        self._watch = watch

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        """Pass the numbers on."""
        self._watch(done, total)


def memory(source: Source, images: int, workers: int) -> list[tuple]:
    """Follow the resident memory of the workers and the parent through a long run."""
    seen: dict[int, tuple[float, float]] = {}

    def watch(done: int, total: int) -> None:
        if done in CHECKPOINTS or done == total:
            held = [memory_mb(child.pid) for child in multiprocessing.active_children() if child.pid]
            seen[done] = (max(held), memory_mb(os.getpid()))
            worker, parent = seen[done]
            click.echo(f"memory after {done:,}: worker {worker:.0f} MB, parent {parent:.0f} MB")

    with tempfile.TemporaryDirectory() as folder:
        extract(sample(source, images), Path(folder) / "cache", workers=workers, progress=Watch(watch))
    rows = []
    for count, (worker, parent) in seen.items():
        rows.append(("memory", f"after {count:,} images", "cpu", 1, "largest_worker_mb", worker))
        rows.append(("memory", f"after {count:,} images", "cpu", 1, "parent_mb", parent))
    return rows


def pipeline(source: Source, workers: int) -> Speed:
    """Extract into a cache that is thrown away; the clock runs from the end of the warm-up to the end."""
    start: dict[str, Any] = {}
    cpu: list[float] = []

    def watch(done: int, total: int) -> None:
        if done == WARM_UP * workers:
            start.update(time=time.perf_counter(), done=done, cpu=family_cpu())
        if done == total:
            cpu.append(family_cpu())

    with tempfile.TemporaryDirectory() as folder:
        summary = extract(source, Path(folder) / "cache", workers=workers, progress=Watch(watch))
        seconds = time.perf_counter() - start["time"]
    images = len(summary.cache) - start["done"]
    found = summary.counts["ok"] / len(summary.cache)
    return Speed(images / seconds, (cpu[0] - start["cpu"]) / images * 1000, found)


def pipeline_turn(source: Source, entries: list[Entry], pool: WorkerPool) -> Speed:
    """Extract images with workers that run already; the clock runs from the first hand-out to the end."""
    start: list[float] = []
    workers = [f"/proc/{pid}/stat" for pid in pool.pids]

    def watch(done: int, total: int) -> None:
        if done == 0:
            start.extend((time.monotonic(), time.process_time() + cpu_of(workers)))

    with tempfile.TemporaryDirectory() as folder:
        part = Source(source.kind, source.name, entries, source.reader)
        summary = extract(part, Path(folder) / "cache", pool=pool, progress=Watch(watch))
        end, cpu = time.monotonic(), time.process_time() + cpu_of(workers)
    images = len(entries)
    found = summary.counts["ok"] / images
    return Speed(images / (end - start[0]), (cpu - start[1]) / images * 1000, found)


class Crew:
    """Processes of one kind of loop, which wait between turns; use it as a context manager."""

    def __init__(self, kind: str, reader: Reader, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        pairs = [context.Pipe() for _ in range(workers)]
        self._pipes = [ours for ours, _ in pairs]
        self._crew = [context.Process(target=serve, args=(theirs, kind, reader)) for _, theirs in pairs]

    def __enter__(self) -> Self:
        for process in self._crew:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        for pipe, process in zip(self._pipes, self._crew, strict=True):
            pipe.send(None)
            process.join()

    def turn(self, entries: list[Entry]) -> Speed:
        """Give each process its share of the images; they start together."""
        for number, pipe in enumerate(self._pipes):
            pipe.send(entries[number :: len(self._pipes)])
        for pipe in self._pipes:
            pipe.recv()
        for pipe in self._pipes:
            pipe.send("start")
        starts, ends, cpu, found = zip(*(pipe.recv() for pipe in self._pipes), strict=True)
        rate = len(entries) / (max(ends) - min(starts))
        return Speed(rate, sum(cpu) / len(entries) * 1000, sum(found) / len(entries))


def serve(pipe: Connection, kind: str, reader: Reader) -> None:
    """A process of a crew: answers each share with start, end, processor time and images with a face."""
    work = {LOOPS[0]: mediapipe_work, LOOPS[1]: search_work, LOOPS[2]: search_work}[kind](reader)
    while (share := pipe.recv()) is not None:
        items = [opened(entry, reader) for entry in share] if kind == LOOPS[2] else share
        pipe.send("ready")
        pipe.recv()
        start, cpu = time.monotonic(), time.process_time()
        found = sum(map(work, items))
        pipe.send((start, time.monotonic(), time.process_time() - cpu, found))


def search_work(reader: Reader) -> Callable[[Entry | np.ndarray], bool]:
    """The searches of the pipeline, on an image that is read and decoded unless it is given as pixels."""
    detector = create_detector()

    def work(item: Entry | np.ndarray) -> bool:
        return detect_face(detector, item if isinstance(item, np.ndarray) else opened(item, reader)).found

    return work


def mediapipe_work(reader: Reader) -> Callable[[Entry], bool]:
    """One call of MediaPipe's Face Mesh for each image as it is."""
    from mediapipe.python.solutions.face_mesh import FaceMesh

    mesh = FaceMesh(static_image_mode=True, refine_landmarks=True)

    def work(entry: Entry) -> bool:
        faces = mesh.process(opened(entry, reader)).multi_face_landmarks or []
        points = [np.array([(p.x, p.y, p.z) for p in face.landmark], np.float32) for face in faces]
        return bool(points)

    return work


def opened(entry: Entry, reader: Reader) -> np.ndarray:
    """Read an image and decode it with Pillow."""
    content = reader.read(entry.key) if entry.key is not None else b""
    image = Image.open(io.BytesIO(content)) if isinstance(content, bytes) else Image.fromarray(content)
    return np.asarray(image.convert("RGB"))


def family_cpu() -> float:
    """Processor time in seconds of this process and of its children that live."""
    return time.process_time() + cpu_of(
        [f"/proc/{child.pid}/stat" for child in multiprocessing.active_children()]
    )


def cpu_of(stats: Sequence[str]) -> float:
    """Processor time in seconds of other processes."""
    fields = [Path(path).read_text().rsplit(")", 1)[1].split() for path in stats]
    return sum(int(user) + int(system) for user, system in (one[11:13] for one in fields)) / TICK


def show(bench: str, name: str, speeds: Sequence[Speed]) -> None:
    """Print one side of a comparison."""
    rates = statistics.median(speed.rate for speed in speeds)
    spent = statistics.median(speed.cpu_ms for speed in speeds)
    click.echo(f"{bench}: {name} {rates:.1f}/s, {spent:.2f} ms of processor time each")


def speed_rows(bench: str, name: str, speeds: Sequence[Speed]) -> Rows:
    """Tabulate medians of a side."""
    key = (bench, name, "cpu", 1)
    return [
        (*key, "images_per_second", statistics.median(speed.rate for speed in speeds)),
        (*key, "cpu_ms_per_image", statistics.median(speed.cpu_ms for speed in speeds)),
        (*key, "found", statistics.median(speed.found for speed in speeds)),
    ]


def share_rows(bench: str, first: str, a: Sequence[Speed], second: str, b: Sequence[Speed], of: str) -> Rows:
    """Tabulate the median ratios of the second side to the first: of rates, and of processor time."""
    rates = statistics.median(y.rate / x.rate for x, y in zip(a, b, strict=True))
    spent = statistics.median(x.cpu_ms / y.cpu_ms for x, y in zip(a, b, strict=True))
    click.echo(f"{bench}: {second} reaches {rates:.3f} times {first}, {spent:.3f} by processor time")
    return [
        (bench, second, "cpu", 1, f"share{of}", rates),
        (bench, second, "cpu", 1, f"cpu_share{of}", spent),
    ]


if __name__ == "__main__":
    main()
