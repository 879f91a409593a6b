"""Predictions written as they are made: whole rows, resumed, in every format."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmarkfer.data.synthetic import make_face, make_faceless
from landmarkfer.errors import SettingsError, SourceError
from landmarkfer.extraction.sources.inputs import open_inputs
from landmarkfer.inference.network import ModelInfo, Network
from landmarkfer.inference.network import Outputs as ModelOutputs
from landmarkfer.inference.predictor import Predictor
from landmarkfer.inference.write import STATE_NAME, Outputs, write_predictions


class Wide(Network):
    """Predicts from how wide a face is in its image; counts its calls."""

    def __init__(self, detector="facemesh"):
        self.info = ModelInfo(
            name="wide",
            kind="mlp",
            classes=("narrow", "neutral"),
            extraction={"detector": detector},
            set_thresholds=(0.3,) * 99,
        )
        self.calls = 0

    def outputs(self, arrays, batch_size=0):
        self.calls += 1
        width = np.ptp(arrays.landmarks[..., 0], axis=1) if len(arrays.landmarks) else np.empty(0)
        found = np.stack([1 - width, width], axis=1).astype(np.float64)
        return ModelOutputs(found, found)

    def embed(self, arrays, batch_size=0):
        return arrays.landmarks.reshape(len(arrays.landmarks), -1)


@pytest.fixture
def predictor(detector, monkeypatch):
    model = Predictor(Wide(detector.name))
    model._search._of_thread.detector = detector
    monkeypatch.setattr(Predictor, "_at_once", 2)
    return model


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Five files: three faces, one image without, one that is none."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(3):
        Image.fromarray(make_face("happy", number, 96).image).save(folder / f"{number}.png")
    Image.fromarray(make_faceless(0, 96)).save(folder / "3.png")
    (folder / "4.png").write_bytes(b"none")
    return folder


OPTIONS = {"faces": "largest"}


@pytest.mark.parametrize("table", ["csv", "parquet", "jsonl"])
def test_the_table_is_that_of_the_predictions(predictor, photos, tmp_path, table):
    source = open_inputs(photos)
    done = write_predictions(predictor, source, tmp_path / "out", OPTIONS, Outputs(table))
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"predictions.{table}"]
    readers = {
        "csv": pd.read_csv,
        "parquet": pd.read_parquet,
        "jsonl": lambda path: pd.read_json(path, lines=True),
    }
    read = readers[table](done.table)
    expected = predictor.predict(source, **OPTIONS).to_frame()
    assert set(read) >= set(expected) and read["source"].tolist() == expected["source"].tolist()
    assert read["status"].tolist() == ["ok", "ok", "ok", "no_face", "unreadable"]
    np.testing.assert_allclose(read["p_narrow"].astype(float), expected["p_narrow"], rtol=1e-12)
    assert (done.images, done.resumed) == (5, 0)
    assert done.counts == {"ok": 3, "no_face": 1, "unreadable": 1} and sum(done.labels.values()) == 3


def test_it_resumes_where_it_was_interrupted(predictor, photos, tmp_path):
    source, out = open_inputs(photos), tmp_path / "out"
    write_predictions(predictor, source, tmp_path / "whole", OPTIONS, Outputs())
    ordinary = predictor.network.outputs
    predictor.network.calls = 0

    def interrupted(arrays, batch_size=0):
        if predictor.network.calls == 1:
            raise KeyboardInterrupt
        return ordinary(arrays, batch_size)

    predictor.network.outputs = interrupted
    with pytest.raises(KeyboardInterrupt, match="holds 2 of 5 images; the same command does the rest"):
        write_predictions(predictor, source, out, OPTIONS, Outputs())
    predictor.network.outputs = ordinary
    # A process that was killed may have written half a row beyond what the state says.
    with (out / "predictions.csv").open("a") as file:
        file.write("half a r")
    with pytest.raises(SourceError, match="another prediction was interrupted in"):
        write_predictions(predictor, open_inputs(photos / "0.png"), out, OPTIONS, Outputs())
    for others in (Outputs(draw=True), Outputs(crops=True), Outputs(extras=True)):
        with pytest.raises(SourceError, match="another prediction was interrupted in"):
            write_predictions(predictor, source, out, OPTIONS, others)
    done = write_predictions(predictor, source, out, OPTIONS, Outputs())
    assert (done.images, done.resumed) == (5, 2)
    assert (out / "predictions.csv").read_bytes() == (tmp_path / "whole" / "predictions.csv").read_bytes()
    assert not (out / STATE_NAME).exists()


def test_a_damaged_state_starts_anew(predictor, photos, tmp_path):
    (tmp_path / STATE_NAME).write_text("{")
    (tmp_path / "predictions.csv").write_text("older")
    done = write_predictions(predictor, open_inputs(photos), tmp_path, OPTIONS, Outputs())
    assert done.resumed == 0 and len(pd.read_csv(done.table)) == 5


def test_a_state_whose_table_is_gone_starts_anew(predictor, photos, tmp_path):
    source = open_inputs(photos)
    write_predictions(predictor, source, tmp_path, OPTIONS, Outputs())
    state = {"identity": "", "images": 2, "bytes": 10**6, "columns": []}
    (tmp_path / STATE_NAME).write_text(json.dumps(state))
    with pytest.raises(SourceError, match="another prediction"):
        write_predictions(predictor, source, tmp_path, OPTIONS, Outputs())


def test_a_call_that_failed_before_its_first_rows_stands_in_no_ones_way(predictor, photos, tmp_path):
    with pytest.raises(SettingsError):
        write_predictions(predictor, open_inputs(photos), tmp_path, {"coverage": 2}, Outputs())
    done = write_predictions(predictor, open_inputs(photos), tmp_path, OPTIONS, Outputs())
    assert (done.resumed, done.images) == (0, 5)


def test_pictures(predictor, photos, tmp_path):
    done = write_predictions(
        predictor, open_inputs(photos), tmp_path, OPTIONS, Outputs(draw=True, crops=True)
    )
    images, crops = done.folders
    assert sorted(path.name for path in images.iterdir()) == [f"0000{n}-{n}.jpg" for n in range(4)]
    assert sorted(path.name for path in crops.iterdir()) == [f"0000{n}-{n}-0.jpg" for n in range(3)]
    with Image.open(crops / "00000-0-0.jpg") as crop:
        assert crop.size == (224, 224)


def test_no_images_and_a_folder_that_cannot_be_written(predictor, tmp_path):
    assert write_predictions(predictor, open_inputs([]), tmp_path / "none", OPTIONS, Outputs()).images == 0
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="cannot write to"):
        write_predictions(predictor, open_inputs([]), tmp_path / "file", OPTIONS, Outputs())


def test_what_an_earlier_prediction_wrote_is_replaced_if_that_is_wanted(predictor, photos, tmp_path):
    write_predictions(predictor, open_inputs(photos), tmp_path, OPTIONS, Outputs("parquet", draw=True))
    (tmp_path / "images" / "own.jpg").touch()
    before = sorted(path.read_bytes() for path in tmp_path.rglob("*.*"))
    for outputs in (Outputs(), Outputs("parquet", draw=True), Outputs("jsonl")):
        with pytest.raises(SourceError, match=r"predictions.parquet already; .* or --overwrite"):
            write_predictions(predictor, open_inputs(photos), tmp_path, OPTIONS, outputs)
    assert sorted(path.read_bytes() for path in tmp_path.rglob("*.*")) == before
    outputs = Outputs(draw=True, overwrite=True)
    write_predictions(predictor, open_inputs(photos / "1.png"), tmp_path, OPTIONS, outputs)
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["00000-1.jpg", "own.jpg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "predictions.csv"]
