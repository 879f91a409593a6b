"""Predictions of many images written as they are made, so that an interrupted call resumes where it stopped.

`predictions.csv` grows image by image. Beside it lies `predictions.state.json` until the end: what is being
predicted, and how many bytes of the table are whole. The same call resumes from there; another one is
refused, and so is any where a finished table lies, unless it is to be overwritten.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.entry import Source
from landmarkfer.files import replacing
from landmarkfer.inference.faces import PREDICTIONS_NAME, Faces
from landmarkfer.inference.pictures import remove_earlier, save_crops, save_images
from landmarkfer.inference.predictor import Predictor
from landmarkfer.progress import SILENT, Progress, counted

TableFormat = Literal["csv", "parquet", "jsonl"]
_TEXTS = ("source", "status", "error", "label", "set")
STATE_NAME = f"{PREDICTIONS_NAME}.state.json"


@dataclass(frozen=True)
class Outputs:
    """What is written of predictions.

    Attributes:
        table: The table's format; `parquet` and `jsonl` are made of the CSV at the end.
        draw: Whether annotated images are, into `images/`.
        crops: Whether the faces are, upright and of one size, into `crops/`.
        extras: Whether the table has blendshapes.
        overwrite: Whether a finished prediction in the folder is replaced; without, it is refused.
    """

    table: TableFormat = "csv"
    draw: bool = False
    crops: bool = False
    extras: bool = False
    overwrite: bool = False


class PredictionWriter:
    """Writes predictions into a folder; use it as a context manager.

    Args:
        folder: Made if need be.
        sources: The images that are predicted, in order.
        options: What else decides the predictions; an interrupted call resumes only with the same.
        outputs: What is written.
        scored: Whether the detector gives scores, so that they have a column from the start.

    Attributes:
        done: Images that an earlier, interrupted call has written.

    Raises:
        SourceError: The folder cannot be written, another prediction was interrupted in it, or a finished
            one lies there and is not to be overwritten.
    """

    def __init__(
        self,
        folder: Path,
        sources: Iterable[str],
        options: dict[str, Any],
        outputs: Outputs,
        *,
        scored: bool = True,
    ) -> None:
        self.folder = folder
        self.table_file = folder / f"{PREDICTIONS_NAME}.csv"
        self._state_file = folder / STATE_NAME
        self._outputs, self._scored = outputs, scored
        self._sources = list(sources)
        text = json.dumps([options, self._sources], sort_keys=True, default=str)
        self._identity = hashlib.sha256(text.encode()).hexdigest()
        self._columns: list[str] = []
        self.done = 0

    def __enter__(self) -> "PredictionWriter":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            state = self._read_state()
            self._columns, self.done = state["columns"], state["images"]
            self._file = self.table_file.open("r+b" if self.done else "wb")
            self._file.truncate(state["bytes"])
            self._file.seek(0, os.SEEK_END)
            if not self.done:  # what an earlier prediction wrote would stand beside this one's table
                for name in ("images", "crops"):
                    remove_earlier(self.folder / name, [], self._sources)
                self._write_state()  # from here on, the table is an interrupted one
        except OSError as error:
            raise SourceError(f"cannot write to {self.folder}: {error.strerror or error}.") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, faces: Faces) -> None:
        """Append rows, of whole images.

        Raises:
            SourceError: The folder cannot be written.
        """
        frame = faces.to_frame(extras=self._outputs.extras)
        if not self._columns:
            self._columns = list(frame.columns)
            if self._scored and "detector_score" not in self._columns:
                self._columns.insert(self._columns.index("yaw"), "detector_score")
        try:
            if self._outputs.draw:
                save_images(faces.drawings(), self.folder / "images", faces.num_images)
            if self._outputs.crops:
                save_crops(faces.crops(), self.folder / "crops")
            text = frame.reindex(columns=self._columns).to_csv(index=False, header=not self._file.tell())
            self._file.write(text.encode())
            self._file.flush()
            self.done += faces.num_images
            self._write_state()
        except OSError as error:
            raise SourceError(f"cannot write to {self.folder}: {error.strerror or error}.") from error

    def finish(self) -> Path:
        """Make the wanted table of what was written.

        Returns:
            The table's file.

        Raises:
            SourceError: The folder cannot be written.
        """
        self._file.close()
        try:
            path = self._converted()
            for other in set(get_args(TableFormat)) - {self._outputs.table}:
                self.table_file.with_suffix(f".{other}").unlink(missing_ok=True)
            self._state_file.unlink(missing_ok=True)
        except OSError as error:
            raise SourceError(f"cannot write to {self.folder}: {error.strerror or error}.") from error
        return path

    def _converted(self) -> Path:
        if self._outputs.table == "csv":
            return self.table_file
        import pyarrow as pa
        from pyarrow import csv, parquet

        # The type of a column does not depend on what its rows happen to be.
        known = {**dict.fromkeys(_TEXTS, pa.string()), "face": pa.int64(), "abstained": pa.bool_()}
        types = {name: known.get(name, pa.float64()) for name in self._columns}
        options = csv.ConvertOptions(column_types=types, null_values=[""], strings_can_be_null=True)
        table = csv.read_csv(self.table_file, convert_options=options)
        path = self.table_file.with_suffix(f".{self._outputs.table}")
        with replacing(path) as temporary:
            if self._outputs.table == "parquet":
                parquet.write_table(table, temporary)
            else:
                lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())
                temporary.write_text("".join(lines), encoding="utf-8")
        return path

    def _read_state(self) -> dict[str, Any]:
        fresh: dict[str, Any] = {"images": 0, "bytes": 0, "columns": []}
        try:
            state = json.loads(self._state_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self._check_nothing_is_lost()
            return fresh
        except ValueError:
            return fresh  # damaged
        if not state["images"]:
            return fresh
        if state.get("identity") != self._identity:
            raise SourceError(
                f"another prediction was interrupted in {self.folder}; resume it with its own inputs and "
                "options, give another --out, or delete that folder."
            )
        if not self.table_file.is_file() or self.table_file.stat().st_size < state["bytes"]:
            return fresh
        return state

    def _check_nothing_is_lost(self) -> None:
        tables = [self.table_file.with_suffix(f".{name}") for name in get_args(TableFormat)]
        there = [path.name for path in tables if path.is_file() and path.stat().st_size]
        if there and not self._outputs.overwrite:
            raise SourceError(
                f"{self.folder} holds {there[0]} already; give another --out, or --overwrite to replace it "
                "and the pictures beside it."
            )

    def _write_state(self) -> None:
        state = {
            "identity": self._identity,
            "images": self.done,
            "bytes": self._file.tell(),
            "columns": self._columns,
        }
        with replacing(self._state_file) as path:
            path.write_text(json.dumps(state), encoding="utf-8")


@dataclass(frozen=True)
class Written:
    """What a call has written.

    Attributes:
        table: The table's file.
        images: Images in it.
        resumed: Of these, images that an earlier, interrupted call had written.
        counts: Rows of the table by status.
        labels: Rows by label; None where the model abstained.
        folders: Folders of pictures.
    """

    table: Path
    images: int
    resumed: int
    counts: dict[str, int]
    labels: dict[str | None, int]
    folders: tuple[Path, ...]


def write_predictions(
    predictor: Predictor,
    source: Source,
    folder: Path,
    options: dict[str, Any],
    outputs: Outputs,
    progress: Progress = SILENT,
) -> Written:
    """Predict images into a folder, or resume where an earlier call was interrupted.

    Args:
        predictor: The model.
        source: The images.
        folder: Where to.
        options: Keywords of `Predictor.stream`.
        outputs: What is written.
        progress: Counts the images.

    Raises:
        LandmarkferError: An option does not fit, or the folder cannot be written.
        KeyboardInterrupt: The call was interrupted; the message says what is stored.
    """
    identity = {name: value for name, value in options.items() if name not in ("workers", "batch_size")}
    identity |= {"model": predictor.info.model_dump(exclude={"card"})}
    identity |= {"extras": outputs.extras, "pictures": [outputs.draw, outputs.crops]}
    writer = PredictionWriter(
        folder,
        [entry.id for entry in source.entries],
        identity,
        outputs,
        scored=predictor.extraction.detector != "landmarker",
    )
    with writer:
        resumed = writer.done
        try:
            for part in predictor.stream(source, skip=resumed, progress=progress, **options):
                writer.write(part)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{writer.table_file} holds {writer.done:,} of {counted(len(source.entries), 'image')}; the "
                "same command does the rest."
            ) from None
        path = writer.finish()
    counts, labels = _counted(path)
    pictures = (("images", outputs.draw), ("crops", outputs.crops))
    folders = [folder / name for name, wanted in pictures if wanted]
    return Written(path, writer.done, resumed, counts, labels, tuple(folders))


def _counted(path: Path) -> tuple[dict[str, int], dict[str | None, int]]:
    import pandas as pd

    readers: dict[str, Any] = {
        ".csv": lambda: pd.read_csv(path, usecols=["status", "label"]),
        ".parquet": lambda: pd.read_parquet(path, columns=["status", "label"]),
        ".jsonl": lambda: pd.read_json(path, lines=True)[["status", "label"]],
    }
    table = readers[path.suffix]()
    found = table.loc[table["status"] == "ok", "label"]
    labels: dict[str | None, int] = {str(name): int(count) for name, count in found.value_counts().items()}
    if found.isna().any():
        labels[None] = int(found.isna().sum())
    return {str(name): int(count) for name, count in table["status"].value_counts().items()}, labels
