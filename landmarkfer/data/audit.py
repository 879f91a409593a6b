"""What is in a landmark cache, and what is wrong with it: counts, detection rates, duplicates, confounds.

Pixel-identical images have the same hash of their decoded pixels (`sha256`), over whole images. Constant
images and near-duplicates (`duplicates`) are looked for in the stored picture of each row (`face`): the image
itself (made smaller if it was large) or, in a cache extracted with a crop size, the crop, so that the rest of
such an image plays no part.
"""

import io
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from landmarkfer.data.audit_report import (
    Audit,
    Count,
    Group,
    GroupLeak,
    Groups,
    Leak,
    NearPair,
    Unreadable,
)
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.duplicates import THRESHOLD, NearPairs, count_groups, near_duplicates, pixel_groups
from landmarkfer.data.schemes import groups_by, recognised
from landmarkfer.progress import SILENT, Progress

# Large JPEGs are decoded at a fraction of their size, which shows whether they are constant.
_DECODE_SIZE = (256, 256)


def audit(cache: LandmarkCache, *, near: bool = True, progress: Progress = SILENT) -> Audit:
    """Audit a cache, complete or not.

    Args:
        cache: The cache.
        near: Whether to look for near-duplicates, which are then stored in the cache's folder.
        progress: Reports the task `looking at images` and those of `near_duplicates` and `measure_confounds`.

    Raises:
        CacheError: If a part of the cache is damaged.
    """
    # Here, since extraction reads this module and needs no statistics.
    from landmarkfer.data.confounds.measure import measure_confounds

    frame = cache.frame(["id", "label", "split", "subset", "group", "status", "error", "sha256"])
    frame = frame.astype(object).where(frame.notna(), None)
    group, first = pixel_groups(frame["sha256"])  # group [N], -1 for unreadable; first [K], rows
    constant = _constant(cache, first, progress)
    found = near_duplicates(cache, progress) if near else NearPairs.none()
    ids = frame["id"].to_numpy()
    crop = cache.manifest.settings.get("crop")
    return Audit(
        cache=str(cache.path),
        complete=cache.complete,
        rows=len(frame),
        decoded=int(np.sum(group >= 0)),
        detector=cache.manifest.detector.name,
        crop=crop,
        classes=cache.manifest.classes,
        counts=_counts(frame, cache.manifest.classes),
        distinct=len(first),
        identical=_identical(frame, group),
        near_threshold=THRESHOLD if near else None,
        near=_near_pairs(frame, found),
        near_groups=count_groups(found.pairs),
        groups=audit_groups(frame),
        leaks=_leaks(frame, group, len(first), group[found.pairs], near),
        constant=ids[np.isin(group, np.flatnonzero(constant))].tolist(),
        unreadable=[
            Unreadable(id=id_, reason=reason or "no reason given")
            for id_, reason, status in zip(frame["id"], frame["error"], frame["status"], strict=True)
            if status == "unreadable"
        ],
        confounds=measure_confounds(cache, progress).report,
    )


def _constant(cache: LandmarkCache, rows: NDArray[np.int64], progress: Progress) -> NDArray[np.bool_]:
    """Whether all pixels of the stored image are equal, of each of `rows` `[K]`, ascending."""
    constant = np.zeros(len(rows), bool)
    # Neighbouring rows lie in one part, so taking as many as a part holds reads each part about once.
    step = cache.manifest.part_rows
    for start in range(0, len(rows), step):
        for place, data in enumerate(cache.faces(rows[start : start + step]), start=start):
            if data is None:
                continue
            with Image.open(io.BytesIO(data)) as image:
                image.draft(None, _DECODE_SIZE)
                extrema = image.convert("RGB").getextrema()
            constant[place] = np.ptp(extrema, axis=1).max() == 0
        progress("looking at images", min(start + step, len(rows)), len(rows))
    return constant


