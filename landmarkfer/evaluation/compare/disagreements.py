"""Which images one of two systems tells right and the other does not, and what both say of each."""

import numpy as np
import pandas as pd

from landmarkfer.evaluation.compare.statistics import Pair


def image_outcomes(pair: Pair) -> pd.DataFrame:
    """What both systems say of each image, and which ones are won or lost.

    Returns:
        By `id`: `label`, categories in the order of the classes; of both systems (`_first`, `_second`)
        `right`, the share of seeds that is right, `told`, the class that most seeds tell, `sure`, its mean
        probability, and `label_p`, that of the label; and `outcome`: `won` if most seeds of the first system
        and few of the second are right, that is, more than half and less than half, `lost` for the reverse,
        else `even`.
    """
    label = pd.Categorical(np.array(pair.classes, object)[pair.labels], list(pair.classes), ordered=True)
    frame = pd.DataFrame({"label": label}, index=pd.Index(pair.ids, name="id"))
    rows = np.arange(len(frame))
    sides = zip(("first", "second"), pair.right, pair.told, pair.probabilities, strict=True)
    for name, right, told, probabilities in sides:
        # Of classes that equally many seeds tell, the more probable one; no probability outweighs a seed.
        gap = np.min(told[told > 0])
        most = (told + gap * probabilities / 2).argmax(axis=1)
        frame[f"right_{name}"] = right
        frame[f"told_{name}"] = np.array(pair.classes, object)[most]
        frame[f"sure_{name}"] = probabilities[rows, most]
        frame[f"label_p_{name}"] = probabilities[rows, pair.labels]
    first, second = pair.right
    frame["outcome"] = np.select(
        [(first > 0.5) & (second < 0.5), (first < 0.5) & (second > 0.5)], ["won", "lost"], "even"
    )
    return frame


def clearest(outcomes: pd.DataFrame, outcome: str, limit: int) -> pd.DataFrame:
    """The clearest images of an outcome, spread over the classes.

    Args:
        outcomes: From `image_outcomes`.
        outcome: `won` or `lost`.
        limit: How many at most; a class with few of them leaves its places to the others.

    Returns:
        Rows of `outcomes`, class by class, the clearest first: by the share of seeds, then by how much more
        probable the right system finds the label.
    """
    labels = outcomes["label"].astype(object)
    first, second = (outcomes[f"told_{name}"] == labels for name in ("first", "second"))
    # Seeds that all tell something else may on the average tell the label: of that, a picture says nothing.
    rows = outcomes[(outcomes["outcome"] == outcome) & (first != second)]
    sign = 1 if outcome == "won" else -1
    margins = pd.DataFrame(
        {
            "label": rows["label"],
            "right": -sign * (rows["right_first"] - rows["right_second"]),
            "sure": -sign * (rows["label_p_first"] - rows["label_p_second"]),
        }
    ).sort_values(["label", "right", "sure"], kind="stable")
    margins["place"] = margins.groupby("label", observed=True).cumcount()
    kept = margins.sort_values(["place", "right", "sure"], kind="stable").head(limit)
    return rows.loc[kept.sort_values(["label", "place"], kind="stable").index]
