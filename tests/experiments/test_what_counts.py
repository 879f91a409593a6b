"""The pictures of what a graph network goes by: the contributions add up, and the model stays as it was."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from landmarkfer.evaluation.opened import open_run
from landmarkfer.face.graph import build_graph
from landmarkfer.models.convs import Aggregation
from landmarkfer.training.fit import train

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("what_counts", EXPERIMENTS / "what_counts.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_contributions_and_their_picture(script, tiny_settings, tmp_path):
    run = train(tiny_settings("gnn", name="run", **{"fit.epochs": 4}), runs_root=tmp_path)
    opened = open_run(run)
    model = opened.trained.model
    found = [script.contributions(model, opened, label) for label in range(3)]
    assert all(isinstance(block.conv.aggregate, Aggregation) for block in model.blocks)
    assert sum(count for *_, count in found) > 0
    for points, messages, _ in found:
        assert points.shape == (478,)
        assert messages.shape == (model.face_graph.edge_index.shape[1],)
        assert np.isfinite(points).all() and np.isfinite(messages).all()
        np.testing.assert_allclose(points, points[script.MIRROR], rtol=1e-4, atol=1e-7)
    total = script.undirected(model.face_graph, found[0][1])
    assert total.shape == (len(model.face_graph.edges),)
    assert total.sum() == pytest.approx(found[0][1].sum(), abs=1e-5)
    script.draw_counts(tmp_path / "counts.png", model.face_graph, opened.dataset.classes, found)
    assert (tmp_path / "counts.png").stat().st_size > 20_000


def test_messages_add_up_to_what_the_aggregation_contributes(script):
    """Over the edges, gradient times message is gradient times the sum that the node heard."""
    from landmarkfer.models.convs import mean_aggregation

    graph = build_graph("tesselation")
    record = script.Recorded(mean_aggregation(graph))
    x = torch.randn(478, 2, 3, requires_grad=True)
    weight = torch.randn(478, 2, 3)
    (record(x) * weight).sum().backward()
    edges = torch.from_numpy(graph.edge_index.copy())
    scale = 1 / torch.bincount(edges[1], minlength=478)[edges[1]]
    messages = scale * (record.x[edges[0]] * record.out.grad[edges[1]]).sum(dim=(1, 2))
    torch.testing.assert_close(messages.sum(), (record.out * weight).sum(), rtol=1e-3, atol=1e-3)
