"""Which images one of two systems predicts correctly and the other does not, with both predictions."""

import numpy as np
import pandas as pd

from landmarkfer.evaluation.compare.statistics import DIFFERENCE_COLUMNS, Pair


def image_disagreements(pair: Pair) -> pd.DataFrame:
    """What both systems predict for each image, and which images are won or lost.

    Returns:
        By `id`: `label`, categories in the order of the classes; of both systems (`_first`, `_second`)
        `right`, the share of seeds that is right, `predicted`, the class that most seeds predict,
        `confidence`, its mean probability, and `label_p`, that of the label; and `outcome`: `won` if more
        than half of the seeds of the first system and less than half of the second are right, `lost` for the
        reverse, else `even`.
    """
    label = pd.Categorical(np.array(pair.classes, object)[pair.labels], list(pair.classes), ordered=True)
    frame = pd.DataFrame({"label": label}, index=pd.Index(pair.ids, name="id"))
    rows = np.arange(len(frame))
    sides = zip(("first", "second"), pair.right, pair.predicted, pair.probabilities, strict=True)
    for name, right, predicted, probabilities in sides:
        # Of classes that equally many seeds predict, the more probable one; no probability outweighs a seed.
        gap = np.min(predicted[predicted > 0])
        most = (predicted + gap * probabilities / 2).argmax(axis=1)
        frame[f"right_{name}"] = right
        frame[f"predicted_{name}"] = np.array(pair.classes, object)[most]
        frame[f"confidence_{name}"] = probabilities[rows, most]
        frame[f"label_p_{name}"] = probabilities[rows, pair.labels]
    first, second = pair.right
    frame["outcome"] = np.select(
        [(first > 0.5) & (second < 0.5), (first < 0.5) & (second > 0.5)], ["won", "lost"], "even"
    )
    return frame


def clearest(disagreements: pd.DataFrame, outcome: str, limit: int) -> pd.DataFrame:
    """The clearest images of an outcome, spread over the classes.

    Args:
        disagreements: From `image_disagreements`.
        outcome: `won` or `lost`.
        limit: How many at most; a class with few of them leaves its places to the others.

    Returns:
        Rows of `disagreements`, class by class, the clearest first: by the share of seeds, then by how much
        more probable the right system finds the label.
    """
    labels = disagreements["label"].astype(object)
    first, second = (disagreements[f"predicted_{name}"] == labels for name in ("first", "second"))
    # Seeds that all predict something else may predict the label on average: a picture would show nothing.
    rows = disagreements[(disagreements["outcome"] == outcome) & (first != second)]
    sign = 1 if outcome == "won" else -1
    margins = pd.DataFrame(
        {
            "label": rows["label"],
            "right": -sign * (rows["right_first"] - rows["right_second"]),
            "confidence": -sign * (rows["label_p_first"] - rows["label_p_second"]),
        }
    ).sort_values(["label", "right", "confidence"], kind="stable")
    margins["place"] = margins.groupby("label", observed=True).cumcount()
    kept = margins.sort_values(["place", "right", "confidence"], kind="stable").head(limit)
    return rows.loc[kept.sort_values(["label", "place"], kind="stable").index]


def disagreement_rows(disagreements: pd.DataFrame) -> pd.DataFrame:
    """How many images are won and lost, as shares of all images and of those of each class.

    Args:
        disagreements: From `image_disagreements`.

    Returns:
        Rows with `DIFFERENCE_COLUMNS` of the part `image`, without intervals and tests: `first` is the share
        of images that are won, `second` of those that are lost.
    """
    labels = disagreements["label"].astype(str)
    classes = [name for name in disagreements["label"].cat.categories if (labels == name).any()]
    rows = []
    for name in ("", *classes):
        outcomes = disagreements.loc[labels == name if name else labels.index, "outcome"]
        won, lost = ((outcomes == outcome).mean() for outcome in ("won", "lost"))
        rows.append(("image", name, "", "alone", len(outcomes), won, lost, won - lost))
    table = pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS[:8]))
    return table.assign(**dict.fromkeys(DIFFERENCE_COLUMNS[8:], np.nan))
