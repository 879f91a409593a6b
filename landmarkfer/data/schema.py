"""How a landmark cache is stored: the Arrow schema of its rows and the `Manifest` of how they were made.

Units: `landmarks [478, 3]` has x and y as fractions of the image's width and height and z on x's scale; `box`
is `(x0, y0, x1, y1)` in the same fractions, origin at the top left; `width` and `height` are pixels of the
upright image. In a cache `landmarks` is never null: where no face was found it is filled with NaN.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from landmarkfer.data.row import Row
from landmarkfer.errors import CacheError
from landmarkfer.face.landmarks import N_LANDMARKS
from landmarkfer.progress import counted

SCHEMA_VERSION = 1
HEAVY_COLUMNS = ("landmarks", "deviation", "blendshapes", "face")
"""Columns that a table of rows leaves out unless asked, because they make up nearly all of its size."""

LATER_COLUMNS = ("group", "votes", "deviation")
"""Columns that caches of version 0.1 do not have; they are read as null."""

# Parquet readers do not read nulls in lists of fixed size back, so a column that can be null has plain lists.
SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("split", pa.string()),
        pa.field("subset", pa.string()),
        pa.field("group", pa.string()),
        pa.field("votes", pa.list_(pa.float32())),
        pa.field("status", pa.string(), nullable=False),
        pa.field("error", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("sha256", pa.string()),
        pa.field("faces", pa.int32(), nullable=False),
        pa.field("box", pa.list_(pa.float32())),
        pa.field("confidence", pa.float32()),
        pa.field("attempts", pa.string()),
        pa.field("detections", pa.int32(), nullable=False),
        pa.field("spread", pa.float32()),
        pa.field("landmarks", pa.list_(pa.float32(), N_LANDMARKS * 3), nullable=False),
        pa.field("deviation", pa.list_(pa.float16())),
        pa.field("blendshapes", pa.list_(pa.float32())),
        pa.field("face", pa.binary()),
    ]
)


class SourceInfo(BaseModel):
    """Where the images came from; `listing` is the hash of ids, labels and splits, to notice a change."""

    model_config = ConfigDict(extra="forbid")
    kind: str
    name: str
    listing: str
    ignored: int = 0


class DetectorInfo(BaseModel):
    """Which detector made the landmarks: its name, its package's version and the hash of its model."""

    model_config = ConfigDict(extra="forbid")
    name: str
    version: str
    model_sha256: str | None = None


class Manifest(BaseModel):
    """The `manifest.json` of a cache.

    `rows` is the number of rows of the finished cache; `counts`, the rows per status, is there once it is.
    """

    model_config = ConfigDict(extra="forbid")
    schema_version: int = SCHEMA_VERSION
    landmarkfer: str = version("landmarkfer")
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    source: SourceInfo
    detector: DetectorInfo
    settings: dict[str, Any]
    classes: list[str]
    rows: int
    part_rows: int = Field(default=512, ge=1)
    complete: bool = False
    counts: dict[str, int] | None = None

    @property
    def n_parts(self) -> int:
        """Number of part files of the finished cache."""
        return -(-self.rows // self.part_rows)

    def part_range(self, part: int) -> range:
        """Return the row numbers that a part holds."""
        return range(part * self.part_rows, min(self.rows, (part + 1) * self.part_rows))

    def differences(self, other: "Manifest") -> list[str]:
        """Name every way in which rows made under `other` would not belong with rows made under this one.

        Args:
            other: The manifest of what is wanted now.

        Returns:
            Phrases such as `passes is 3 there and 1 now`; empty if the two agree.
        """
        names = [*self.settings, *(name for name in other.settings if name not in self.settings)]
        pairs = [(name, self.settings.get(name), other.settings.get(name)) for name in names]
        pairs += [
            ("the detector", self.detector.name, other.detector.name),
            ("the hash of the model", self.detector.model_sha256, other.detector.model_sha256),
            ("the kind of source", self.source.kind, other.source.kind),
        ]
        if not self.complete:
            # A finished cache mixes nothing, so only an unfinished one is tied to a version of the package.
            pairs.append(("the detector's package", self.detector.version, other.detector.version))
        return [f"{name} is {old} there and {new} now" for name, old, new in pairs if old != new]


def check_same_making(path: Path, existing: Manifest, wanted: Manifest) -> None:
    """Refuse a cache that was made otherwise than is wanted now.

    Args:
        path: The cache's folder, for the message.
        existing: The manifest found there.
        wanted: The manifest of what is wanted.

    Raises:
        CacheError: Settings, detector or list of images differ; the message names them.
    """
    differences = existing.differences(wanted)
    if differences:
        raise CacheError(
            f"{path} was made with other settings ({'; '.join(differences)}); "
            "give another cache, or delete that folder to make it anew."
        )
    if existing.source.listing != wanted.source.listing:
        raise CacheError(
            f"{path} was made from another list of images or labels ({counted(existing.rows, 'image')} then, "
            f"{wanted.rows} in {wanted.source.name} now); give another cache, or delete that folder."
        )


def rows_to_table(rows: Sequence[Row]) -> pa.Table:
    """Turn rows into a table of `SCHEMA`, with a digest of their content in its metadata.

    Args:
        rows: The rows of one part.

    Returns:
        The table; `landmarks` of rows without a face are NaN.
    """
    landmarks = np.full((len(rows), N_LANDMARKS, 3), np.nan, np.float32)
    for position, row in enumerate(rows):
        if row.landmarks is not None:
            landmarks[position] = row.landmarks
    deviations = [None if row.deviation is None else np.float16(row.deviation).ravel() for row in rows]
    blendshapes = [None if row.blendshapes is None else np.float32(row.blendshapes) for row in rows]
    columns: dict[str, Any] = {
        "landmarks": pa.FixedSizeListArray.from_arrays(pa.array(landmarks.reshape(-1)), N_LANDMARKS * 3),
        "deviation": pa.array(deviations, SCHEMA.field("deviation").type),
        "blendshapes": pa.array(blendshapes, SCHEMA.field("blendshapes").type),
    }
    plain = [name for name in SCHEMA.names if name not in columns]
    for name in plain:
        columns[name] = pa.array([getattr(row, name) for row in rows], SCHEMA.field(name).type)

    digest = hashlib.sha256(landmarks.tobytes())
    # A later column counts where it holds something, so that the same rows have the same digest as before.
    empty = {name for name in LATER_COLUMNS if all(getattr(row, name) is None for row in rows)}
    scalars = [[getattr(row, name) for name in plain if name not in {"face", *empty}] for row in rows]
    digest.update(json.dumps(scalars).encode())
    for row, *arrays in zip(rows, deviations, blendshapes, strict=True):
        digest.update(hashlib.sha256(row.face or b"").digest())
        for array in arrays:
            digest.update(b"" if array is None else array.tobytes())
    table = pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)
    return table.replace_schema_metadata({"landmarkfer.digest": digest.hexdigest()})
