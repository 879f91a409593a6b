"""Several caches behind the interface of one: what a training on several data sets reads.

Rows are those of the first cache, then those of the second, and so on. Ids and groups have the name of their
cache before them, `photos/a.jpg` for `a.jpg` of `photos`, so that two caches never share one by accident.
Classes are those of all caches, by name.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from landmarkfer.config.train import CACHE_MEAN
from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.data.labels import sort_classes
from landmarkfer.data.schema import SCHEMA, Manifest, SourceInfo
from landmarkfer.errors import CacheError
from landmarkfer.face.blendshapes import N_BLENDSHAPES
from landmarkfer.face.landmarks import N_LANDMARKS

AnyPath = str | os.PathLike[str]

_PREFIXED = ("id", "group")
_SHOWN = 12
"""Characters of a hash that a message shows."""
_STRING = SCHEMA.field("id").type


def open_cache(where: AnyPath | Sequence[AnyPath] | None = None) -> LandmarkCache:
    """Open a cache, or several as one.

    Args:
        where: A folder or a name under `./cache`; several of them; or None for the only cache there.

    Raises:
        CacheError: A cache is not there or damaged, or they do not fit each other; see `join_caches`.
    """
    if where is None or isinstance(where, str | os.PathLike):
        return LandmarkCache.open(find_cache(where))
    return join_caches([LandmarkCache.open(find_cache(one)) for one in where])


def join_caches(members: Sequence[LandmarkCache]) -> LandmarkCache:
    """Several caches as one; a single one as it is.

    Raises:
        CacheError: Two caches have one name or the same content, or their landmarks were made otherwise.
    """
    if len(members) == 1:
        return members[0]
    first = members[0]
    for number, one in enumerate(members):
        if one.name == CACHE_MEAN.lstrip("_"):
            raise CacheError(f"'{one.name}' is what means over several caches are called; rename {one.path}.")
        for other in members[:number]:
            if other.path.resolve() == one.path.resolve():
                raise CacheError(f"{one.path} is named twice; name each cache once.")
            if other.name == one.name:
                raise CacheError(
                    f"{other.path} and {one.path} are both called '{one.name}', and images of several caches "
                    "are distinguished by the cache's name; rename one of the folders."
                )
            if other.fingerprint == one.fingerprint:
                raise CacheError(f"{other.path} and {one.path} hold the same images; name one of them.")
        if differences := _differences(first, one):
            raise CacheError(
                f"{one.path} was not extracted as {first.path}, and a model needs landmarks made alike: "
                f"{'; '.join(differences)}; extract one of them again, with the settings of the other."
            )
    return JoinedCache(members)


def _differences(one: LandmarkCache, another: LandmarkCache) -> list[str]:
    """How the landmarks of two caches were made differently."""
    first, other = one.manifest, another.manifest
    pairs = [
        ("the detector", first.detector.name, other.detector.name),
        ("the hash of the detector's model", first.detector.model_sha256, other.detector.model_sha256),
        ("passes", first.settings.get("passes", 1), other.settings.get("passes", 1)),
    ]
    return [
        f"{what} is {str(its)[:_SHOWN]} in {one.name} and {str(others)[:_SHOWN]} in {another.name}"
        for what, its, others in pairs
        if its != others
    ]


class JoinedCache(LandmarkCache):
    """Caches one after the other; made by `join_caches`.

    Attributes:
        path: The names of the caches, `a+b`; there is no such folder.
        manifest: As if the rows had been extracted together, with the settings of the first cache. `crop` is
            the largest side of the aligned crops, None unless all caches hold such.
    """

    def __init__(self, members: Sequence[LandmarkCache]) -> None:
        parts = [part for one in members for part in one.parts]
        path = Path("+".join(one.name for one in members))
        super().__init__(path, _manifest(members), parts, [len(one) for one in members])
        self._members = tuple(members)

    @property
    def name(self) -> str:
        """The names of the caches, `a+b`."""
        return str(self.path)

    @property
    def members(self) -> tuple[LandmarkCache, ...]:
        """The caches."""
        return self._members

    @property
    def store(self) -> Path:
        """A folder in that of the first cache."""
        return self._members[0].path / "joined" / self.fingerprint[:16]

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the names and contents of the caches."""
        known = [[one.name, one.fingerprint] for one in self._members]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read columns as one Arrow table; see `LandmarkCache.table`."""
        return pa.concat_tables(self._distinct(one, one.table(columns)) for one in self._members)

    def _distinct(self, member: LandmarkCache, table: pa.Table) -> pa.Table:
        """The table of a cache with its name in what two caches could share, and votes in the joint order."""
        for place, name in enumerate(table.column_names):
            column = table.column(name)
            if name in _PREFIXED:
                changed: Any = pc.binary_join_element_wise(pa.scalar(f"{member.name}/", _STRING), column, "")
            elif name == "votes" and member.manifest.classes != self.manifest.classes:
                order = [self.manifest.classes.index(one) for one in member.manifest.classes]
                changed = pa.array([self._votes(given, order) for given in column.to_pylist()], column.type)
            else:
                continue
            table = table.set_column(place, SCHEMA.field(name), changed)
        return table

    def _votes(self, given: list[float] | None, order: list[int]) -> list[float] | None:
        if given is None:
            return None
        votes = [0.0] * len(self.manifest.classes)
        for place, count in zip(order, given, strict=True):
            votes[place] = count
        return votes

    def landmarks(self, rows: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Read landmarks; see `LandmarkCache.landmarks`."""
        wanted = np.arange(len(self)) if rows is None else np.asarray(rows, np.int64)
        out = np.empty((len(wanted), N_LANDMARKS, 3), np.float32)
        for member, places, inside in rows_by_cache(self, wanted):
            out[places] = member.landmarks(inside)
        return out

    def blendshapes(self) -> np.ndarray | None:
        """Read all blendshapes, NaN for a cache without; None if no cache has any."""
        found = [one.blendshapes() for one in self._members]
        if all(part is None for part in found):
            return None
        empty = [np.full((len(one), N_BLENDSHAPES), np.nan, np.float32) for one in self._members]
        return np.concatenate(
            [none if part is None else part for part, none in zip(found, empty, strict=True)]
        )

    def deviations(self) -> np.ndarray:
        """Read how far first detections lie from the mean; see `LandmarkCache.deviations`."""
        return np.concatenate([one.deviations() for one in self._members])

    def faces(self, rows: Sequence[int] | np.ndarray) -> list[bytes | None]:
        """Read the stored image files of some rows; see `LandmarkCache.faces`."""
        wanted = np.asarray(rows, np.int64)
        found: list[bytes | None] = [None] * len(wanted)
        for member, places, inside in rows_by_cache(self, wanted):
            for place, data in zip(places, member.faces(inside), strict=True):
                found[place] = data
        return found


