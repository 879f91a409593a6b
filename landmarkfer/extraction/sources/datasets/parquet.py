"""Image data sets of Hugging Face: Parquet files, and folders of `Dataset.save_to_disk`.

An image is a struct of `bytes` and `path`, or the bytes alone. Names of the labels come from the metadata
that `datasets` writes (`ClassLabel`), splits from the file or folder names (`train-00000-of-00002.parquet`,
`data/test/...`). Format: https://huggingface.co/docs/datasets.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from landmarkfer.data.labels import canonical_label, label_key
from landmarkfer.data.split_names import StatedSplit, TwoSplits, stated_split
from landmarkfer.errors import SourceError
from landmarkfer.extraction.decode import UnreadableImage
from landmarkfer.extraction.sources.entry import Entry, Key, Source
from landmarkfer.extraction.sources.labels import MISSING, read_labels
from landmarkfer.extraction.sources.options import SourceOptions
from landmarkfer.extraction.sources.tables.columns import GROUP_COLUMNS, LABEL_COLUMNS, SPLIT_COLUMNS
from landmarkfer.extraction.sources.tables.read import column_key
from landmarkfer.extraction.sources.tables.splits import read_splits
from landmarkfer.progress import SILENT, Progress, counted

IMAGE_COLUMNS = ("image", "img", "images", "picture", "photo", "face", "pixel_values")
PARQUET_ENDINGS = (".parquet", ".pq")

# Files that `save_to_disk` writes beside the data.
DATASET_DICT = "dataset_dict.json"
DATASET_STATE = "state.json"


@dataclass
class ParquetReader:
    """Reads images of Parquet or Arrow files; keys are `<file>:<row group>:<row>`."""

    paths: tuple[str, ...]
    column: str
    _open: tuple[int, int, pa.ChunkedArray] | None = field(default=None, init=False, repr=False)

    def __reduce__(self) -> tuple[type["ParquetReader"], tuple[tuple[str, ...], str]]:
        return ParquetReader, (self.paths, self.column)

    def read(self, key: Key) -> bytes | np.ndarray:
        """Return an image file's bytes; see `Reader.read`."""
        number, group, row = map(int, str(key).split(":"))
        if self._open is None or self._open[:2] != (number, group):
            try:
                self._open = number, group, _column_of(Path(self.paths[number]), group, self.column)
            except (OSError, pa.ArrowException) as error:
                raise UnreadableImage(f"damaged in {Path(self.paths[number]).name}: {error}") from error
        value = self._open[2][row].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if isinstance(data, bytes) and data:
            return data
        if isinstance(data, list):
            pixels = np.asarray(data)
            if (
                pixels.dtype.kind in "iu"
                and pixels.ndim in (2, 3)
                and 0 <= pixels.min() <= pixels.max() <= 255
            ):
                return pixels.astype(np.uint8)
        path = value.get("path") if isinstance(value, dict) else None
        raise UnreadableImage(f"the row holds no image{f', only the path {path}' if path else ''}")


def is_saved_dataset(folder: Path) -> bool:
    """Whether a folder is what `save_to_disk` writes."""
    return (folder / DATASET_DICT).is_file() or (folder / DATASET_STATE).is_file()


