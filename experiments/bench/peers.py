r"""Other packages and the models that ship on the same FER2013 test images: `experiments/results/peers.md`.

    python experiments/bench/peers.py --fer2013 fer2013.zip
    python experiments/bench/peers.py --fer2013 fer2013.zip --limit 500 --peer fer --out /tmp/peers

The second is a short run, of one package beside ours. Each package runs in an environment of its own, which
is made with uv (in `--environments`; some bring TensorFlow or torch, hundreds of MB), by its script in
`experiments/bench/peer_workers/`; ours run through `landmarkfer.load`. What cannot be installed or run (some
load their weights from the net at first use) has a row that says why.

An image is a face already: packages are given the whole 48-pixel image as the face, and their detectors are
not used. Ours find the face in it, and where they find none there is no label. An image without a label, or
with one that FER2013 has not, counts as wrong. *Detected* are for all rows the images in which our default
model found a face. One process each, one image after the other (ours find faces so, and classify in batches);
starting and loading do not count, reading does.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click
import numpy as np
import pandas as pd
from _bench import machine
from scipy.stats import binomtest

import landmarkfer
from landmarkfer.data.labels import FER2013_CLASSES, canonical_label
from landmarkfer.errors import LandmarkferError
from landmarkfer.extraction.sources.open import open_source
from landmarkfer.files import replacing
from landmarkfer.inference.load import SHIPPED, shipped_file
from landmarkfer.progress import Progress, show_progress
from landmarkfer.reporting.markdown import ABSENT, Header, markdown_table, package_versions, write_page

RESULTS = Path("experiments/results")
WORKERS = Path(__file__).with_name("peer_workers")
ENVIRONMENTS = Path(tempfile.gettempdir()) / "landmarkfer-peers"
PYTHON = "3.11"
COLUMNS = (
    "peer",
    "package",
    "version",
    "images",
    "labelled",
    "accuracy",
    "low",
    "high",
    "detected",
    "detected_accuracy",
    "detected_low",
    "detected_high",
    "images_per_second",
    "weights_mb",
    "test_images",
    "source",
    "fault",
)
Role = Literal["no", "chose", "trained", "not stated"]
"""What the FER2013 test images did for the weights of a model."""
ROLES: dict[Role, str] = {
    "no": "no",
    "chose": "chose the checkpoint",
    "trained": "trained it, probably",
    "not stated": "not stated",
}


@dataclass(frozen=True)
class Peer:
    """A model of another package.

    Attributes:
        package: Its name in the registry.
        worker: Its script in `peer_workers`, without suffix.
        role: What the test images did for its weights.
        source: Where that is stated.
        needs: What the script needs of what the package asks for; None installs all of that.
        arguments: Further arguments of the script.
    """

    package: str
    worker: str
    role: Role
    source: str
    needs: tuple[str, ...] | None = None
    arguments: tuple[str, ...] = ()


_FER = (
    "train_emotion_classifier.py of oarriaga/face_classification, from which its network is: the epoch of "
    "the least loss on the last fifth of the images, which are the test images"
)
# Without what its other detector and its videos need; setuptools 81 has no `pkg_resources` any more.
_FER_NEEDS = ("tensorflow-cpu", "opencv-contrib-python-headless", "pillow", "requests", "setuptools<81")
_AFFECTNET = "its repository: trained on AffectNet"
PEERS: dict[str, Peer] = {
    "fer": Peer("fer", "fer_package", "chose", _FER, _FER_NEEDS),
    "fer, Keras": Peer("fer", "fer_package", "chose", _FER, _FER_NEEDS, ("--keras",)),
    "what-the-face": Peer(
        "what-the-face-classification",
        "what_the_face_package",
        "not stated",
        "its description: trained on FER2013 and CK+, which images of them it does not say",
        ("numpy", "opencv-python-headless", "pillow", "setuptools<81", "torch", "torchvision"),
    ),
    "facemood": Peer(
        "facemood",
        "facemood_package",
        "trained",
        "no statement; measured before, it predicted test images no worse than training images",
        ("numpy", "pillow", "tensorflow-cpu"),
    ),
    "facex": Peer(
        "facex",
        "facex_package",
        "not stated",
        "no statement",
        ("tensorflow-cpu", "scikit-image", "opencv-contrib-python-headless"),
    ),
    "deepface": Peer(
        "deepface", "deepface_package", "not stated", "no statement", ("deepface", "flask", "flask-cors")
    ),
    "emotiefflib": Peer("emotiefflib", "emotiefflib_package", "no", _AFFECTNET),
    "hsemotion-onnx": Peer("hsemotion-onnx", "hsemotion_package", "no", _AFFECTNET),
}


_UNREACHED = ("URLError", "ConnectionError", "Name or service not known", "Max retries", "ownload")


class DidNotRun(Exception):
    """A package that cannot be installed or run; the message is the reason."""


@dataclass(frozen=True)
class Labelled:
    """What a model made of the images.

    Attributes:
        labels: One for each image, in the model's own words; empty where there is none.
        seconds: For all images.
        megabytes: Of its weights.
        version: Of its package.
    """

    labels: list[str]
    seconds: float
    megabytes: float
    version: str


@dataclass(frozen=True)
class TestImages:
    """The test images as files.

    Attributes:
        paths: Of the files.
        labels: Of each.
        detected: Whether our default model found a face; set when it has run.
    """

    paths: list[Path]
    labels: list[str]
    detected: list[bool] = field(default_factory=list)


@click.command(
    epilog="Example: python experiments/bench/peers.py --fer2013 fer2013.zip --limit 500 --peer fer"
)
@click.option(
    "--fer2013",
    "source",
    envvar="LANDMARKFER_FER2013",
    type=click.Path(path_type=Path),
    required=True,
    help="FER2013 as folders, train/CLASS and test/CLASS, or a .zip of them. [$LANDMARKFER_FER2013]",
)
@click.option("--limit", type=click.IntRange(min=1), help="Evenly spaced test images. [all]")
@click.option(
    "--peer", "names", multiple=True, type=click.Choice(list(PEERS)), help="Packages beside ours. [all]"
)
@click.option(
    "--environments",
    type=click.Path(path_type=Path, file_okay=False),
    default=ENVIRONMENTS,
    help="Folder of the packages' environments; what is there is used again. [in the temporary folder]",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=RESULTS, show_default=True)
def main(source: Path, limit: int | None, names: tuple[str, ...], environments: Path, out: Path) -> None:
    """Measure other packages beside the models that ship, and write the CSV and the report."""
    try:
        with tempfile.TemporaryDirectory() as folder, show_progress() as progress:
            images = unpack(source, Path(folder), limit)
            rows = list(measure(images, names or tuple(PEERS), environments, progress))
    except LandmarkferError as error:
        raise click.ClickException(str(error)) from None
    write(rows, source, out)


def measure(
    images: TestImages, names: Sequence[str], environments: Path, progress: Progress
) -> Iterator[dict[str, object]]:
    """The rows, ours first."""
    for name in SHIPPED:
        labelled = ours(name, images, progress)
        if not images.detected:
            images.detected.extend(label != "" for label in labelled.labels)
        source = "its card: chosen on a tenth of the training images"
        yield announced(row(f"landmarkfer, {name}", "landmarkfer", "no", source, images, labelled), progress)
    for name in names:
        peer = PEERS[name]
        try:
            found: Labelled | str = theirs(peer, images, environments, progress)
        except DidNotRun as fault:
            found = str(fault)
        yield announced(row(name, peer.package, peer.role, peer.source, images, found), progress)


def unpack(source: Path, folder: Path, limit: int | None) -> TestImages:
    """Write the test images into a folder.

    Raises:
        LandmarkferError: The source cannot be read, or has no test images.
    """
    listed = open_source(source)
    entries = [entry for entry in listed.entries if entry.split == "test" and entry.label]
    if not entries:
        raise LandmarkferError(f"{source} has no labelled test images; give FER2013 with test/CLASS folders.")
    places = np.linspace(0, len(entries) - 1, min(limit or len(entries), len(entries))).round().astype(int)
    paths, labels = [], []
    for place in places:
        entry = entries[place]
        content = listed.reader.read(entry.key) if entry.key is not None else None
        if not isinstance(content, bytes):
            raise LandmarkferError(f"{source} holds no image files; give FER2013 as folders or their .zip.")
        paths.append(folder / f"{len(paths):05}{Path(entry.id).suffix}")
        paths[-1].write_bytes(content)
        labels.append(entry.label or "")
    return TestImages(paths, labels)


def ours(name: str, images: TestImages, progress: Progress) -> Labelled:
    """The labels of a model that ships."""
    model = landmarkfer.load(name)
    paths = [str(path) for path in images.paths]
    model.predict(paths[:5], faces="largest")
    start = time.perf_counter()
    faces = model.predict(paths, faces="largest", progress=_Named(progress, f"landmarkfer, {name}"))
    seconds = time.perf_counter() - start
    labels = dict.fromkeys(paths, "") | {face.source: face.label or "" for face in faces}
    megabytes = shipped_file(name).stat().st_size / 1e6
    return Labelled([labels[path] for path in paths], seconds, megabytes, landmarkfer.__version__)


class _Named(Progress):
    """Reports under another name."""

    def __init__(self, progress: Progress, task: str) -> None:
        self._progress, self._task = progress, task

    def __call__(self, task: str, done: int, total: int, note: str = "") -> None:
        self._progress(self._task, done, total, note)


def theirs(peer: Peer, images: TestImages, environments: Path, progress: Progress) -> Labelled:
    """The labels of another package.

    Raises:
        DidNotRun: It cannot be installed, or its script failed.
    """
    home = environments / peer.package
    python = environment(peer, home, progress)
    with tempfile.TemporaryDirectory() as folder:
        listed, table = Path(folder) / "images.txt", Path(folder) / "labels.csv"
        listed.write_text("\n".join(map(str, images.paths)), encoding="utf-8")
        figures = run_worker(peer, python, listed, table, home, len(images.paths), progress)
        found = pd.read_csv(table, keep_default_na=False, dtype=str)
    script = f"from importlib.metadata import version; print(version({peer.package!r}))"
    version = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True).stdout
    return Labelled(found["label"].tolist(), figures["SECONDS"], figures["BYTES"] / 1e6, version.strip())


def run_worker(
    peer: Peer, python: Path, listed: Path, table: Path, home: Path, total: int, progress: Progress
) -> dict[str, float]:
    """Run a package's script; return the numbers that it printed last, by name.

    Raises:
        DidNotRun: It failed; the message is the last line of what it said.
    """
    command = [str(python), str(WORKERS / f"{peer.worker}.py"), str(listed), str(table), *peer.arguments]
    # What a package loads at first use lies beside it, not in the user's home.
    variables = os.environ | {"HOME": str(home), "PYTHONWARNINGS": "ignore", "TF_CPP_MIN_LOG_LEVEL": "3"}
    for name in ("PYTHONPATH", "VIRTUAL_ENV"):
        variables.pop(name, None)
    figures: dict[str, float] = {}
    with (home / "log.txt").open("w+", encoding="utf-8", errors="replace") as log:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=variables
        ) as process:
            assert process.stdout is not None
            task = " ".join([peer.package, *peer.arguments])
            for line in process.stdout:
                name, _, number = line.partition(" ")
                if name in ("DONE", "SECONDS", "BYTES"):
                    figures[name] = float(number)
                if name == "DONE":
                    progress(task, int(number), total)
        if process.returncode:
            log.seek(0)
            raise DidNotRun(reason(log.read()))
    return figures


def environment(peer: Peer, home: Path, progress: Progress) -> Path:
    """The Python of a package's environment, made if need be.

    Raises:
        DidNotRun: It cannot be made.
    """
    python, mark = home / "venv" / "bin" / "python", home / "installed.txt"
    wanted = "\n".join([peer.package, *(peer.needs or ("with all that it asks for",))])
    if mark.is_file() and mark.read_text(encoding="utf-8") == wanted:
        return python
    if shutil.which("uv") is None:
        raise DidNotRun("its environment is made with uv, which is not installed")
    progress.say(f"{peer.package}: making its environment in {home}")
    home.mkdir(parents=True, exist_ok=True)
    uv(["venv", "--quiet", "--clear", "--python", PYTHON, str(home / "venv")])
    install = ["pip", "install", "--quiet", "--python", str(python)]
    if peer.needs is None:
        uv([*install, peer.package])
    else:
        uv([*install, "--no-deps", peer.package])
        uv([*install, *peer.needs])
    mark.write_text(wanted, encoding="utf-8")
    return python


def uv(arguments: Sequence[str]) -> None:
    """Call uv.

    Raises:
        DidNotRun: It failed.
    """
    done = subprocess.run(["uv", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise DidNotRun(f"not installed: {last_line(done.stderr)}")


def reason(text: str) -> str:
    """Why a script failed, from what it wrote to the standard error."""
    line = last_line(text)
    if any(word in line for word in _UNREACHED):
        return f"it loads its weights from the net at first use, which was not reached ({line})"
    return line


def last_line(text: str) -> str:
    """The last line that says something, without what shows where; shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200].rstrip(".") if lines else "it ended without a word"


