import numpy as np
import pandas as pd
import pytest

from landmarkfer.data.confounds.features import (
    ANOTHER,
    ASPECT,
    BRIGHTNESS,
    COLOUR,
    DETECTIONS,
    FACE,
    FORMAT,
    SIZE,
    VIEW,
    binned,
    feature_values,
    place_of,
    pooled,
)


def test_numbers_are_binned_by_quantiles():
    numbers = np.append(np.arange(100.0), np.nan)
    found = binned(numbers, np.ones(101, bool), digits=0)
    values, counts = np.unique(found[:-1].astype(str), return_counts=True)
    assert set(values) == {"below 20", "20 to 40", "40 to 59", "59 to 79", "79 or more"}
    assert counts.min() >= 19
    assert found[-1] is None
    assert found[20] == "20 to 40", "an edge belongs to the range above it"


def test_a_frequent_number_is_a_category_of_its_own():
    numbers = np.concatenate([np.ones(90), np.linspace(0.6, 1.4, 50)])
    found = binned(numbers, np.ones(140, bool), digits=2)
    assert (found[:90] == "1.00").all()
    assert "1.00" not in found[90:]
    assert len(set(found[90:])) == 5


def test_only_counted_images_decide_on_bins_and_pools():
    numbers = np.concatenate([np.arange(100.0), np.full(900, 1000.0)])
    counted = np.arange(1000) < 100
    assert binned(numbers, counted, digits=0)[-1] == "79 or more"
    values = np.array(["a"] * 12 + ["b"] * 12 + ["c"] * 50, dtype=object)
    assert set(pooled(values, np.arange(74) < 24)) == {"a", "b", ANOTHER}


def test_numbers_that_are_all_equal_or_missing():
    assert set(binned(np.full(5, 2.0), np.ones(5, bool), digits=0)) == {"2"}
    assert set(binned(np.full(5, np.nan), np.ones(5, bool), digits=0)) == {None}


def test_rare_values_are_pooled():
    values = np.array(["a"] * 10 + ["b"] * 9 + [None], dtype=object)
    found = pooled(values, np.ones(20, bool))
    assert found.tolist() == ["a"] * 10 + [ANOTHER] * 9 + [None]
    many = np.repeat([f"v{n:02}" for n in range(30)], np.arange(40, 10, -1)).astype(object)
    assert set(pooled(many, np.ones(len(many), bool))) == {f"v{n:02}" for n in range(20)} | {ANOTHER}


def test_ranges_have_an_order():
    ranges = ["79 or more", "20 to 40", "below 20", "40 to 59"]
    assert sorted(ranges, key=place_of) == ["below 20", "20 to 40", "40 to 59", "79 or more"]


@pytest.fixture
def values():
    frame = pd.DataFrame(
        {
            "width": [40, 40, np.nan],
            "height": [50, 50, np.nan],
            "status": ["ok", "no_face", "unreadable"],
            "attempts": ["frame+25%@0.5=0 frame+10%@0.3=2 close-up*1.6m@0.3=1", "frame+25%@0.5=0", None],
            "detections": [2, 0, 0],
        }
    )
    pictures = pd.DataFrame(
        {"brightness": [10, 20, np.nan], "contrast": [1, 2, np.nan], "chroma": [0.5, 30, np.nan]}
    ).assign(format=pd.Series(["PNG", "JPEG", None], dtype=object))
    frame, pictures = (pd.concat([one] * 12, ignore_index=True) for one in (frame, pictures))
    return feature_values(
        frame, pictures, ["p"] * 36, ["f"] * 36, ["GIF", None, None] * 12, np.ones(36, bool)
    )


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        (SIZE, ["40 x 50", "40 x 50", None]),
        (ASPECT, ["0.80", "0.80", None]),
        (COLOUR, ["grey", "in colour", None]),
        (BRIGHTNESS, ["10", "20", None]),
        (FORMAT, ["GIF", "JPEG", None]),
        (FACE, ["with a face", "without a face", "unreadable"]),
        (VIEW, ["frame+10%", None, None]),
        (DETECTIONS, ["2 detections", None, None]),
    ],
)
def test_values_of_images(values, feature, expected):
    assert values[feature][:3].tolist() == expected