def _near_pairs(frame: pd.DataFrame, found: NearPairs) -> list[NearPair]:
    ids, labels, splits = (frame[name].to_numpy() for name in ("id", "label", "split"))
    return [
        NearPair(
            first=ids[first],
            second=ids[second],
            similarity=round(similarity, 4),
            labels=[labels[first], labels[second]],
            splits=[splits[first], splits[second]],
        )
        for (first, second), similarity in zip(found.pairs.tolist(), found.similarity.tolist(), strict=True)
    ]


def _counts(frame: pd.DataFrame, classes: Sequence[str]) -> list[Count]:
    found = Counter(zip(frame["label"], frame["split"], frame["status"], strict=True))
    labels = [name for name in (*classes, None) if name in set(frame["label"])]
    splits = sorted_splits(frame["split"])
    counts = [
        Count(
            label=label, split=split, **{s: found[label, split, s] for s in ("ok", "no_face", "unreadable")}
        )
        for label in labels
        for split in splits
    ]
    return [count for count in counts if count.images]


def sorted_splits(splits: Iterable[str | None]) -> list[str | None]:
    """The splits that occur: train, val, test, others by name, None last."""
    usual = ("train", "val", "test")
    found = set(splits)
    others = sorted(name for name in found - {*usual} if name is not None)
    return [name for name in (*usual, *others, None) if name in found]


def _identical(frame: pd.DataFrame, group: NDArray[np.int64]) -> list[Group]:
    sizes = np.bincount(group[group >= 0])
    several = frame[(group >= 0) & (sizes[group] > 1)] if len(sizes) else frame.iloc[:0]
    return [
        Group(
            ids=part["id"].tolist(),
            labels=sorted(set(part["label"].dropna())),
            splits=sorted(set(part["split"].dropna())),
        )
        for _, part in several.groupby(group[several.index], sort=False)
    ]


def audit_groups(frame: pd.DataFrame) -> Groups | None:
    """The people or sequences of images, and those that lie in two splits.

    Args:
        frame: Columns `id`, `split` and `group`, a row per image.

    Returns:
        What is known of them; where no image has a group, what a scheme of file names states.
    """
    group, rule = frame["group"], None
    if group.isna().all():
        ids = frame["id"].tolist()
        scheme = recognised(ids)
        if scheme is None:
            return None
        group, rule = pd.Series(groups_by(scheme.pattern, ids), frame.index), scheme.title
    names = [name for name in sorted_splits(frame["split"]) if name is not None]
    leaks = []
    for split in reversed(names):
        mine = group[frame["split"] == split]
        for other in names:
            shared = set(mine.dropna()) & set(group[frame["split"] == other].dropna())
            if other != split and shared:
                images = int(mine.isin(shared).sum())
                leaks.append(GroupLeak(split=split, other=other, groups=sorted(shared), images=images))
    return Groups(rule=rule, groups=group.nunique(), without=int(group.isna().sum()), leaks=leaks)


def _leaks(
    frame: pd.DataFrame, group: NDArray[np.int64], n_groups: int, pairs: NDArray[np.int64], with_near: bool
) -> list[Leak]:
    names = [name for name in sorted_splits(frame["split"]) if name is not None]
    split = frame["split"].to_numpy()
    # Which splits each group of identical images is in, and which its near ones are in: [groups, splits].
    inside = np.zeros((n_groups, len(names)), bool)
    for column, name in enumerate(names):
        inside[group[(split == name) & (group >= 0)], column] = True
    beside = np.zeros_like(inside)
    np.logical_or.at(beside, pairs[:, 0], inside[pairs[:, 1]])
    np.logical_or.at(beside, pairs[:, 1], inside[pairs[:, 0]])
    leaks = []
    for name in reversed(names):  # what the test images share comes first
        for subset, rows in frame[(split == name) & (group >= 0)].groupby("subset", dropna=False):
            own = group[rows.index]
            for column, other in enumerate(names):
                if other == name:
                    continue
                identical = inside[own, column]
                near = int(np.sum(beside[own, column] & ~identical))
                if identical.any() or near:
                    leaks.append(
                        Leak(
                            split=name,
                            subset=None if pd.isna(subset) else str(subset),
                            other=other,
                            identical=int(identical.sum()),
                            near=near if with_near else None,
                        )
                    )
    return leaks
