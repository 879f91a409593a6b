"""What `landmarkfer predict` shows."""

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from landmarkfer.inference.face import Face
from landmarkfer.inference.faces import Faces
from landmarkfer.inference.load import SHIPPED
from landmarkfer.inference.onnx import OnnxNetwork
from landmarkfer.inference.predictor import Predictor
from landmarkfer.inference.write import Written
from landmarkfer.progress import counted

MOST_ROWS = 40


@dataclass(frozen=True)
class _Layout:
    """What a table of so many columns of text has room for.

    Attributes:
        image: Characters of an image's name.
        reason: Characters of why there is no label.
        bar: Length of the bar of the confidence; 0 without one.
        named: Classes of a set that are named.
        angles: Whether there are angles.
    """

    image: int
    reason: int
    bar: int
    named: int
    angles: bool


_WIDE, _NARROW = _Layout(40, 30, 12, 3, True), _Layout(20, 16, 0, 2, False)
_WIDE_FROM = 130
LESS_PROBABLE = "*"
"""Marks a label that is not the most probable class."""


def print_model(predictor: Predictor) -> None:
    """Say which model predicts."""
    info = predictor.info
    network = predictor.network
    ships = isinstance(network, OnnxNetwork) and network.path.parent.parent.name == "shipped"
    what = f"{SHIPPED[info.name]}, ships with landmarkfer" if ships and info.name in SHIPPED else info.kind
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"Model: {info.name} ({what}); detector: {predictor.extraction.detector}.", markup=False)


def print_faces(faces: Faces) -> None:
    """Print a table of the faces, and how many there are of each label."""
    console = Console(highlight=False)
    layout = _WIDE if console.width >= _WIDE_FROM else _NARROW
    headings = ["image", "face", "label", "confidence", "set", *["yaw, pitch, roll"] * layout.angles]
    table = Table(*headings, box=None, pad_edge=False)
    for column in table.columns[:5]:
        column.no_wrap = True
    table.columns[1].justify = "right"
    for face in faces[:MOST_ROWS]:
        table.add_row(*_cells(face, layout)[: len(headings)])
    console.print(table)
    if len(faces) > MOST_ROWS:
        console.print(f"… {counted(len(faces) - MOST_ROWS, 'more row')}; --out FOLDER writes them all.")
    if less := sum(map(_is_less_probable, faces)):
        console.print(
            f"{LESS_PROBABLE} another class is more probable ({counted(less, 'face')}): training raised the "
            "weights of rare classes, so labels are theirs more often; --prior train gives the most probable "
            "class."
        )
    labels = faces.labels
    found = {name: labels.count(name) for name in faces.classes}
    _print_counts(
        console,
        {name: faces.statuses.count(name) for name in ("ok", "no_face", "unreadable")},
        found | {None: faces.statuses.count("ok") - sum(found.values())},
    )


def print_written(written: Written) -> None:
    """Say what was written, and how many faces there are of each label."""
    console = Console(highlight=False, soft_wrap=True)
    resumed = f", {written.resumed:,} of them before" if written.resumed else ""
    console.print(f"{written.table}: {counted(written.images, 'image')}{resumed}", markup=False)
    for folder in written.folders:
        console.print(f"{folder}/", markup=False)
    _print_counts(console, written.counts, written.labels)


def _cells(face: Face, layout: _Layout) -> list[Text]:
    image = Text(_ending(face.source, layout.image))
    if face.status != "ok" or face.confidence is None:
        reason = face.error or ("no face" if face.status == "no_face" else "unreadable")
        reason = reason if len(reason) <= layout.reason else f"{reason[: layout.reason - 1]}…"
        return [image, Text("-"), Text(reason, "yellow"), Text(""), Text(""), Text("")]
    filled = round(layout.bar * face.confidence)
    bar = Text("█" * filled, "cyan") + Text("░" * (layout.bar - filled), "dim") + " " * (layout.bar > 0)
    angles = "" if face.angles is None else ", ".join(f"{angle:.0f}°" for angle in face.angles)
    return [
        image,
        Text(str(face.number)),
        Text(face.label or "abstained", "bold" if face.label else "dim"),
        bar + f"{100 * face.confidence:.0f} %" + LESS_PROBABLE * _is_less_probable(face),
        Text(_set_text(_by_probability(face), layout.named)),
        Text(angles),
    ]


def _is_less_probable(face: Face) -> bool:
    """Whether a face has a label that is not its most probable class."""
    return face.label is not None and face.probabilities[face.label] < max(face.probabilities.values())


def _by_probability(face: Face) -> tuple[str, ...]:
    """The classes of the prediction set, the label first and the others by falling probability."""
    held = face.prediction_set or ()
    return tuple(sorted(held, key=lambda name: (name != face.label, -face.probabilities[name])))


def _set_text(classes: tuple[str, ...], named: int) -> str:
    more = len(classes) - named
    return ", ".join(classes[:named]) + (f", +{more}" if more > 0 else "")


def _ending(source: str, length: int) -> str:
    """The end of a path, by which one knows the image."""
    return source if len(source) <= length else f"…{source[1 - length :]}"


def _print_counts(console: Console, counts: dict[str, int], labels: dict[str | None, int]) -> None:
    faces = counts.get("ok", 0)
    parts = [counted(faces, "face")]
    most_first = sorted(labels.items(), key=lambda one: -one[1])
    parts += [f"{count:,} {name or 'abstained'}" for name, count in most_first if count]
    for status, text in (("no_face", "without a face"), ("unreadable", "unreadable")):
        count = counts.get(status)
        if count:
            parts.append(f"{counted(count, 'image')} {text}")
    console.print("; ".join([parts[0], ", ".join(parts[1:])]) if parts[1:] else parts[0])
