"""Which model predicts."""

import pytest

import landmarkfer as lf
from landmarkfer.errors import RunError, SettingsError
from landmarkfer.inference import load
from landmarkfer.inference.load import SHIPPED, load_predictor, shipped_file, shipped_folder


@pytest.fixture
def none_ship(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "shipped_folder", lambda name, detector=None: tmp_path / f"{name}-none")


def test_an_installation_without_models(none_ship):
    with pytest.raises(RunError, match="no model ships for the detector"):
        lf.load()
    with pytest.raises(RunError, match="no model landmarks-none ships; name a run"):
        lf.load("landmarks")


def test_a_run_goes_before_a_model_that_ships(tiny_settings, tmp_path, monkeypatch):
    from landmarkfer.training.fit import train

    monkeypatch.chdir(tmp_path)
    run = train(tiny_settings("mlp", **{"fit.epochs": 1, "name": "landmarks"}))
    model = load_predictor("landmarks")
    assert model.info.kind == "mlp" and model.classes == run.read_config().classes
    assert len(model.classes) == 3


def test_the_model_of_one_detector():
    for detector in ("facemesh", "landmarker"):
        if shipped_folder("landmarks", detector).is_dir():
            model = lf.load(f"landmarks-{detector}")
            assert (model.name, model.extraction.detector) == ("landmarks", detector)
    with pytest.raises(RunError, match="'landmarks-other' is no run"):
        lf.load("landmarks-other")
    with pytest.raises(RunError, match="the models that ship are 'fusion' and 'landmarks'"):
        lf.load("nowhere")
    with pytest.raises(SettingsError, match="predicts on the CPU alone"):
        lf.load("landmarks", device="cuda")


@pytest.mark.parametrize("name", SHIPPED)
def test_models_that_ship(name):
    for detector in ("facemesh", "landmarker"):
        if not shipped_folder(name, detector).is_dir():
            continue
        model = lf.load(shipped_file(name, detector))
        assert model.name == name and len(model.classes) == 7
        assert model.extraction.detector == detector and model.extraction.passes == 3
        assert model.info.frame.size == 48 and model.info.frame.grey
        assert "must not be used for" in model.card
        assert model.info.prior is not None and model.info.answer_thresholds is not None