def rows_by_cache(
    cache: LandmarkCache, rows: NDArray[np.int64]
) -> Iterator[tuple[LandmarkCache, NDArray[np.int64], NDArray[np.int64]]]:
    """For each cache that holds some of the rows: itself, their places in `rows`, and their numbers in it."""
    owner = owners(cache)[rows]
    starts = np.cumsum([0, *map(len, cache.members)])
    for number, member in enumerate(cache.members):
        places = np.flatnonzero(owner == number)
        if len(places):
            yield member, places, rows[places] - starts[number]


def owners(cache: LandmarkCache) -> NDArray[np.int64]:
    """The number of the cache that each row is of, `[N]`; zeros of a single cache."""
    return np.repeat(np.arange(len(cache.members)), [len(one) for one in cache.members])


def _manifest(members: Sequence[LandmarkCache]) -> Manifest:
    made = [one.manifest for one in members]
    crops = [int(one.settings.get("crop") or 0) for one in made]
    statuses = sorted({status for one in made for status in one.counts or {}})
    listing = hashlib.sha256("".join(one.source.listing for one in made).encode()).hexdigest()
    return made[0].model_copy(
        update={
            "source": SourceInfo(
                kind="several caches", name="+".join(one.name for one in members), listing=listing
            ),
            "settings": made[0].settings | {"crop": max(crops) if all(crops) else None},
            "classes": sort_classes(name for one in made for name in one.classes),
            "rows": sum(one.rows for one in made),
            "complete": all(one.complete for one in made),
            "counts": {status: sum((one.counts or {}).get(status, 0) for one in made) for status in statuses},
        }
    )
