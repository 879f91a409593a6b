"""The benchmark of graph networks: the ways it compares compute the same."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv

from landmarkfer.config.recipes import load_settings
from landmarkfer.face.graph import build_graph
from landmarkfer.models import build_model
from landmarkfer.models.convs import PyGLayer

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS / "bench"))
    spec = importlib.util.spec_from_file_location("bench_gnn", EXPERIMENTS / "bench" / "gnn.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def graphs(faces, graph):
    edges = torch.from_numpy(graph.edge_index.copy())
    return Batch.from_data_list([Data(x=points, edge_index=edges) for points in faces.landmarks])


@pytest.mark.parametrize("which", ["published", "own"])
def test_the_usual_way_gives_what_ours_gives(bench, which):
    keywords = bench.PUBLISHED if which == "published" else load_settings(bench.RECIPE).model.keywords
    keywords = keywords | {"widths": [8, 8, 12]}
    torch.manual_seed(0)
    usual = bench.UsualNetwork(keywords).eval()
    own = build_model("gnn", bench.CLASSES, **keywords).eval()
    own.load_state_dict(usual.model.state_dict())
    assert not any(isinstance(block.conv, PyGLayer) for block in own.blocks)
    faces = bench.faces(3, "cpu")
    with torch.inference_mode():
        torch.testing.assert_close(usual(graphs(faces, own.face_graph)), own(faces), rtol=1e-4, atol=1e-5)


def test_the_published_widths_are_those_of_the_recipe(bench):
    recipe = load_settings(EXPERIMENTS / "recipes" / "fer2013-gcn-published.toml").model.keywords
    for key in ("graph", "conv", "widths", "features", "identity", "lift", "readout", "hidden"):
        assert bench.PUBLISHED[key] == recipe[key]


def test_a_dense_layer_is_a_graph_convolution(bench):
    graph = build_graph("anatomical")
    model = bench.DenseGCN([4], graph).eval()
    model.norms[0] = torch.nn.Identity()
    faces = bench.faces(2, "cpu")
    layer = GCNConv(3, 4)
    layer.load_state_dict({"lin.weight": model.linear[0].weight, "bias": model.linear[0].bias})
    batch = graphs(faces, graph)
    expected = layer(batch.x, batch.edge_index).relu().view(2, 478, 4).mean(dim=1)
    torch.testing.assert_close(model(faces), model.head(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("way", ["published implementation", "PyTorch Geometric", "landmarkfer", "floor"])
def test_every_way_takes_a_step_and_a_forward_pass(bench, way):
    keywords = bench.PUBLISHED | {"widths": [8, 12]}
    work = bench.floor_of(keywords, 2, "cpu") if way == "floor" else bench.step_of(way, keywords, 2, "cpu")
    for call in work:
        assert bench.timed(call, 1, "cpu") > 0


def test_growth_compares_the_same_sums(bench):
    """What the two ways of `measure_growth` compute, on one of its graphs."""
    nodes, batch = 30, 2
    index = torch.randint(nodes, (2, 90), generator=torch.Generator().manual_seed(0)).unique(dim=1)
    x = torch.randn(nodes, batch, 3)
    repeated = (index[:, :, None] * batch + torch.arange(batch)).flatten(1)
    usual = bench.pyg.SimpleConv(aggr="sum")(x.flatten(0, 1), repeated).view_as(x)
    torch.testing.assert_close(bench.Aggregation(index, torch.ones(index.shape[1]), nodes)(x), usual)
    ways = [row[1] for row in bench.measure_growth("cpu", 1, 1)]
    assert ways[:2] == ["120 nodes: PyTorch Geometric", "120 nodes: landmarkfer"]
