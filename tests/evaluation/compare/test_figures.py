import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmarkfer.evaluation.compare.figures import BLUE, ORANGE, draw_differences, draw_slices
from landmarkfer.evaluation.compare.statistics import confusion_differences, pair_systems, slice_differences
from landmarkfer.metrics.predictions import Predictions

CLASSES = ("happy", "sad", "angry")
FEW = {"resamples": 100, "permutations": 499}


def pair_of(better, images=300, seed=0):
    """Two systems; the first, or the second, is right where the other is by chance."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(CLASSES, images)
    systems = []
    for share in (0.9, 0.4) if better == "first" else (0.4, 0.9):
        predicted = np.where(rng.random(images) < share, labels, rng.choice(CLASSES, images))
        ids = [f"{number:03}" for number in range(images)]
        table = pd.DataFrame({"id": ids, "label": labels, "predicted": predicted, "status": "ok"})
        for name in CLASSES:
            table[f"p_{name}"] = np.where(predicted == name, 0.8, 0.1)
        systems.append([Predictions.from_frame(table)])
    return pair_systems(*systems)


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).reshape(-1, 3)


def share(colours, hexadecimal):
    wanted = [int(hexadecimal[start : start + 2], 16) for start in (1, 3, 5)]
    return np.mean((colours == wanted).all(axis=1))


@pytest.mark.parametrize(("better", "more", "less"), [("first", BLUE, ORANGE), ("second", ORANGE, BLUE)])
def test_dots_have_the_colour_of_the_better_system(tmp_path, better, more, less):
    pair = pair_of(better)
    draw_differences(tmp_path / "d", confusion_differences(pair, **FEW), ("one", "other"), CLASSES)
    colours = pixels(tmp_path / "d")
    assert len(colours) > 500_000
    left = np.reshape(colours, (-1, 3))
    assert share(left, more) > 1.5 * share(left, less) > 0
    measures = pd.DataFrame({"size": np.arange(300.0)}, index=pair.ids)
    draw_slices(tmp_path / "s", slice_differences(pair, measures, **FEW), ("one", "other"))
    colours = pixels(tmp_path / "s")
    assert share(colours, more) > 1.5 * share(colours, less) > 0


def test_a_small_slice_beyond_the_axis_and_a_class_that_is_missing_are_drawn(tmp_path):
    pair = pair_of("first")
    hard = np.arange(300) < 5
    measures = pd.DataFrame({"face": np.where(hard, "not found", "found")}, index=pair.ids)
    draw_slices(tmp_path / "s", slice_differences(pair, measures, **FEW), ("one", "other"))
    names = (*CLASSES, "fear")
    draw_differences(tmp_path / "d", confusion_differences(pair, **FEW), ("one", "other"), names)
    for name in "sd":
        assert np.std(pixels(tmp_path / name)) > 10


def test_equal_systems_can_be_drawn(tmp_path):
    pair = pair_of("first")
    table = pd.DataFrame({"id": pair.ids, "label": np.array(CLASSES)[pair.labels], "status": "ok"})
    table["predicted"] = table["label"]
    for name in CLASSES:
        table[f"p_{name}"] = (table["label"] == name).astype(float)
    same = [Predictions.from_frame(table)]
    equal = pair_systems(same, same)
    measures = pd.DataFrame({"size": np.arange(300.0)}, index=equal.ids)
    draw_differences(tmp_path / "d", confusion_differences(equal, **FEW), ("one", "other"), CLASSES)
    draw_slices(tmp_path / "s", slice_differences(equal, measures, **FEW), ("one", "other"))
    assert all(np.std(pixels(tmp_path / name)) > 5 for name in "ds")
