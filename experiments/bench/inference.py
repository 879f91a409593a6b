r"""How fast prediction is, beside what could be used instead: `experiments/results/inference-speed.md`.

    python experiments/bench/inference.py --photos photos.zip
    python experiments/bench/inference.py --limit 60 --turns 1 --seconds 0.2 --batch 1 --batch 32 --out /tmp

The second is a short run on synthetic faces. Three questions, of which `--part` measures one alone:

- classification: faces whose landmarks are known, by the models that ship on ONNX Runtime, against the same
  networks on PyTorch (if it is installed), a process for each and for each number of threads;
- photos: `predict` from files to predictions with `--workers` processes, against a bare loop that finds the
  same faces and classifies them with the same network in as many processes; beside them one MediaPipe call an
  image and, with `--fer-python`, the package `fer` with its detector;
- start: processor time of `landmarkfer predict` on one photo, in a process that starts for it, against a
  script that imports MediaPipe and ONNX Runtime, finds the face and runs the network once.

The sides of a comparison take turns, in changing order; medians count, and `share` is the median ratio to the
alternative. Runs on photos count everything from the call to the last prediction, the start of the processes
too (but not of `fer`'s); `cpu_ms_per_image` is processor time of all of them.

For `fer`, whose requirements exclude ours, an environment of its own (OpenCV 5 brings no Haar cascades):

    uv venv --python 3.11 /tmp/fer
    uv pip install --python /tmp/fer/bin/python --no-deps fer
    uv pip install --python /tmp/fer/bin/python tensorflow-cpu "opencv-contrib-python-headless<5" pillow \
        requests "setuptools<81"
    python experiments/bench/inference.py --photos photos.zip --fer-python /tmp/fer/bin/python
"""

import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
from _bench import Rows, measure_apart, write_page
from PIL import Image

from landmarkfer.data.synthetic.faces import CLASSES, make_face
from landmarkfer.errors import LandmarkferError
from landmarkfer.extraction.decode import UnreadableImage, decode_image
from landmarkfer.extraction.detectors import create_detector, default_detector
from landmarkfer.extraction.sources.inputs import open_inputs
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.inference.find import FaceFinder
from landmarkfer.inference.frame import FaceArrays, frame_faces
from landmarkfer.inference.load import SHIPPED, load_predictor, shipped_file, shipped_folder
from landmarkfer.inference.network import Network
from landmarkfer.inference.onnx import OnnxNetwork
from landmarkfer.progress import SILENT, Progress, show_progress

RESULTS = Path("experiments/results")
FER_WORKER = Path(__file__).parent / "peer_workers" / "fer_package.py"
BATCHES = (1, 32, 256, 1024)
THREADS = (1, 2)
PIXEL_BATCHES = (1, 32, 256)
ONNX, TORCH = "ONNX Runtime", "PyTorch"
AT_ONCE = 16  # images whose pixels a bare loop holds together, as `predict` does
CLASSIFIED_AT_ONCE = 64
SYNTHETIC = 512  # pixels of a side
PARTS = ("classification", "photos", "start")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
BARE_START = """
import sys
import numpy as np
import onnxruntime
from PIL import Image
from mediapipe.python.solutions.face_mesh import FaceMesh
pixels = np.array(Image.open(sys.argv[1]).convert("RGB"))
with FaceMesh(static_image_mode=True, refine_landmarks=True) as mesh:
    face = mesh.process(pixels).multi_face_landmarks[0]
session = onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
points = np.array([[(p.x, p.y, p.z) for p in face.landmark]], np.float32)
given = {"landmarks": points, "size": np.array([pixels.shape[1::-1]], np.float32)}
for wanted in session.get_inputs():
    if wanted.name == "image":
        given["image"] = np.zeros((1, *wanted.shape[1:]), np.uint8)
print(session.run(["probabilities"], given)[0].argmax())
"""


@dataclass(frozen=True)
class Run:
    """One run over photos: images per second, and processor time per image over all processes."""

    rate: float
    cpu_ms: float
    faces: float = 0.0
    confidence: float = 0.0


