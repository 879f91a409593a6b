"""Prediction tables: what a model said of each image, checked, and averaged into an ensemble.

A prediction table has one row per image, whether a face was found in it or not:

| column | meaning |
| --- | --- |
| `id` | the image, unique |
| `label`, `predicted` | class names |
| `p_<class>` | probability of each class, rows sum to 1 |
| `status` | `ok`, `no_face` or `unreadable` |
| `subset` | optional: the data set's own name for a part, of which `public` and `private` are reported |
| `temperature` | optional: what the probabilities were tempered by; 1 where only the prior speaks |
| `set_<class>` | optional: whether the class is in the set of labels of coverage `conformal.STATED` |
| `clean` | optional: whether no pixel-identical image is in the training split; null where not known |
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from landmarkfer.errors import RunError

PREFIX = "p_"
SET_PREFIX = "set_"
TEMPERATURE = "temperature"
STATUSES = ("ok", "no_face", "unreadable")


def probability_columns(classes: Sequence[str]) -> list[str]:
    """Names of the probability columns, in the order of `classes`."""
    return [PREFIX + name for name in classes]


def probability_columns_of(frame: pd.DataFrame) -> list[str]:
    """Names of the probability columns that a table has, in its order."""
    return [name for name in map(str, frame.columns) if name.startswith(PREFIX)]


def set_columns(classes: Sequence[str]) -> list[str]:
    """Names of the columns of label sets, in the order of `classes`."""
    return [SET_PREFIX + name for name in classes]


def without_sets(frame: pd.DataFrame) -> pd.DataFrame:
    """A prediction table without its label sets."""
    return frame.loc[:, [not str(name).startswith(SET_PREFIX) for name in frame.columns]]


def predicted_confidence(frame: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.float64]:
    """Probability `[N]` that was given to the class that was predicted."""
    columns = pd.Categorical(frame["predicted"], categories=list(classes)).codes
    return frame[probability_columns(classes)].to_numpy(dtype=float)[np.arange(len(frame)), columns]


def check_predictions(frame: pd.DataFrame, classes: Sequence[str]) -> None:
    """Raise RunError unless `frame` is a prediction table over `classes` with a label in every row."""
    needed = ["id", "label", "predicted", "status", *probability_columns(classes)]
    if missing := [name for name in needed if name not in frame]:
        raise RunError(
            f"The prediction table has no column {', '.join(missing)}; it needs {', '.join(needed)}."
        )
    if extra := sorted(set(probability_columns_of(frame)) - set(needed)):
        raise RunError(
            f"The prediction table has {', '.join(extra)}, but the classes are {', '.join(classes)}."
        )
    if frame.empty:
        raise RunError("There is no image to evaluate: the prediction table is empty.")
    if frame["id"].duplicated().any():
        twice = frame.loc[frame["id"].duplicated(), "id"].iloc[0]
        raise RunError(f"The prediction table holds {twice} more than once.")
    if unlabelled := int(frame["label"].isna().sum()):
        raise RunError(f"{unlabelled} of {len(frame)} images have no label; evaluate labelled images only.")
    for column, allowed in (("label", classes), ("predicted", classes), ("status", STATUSES)):
        if unknown := sorted(set(map(str, frame[column])) - set(allowed)):
            raise RunError(f"Unknown {column} {', '.join(unknown)}; expected one of {', '.join(allowed)}.")
    p = frame[probability_columns(classes)].to_numpy(dtype=float)
    good: NDArray[np.bool_] = (p >= 0).all(axis=1) & np.isclose(p.sum(axis=1), 1, atol=1e-3)
    if not good.all():
        raise RunError(
            f"The probabilities of {np.sum(~good)} images are negative, missing or do not sum to 1."
        )


def read_predictions(path: Path) -> pd.DataFrame:
    """A prediction table that anybody has written, as CSV or Parquet.

    It needs `id`, `label` and the probabilities. Where there is no `predicted`, that is the most probable
    class; where there is no `status`, every image has a face.

    Raises:
        RunError: The file cannot be read, or holds no prediction table.
    """
    try:
        csv = path.suffix.lower() == ".csv"
        table = pd.read_csv(path, dtype={"id": str, "label": str}) if csv else pd.read_parquet(path)
    except (OSError, ValueError) as error:  # of Arrow and of CSV alike
        raise RunError(f"{path} is no readable CSV or Parquet file ({error}).") from error
    columns = probability_columns_of(table)
    table.attrs = {}
    if columns and "predicted" not in table:
        names = np.array([name.removeprefix(PREFIX) for name in columns])
        table["predicted"] = names[table[columns].to_numpy(dtype=float).argmax(axis=1)]
    if "status" not in table:
        table["status"] = "ok"
    try:
        check_predictions(table, [name.removeprefix(PREFIX) for name in columns])
    except RunError as error:
        raise RunError(f"{path}: {error}") from error
    return table.astype(dict.fromkeys(columns, "float64"))


def average_predictions(
    frames: Sequence[pd.DataFrame], weights: Sequence[float] | NDArray[np.float64] | None = None
) -> pd.DataFrame:
    """Ensemble: the mean of the probabilities of several models on the same images.

    Rows are aligned by id and follow the first table, as do the order of classes and the optional columns.
    Temperatures and label sets are left out: they belong to one model.
    `predicted` is the class of the highest mean. An image counts as `ok` if any member had a face in it, and
    as `unreadable` only if it was so for all, which matters when the members come from different detectors.

    Args:
        frames: Prediction tables as described at the top of this module.
        weights: How much each counts, of sum 1; all alike if None.

    Raises:
        RunError: If there is no table, or they differ in ids, labels or classes.
    """
    aligned = check_same_images(frames)
    first = aligned[0]
    columns = probability_columns_of(first)
    shares = np.full(len(aligned), 1 / len(aligned)) if weights is None else np.asarray(weights, float)
    mean = np.tensordot(shares, [table[columns].to_numpy(dtype=float) for table in aligned], axes=1)
    found = np.any([table["status"] == "ok" for table in aligned], axis=0)
    unreadable = np.all([table["status"] == "unreadable" for table in aligned], axis=0)
    result = without_sets(first).drop(columns=TEMPERATURE, errors="ignore")
    result[columns] = mean
    result["predicted"] = np.array([name.removeprefix(PREFIX) for name in columns])[mean.argmax(axis=1)]
    result["status"] = np.select([found, unreadable], ["ok", "unreadable"], "no_face")
    return result.reset_index()


def check_same_images(frames: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """The tables by id, in the order of the first one.

    Raises:
        RunError: If there is no table, or they differ in ids, labels or classes.
    """
    if not frames:
        raise RunError("An ensemble needs at least one prediction table.")
    tables = [frame.set_index("id") for frame in frames]
    first, ids = tables[0], tables[0].index
    columns = probability_columns_of(first)
    for number, table in enumerate(tables, start=1):
        if set(columns) != set(probability_columns_of(table)):
            raise RunError(
                f"Prediction tables 1 and {number} have different classes; an ensemble needs the same."
            )
        if len(table) != len(ids) or not table.index.is_unique or set(table.index) != set(ids):
            raise RunError(
                f"Prediction tables 1 and {number} are about different images; an ensemble needs the same."
            )
        if list(table.loc[ids, "label"].fillna("")) != list(first["label"].fillna("")):
            raise RunError(f"Prediction tables 1 and {number} give different labels to the same images.")
    return [table.loc[ids] for table in tables]


def label_columns(frame: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.int64]:
    """The number of each label among `classes`, `[N]`."""
    return pd.Categorical(frame["label"], categories=list(classes)).codes.astype(np.int64)