def row(
    name: str, package: str, role: Role, source: str, images: TestImages, found: Labelled | str
) -> dict[str, object]:
    """A row of the CSV: figures, or why there are none."""
    known = {"peer": name, "package": package, "test_images": ROLES[role], "source": source}
    if isinstance(found, str):
        return dict.fromkeys(COLUMNS) | known | {"images": len(images.labels), "fault": found}
    labels = [canonical_label(label) for label in found.labels]
    right = np.array(labels) == np.array(images.labels)
    detected = np.array(images.detected, bool)
    accuracy, low, high = share(right)
    of_detected = share(right[detected])
    return known | {
        "version": found.version,
        "images": len(labels),
        "labelled": sum(label in FER2013_CLASSES for label in labels),
        "accuracy": accuracy,
        "low": low,
        "high": high,
        "detected": int(detected.sum()),
        **dict(zip(("detected_accuracy", "detected_low", "detected_high"), of_detected, strict=True)),
        "images_per_second": len(labels) / found.seconds,
        "weights_mb": found.megabytes,
        "fault": None,
    }


def share(right: np.ndarray) -> tuple[float, float, float]:
    """The share that is right, with its 95 % interval (Wilson 1927); NaN of no images."""
    if not len(right):
        return (float("nan"),) * 3
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(0.95, method="wilson")
    return float(right.mean()), float(interval.low), float(interval.high)