@click.command(epilog="Example: python experiments/bench/inference.py --photos photos.zip --limit 1000")
@click.option(
    "--photos",
    envvar="LANDMARKFER_PHOTOS",
    type=click.Path(path_type=Path),
    help="A .zip or folder of photos. [$LANDMARKFER_PHOTOS, else synthetic faces]",
)
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(min=8), help="Photos.")
@click.option(
    "--workers", default=2, show_default=True, type=click.IntRange(min=1), help="Processes on photos."
)
@click.option("--turns", default=2, show_default=True, type=click.IntRange(min=1), help="Of each comparison.")
@click.option("--seconds", default=1.0, show_default=True, help="Of each measurement of a batch size.")
@click.option(
    "--batch", "batches", multiple=True, type=click.IntRange(min=1), help="Faces at a time. [1 to 1024]"
)
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Which alone. [all]")
@click.option(
    "--fer-python",
    type=click.Path(path_type=Path, exists=True),
    help="Python with `fer`. [this, if it has it]",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=RESULTS, show_default=True)
def main(
    photos: Path | None,
    limit: int,
    workers: int,
    turns: int,
    seconds: float,
    batches: tuple[int, ...],
    parts: tuple[str, ...],
    fer_python: Path | None,
    out: Path,
) -> None:
    """Measure prediction, print, and write the CSV and the report."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows: Rows = []
            if "classification" in (parts or PARTS):
                with show_progress() as progress:
                    rows += classification(turns, seconds, batches, progress)
            if "photos" in (parts or PARTS):
                with show_progress() as progress:
                    files = write_photos(photos, limit, Path(folder), progress)
                python = fer_python or (Path(sys.executable) if find_spec("fer") else None)
                rows += on_photos(files, workers, turns, python)
            if "start" in (parts or PARTS):
                rows += start(write_portrait(Path(folder)), 2 * turns + 1)
    except LandmarkferError as error:
        raise click.ClickException(str(error)) from None
    write_page(
        out / "inference-speed.csv",
        rows,
        title="Prediction: speed",
        introduction=(
            f"{limit:,} {f'photos of {photos.name}' if photos else 'synthetic faces'} at most; medians of "
            f"{turns} turns, in changing order. `share` is the median ratio to the alternative: PyTorch, the "
            "bare loop, the bare script. Aims: 10,000 faces a second in batches by `landmarks`, 5 ms for one "
            "face on one thread, 0.9 of the bare loop, 5 s of processor time to start."
        ),
        packages=("mediapipe", "onnxruntime", "torch", "numpy", "pillow"),
        threads=f"detector {default_detector()}",
        arguments=shown(sys.argv[1:], photos, fer_python),
    )


def shown(arguments: Sequence[str], photos: Path | None, python: Path | None) -> list[str]:
    """The arguments as the report shows them: without this machine's folders."""
    names = {str(photos): photos.name if photos else "", str(python): "fer/bin/python"}
    shown = [names.get(text, text) for text in arguments]
    return shown if photos is None or photos.name in shown else ["--photos", photos.name, *shown]


def classification(turns: int, seconds: float, batches: Sequence[int], progress: Progress) -> Rows:
    """Faces per second of the models that ship, against the same networks on PyTorch."""
    ways = [ONNX, TORCH] if find_spec("torch") else [ONNX]
    names = [name for name in SHIPPED if shipped_file_or_none(name)]
    found: dict[tuple[str, int, str, int], list[float]] = {}
    plan = [
        (name, threads, way)
        for turn in range(turns)
        for name in names
        for threads in THREADS
        for way in (ways if turn % 2 == 0 else ways[::-1])
    ]
    for name, threads, way in progress.track(plan, "classifying in turns", len(plan)):
        measured = measure_apart(calls, name, way, threads, seconds, batches)
        for batch, spent in measured.items():
            found.setdefault((name, threads, way, int(batch)), []).append(spent)
    rows: Rows = []
    for (name, threads, way, batch), times in found.items():
        variant = f"{way}, {threads} thread{'s' if threads > 1 else ''}"
        key = (f"classification, {name}", variant, "cpu", batch)
        faces = batch / statistics.median(times)
        rows.append((*key, "faces_per_second", faces))
        rows.append((*key, "milliseconds", 1000 * statistics.median(times)))
        if way == ONNX:
            progress.say(f"{name}, {variant}, batch {batch}: {faces:,.0f} faces/s")
        if way == ONNX and TORCH in ways:
            rows.append((*key, "share", ratio(found[name, threads, TORCH, batch], times)))
    return rows


