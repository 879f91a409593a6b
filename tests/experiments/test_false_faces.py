"""The pictures that `experiments/false_faces.py` makes, and the report of what came of them."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmarkfer.reporting.markdown import read_header

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("false_faces", EXPERIMENTS / "false_faces.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """160 grey images of 48 pixels, as FER2013 has them."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for number in range(160):
        Image.fromarray(rng.integers(0, 256, (48, 48), np.uint8)).save(folder / f"{number:03d}.png")
    return folder


def test_the_same_500_pictures_each_time(script, images):
    first, again = script.groups(images, 0), script.groups(images, 0)
    assert sum(group.pictures for group in first) == 500
    for one, other in zip(first, again, strict=True):
        some = zip(script.pictures(one, 0), script.pictures(other, 0), range(4), strict=False)
        for picture, same, _ in some:
            assert picture.mode == "RGB" and min(picture.size) >= 90
            np.testing.assert_array_equal(np.asarray(picture), np.asarray(same))


def test_the_report_is_its_csv(script, tmp_path):
    csv = EXPERIMENTS / "results" / "false-faces.csv"
    shutil.copy(csv, tmp_path)
    script.render(tmp_path / csv.name, read_header(csv.with_suffix(".md")))
    assert (tmp_path / "false-faces.md").read_text() == csv.with_suffix(".md").read_text()


def test_the_total_is_of_what_holds_no_face(script):
    table = pd.read_csv(EXPERIMENTS / "results" / "false-faces.csv")
    for _, rows in table.groupby("model"):
        total = rows[rows["group"] == script.ALL].iloc[0]
        own = rows[(rows["group"] != script.ALL) & ~rows["may_be_a_face"]]
        assert (total.pictures, total.labelled) == (own["pictures"].sum(), own["labelled"].sum())
