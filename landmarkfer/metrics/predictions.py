"""Predictions of a model, or of an ensemble, on images: as arrays and as a table.

The table, in `predictions.parquet` and in anybody's CSV or Parquet file, has one row per image, whether a
face was found in it or not:

| column | meaning |
| --- | --- |
| `id` | the image, unique |
| `label`, `predicted` | class names |
| `p_<class>` | probability of each class, rows sum to 1 |
| `status` | `ok`, `no_face` or `unreadable` |
| `subset` | optional: the data set's own name for a part, of which `public` and `private` are reported |
| `u_<class>` | optional: probability of each class before calibration; the highest is the predicted one |
| `set_<class>` | optional: whether the class is in the prediction set of coverage `sets.STATED` |
| `clean` | optional: whether no pixel-identical image is in the training split; null where not known |
| `group` | optional: the person, the sequence or the video that the image is of; null where not known |
| `clean_near` | optional: whether no near-duplicate is in it either; null where not known |
| `cache` | optional: of which of several caches the image is, by name |
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from landmarkfer.errors import RunError
from landmarkfer.files import replacing
from landmarkfer.progress import counted

STATUSES = ("ok", "no_face", "unreadable")
UNKNOWN = -1
"""Label of an image without one."""
_PROBABILITY, _UNCALIBRATED, _SET = "p_", "u_", "set_"
ARRAYS = (
    *("ids", "labels", "predicted", "probabilities", "status"),
    *("uncalibrated", "sets", "subset", "clean", "groups", "clean_near", "caches"),
)
"""What `Predictions` holds by image."""
# What this version of pandas keeps text in, so that a column of nulls is written as text too.
_TEXT = pd.Series([""]).dtype

Strings = NDArray[np.object_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions on `N` images of `C` classes.

    Attributes:
        ids: Str `[N]`, unique.
        labels: Int `[N]`, numbers of the true classes, `UNKNOWN` where there is none.
        predicted: Int `[N]`, numbers of the predicted classes: the most probable ones of `uncalibrated`, or
            else of `probabilities`, as long as none is rounded, as archives do.
        probabilities: `[N, C]`, rows sum to 1.
        classes: `C` names.
        status: Str `[N]`, of `STATUSES`.
        uncalibrated: `[N, C]`, rows sum to 1: what the model gave before its probabilities were calibrated.
        sets: Bool `[N, C]`, the prediction sets.
        subset: Str or None `[N]`, the data set's own name for a part.
        clean: True, False or None `[N]`, whether no pixel-identical image is in the training split.
        groups: Str or None `[N]`, the person, the sequence or the video that the image is of.
        clean_near: The same of near-duplicates (`data.duplicates`) and pixel-identical images.
        caches: Str `[N]`, the name of the cache that the image is of, where there are several.

    Raises:
        RunError: Arrays do not fit each other, an id occurs twice, a status is unknown, nothing is predicted
            of an image, or a row holds no probabilities.
    """

    ids: Strings
    labels: Ints
    predicted: Ints
    probabilities: Floats
    classes: tuple[str, ...]
    status: Strings
    uncalibrated: Floats | None = None
    sets: Bools | None = None
    subset: Strings | None = None
    clean: Strings | None = None
    groups: Strings | None = None
    clean_near: Strings | None = None
    caches: Strings | None = None

    def __post_init__(self) -> None:
        # By column, as tables keep them: the last digit of a sum over classes depends on the order in memory.
        object.__setattr__(self, "probabilities", np.asarray(self.probabilities, dtype=float, order="F"))
        self._check()

    def _check(self) -> None:
        images, classes = len(self.ids), len(self.classes)
        for name in ARRAYS:
            value = getattr(self, name)
            by_class = name in ("probabilities", "uncalibrated", "sets")
            wanted = (images, classes) if by_class else (images,)
            if value is not None and value.shape != wanted:
                raise RunError(f"Predictions need {name} of shape {wanted}, not {value.shape}.")
        index = pd.Index(self.ids)
        if index.has_duplicates:
            raise RunError(f"The predictions hold {index[index.duplicated()][0]} more than once.")
        if (self.predicted < 0).any():
            raise RunError(f"No prediction for {np.sum(self.predicted < 0)} of {counted(images, 'image')}.")
        if unknown := sorted(set(map(str, self.status)) - set(STATUSES)):
            raise RunError(f"Unknown status {', '.join(unknown)}; expected one of {', '.join(STATUSES)}.")
        for p in (self.probabilities, self.ranking):
            good = (p >= 0).all(axis=1) & np.isclose(p.sum(axis=1), 1, atol=1e-3)
            if not good.all():
                raise RunError(
                    f"The probabilities of {counted(int(np.sum(~good)), 'image')} are negative, missing or "
                    "do not sum to 1."
                )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def confidence(self) -> Floats:
        """Probability `[N]` of the predicted class."""
        return self.probabilities[np.arange(len(self)), self.predicted]

    @property
    def ranking(self) -> Floats:
        """Probabilities `[N, C]` whose highest is the predicted class: the uncalibrated ones, where known."""
        return self.probabilities if self.uncalibrated is None else self.uncalibrated

    @property
    def correct(self) -> Bools:
        """Bool `[N]`, whether the predicted class is the label."""
        return self.predicted == self.labels

    @property
    def found(self) -> Bools:
        """Bool `[N]`, whether a face was found."""
        return self.status == "ok"

    def rows(self, index: ArrayLike) -> "Predictions":
        """Some of the images, by a mask `[N]` or by row numbers."""
        rows = np.asarray(index)
        chosen = {name: value[rows] for name in ARRAYS if (value := getattr(self, name)) is not None}
        return replace(self, **chosen)

    def by_class(self, classes: Sequence[str]) -> "Predictions":
        """The same predictions with the classes in another order.

        Raises:
            RunError: These are other classes.
        """
        if tuple(classes) == self.classes:
            return self
        if sorted(classes) != sorted(self.classes):
            raise RunError(
                f"The predictions are of {', '.join(self.classes)}, but the classes are {', '.join(classes)}."
            )
        order = [self.classes.index(name) for name in classes]
        number = np.append(np.argsort(order), UNKNOWN)  # of a class in the new order; UNKNOWN stays
        return replace(
            self,
            classes=tuple(classes),
            labels=number[self.labels],
            predicted=number[self.predicted],
            probabilities=self.probabilities[:, order],
            uncalibrated=None if self.uncalibrated is None else self.uncalibrated[:, order],
            sets=None if self.sets is None else self.sets[:, order],
        )

    def without_sets(self) -> "Predictions":
        """The same predictions without the prediction sets."""
        return replace(self, sets=None)

    def to_frame(self) -> pd.DataFrame:
        """The table, with the columns stated at the top of this module, in the order of the images."""
        names = np.array([*self.classes, None], dtype=object)  # UNKNOWN is the last
        frame = pd.DataFrame(
            {
                "id": pd.Series(self.ids, dtype=_TEXT),
                "label": pd.Series(names[self.labels], dtype=_TEXT),
                "predicted": pd.Series(names[self.predicted], dtype=_TEXT),
                "status": pd.Series(self.status, dtype=_TEXT),
            }
        )
        if self.subset is not None:
            frame["subset"] = pd.Series(self.subset, dtype=_TEXT)
        frame[[_PROBABILITY + name for name in self.classes]] = self.probabilities
        if self.uncalibrated is not None:
            frame[[_UNCALIBRATED + name for name in self.classes]] = self.uncalibrated
        if self.sets is not None:
            frame[[_SET + name for name in self.classes]] = self.sets
        if self.groups is not None:
            frame["group"] = pd.Series(self.groups, dtype=_TEXT)
        if self.caches is not None:
            frame["cache"] = pd.Series(self.caches, dtype=_TEXT)
        for name in ("clean", "clean_near"):
            values = getattr(self, name)
            if values is not None:
                known = all(value is not None for value in values)
                frame[name] = values.astype(bool) if known else values
        return frame

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, classes: Sequence[str] | None = None) -> "Predictions":
        """Predictions from their table; further columns are passed over.

        Where there is no column `predicted`, that is the most probable class of `u_<class>`, or else of
        `p_<class>`; where there is no `status`, every image has a face.

        Args:
            frame: The table, with `id`, `label` and `p_<class>` at least.
            classes: In the order wanted; by default those of the table, in its order.

        Raises:
            RunError: A column is missing, or its values do not fit.
        """
        there = [str(name).removeprefix(_PROBABILITY) for name in frame if str(name).startswith(_PROBABILITY)]
        classes = tuple(there if classes is None else classes)
        columns = [_PROBABILITY + name for name in classes]
        needed = ["id", "label", *(columns or [f"{_PROBABILITY}<class>"])]
        if missing := [name for name in needed if name not in frame]:
            raise RunError(
                f"The prediction table has no column {', '.join(missing)}; it needs {', '.join(needed)}."
            )
        if extra := [_PROBABILITY + name for name in there if name not in classes]:
            raise RunError(
                f"The prediction table has {', '.join(sorted(extra))}, but the classes are "
                f"{', '.join(classes)}."
            )
        sets, ranking = ([prefix + name for name in classes] for prefix in (_SET, _UNCALIBRATED))
        probabilities = frame[columns].to_numpy(dtype=float)
        uncalibrated = frame[ranking].to_numpy(dtype=float) if set(ranking) <= set(frame) else None
        predicted = (probabilities if uncalibrated is None else uncalibrated).argmax(axis=1)
        if "predicted" in frame:
            predicted = _numbers(frame["predicted"], classes)
        return cls(
            ids=frame["id"].astype(str).to_numpy(object),
            labels=_numbers(frame["label"], classes),
            predicted=predicted,
            probabilities=probabilities,
            classes=classes,
            status=_objects(frame["status"]) if "status" in frame else np.full(len(frame), "ok", object),
            uncalibrated=uncalibrated,
            sets=frame[sets].to_numpy(dtype=bool) if set(sets) <= set(frame) else None,
            subset=_objects(frame["subset"]) if "subset" in frame else None,
            clean=_booleans(frame["clean"]) if "clean" in frame else None,
            groups=_objects(frame["group"].astype("string")) if "group" in frame else None,
            clean_near=_booleans(frame["clean_near"]) if "clean_near" in frame else None,
            caches=_objects(frame["cache"].astype("string")) if "cache" in frame else None,
        )


