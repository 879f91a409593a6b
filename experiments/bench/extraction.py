r"""How fast extraction is, and how much memory it takes: `experiments/results/bench-extraction.md`.

    python experiments/bench/extraction.py fer2013.zip
    python experiments/bench/extraction.py fer2013.zip --images 400 --repeats 1 --memory-images 0

The second is a short run. Three questions, on evenly spaced images of the source, with default settings:

- rate: the pipeline against a bare detector loop over the same images, decoded beforehand, in as many
  processes;
- scaling: the pipeline with several workers against one;
- memory: what a worker and the parent hold as the number of images grows.

Rates are of the steady state: the clock starts when every process has made its first detections and stops,
for the pipeline, when the cache is complete. Other work on the machine disturbs them, so the sides of a
comparison take turns and the median of their ratios counts; `cpu_ms_per_image`, the processor time of all
processes, is hardly disturbed. Linux only (`/proc`).
"""

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import click
import numpy as np
from _bench import memory_mb, write_page

from landmarkfer.extraction import create_detector, detect_face, extract
from landmarkfer.extraction.decode import decode_array, decode_image
from landmarkfer.extraction.sources.entry import Source
from landmarkfer.extraction.sources.open import open_source
from landmarkfer.progress import Progress

RESULTS = Path("experiments/results")
WARM_UP = 32  # images for each process before the clock starts
CHECKPOINTS = (1_000, 2_000, 5_000, 10_000, 20_000, 30_000)
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Speed:
    """Images per second, and processor time per image over all processes."""

    rate: float
    cpu_ms: float


@click.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--images", default=3000, show_default=True, help="Images for rate and scaling.")
@click.option("--workers", default=2, show_default=True, help="Processes.")
@click.option("--repeats", default=3, show_default=True, help="Turns of each comparison.")
@click.option(
    "--memory-images", default=30_000, show_default=True, help="Images for memory; 0 leaves it out."
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=RESULTS, show_default=True)
def main(source: Path, images: int, workers: int, repeats: int, memory_images: int, out: Path) -> None:
    """Measure, print, and write the CSV and the report."""
    listed = open_source(source)
    rows = rate(listed, images, workers, repeats) + scaling(listed, images, workers, repeats)
    if memory_images:
        rows += memory(listed, memory_images, workers)
    write_page(
        out / "bench-extraction.csv",
        rows,
        title="Extraction: speed and memory",
        introduction=(
            f"{images:,} evenly spaced images of {source.name}, default settings; medians of {repeats} "
            "turns. `share` is the median ratio to the line above it."
        ),
        packages=("mediapipe", "numpy", "pillow", "pyarrow"),
        arguments=[source.name, *sys.argv[2:]],
    )


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


def rate(source: Source, images: int, workers: int, repeats: int) -> list[tuple]:
    """Compare the pipeline with a bare loop."""
    few = sample(source, images)
    pixels = decoded(few)
    names = (f"bare loop, {workers} processes", f"pipeline, {workers} workers")
    bare, piped = [], []
    for turn in range(repeats):
        bare.append(bare_loop(pixels, workers))
        piped.append(pipeline(few, workers))
        show(f"rate {turn + 1}", names[0], bare[-1], names[1], piped[-1])
    return pair_rows("rate", names[0], bare, names[1], piped)


def scaling(source: Source, images: int, workers: int, repeats: int) -> list[tuple]:
    """Compare several workers with one."""
    few = sample(source, images)
    one, several = [], []
    for turn in range(repeats):
        one.append(pipeline(few, 1))
        several.append(pipeline(few, workers))
        show(f"scaling {turn + 1}", "1 worker", one[-1], f"{workers} workers", several[-1])
    return pair_rows("scaling", "1 worker", one, f"{workers} workers", several)


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
    return Speed(images / seconds, (cpu[0] - start["cpu"]) / images * 1000)


def bare_loop(pixels: list[np.ndarray], workers: int) -> Speed:
    """Detect in as many processes, each with its share of the decoded images in memory."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(workers)
    answers = context.SimpleQueue()
    shares = [pixels[number::workers] for number in range(workers)]
    crew = [context.Process(target=loop, args=(share, ready, answers.put)) for share in shares]
    for process in crew:
        process.start()
    found = [answers.get() for _ in crew]
    for process in crew:
        process.join()
    seconds = max(end for _, end, _, _ in found) - min(start for start, _, _, _ in found)
    images = sum(count for *_, count in found)
    return Speed(images / seconds, sum(cpu for _, _, cpu, _ in found) / images * 1000)


def loop(pixels: list[np.ndarray], ready: Barrier, answer: Callable[[tuple], None]) -> None:
    """One process of the bare loop; answers with start, end, processor time and number of images."""
    detector = create_detector()
    for image in pixels[:WARM_UP]:
        detect_face(detector, image)
    ready.wait()
    start, cpu = time.monotonic(), time.process_time()
    for image in pixels[WARM_UP:]:
        detect_face(detector, image)
    answer((start, time.monotonic(), time.process_time() - cpu, len(pixels) - WARM_UP))


def family_cpu() -> float:
    """Processor time in seconds of this process and of its children that live."""
    spent = time.process_time()
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        spent += (int(fields[11]) + int(fields[12])) / TICK
    return spent


def show(turn: str, first: str, a: Speed, second: str, b: Speed) -> None:
    """Print both sides of a comparison and their ratio."""
    click.echo(
        f"{turn}: {first} {a.rate:.1f}/s ({a.cpu_ms:.2f} ms of processor each), "
        f"{second} {b.rate:.1f}/s ({b.cpu_ms:.2f} ms): ratio {b.rate / a.rate:.3f}"
    )


def pair_rows(bench: str, first: str, a: list[Speed], second: str, b: list[Speed]) -> list[tuple]:
    """Tabulate medians of both sides, and the median ratio of the second to the first."""
    ratio = statistics.median(y.rate / x.rate for x, y in zip(a, b, strict=True))
    click.echo(f"{bench}: {second} reaches {ratio:.3f} times {first}")
    rows = []
    for name, speeds in ((first, a), (second, b)):
        rows.append((bench, name, "cpu", 1, "images_per_second", statistics.median(s.rate for s in speeds)))
        rows.append((bench, name, "cpu", 1, "cpu_ms_per_image", statistics.median(s.cpu_ms for s in speeds)))
    return [*rows, (bench, second, "cpu", 1, "share", ratio)]


if __name__ == "__main__":
    main()