def ratio(alternative: Sequence[float], spent: Sequence[float]) -> float:
    """The median over turns of how many times as fast this is as the alternative, from seconds of both."""
    return statistics.median(a / b for a, b in zip(alternative, spent, strict=True))


def shipped_file_or_none(name: str) -> Path | None:
    """The ONNX file of a model that ships for the installed detector; None without one."""
    path = shipped_folder(name) / "model.onnx"
    return path if path.is_file() else None


def calls(name: str, way: str, threads: int, seconds: float, batches: Sequence[int]) -> dict[str, float]:
    """Median seconds of a call by batch size, in this process."""
    network = load_network(name, way, threads)
    spent = {}
    for batch in batches or (BATCHES if network.info.images is None else PIXEL_BATCHES):
        arrays = known_faces(network, batch)
        network.probabilities(arrays, batch)
        times: list[float] = []
        while len(times) < 3 or sum(times) < seconds:
            began = time.perf_counter()
            network.probabilities(arrays, batch)
            times.append(time.perf_counter() - began)
        spent[str(batch)] = statistics.median(times)
    return spent


def load_network(name: str, way: str, threads: int) -> Network:
    """A model that ships, on ONNX Runtime or PyTorch."""
    if way == ONNX:
        return OnnxNetwork(shipped_file(name), threads)
    import torch

    from landmarkfer.inference.torch_network import TorchNetwork
    from landmarkfer.runs.folder import RunFolder

    torch.set_num_threads(threads)
    return TorchNetwork.of_run(RunFolder(shipped_folder(name)), "cpu")


def known_faces(network: Network, count: int) -> FaceArrays:
    """Faces as a cache has them; what they look like makes no difference to the time."""
    rng = np.random.default_rng(0)
    face = 0.5 + 0.2 * CANONICAL / np.abs(CANONICAL).max()
    landmarks = (face + rng.normal(0, 0.01, (count, *face.shape))).astype(np.float32)
    sizes = np.full((count, 2), 48, np.float32)
    images = network.info.images
    if images is None:
        return FaceArrays(landmarks, sizes)
    pixels = rng.integers(0, 256, (count, images.channels, images.size, images.size), dtype=np.uint8)
    return FaceArrays(landmarks, sizes, pixels, np.ones(count, bool))


def write_photos(photos: Path | None, limit: int, folder: Path, progress: Progress) -> list[str]:
    """Evenly spaced photos as files, or synthetic faces.

    Raises:
        LandmarkferError: There are no photos at the path.
    """
    if photos is None:
        paths = [folder / f"{number:05}.jpg" for number in range(limit)]
        for number, path in enumerate(progress.track(paths, "making faces", limit)):
            face = make_face(CLASSES[number % len(CLASSES)], number, SYNTHETIC)
            Image.fromarray(face.image).save(path, quality=92)
        return list(map(str, paths))
    source = open_inputs(photos)
    count = min(limit, len(source.entries))
    entries = [
        source.entries[at] for at in np.linspace(0, len(source.entries) - 1, count).round().astype(int)
    ]
    written = []
    for number, entry in enumerate(entries):
        try:
            content = source.reader.read(entry.key) if entry.key is not None else b""
        except UnreadableImage:
            continue
        assert isinstance(content, bytes)
        path = folder / f"{number:05}{Path(entry.id).suffix}"
        path.write_bytes(content)
        written.append(str(path))
    return written


def on_photos(files: list[str], workers: int, turns: int, python: Path | None) -> Rows:
    """`predict` against the bare loop, and what others take for the same photos."""
    sides: dict[str, Callable[..., dict[str, float]]] = {
        f"bare loop, {workers} processes": bare_loop,
        f"predict, {workers} workers": predict,
        f"one MediaPipe call an image, {workers} processes": mediapipe_alone,
    }
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    for turn in range(turns):
        for name in sides if turn % 2 == 0 else reversed(sides):
            runs[name].append(Run(**measure_apart(sides[name], files, workers)))
            show(name, runs[name][-1])
    bare, ours, _ = runs
    check_same(runs[bare], runs[ours])
    if python is not None:
        name = f"fer with its detector, {workers} processes"
        runs[name] = [fer_alone(python, files, workers)]
        show(name, runs[name][-1])
    else:
        click.echo(
            "fer is left out: --fer-python names a Python that has it; `--help` of peers.py makes one."
        )
    rows: Rows = []
    for name, of_name in runs.items():
        key = ("photos", name, "cpu", 1)
        rows.append((*key, "images_per_second", statistics.median(run.rate for run in of_name)))
        rows.append((*key, "cpu_ms_per_image", statistics.median(run.cpu_ms for run in of_name)))
        if name == ours:
            share = ratio([1 / run.rate for run in runs[bare]], [1 / run.rate for run in of_name])
            click.echo(f"{ours} reaches {share:.3f} times the {bare}")
            rows.append((*key, "share", share))
    return rows


