import numpy as np
import pandas as pd
import pytest

from landmarkfer.evaluation.compare.disagreements import clearest, image_disagreements
from landmarkfer.evaluation.compare.statistics import pair_systems
from landmarkfer.metrics.predictions import Predictions

CLASSES = ("happy", "sad", "angry")
SHORT = dict(zip("hsa", CLASSES, strict=True))


def predictions(predicted, labels, sure=0.8):
    """Predictions by letters; the other classes share what is left of the probability."""
    frame = pd.DataFrame(
        {
            "id": [f"{number:03}" for number in range(len(predicted))],
            "label": [SHORT[one] for one in labels],
            "predicted": [SHORT[one] for one in predicted],
            "status": "ok",
        }
    )
    for name in CLASSES:
        frame[f"p_{name}"] = np.where(frame["predicted"] == name, sure, (1 - sure) / 2)
    return Predictions.from_frame(frame)


def test_most_seeds_against_few():
    firsts = [predictions("hhhs", "hhhh"), predictions("hhss", "hhhh"), predictions("hsss", "hhhh")]
    seconds = [predictions("sssh", "hhhh"), predictions("ssha", "hhhh"), predictions("hhha", "hhhh")]
    disagreements = image_disagreements(pair_systems(firsts, seconds))
    assert disagreements["right_first"].tolist() == pytest.approx([1, 2 / 3, 1 / 3, 0])
    assert disagreements["right_second"].tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1 / 3])
    assert disagreements["outcome"].tolist() == ["won", "won", "lost", "even"]
    assert disagreements["predicted_second"].tolist() == ["sad", "sad", "happy", "angry"]
    assert disagreements["confidence_second"].iloc[0] == pytest.approx((0.8 + 0.8 + 0.1) / 3)
    assert disagreements["label_p_second"].iloc[0] == pytest.approx((0.1 + 0.1 + 0.8) / 3)


def test_half_of_the_seeds_is_neither_most_nor_few():
    disagreements = image_disagreements(
        pair_systems([predictions("hh", "hh"), predictions("sh", "hh")], [predictions("ss", "hh")])
    )
    assert disagreements["outcome"].tolist() == ["even", "won"]


def test_of_classes_told_equally_often_the_more_probable_counts():
    disagreements = image_disagreements(
        pair_systems([predictions("h", "h", 0.6), predictions("s", "h", 0.9)], [predictions("s", "h")])
    )
    assert disagreements["predicted_first"].tolist() == ["sad"]


def test_clearest_first_and_spread_over_classes():
    labels = "hhhhhhss"
    sure = np.array([0.5, 0.9, 0.6, 0.7, 0.55, 0.65, 0.5, 0.95])
    frame = predictions(labels, labels).to_frame()
    frame["p_happy"] = np.where(frame["label"] == "happy", sure, 1 - sure)
    frame["p_sad"], frame["p_angry"] = 1 - frame["p_happy"], 0.0
    first = Predictions.from_frame(frame)
    pair = pair_systems([first], [predictions("aaaaaaaa", labels)])
    chosen = clearest(image_disagreements(pair), "won", 5)
    assert chosen.index.tolist() == ["001", "003", "005", "007", "006"]
    assert clearest(image_disagreements(pair), "lost", 5).empty


def test_where_both_tell_the_label_on_average_nothing_is_to_be_seen():
    seeds = [predictions("h", "h", 0.9), predictions("s", "h", 0.5), predictions("a", "h", 0.5)]
    disagreements = image_disagreements(pair_systems([predictions("h", "h")], seeds))
    assert disagreements["predicted_second"].tolist() == ["happy"]
    assert disagreements["outcome"].tolist() == ["won"]
    assert clearest(disagreements, "won", 5).empty