def open_saved_dataset(
    folder: Path, options: SourceOptions | None = None, progress: Progress = SILENT
) -> Source:
    """List the images of a folder that `save_to_disk` wrote, of one data set or of its splits.

    Raises:
        SourceError: It lacks files, or has no image column.
    """
    files: list[Path] = []
    splits: dict[Path, StatedSplit | None] = {}
    options = options or SourceOptions()
    for state in sorted([*folder.glob(DATASET_STATE), *folder.glob(f"*/{DATASET_STATE}")]):
        try:
            content = json.loads(state.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SourceError(f"{state} is damaged ({error}); save the data set again.") from error
        listed = content.get("_data_files") or []
        mine = [state.parent / str(one.get("filename")) for one in listed]
        # Other .arrow files are what `map` and `filter` left behind.
        mine = mine or sorted(state.parent.glob("data-*.arrow"))
        if content.get("_indices_data_files"):
            raise SourceError(
                f"{state.parent} holds a selection of its rows; save it with flatten_indices()."
            )
        stated = stated_split(str(content.get("_split") or ""), options.split_names)
        splits |= dict.fromkeys(mine, stated)
        files += mine
    missing = next((file for file in files if not file.is_file()), None)
    if not files or missing is not None:
        lacks = f"lacks {missing}" if missing else "has no .arrow files"
        raise SourceError(f"{folder} has the state of a saved data set and {lacks}; save it again.")
    return open_image_tables(files, folder.name, "arrow", folder, options, progress, splits)


def open_image_tables(
    files: Sequence[Path],
    name: str,
    kind: str,
    root: Path,
    options: SourceOptions | None = None,
    progress: Progress = SILENT,
    splits: Mapping[Path, StatedSplit | None] | None = None,
) -> Source:
    """List the images of Parquet or Arrow files.

    Args:
        files: The files, of one data set.
        name: Of the source.
        kind: `parquet` or `arrow`.
        root: Folder that the ids are relative to.
        options: Names of columns, labels and splits.
        progress: Reports the files read.
        splits: What is known of the files' splits; by default what their names state.

    Returns:
        The source, in the order of the files; ids are `<file>#<row>`.

    Raises:
        SourceError: A file is damaged, has no image column, or its labels or splits can be read in two ways.
    """
    options = options or SourceOptions()
    listed = _Listed(options)
    for number, path in enumerate(files):
        progress(f"listing {name}", number, len(files))
        try:
            listed.add(number, path, path.relative_to(root).as_posix(), (splits or {}).get(path))
        except (OSError, pa.ArrowException) as error:
            raise SourceError(f"{path} is damaged or no {kind.capitalize()} file: {error}.") from error
    progress(f"listing {name}", len(files), len(files))
    return listed.source(files, name, kind)


class _Listed:
    """The rows of files that are read so far."""

    def __init__(self, options: SourceOptions) -> None:
        self.options = options
        self.image = ""
        self.names: Mapping[str, str] = {}
        self.columns: dict[str, str] = {}
        self.ids: list[str] = []
        self.keys: list[str] = []
        self.labels: list[str] = []
        self.splits: list[StatedSplit | None] = []
        self.values: list[str] = []
        self.groups: list[str | None] = []

    def add(self, number: int, path: Path, relative: str, split_of: StatedSplit | None) -> None:
        schema = _schema(path)
        image = _image_column(schema, path)
        if self.image and image != self.image:
            raise SourceError(
                f"{path} has its images in the column {image}, and other files in {self.image}."
            )
        self.image = image
        names = {column_key(name): name for name in schema.names if name != image}
        label = _choose(names, self.options.label_column, LABEL_COLUMNS, path, "--label-column")
        split = _choose(names, self.options.split_column, SPLIT_COLUMNS, path, "--split-column")
        group = _choose(names, self.options.group_column, GROUP_COLUMNS, path, "--group-column")
        self.columns = {"label": label or "", "split": split or "", "group": group or ""}
        if label is not None:
            named = class_names(schema.metadata or {}, label)
            if self.names and named != self.names:
                raise SourceError(
                    f"{path} names its labels otherwise than the files before it; extract it alone."
                )
            self.names = named
        stated = split_of or _split_of(relative, self.options.split_names)
        wanted = [name for name in (label, split, group) if name is not None]
        for block, columns, rows in _blocks(path, wanted):
            for row in range(rows):
                self.ids.append(f"{relative}#{len(self.ids):07d}")
                self.keys.append(f"{number}:{block}:{row}")
                self.labels.append(_text(columns[label][row]) if label else "")
                self.values.append(_text(columns[split][row]) if split else "")
                self.groups.append(_group(columns[group][row]) if group else None)
                self.splits.append(stated)

    def source(self, files: Sequence[Path], name: str, kind: str) -> Source:
        if not self.ids:
            raise SourceError(f"{name} holds no rows.")
        options = self.options
        given = options.label_names
        meaning = {
            number: given.get(label_key(label), canonical_label(label))
            for number, label in self.names.items()
        }
        read = read_labels(
            self.labels,
            self.ids,
            options.label_names,
            meaning,
            f"the column {self.columns['label']} of {name}",
        )
        splits = self.splits
        remarks: list[str] = []
        if any(self.values):
            where = f"the column {self.columns['split']} of {name}"
            asked = options.split_column is not None
            stated, remarks = read_splits(self.values, options.split_names, where, asked)
            splits = [one or other for one, other in zip(stated, self.splits, strict=True)]
        lacking = sum(one is None for one in splits)
        if 0 < lacking < len(splits):
            remarks.append(
                f"{counted(lacking, 'image')} in files whose names state no split; these are trained on."
            )
        entries = [
            Entry(
                image_id, key, label, split.split if split else None, split.subset if split else None, group
            )
            for image_id, key, label, split, group in zip(
                self.ids, self.keys, read.labels, splits, self.groups, strict=True
            )
        ]
        source = Source(kind, name, entries, ParquetReader(tuple(map(str, files)), self.image))
        source.remarks, source.readings = read.remarks + remarks, read.readings
        if any(group is not None for group in self.groups):
            source.group_rule = f"the column {self.columns['group']}"
        return source


def class_names(metadata: Mapping[bytes, bytes], column: str) -> dict[str, str]:
    """The names of a column's labels by their numbers, as `datasets` stores them; empty where it does not."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        names = features[column]["names"]
    except (KeyError, TypeError, ValueError):
        return {}
    return {str(number): str(name) for number, name in enumerate(names)}


def _image_column(schema: pa.Schema, path: Path) -> str:
    usual = [name for wanted in IMAGE_COLUMNS for name in schema.names if column_key(name) == wanted]
    for name in (*usual, *schema.names):
        kind = schema.field(name).type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return name
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            return name
        if name in usual and (pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)):
            return name
    raise SourceError(
        f"{path} has the columns {', '.join(schema.names)}, and none holds images (bytes, or a struct of "
        f"bytes and "
        "path); a table of labels goes with its images: extract FOLDER --labels FILE."
    )


def _choose(
    names: Mapping[str, str], wanted: str | None, usual: Sequence[str], path: Path, option: str
) -> str | None:
    if wanted is None:
        return next((names[name] for name in usual if name in names), None)
    if column_key(wanted) not in names:
        raise SourceError(
            f"{path} has no column {wanted}; it has {', '.join(names.values())}. Name one with {option}."
        )
    return names[column_key(wanted)]


def _split_of(relative: str, given: Mapping[str, str | None]) -> StatedSplit | None:
    """The split that a file's name or its folders state; the name goes first, up to its first number."""
    *folders, name = relative.split("/")
    stem = name.split("-0")[0].rsplit(".", 1)[0]
    for part in (stem, *reversed(folders)):
        try:
            stated = stated_split(part, given)
        except TwoSplits:
            continue
        if stated is not None:
            return stated
    return None


def _is_arrow(path: Path) -> bool:
    return path.suffix.lower() == ".arrow"


def _schema(path: Path) -> pa.Schema:
    if not _is_arrow(path):
        return pq.read_schema(path)
    with _arrow_stream(path) as reader:
        return reader.schema


def _arrow_stream(path: Path) -> Any:
    try:
        return pa.ipc.open_stream(pa.memory_map(str(path)))
    except pa.ArrowInvalid:
        return pa.ipc.open_file(pa.memory_map(str(path)))


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    with _arrow_stream(path) as reader:
        if isinstance(reader, pa.RecordBatchFileReader):
            yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
        else:
            yield from reader


def _blocks(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str | None, list[Any]], int]]:
    """The row groups of a file: their numbers, some columns as lists, their numbers of rows."""
    if _is_arrow(path):
        for number, batch in enumerate(_batches(path)):
            yield number, {name: batch.column(name).to_pylist() for name in columns}, batch.num_rows
        return
    file = pq.ParquetFile(path)
    for number in range(file.num_row_groups):
        table = file.read_row_group(number, columns=list(columns))
        rows = file.metadata.row_group(number).num_rows
        yield number, {name: table.column(name).to_pylist() for name in columns}, rows


def _column_of(path: Path, block: int, column: str) -> pa.ChunkedArray:
    if _is_arrow(path):
        batch = next(one for number, one in enumerate(_batches(path)) if number == block)
        return pa.chunked_array([batch.column(column)])
    return pq.ParquetFile(path).read_row_group(block, columns=[column]).column(column)


def _text(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return "" if value is None else str(value)


def _group(value: Any) -> str | None:
    text = _text(value).strip()
    return None if text.lower() in MISSING else text