def check_same(bare: Sequence[Run], ours: Sequence[Run]) -> None:
    """Make sure that both sides found and predicted the same.

    Raises:
        LandmarkferError: They did not.
    """
    for a, b in zip(bare, ours, strict=True):
        if a.faces != b.faces or abs(a.confidence - b.confidence) > 1e-4:
            raise LandmarkferError(
                f"the bare loop found {a.faces:.0f} faces of mean confidence {a.confidence:.6f}, predict "
                f"{b.faces:.0f} of {b.confidence:.6f}; they must do the same to be compared."
            )


def show(name: str, run: Run) -> None:
    """Print a run."""
    click.echo(f"{name}: {run.rate:.1f} images/s, {run.cpu_ms:.1f} ms of processor time each")


def figures(images: int, began: float, confidences: Sequence[float]) -> dict[str, float]:
    """The fields of `Run`, of this process and the children that it has waited for."""
    seconds = time.perf_counter() - began
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "rate": images / seconds,
        "cpu_ms": 1000 * sum(one.ru_utime + one.ru_stime for one in usage) / images,
        "faces": float(len(confidences)),
        "confidence": float(np.mean(confidences)) if len(confidences) else 0.0,
    }


def predict(files: list[str], workers: int) -> dict[str, float]:
    """`predict` on files."""
    began = time.perf_counter()
    with show_progress() as progress:
        faces = load_predictor().predict(files, workers=workers, progress=progress)
    confidences = faces.probabilities[np.isfinite(faces.probabilities).all(axis=1)].max(axis=1)
    return figures(len(files), began, confidences.tolist())


def bare_loop(files: list[str], workers: int) -> dict[str, float]:
    """The same detections and the same network, in processes that each have a share of the files."""
    return in_processes(bare_share, files, workers)


def bare_share(files: list[str], progress: Progress) -> list[float]:
    """Confidences of the faces of some files."""
    predictor = load_predictor()
    network = OnnxNetwork(shipped_file(next(name for name in SHIPPED if shipped_file_or_none(name))), 1)
    detector = create_detector(predictor.extraction.detector)
    finder = FaceFinder(network.info.frame, network.info.images is not None, crops=network.info.crops)
    source = open_inputs(files)
    waiting, confidences = [], []
    starts = range(0, len(files), AT_ONCE)
    for at in starts:
        entries = source.entries[at : at + AT_ONCE]
        found = finder(entries, source.reader, detector, predictor.extraction)
        waiting += [face.given for faces in found for face in faces if face.row.status == "ok"]
        progress("bare loop, first process", min(at + AT_ONCE, len(files)), len(files))
        if len(waiting) >= CLASSIFIED_AT_ONCE or at == starts[-1]:
            if waiting:
                arrays = frame_faces(waiting, network.info.images)
                confidences += network.probabilities(arrays).max(axis=1).tolist()
            waiting = []
    return confidences


def mediapipe_alone(files: list[str], workers: int) -> dict[str, float]:
    """One call of the detector for each image as it is."""
    return in_processes(mediapipe_share, files, workers)


def mediapipe_share(files: list[str], progress: Progress) -> list[float]:
    """Scores of the largest faces of some files, as MediaPipe finds them."""
    detector = create_detector()
    scores = []
    for path in progress.track(files, "MediaPipe, first process", len(files)):
        try:
            pixels = decode_image(Path(path).read_bytes()).pixels
        except UnreadableImage:
            continue
        scores += [face.confidence or 0.0 for face in detector.detect(pixels)]
    return scores


Share = Callable[[list[str], Progress], list[float]]


