"""Measures models on photographs, and what each step on the way from a photo to the model gains.

    python experiments/photographs.py --photos photos.zip fer2013-resnet-fer-16-s0 landmarks fusion
    python experiments/photographs.py --photos photos.zip --tested transfer-fusion-both-s0 fusion

The photographs are a zip with `labels.csv` (`image,emotion,person`). Its people are divided at random:
whatever is chosen is chosen on one half, and the page shows the other. Where a run was trained on the
photographs, the page shows those of its test people instead (`--tested`). Contempt is no class of FER2013:
such photographs are left out and counted. A photograph without a face counts as wrong. Intervals are of a
bootstrap over people, since photographs of one person are alike; differences are to the first model named, on
the same photographs. Writes `experiments/results/photographs.csv` and `photographs.md`, of models of the
landmarker `photographs-landmarker.csv` and so on.
"""

import argparse
import os
import shlex
import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import joblib  # type: ignore[import-untyped]
import numpy as np
import pandas as pd
from numpy.typing import NDArray

import landmarkfer as lf
from landmarkfer.extraction.detectors import Detector, create_detector
from landmarkfer.extraction.encode import encode
from landmarkfer.extraction.process import open_images
from landmarkfer.extraction.settings import ExtractSettings
from landmarkfer.extraction.sources.inputs import open_inputs
from landmarkfer.face.alignment import aligned_crop
from landmarkfer.face.frame import Frame
from landmarkfer.inference.find import FaceFinder, FoundFace, nearest_crop, without_colour
from landmarkfer.inference.frame import FaceArrays, frame_faces
from landmarkfer.inference.predictor import Predictor
from landmarkfer.metrics.classification import scores_from_confusion
from landmarkfer.progress import Progress, show_progress
from landmarkfer.reporting.markdown import Header, markdown_table, package_versions, write_page
from landmarkfer.runs.folder import RunFolder, find_run

RESULTS = Path("experiments/results")
LABELS = {"anger": "angry", "happiness": "happy", "sadness": "sad"}  # the others are called as here
AT_ONCE = 32
SIZES = {"below 150 px": (0, 150), "150 to 300 px": (150, 300), "300 px and more": (300, np.inf)}
"""Groups by the longer side of the box of a face's landmarks in the photograph."""
NONE = "none"
RESAMPLES = 1000
COLUMNS = ["model", "images_of", "metric", "images", "value", "low", "high"]
COLUMNS += ["value_change", "low_change", "high_change"]
AS_DETECTED, IN_FRAME = "as detected", "in the frame"


@dataclass(frozen=True)
class Photographs:
    """The photographs that have a label, and where their files are.

    Attributes:
        paths: Of the files.
        labels: Class names, `[N]`.
        people: Numbers of the people, `[N]`.
        chosen: Whether the person belongs to the half for choosing, `[N]`.
        left_out: Photographs of contempt.
    """

    paths: list[str]
    labels: NDArray[np.object_]
    people: NDArray[np.int64]
    chosen: NDArray[np.bool_]
    left_out: int


