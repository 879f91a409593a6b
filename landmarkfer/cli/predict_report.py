"""What `landmarkfer predict` shows."""

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
_BAR = 12
_WIDEST = 40
_NAMED = 3  # classes of a set that are named


def print_model(predictor: Predictor) -> None:
    """Say which model predicts."""
    info = predictor.info
    ships = isinstance(predictor.network, OnnxNetwork) and predictor.network.path.parents[1].name == "shipped"
    what = f"{SHIPPED[info.name]}, ships with landmarkfer" if ships and info.name in SHIPPED else info.kind
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"Model: {info.name} ({what}); detector: {predictor.extraction.detector}.", markup=False)


def print_faces(faces: Faces) -> None:
    """Print a table of the faces, and how many there are of each label."""
    console = Console(highlight=False)
    table = Table("image", "face", "label", "confidence", "set", "yaw, pitch, roll", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    table.columns[1].justify = "right"
    for face in faces[:MOST_ROWS]:
        table.add_row(*_cells(face))
    console.print(table)
    if len(faces) > MOST_ROWS:
        console.print(f"… {counted(len(faces) - MOST_ROWS, 'more row')}; --out FOLDER writes them all.")
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


def _cells(face: Face) -> list[Text]:
    if face.status != "ok" or face.confidence is None:
        reason = "no face" if face.status == "no_face" else face.error or "unreadable"
        reason = reason if len(reason) <= _WIDEST else f"{reason[: _WIDEST - 1]}…"
        return [Text(_ending(face.source)), Text("-"), Text(reason, "yellow"), Text(""), Text(""), Text("")]
    filled = round(_BAR * face.confidence)
    bar = Text("█" * filled, "cyan") + Text("░" * (_BAR - filled), "dim") + f" {100 * face.confidence:.0f} %"
    angles = "" if face.angles is None else ", ".join(f"{angle:.0f}°" for angle in face.angles)
    return [
        Text(_ending(face.source)),
        Text(str(face.number)),
        Text(face.label or "abstained", "bold" if face.label else "dim"),
        bar,
        Text(_set_text(face.prediction_set or ())),
        Text(angles),
    ]


def _set_text(classes: tuple[str, ...]) -> str:
    more = len(classes) - _NAMED
    return ", ".join(classes[:_NAMED]) + (f", +{more}" if more > 0 else "")


def _ending(source: str) -> str:
    """The end of a path, by which one knows the image."""
    return source if len(source) <= _WIDEST else f"…{source[1 - _WIDEST :]}"


def _print_counts(console: Console, counts: dict[str, int], labels: dict[str | None, int]) -> None:
    faces = counts.get("ok", 0)
    parts = [counted(faces, "face")]
    parts += [f"{count:,} {name or 'abstained'}" for name, count in labels.items() if count]
    for status, text in (("no_face", "without a face"), ("unreadable", "unreadable")):
        count = counts.get(status)
        if count:
            parts.append(f"{counted(count, 'image')} {text}")
    console.print("; ".join([parts[0], ", ".join(parts[1:])]) if parts[1:] else parts[0])