def in_processes(share: Share, files: list[str], workers: int) -> dict[str, float]:
    """Give each of several processes a share of the files."""
    began = time.perf_counter()
    with one_thread():
        context = multiprocessing.get_context("spawn")
        answers = context.SimpleQueue()
        crew = [
            context.Process(target=_answer, args=(share, files[number::workers], number == 0, answers))
            for number in range(workers)
        ]
        for process in crew:
            process.start()
        confidences = [value for _ in crew for value in answers.get()]
        for process in crew:
            process.join()
    return figures(len(files), began, confidences)


def _answer(share: Share, files: list[str], first: bool, answers: "multiprocessing.SimpleQueue") -> None:
    if not first:
        answers.put(share(files, SILENT))
        return
    with show_progress() as progress:
        answers.put(share(files, progress))


@contextmanager
def one_thread() -> Iterator[None]:
    """Processes that start within it have libraries of one thread, as the workers of `predict` have."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def fer_alone(python: Path, files: list[str], workers: int) -> Run:
    """`fer` with its own detector, in as many processes; without starting and loading.

    Raises:
        LandmarkferError: It did not run.
    """
    with tempfile.TemporaryDirectory() as folder, one_thread():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        crew = []
        for number in range(workers):
            listed = Path(folder) / f"{number}.txt"
            listed.write_text("\n".join(files[number::workers]), encoding="utf-8")
            command = [python, FER_WORKER, listed, listed.with_suffix(".csv"), "--detect"]
            crew.append(
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            )
        said = [process.communicate()[0] for process in crew]
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if any(process.returncode for process in crew):
        raise LandmarkferError(f"fer did not run with {python}; `{python} {FER_WORKER} ...` says why.")
    seconds = [float(line.split()[1]) for text in said for line in text.splitlines() if "SECONDS" in line]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(len(files) / max(seconds), 1000 * cpu / len(files))


def write_portrait(folder: Path) -> Path:
    """One photo: the portrait that scikit-image ships, else a synthetic face."""
    path = folder / "portrait.png"
    try:
        from skimage.data import astronaut

        pixels = astronaut()
    except ImportError:
        pixels = make_face("happy", 0, SYNTHETIC).image
    Image.fromarray(pixels).save(path)
    return path


def start(photo: Path, repeats: int) -> Rows:
    """Processor time of a process that predicts one photo."""
    command = [sys.executable, "-m", "landmarkfer", "predict", str(photo)]
    variants = {"landmarkfer predict": command}
    bare = "bare script"
    if default_detector() == "facemesh":
        model = next(path for name in SHIPPED if (path := shipped_file_or_none(name)))
        variants = {bare: [sys.executable, "-c", BARE_START, str(photo), str(model)], **variants}
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    with show_progress() as progress:
        plan = [name for turn in range(repeats) for name in (variants if turn % 2 else reversed(variants))]
        run_once(command)  # compiles what is not yet, and reads the files from the disk
        for name in progress.track(plan, "starting", len(plan)):
            spent[name].append(run_once(variants[name]))
        with tempfile.TemporaryDirectory() as cache:
            fresh = run_once([sys.executable, "-X", f"pycache_prefix={cache}", *command[1:]])
    rows: Rows = []
    for name, of_name in spent.items():
        key = ("start", name, "cpu", 1)
        cpu = statistics.median(one for one, _ in of_name)
        rows.append((*key, "cpu_seconds", cpu))
        rows.append((*key, "wall_seconds", statistics.median(wall for _, wall in of_name)))
        if bare in spent and name != bare:
            rows.append((*key, "share", ratio([c for c, _ in spent[bare]], [c for c, _ in of_name])))
        click.echo(f"{name}: {cpu:.2f} s of processor time on one photo")
    key = ("start", "landmarkfer predict, no bytecode compiled before", "cpu", 1)
    return [*rows, (*key, "cpu_seconds", fresh[0]), (*key, "wall_seconds", fresh[1])]


def run_once(command: Sequence[str]) -> tuple[float, float]:
    """Processor time (user and system) and time of a process, in seconds.

    Raises:
        LandmarkferError: It failed.
    """
    began = time.perf_counter()
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise LandmarkferError(f"`{' '.join(command[:5])}` ended with {process.returncode}.")
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - began


if __name__ == "__main__":
    main()