def announced(found: dict[str, object], progress: Progress) -> dict[str, object]:
    """Show a row, and return it."""
    if found["fault"] is not None:
        progress.say(f"{found['peer']} did not run: {found['fault']}.")
    else:
        progress.say(
            f"{found['peer']} {found['version']}: {interval_text(found, '')} % of {found['images']:,}, "
            f"{found['images_per_second']:.1f} images/s, {found['weights_mb']:.1f} MB"
        )
    return found


def write(rows: Sequence[dict[str, object]], source: Path, out: Path) -> None:
    """Write the CSV and the report."""
    out.mkdir(parents=True, exist_ok=True)
    csv = out / "peers.csv"
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"labelled": "Int64", "detected": "Int64"})
    with replacing(csv) as path:
        table.to_csv(path, index=False, float_format="%.6f", lineterminator="\n")
    arguments = [source.name if text == str(source) else text for text in sys.argv[1:]]
    if str(source) not in sys.argv[1:]:
        arguments = ["--fer2013", source.name, *arguments]
    header = Header(
        title="Other packages on the same images",
        commands=[" ".join(["python experiments/bench/peers.py", *arguments])],
        versions=package_versions(("landmarkfer", "mediapipe", "onnxruntime", "numpy")),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=machine(),
    )
    render(csv, csv.with_suffix(".md"), header)
    click.echo(f"{csv} and {csv.with_suffix('.md')} are written.")


