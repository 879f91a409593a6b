"""Explanations of photographs by models that ship, and of what cannot be explained."""

import json

import numpy as np
import pytest
from PIL import Image

import landmarkfer as lf
from landmarkfer.config.recipes import load_settings
from landmarkfer.data.synthetic import make_face, make_faceless
from landmarkfer.errors import RunError, SettingsError
from landmarkfer.face.landmarks import REGIONS
from landmarkfer.inference.explain.explainer import Explainer, decorrelation_of
from landmarkfer.inference.explain.pictures import explanation_figure
from landmarkfer.inference.load import load_predictor, shipped_folder
from landmarkfer.inference.torch_network import TorchNetwork
from landmarkfer.runs.folder import RunFolder
from landmarkfer.training.fit import train


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(make_face("happy", 1, 220).image).save(folder / "happy.png")
    Image.fromarray(make_faceless(0, 160)).save(folder / "none.png")
    return folder


@pytest.fixture(scope="module")
def fused(photos, detector):
    (found,) = load_predictor("fusion").explain(photos)
    return found


def test_one_of_a_fusion_has_all_but_edges(fused):
    assert fused.face.source.endswith("happy.png") and fused.label == fused.face.label
    assert fused.points.shape == (478,) and fused.edges is None
    assert fused.pixels.shape == fused.image.shape
    assert sum(fused.branches.values()) == pytest.approx(fused.log_odds, abs=0.02)
    assert set(fused.checks) == {"points", "pixels"}
    assert -1 <= fused.stability <= 1
    assert set(fused.regions) == set(REGIONS)
    assert sum(fused.regions.values()) == pytest.approx(fused.points.sum())


def test_points_of_a_model_that_ships_beat_random_orders(fused):
    assert fused.checks["points"].beats_chance == (True, True)


def test_it_is_written_as_json(fused, tmp_path):
    fused.write(tmp_path / "e.json")
    content = json.loads((tmp_path / "e.json").read_text())
    assert content["explained"] == fused.label and len(content["points"]) == 478
    assert content["faithfulness"]["points"]["verdict"].startswith("faithful")
    assert content["graph"] is None and content["edges"] is None


def test_its_picture_has_a_panel_for_each_part(fused):
    titles = [axes.get_title() for axes in explanation_figure(fused).axes if axes.get_title()]
    assert [title.partition(":")[0].partition(",")[0] for title in titles] == [
        *("points", "points", "pixels (Grad-CAM)", "regions", "branches"),
        "deletion and insertion against random",
    ]
    assert "faithful" in explanation_figure(fused)._supxlabel.get_text()


def test_another_class_and_no_check(photos, detector):
    predictor = load_predictor("landmarks")
    (found,) = predictor.explain(photos / "happy.png", label="fear", check=False, method="gradient")
    assert (found.label, found.method) == ("fear", "gradient")
    assert not found.checks and found.stability is None and found.sentences == []
    assert found.pixels is None and not found.branches
    assert len(explanation_figure(found).axes) >= 3


def test_a_run_of_a_model_that_ships_has_its_whitening_too(photos, detector):
    folder = shipped_folder("landmarks", "facemesh" if "facemesh" in detector.name else "landmarker")
    network = TorchNetwork.of_run(RunFolder(folder))
    explainer = Explainer(network)
    assert explainer.decorrelation.vectors.shape == (1434, 256)


@pytest.mark.slow
def test_a_network_on_whitened_landmarks_has_its_own(tiny_settings, tmp_path):
    settings = tiny_settings(**{"model.features": "whitened", "fit.epochs": 1, "name": "white"})
    model = train(settings, runs_root=tmp_path).load().model
    known = decorrelation_of(model, None)
    assert known.vectors.shape == (1434, 1434)


def test_graph_networks_have_edges(tiny_cache, tiny_settings, tmp_path):
    run = train(tiny_settings("gnn", **{"model.graph": "anatomical", "name": "graph"}), runs_root=tmp_path)
    found = next(lf.load(run.path).explain(tiny_cache, check=False))
    assert found.graph.name == "anatomical" and len(found.edges) == len(found.graph.edges)
    edges = [abs(edge["contribution"]) for edge in found.to_dict()["edges"]]
    assert edges == sorted(edges, reverse=True)
    titles = [axes.get_title() for axes in explanation_figure(found).axes]
    assert "messages along the 120 strongest edges" in titles


def test_what_cannot_be_explained_is_said(photos, tiny_settings, tiny_cache, tmp_path, detector):
    export = tmp_path / "model.onnx"
    export.write_bytes((shipped_folder("landmarks") / "model.onnx").read_bytes())
    with pytest.raises(RunError, match=r"model\.onnx is an export, without gradients; give the run of"):
        next(load_predictor(export).explain(photos))
    settings = {"model.name": "landmark-forest", "model.n_estimators": 2, "cache": str(tiny_cache.path)}
    forest = train(load_settings(overrides=settings | {"name": "forest"}), runs_root=tmp_path)
    with pytest.raises(RunError, match="'landmark-forest' of 'forest' is no network"):
        next(load_predictor(forest.path).explain(photos))
    predictor = load_predictor("landmarks")
    with pytest.raises(SettingsError, match="there is no class 'joy'; the model's are angry, "):
        next(predictor.explain(photos, label="joy"))
    with pytest.raises(SettingsError, match="there is no method 'magic'; there are integrated-gradients and"):
        next(predictor.explain(photos, method="magic"))


def test_images_without_a_face_are_left_out(photos, detector):
    assert list(load_predictor("landmarks").explain(photos / "none.png")) == []


def test_the_same_face_has_the_same_explanation(photos, detector):
    first, second = (next(load_predictor("landmarks").explain(photos / "happy.png")) for _ in range(2))
    np.testing.assert_allclose(first.points, second.points, rtol=1e-5, atol=1e-7)
    assert first.checks["points"].areas == second.checks["points"].areas