def read_photographs(archive: Path, folder: Path, seed: int, tested: RunFolder | None) -> Photographs:
    """Unpack the photographs into a folder, and divide their people.

    Args:
        archive: The zip.
        folder: Where to.
        seed: Divides the people at random.
        tested: The run whose test photographs alone are read; None reads all.
    """
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    table = pd.read_csv(folder / "labels.csv")
    names = np.array(sorted(table["person"].unique()))
    chosen = set(names[np.random.default_rng(seed).permutation(len(names))[: len(names) // 2]])
    if tested is not None:
        ids = tested.read_splits()["test"]
        ids = [*ids, *(one.partition("/")[2] for one in ids)]  # of several caches, they begin with its name
        table, chosen = table[table["image"].isin(ids)], set()
        if table.empty:
            raise SystemExit(f"{tested.path} tests none of these photographs.")
    kept = table[table["emotion"] != "contempt"]
    return Photographs(
        [str(folder / name) for name in kept["image"]],
        kept["emotion"].replace(LABELS).to_numpy(object),
        np.searchsorted(names, kept["person"]),
        kept["person"].isin(chosen).to_numpy(),
        len(table) - len(kept),
    )


def find_faces(
    paths: Sequence[str],
    frame: Frame | None,
    settings: ExtractSettings,
    crops: tuple[int, ...],
    progress: Progress,
) -> list[FoundFace]:
    """The largest face of each photograph, as a model is given it and as it is; `row.face` is its crop."""
    parts = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
    found = joblib.Parallel(os.cpu_count(), return_as="generator")(
        joblib.delayed(_find)(part, frame, settings, crops) for part in parts
    )
    return [face for faces in progress.track(found, "finding faces", len(parts)) for face in faces]


def _find(
    paths: Sequence[str], frame: Frame | None, settings: ExtractSettings, crops: tuple[int, ...]
) -> list[FoundFace]:
    source = open_inputs(list(paths))
    if settings.detector not in _DETECTORS:
        _DETECTORS[settings.detector] = create_detector(settings.detector)
    finder = FaceFinder(frame, with_image=True, wanted="largest")
    framed = settings.model_copy(update={"crop": None})
    found = [
        faces[0] for faces in finder(source.entries, source.reader, _DETECTORS[settings.detector], framed)
    ]
    for face, opened in zip(found, open_images(source.entries, source.reader), strict=True):
        if settings.crop is not None and opened.image is not None and face.row.landmarks is not None:
            grey = frame is not None and frame.grey
            pixels = without_colour(opened.image.pixels) if grey else opened.image.pixels
            crop = nearest_crop(face.row, crops) or settings.crop
            face.row.face = encode(aligned_crop(pixels, face.row.landmarks, crop))
    return found


_DETECTORS: dict[str | None, Detector] = {}  # of this process


def arrays_of(faces: Sequence[FoundFace], model: Predictor, how: str) -> FaceArrays:
    """What a model is given of faces."""
    rows = [face.row if how == AS_DETECTED else face.given for face in faces]
    crop = model.extraction.crop
    if crop is not None and model.info.images is not None:
        rows = [replace(row, face=face.row.face) for row, face in zip(rows, faces, strict=True)]
    return replace(frame_faces(rows, model.info.images), crop=crop)


@dataclass(frozen=True)
class Answers:
    """What a model says of the photographs.

    Attributes:
        name: Of the model, and of how it was given the faces.
        predicted: Class names; `none` without a face. `[N]`
        held: Whether the prediction set of 90 % holds the label, `[N]`.
        size: Classes in that set, `[N]`.
    """

    name: str
    predicted: NDArray[np.object_]
    held: NDArray[np.bool_]
    size: NDArray[np.int64]


def answers(photos: Photographs, faces: Sequence[FoundFace], model: Predictor, how: str) -> Answers:
    """Let a model predict the photographs."""
    outputs = model.network.outputs(arrays_of(faces, model, how))
    found = np.array([face.row.status == "ok" for face in faces])
    sets = model.network.sets(outputs, 0.9)
    assert sets is not None
    labels = np.array([model.classes.index(label) for label in photos.labels])
    return Answers(
        f"{model.name}, {how}",
        np.where(found, np.array(model.classes, object)[outputs.predicted], NONE),
        sets[np.arange(len(sets)), labels] & found,
        sets.sum(axis=1),
    )


class Scores:
    """Scores of some photographs, with a bootstrap over people.

    Args:
        photos: The photographs.
        rows: Which of them, bool `[N]`.
        classes: Class names.
    """

    def __init__(self, photos: Photographs, rows: NDArray[np.bool_], classes: Sequence[str]) -> None:
        people, self.person = np.unique(photos.people[rows], return_inverse=True)
        self.rows, self.labels, self.names = rows, photos.labels[rows], [*classes, NONE]
        rng = np.random.default_rng(0)
        drawn = rng.integers(len(people), size=(RESAMPLES, len(people)))
        times = np.stack([np.bincount(row, minlength=len(people)) for row in drawn])
        self.times = np.vstack([np.ones_like(times[:1]), times])  # first the photographs themselves

    def of(self, answers: Answers) -> dict[str, NDArray[np.float64]]:
        """Each score `[1 + RESAMPLES]`: of the photographs, then of the samples."""
        number = {name: index for index, name in enumerate(self.names)}
        count, people = len(self.names), self.times.shape[1]
        pairs = [
            number[label] * count + number[said]
            for label, said in zip(self.labels, answers.predicted[self.rows], strict=True)
        ]
        each = np.zeros((people, count * count), np.int64)
        np.add.at(each, (self.person, pairs), 1)
        scores = scores_from_confusion((self.times @ each).reshape(-1, count, count))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a class that a sample has not
            found = {
                "accuracy": scores["accuracy"],
                "balanced_accuracy": np.nanmean(scores["recall"][:, :-1], axis=1),
                "macro_f1": np.nanmean(scores["f1"][:, :-1], axis=1),
            }
        photos = self.times @ np.bincount(self.person, minlength=people)
        for name, values in (("set_coverage", answers.held), ("set_size", answers.size)):
            sums = np.bincount(self.person, values[self.rows].astype(float), minlength=people)
            found[name] = self.times @ sums / photos
        recalls = {f"recall_{name}": scores["recall"][:, index] for name, index in number.items()}
        recalls.pop(f"recall_{NONE}")
        return found | recalls


def measured(
    photos: Photographs, faces: Sequence[FoundFace], told: Sequence[Answers], classes: Sequence[str]
) -> pd.DataFrame:
    """All figures: of both halves, and of the half for reporting by face size."""
    sides = np.array([_side(face) for face in faces])
    groups = {"choose": photos.chosen} if photos.chosen.any() else {}
    groups["report"] = ~photos.chosen
    for text, (least, below) in SIZES.items():
        groups[text] = ~photos.chosen & (sides >= least) & (sides < below)
    table = []
    for group, rows in groups.items():
        scorer = Scores(photos, rows, classes)
        first = scorer.of(told[0])
        for answered in told:
            for metric, values in scorer.of(answered).items():
                change = values - first[metric]
                ends = [
                    *np.nanquantile(values[1:], (0.025, 0.975)),
                    *np.nanquantile(change[1:], (0.025, 0.975)),
                ]
                images = int(rows.sum())
                if metric.startswith("recall_"):
                    images = int((photos.labels[rows] == metric.removeprefix("recall_")).sum())
                row = (answered.name, group, metric, images, values[0], *ends[:2], change[0], *ends[2:])
                table.append(row)
    return pd.DataFrame(table, columns=COLUMNS)


def _side(face: FoundFace) -> float:
    """The longer side of a face's box in its photograph, in pixels; NaN without a face."""
    row = face.row
    if row.box is None or row.width is None or row.height is None:
        return np.nan
    x0, y0, x1, y1 = row.box
    return max((x1 - x0) * row.width, (y1 - y0) * row.height)


def page(table: pd.DataFrame, classes: Sequence[str]) -> list[str]:
    """The tables of the page."""
    known = table.set_index(["model", "images_of", "metric"])
    models = list(dict.fromkeys(table["model"]))

    def score(model: str, group: str, metric: str, kind: str = "") -> str:
        row = known.loc[(model, group, metric), :]
        value, low, high = (row[f"{name}{kind}"] for name in ("value", "low", "high"))
        if np.isnan(value):
            return ""
        sign = "+" if kind else ""
        return f"{100 * value:{sign}.1f} ({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"

    metrics = ("accuracy", "balanced_accuracy", "macro_f1", "set_coverage")
    whole = [
        [
            model,
            *(score(model, "report", one) for one in metrics),
            f"{known.loc[(model, 'report', 'set_size'), 'value']:.2f}",
        ]
        for model in models
    ]
    gains = [
        [model, *(score(model, "report", one, "_change") for one in metrics[:3])] for model in models[1:]
    ]
    recalls = [
        [label, f"{int(known.loc[(models[0], 'report', f'recall_{label}'), 'images']):,}"]
        + [score(model, "report", f"recall_{label}") for model in models]
        for label in classes
    ]
    sizes = [
        [group, f"{int(known.loc[(models[0], group, 'accuracy'), 'images']):,}"]
        + [score(model, group, "accuracy") for model in models]
        for group in SIZES
    ]
    headings = ["model", "accuracy", "balanced accuracy", "macro-F1", "sets of 90 % hold the label"]
    return [
        "## All of them",
        markdown_table([*headings, "classes in a set"], whole, text_columns=1),
        f"Differences to {models[0]}, in points:",
        markdown_table(headings[:4], gains, text_columns=1),
        "## Recall by class",
        markdown_table(["class", "photographs", *models], recalls, text_columns=1),
        "## Accuracy by face size",
        markdown_table(["longer side of the face", "photographs", *models], sizes, text_columns=1),
    ]


def main() -> None:
    """Measure the named models."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="runs, exports or models that ship, of one detector")
    parser.add_argument("--photos", type=Path, default=os.environ.get("LANDMARKFER_PHOTOS"), metavar="ZIP")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where to keep what was found in them")
    parser.add_argument("--seed", type=int, default=0, help="divides the people")
    parser.add_argument("--tested", metavar="RUN", help="show the photographs of this run's test people")
    given = parser.parse_args()
    if given.photos is None:
        parser.error("give the photographs with --photos, or set LANDMARKFER_PHOTOS.")
    models = [lf.load(name) for name in given.models]
    detectors = {model.extraction.detector for model in models}
    if len(detectors) > 1:
        parser.error("the models must be of one detector.")
    classes = models[0].classes
    with tempfile.TemporaryDirectory() as folder, show_progress() as progress:
        tested = find_run(given.tested) if given.tested else None
        photos = read_photographs(given.photos, given.keep or Path(folder), given.seed, tested)
        memory = joblib.Memory(given.keep or Path(folder) / "found", verbose=0)
        found = memory.cache(find_faces, ignore=["progress"])
        told = []
        for model in progress.track(models, "predicting", len(models)):
            frame = model.info.frame
            faces = found(photos.paths, frame, model.extraction, model.info.crops, progress)
            as_they_are = frame is None or frame.photographs
            if as_they_are or model.info.images is None:
                told.append(answers(photos, faces, model, AS_DETECTED))
            if not as_they_are:
                told.append(answers(photos, faces, model, IN_FRAME))
    table = measured(photos, faces, told, classes)
    (detector,) = detectors
    name = "photographs" if detector == "facemesh" else f"photographs-{detector}"
    table.to_csv(RESULTS / f"{name}.csv", index=False, float_format="%.6f")
    options = ["--tested", given.tested] if tested else []
    who = f"the test people of `{given.tested}`" if tested else f"half of all, at random (seed {given.seed})"
    reported = ~photos.chosen
    missing = sum(face.row.status != "ok" for face in np.array(faces, object)[reported])
    header = Header(
        "Photographs",
        [f"python experiments/photographs.py {shlex.join([*options, *given.models])}"],
        package_versions(),
        datetime.now(UTC).date().isoformat(),
        introduction=(
            f"{len(photos.labels):,} photographs of {len(set(photos.people)):,} people; {photos.left_out} "
            f"more show contempt and are left out. The figures are of the {reported.sum():,} photographs of "
            f"{len(set(photos.people[reported])):,} people of whom none trained or chose anything: {who}. "
            "*In the frame*: brought into the frame of the model's training images, those of FER2013; *as "
            f"detected*: as they are. A photograph without a face ({missing}) counts as "
            f"wrong. Percent, with 95 % intervals of {RESAMPLES:,} bootstrap samples of people. Fear and "
            "disgust are few: what balanced accuracy and macro-F1 say depends on them."
        ),
    )
    write_page(RESULTS / f"{name}.md", RESULTS / f"{name}.csv", header, page(table, classes))


if __name__ == "__main__":
    main()