def render(csv: Path, md: Path, header: Header) -> None:
    """Write the report of the figures in the CSV."""
    table = pd.read_csv(csv)
    ran, others = table[table["fault"].isna()], table[table["fault"].notna()]
    (images,) = set(table["images"])
    introduction = (
        f"{images:,} of the 7,178 test images of FER2013, the same for all. Packages are given the whole "
        "image as the face; ours find the face in it. An image without a label, or with a label that FER2013 "
        "does not have, counts as wrong. One process each, one image after the other; speed includes reading."
    )
    cells = [
        [
            f"{one['peer']} {one['version']}",
            ABSENT if one["test_images"] == "no" else one["test_images"],
            interval_text(one, ""),
            interval_text(one, "detected_"),
            f"{100 * one['labelled'] / one['images']:.1f}",
            f"{one['images_per_second']:,.1f}",
            f"{one['weights_mb']:.1f}",
        ]
        for one in ran.to_dict("records")
    ]
    headings = [
        "model",
        "the test images",
        "accuracy",
        "of detected",
        "labelled",
        "images/s",
        "weights, MB",
    ]
    detected = int(ran["detected"].iloc[0])
    parts = [
        markdown_table(headings, cells, text_columns=2),
        f"Percent, with 95 % intervals (Wilson). *The test images*: what they did for the weights, as far as "
        f"that is known; {ABSENT} is nothing. An accuracy on images that chose or trained the weights is too "
        f"high. *Of detected*: the {detected:,} images in which our default model finds a face. *Labelled*: "
        "images that got one of FER2013's labels.",
        "\n".join(f"- {one['peer']}: {one['source']}." for one in table.to_dict("records")),
    ]
    if len(others):
        faults = [f"- {one['peer']}: {one['fault']}." for one in others.to_dict("records")]
        parts += ["## Did not run", "\n".join(faults)]
    write_page(md, csv, Header(**{**vars(header), "introduction": introduction}), parts)


def interval_text(one: dict, prefix: str) -> str:
    """An accuracy in percent with its interval."""
    value, low, high = (one[f"{prefix}{name}"] for name in ("accuracy", "low", "high"))
    return f"{100 * value:.2f} ({100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    main()
