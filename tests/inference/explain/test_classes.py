import numpy as np
import pandas as pd
import pytest

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.inference.explain.classes import class_means, strongest_regions
from landmarkfer.inference.explain.explainer import Explainer
from landmarkfer.inference.explain.pictures import class_means_figure
from landmarkfer.inference.torch_network import TorchNetwork
from landmarkfer.training.fit import train


@pytest.fixture(scope="module")
def explainer(tiny_settings, tmp_path_factory):
    settings = tiny_settings("gnn", **{"model.graph": "anatomical", "name": "graph", "fit.epochs": 4})
    return Explainer(TorchNetwork.of_run(train(settings, runs_root=tmp_path_factory.mktemp("runs"))))


@pytest.fixture(scope="module")
def means(explainer, tiny_cache):
    return class_means(explainer, tiny_cache, per_class=5)


def test_they_are_of_correctly_predicted_test_faces(means):
    assert means.faces and all(1 <= count <= 5 for count in means.faces)
    assert means.points.shape == (len(means.classes), 478)
    assert means.edges.shape == (len(means.classes), len(means.graph.edges))
    assert len(means.areas) == sum(means.faces)
    np.testing.assert_allclose(means.regions.sum(), 1)


def test_the_curves_have_intervals(means):
    table = means.faithfulness
    assert table.index.tolist() == ["deletion", "random_deletion", "insertion", "random_insertion"]
    assert ((table["low"] <= table["mean"]) & (table["mean"] <= table["high"])).all()
    assert table.loc["deletion", "mean"] < table.loc["random_deletion", "mean"]
    assert table.loc["insertion", "mean"] > table.loc["random_insertion", "mean"]
    assert means.areas[["deleted", "inserted"]].all(axis=1).mean() > 0.8


def test_the_strongest_regions(means):
    for name, regions in strongest_regions(means, 3).items():
        assert [share for _, share in regions] == means.regions[name].nlargest(3).tolist()


def test_another_seed_draws_other_faces(explainer, tiny_cache, means):
    again, other = (
        class_means(explainer, tiny_cache, per_class=5, check=False, seed=seed) for seed in (0, 1)
    )
    np.testing.assert_allclose(again.points, means.points, rtol=1e-5, atol=1e-7)
    assert not np.allclose(other.points, means.points)
    assert again.areas.empty and again.faithfulness.empty


def test_the_picture_has_a_column_for_each_class(means):
    titles = [axes.get_title() for axes in class_means_figure(means).axes]
    wanted = [f"{name} ({count})" for name, count in zip(means.classes, means.faces, strict=True)]
    assert [title for title in titles if title] == wanted
    assert len(titles) == 2 * len(means.classes), "edges below"


def test_a_cache_without_known_labels_is_refused(explainer, make_rows, tmp_path):
    rows = [row for row in make_rows() if row.label]
    for row in rows:
        row.label = "bored"
    with pytest.raises(CacheError, match="has a face and one of the labels angry, happy, sad"):
        class_means(explainer, write_cache(tmp_path / "bored", rows))
    with pytest.raises(SettingsError, match="no method"):
        class_means(explainer, write_cache(tmp_path / "some", make_rows()), method="magic")


def test_all_images_where_none_is_for_testing(explainer, make_rows, tmp_path):
    rows = make_rows()
    for row in rows:
        row.split = None
    found = class_means(explainer, write_cache(tmp_path / "faces", rows), per_class=3, check=False)
    assert isinstance(found.areas, pd.DataFrame) and sum(found.faces) > 0