def _numbers(names: pd.Series, classes: Sequence[str]) -> Ints:
    """Numbers of the classes named, `UNKNOWN` for null."""
    if unknown := sorted(set(map(str, names.dropna())) - set(classes)):
        raise RunError(
            f"Unknown {names.name} {', '.join(unknown)}; expected one of {', '.join(map(str, classes))}."
        )
    return pd.Categorical(names.astype(object), categories=list(classes)).codes.astype(np.int64)


def _objects(values: pd.Series) -> Strings:
    """Values with None for null."""
    return values.astype(object).where(values.notna(), None).to_numpy(object)


def _booleans(values: pd.Series) -> Strings:
    objects = _objects(values)
    found = np.full(len(objects), None, object)
    for known in (True, False):
        found[objects == known] = known
    return found


def read_predictions(path: Path, classes: Sequence[str] | None = None) -> Predictions:
    """Predictions of labelled images that anybody has written, as CSV or Parquet.

    Args:
        path: The file; its columns are those stated at the top of this module.
        classes: See `Predictions.from_frame`.

    Raises:
        RunError: The file cannot be read, holds no prediction table, or an image without a label.
    """
    try:
        csv = path.suffix.lower() == ".csv"
        table = (
            pd.read_csv(path, dtype={"id": str, "label": str, "group": str, "cache": str})
            if csv
            else pd.read_parquet(path)
        )
    except (OSError, ValueError) as error:  # of Arrow and of CSV alike
        raise RunError(f"{path} is no readable CSV or Parquet file ({error}).") from error
    try:
        predictions = Predictions.from_frame(table, classes)
        check_labelled(predictions)
    except RunError as error:
        raise RunError(f"{path}: {error}") from error
    return predictions


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write the table of predictions as Parquet, under a temporary name first."""
    with replacing(path) as partial:
        predictions.to_frame().to_parquet(partial, index=False)


def check_labelled(predictions: Predictions) -> None:
    """Raise RunError unless there is an image, and every image has a label."""
    if not len(predictions):
        raise RunError("There is no image to evaluate: the prediction table is empty.")
    if unlabelled := int(np.sum(predictions.labels == UNKNOWN)):
        raise RunError(
            f"No label for {unlabelled} of {counted(len(predictions), 'image')}; evaluate labelled "
            "images only."
        )
