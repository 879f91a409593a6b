from copy import deepcopy

import pytest
import torch
from torch_geometric import nn as pyg

from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.graph import FaceGraph, build_graph
from landmarkfer.models import build_model
from landmarkfer.models.convs import (
    PYG_LAYERS,
    STATIC_LAYERS,
    PyGLayer,
    build_conv,
    mean_aggregation,
    sum_aggregation,
    symmetric_aggregation,
)

# `anatomical` has 318 nodes without an edge, `regions` has hubs.
GRAPHS = ["anatomical", "tesselation", "regions"]
WIDTHS = [(3, 7), (7, 3), (5, 5)]


@pytest.fixture(scope="module", params=GRAPHS)
def graph(request):
    return build_graph(request.param)


def nodes(graph, batch, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(graph.num_nodes, batch, width, generator=generator, requires_grad=True)


def edge_index(graph):
    return torch.from_numpy(graph.edge_index.copy())


REFERENCE = {
    "gcn": pyg.GCNConv,
    "sage": pyg.SAGEConv,
    "gin": lambda fan_in, fan_out: pyg.GINConv(
        torch.nn.Sequential(
            torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU(), torch.nn.Linear(fan_out, fan_out)
        ),
        train_eps=True,
    ),
}


@pytest.mark.parametrize("name", STATIC_LAYERS)
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_own_layers_equal_those_of_pytorch_geometric(graph, name, widths):
    torch.manual_seed(1)
    reference = REFERENCE[name](*widths)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))  # no bias or epsilon stays zero
    own = build_conv(name, graph, *widths)
    assert not isinstance(own, PyGLayer)
    own.load_state_dict(reference.state_dict())

    x = nodes(graph, 3, widths[0])
    weight = torch.randn(graph.num_nodes, 3, widths[1], generator=torch.Generator().manual_seed(2))
    result = own(x)
    (result * weight).sum().backward()
    own_gradient, x.grad = x.grad, None
    expected = torch.stack([reference(x[:, sample], edge_index(graph)) for sample in range(3)], dim=1)
    (expected * weight).sum().backward()

    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(own_gradient, x.grad, rtol=1e-5, atol=1e-5)
    for (key, parameter), other in zip(own.named_parameters(), reference.parameters(), strict=True):
        scale = other.grad.abs().max()
        torch.testing.assert_close(parameter.grad / scale, other.grad / scale, rtol=1e-5, atol=1e-5, msg=key)


@pytest.mark.parametrize("aggregation", [sum_aggregation, mean_aggregation, symmetric_aggregation])
def test_the_dense_kernel_gives_what_the_sparse_one_gives(graph, aggregation, monkeypatch):
    x = nodes(graph, 3, 5)
    weight = torch.randn(graph.num_nodes, 3, 5, generator=torch.Generator().manual_seed(2))
    found = []
    for share, matrices in ((1.0, 2), (0.0, 1)):
        monkeypatch.setattr("landmarkfer.models.convs._DENSE_ABOVE", share)
        aggregate = aggregation(graph)
        result = aggregate(x)
        (gradient,) = torch.autograd.grad((result * weight).sum(), x)
        assert len(aggregate._on_device[x.device]) == matrices
        found.append((result, gradient))
    for sparse, dense in zip(*found, strict=True):
        torch.testing.assert_close(dense, sparse, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PYG_LAYERS)
def test_a_sample_gets_what_the_layer_gives_it_alone(name):
    graph = build_graph("tesselation")
    torch.manual_seed(1)
    layer = PYG_LAYERS[name](4, 6).eval()
    x = nodes(graph, 3, 4)
    together = PyGLayer(layer, graph)(x)
    assert together.shape == (graph.num_nodes, 3, 6)
    for sample in range(3):
        alone = layer(x[:, sample], edge_index(graph))
        torch.testing.assert_close(together[:, sample], alone, rtol=1e-5, atol=1e-5)


def test_edges_can_come_with_the_batch():
    torch.manual_seed(1)
    x = torch.randn(478, 2, 4)
    layer = build_conv("gcn", None, 4, 6)
    assert isinstance(layer, PyGLayer), "the own form needs one topology for all"
    # Node n of sample b is n * 2 + b: 5 -> 9 in the first sample, 9 -> 5 in the second.
    result = layer(x, torch.tensor([[10, 19], [18, 11]]))
    torch.testing.assert_close(result[:, 0], layer.layer(x[:, 0], torch.tensor([[5], [9]])))
    torch.testing.assert_close(result[:, 1], layer.layer(x[:, 1], torch.tensor([[9], [5]])))
    with pytest.raises(ValueError, match="needs an edge_index"):
        layer(x)


def test_weights_of_the_form_that_gatv2_had_are_read():
    graph = build_graph("anatomical")
    layer = build_conv("gatv2", graph, 4, 6)
    assert isinstance(layer, PyGLayer)
    saved = {name.removeprefix("layer."): tensor for name, tensor in layer.state_dict().items()}
    assert "att" in saved and "layer.att" not in saved
    again = build_conv("gatv2", graph, 4, 6)
    again.load_state_dict(saved)
    x = nodes(graph, 3, 4)
    assert torch.equal(again(x), layer(x))


def test_batch_size_may_change_from_call_to_call():
    graph = build_graph("anatomical")
    layer = build_conv("gat", graph, 4, 6).eval()
    x = nodes(graph, 5, 4)
    expected = layer(x)
    for batch in (2, 5, 1, 5):
        torch.testing.assert_close(layer(x[:, :batch]), expected[:, :batch], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["gcn", "gat", "graph"])
def test_training_after_prediction_of_the_same_batch_size(name):
    """Validation runs in inference mode, and what it leaves behind must be of use to training."""
    graph = build_graph("anatomical")
    layer = build_conv(name, graph, 4, 6)
    with torch.inference_mode():
        layer(torch.randn(graph.num_nodes, 3, 4))
    layer(nodes(graph, 3, 4)).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in layer.parameters())


def test_unknown_layers_are_refused():
    with pytest.raises(ValueError, match=r"no graph layer 'gcnn', only gcn, sage, gin, gat"):
        build_conv("gcnn", build_graph("anatomical"), 3, 3)


PATH = FaceGraph.from_edges("path", {(0, 1): "a", (1, 2): "a"})


def test_the_adjacency_is_made_once_and_sparse(monkeypatch):
    """The published fault: a dense adjacency, made anew for each sample in each layer."""
    model = build_model("gnn", 3, graph="anatomical", widths=[4, 4], hidden=[4])
    layers = [module for module in model.modules() if hasattr(module, "aggregate")]
    assert len(layers) == 2

    faces = FaceBatch(torch.randn(5, 478, 3), torch.ones(5, dtype=torch.bool))
    model(faces).sum().backward()

    def never(*_):
        raise AssertionError("an adjacency was made again")

    monkeypatch.setattr("landmarkfer.models.convs._sparse", never)
    for _ in range(2):
        model(faces).sum().backward()
    for layer in layers:
        (matrix, _), *others = layer.aggregate._on_device.values()
        assert not others
        assert matrix.layout == torch.sparse_csr
        assert matrix.values().numel() == 2 * 157


def test_aggregations_by_hand():
    x = torch.zeros(478, 2, 1)
    x[:3, 0, 0] = torch.tensor([1.0, 10.0, 100.0])
    x[:3, 1, 0] = torch.tensor([-1.0, 0.0, 2.0])
    x[7] = 5
    total = sum_aggregation(PATH)(x)
    assert total[:3, 0, 0].tolist() == [10, 101, 10]
    assert total[:3, 1, 0].tolist() == [0, 1, 0]
    mean = mean_aggregation(PATH)(x)
    assert mean[:3, 0, 0].tolist() == [10, 50.5, 10]
    assert not total[7].any() and not mean[7].any(), "a node without neighbours gets nothing"
    # Degrees with loops: 2, 3, 2.
    symmetric = symmetric_aggregation(PATH)(x)
    torch.testing.assert_close(symmetric[0, 0, 0], torch.tensor(1 / 2 + 10 / 6**0.5))
    torch.testing.assert_close(symmetric[1, 0, 0], torch.tensor(1 / 6**0.5 + 10 / 3 + 100 / 6**0.5))
    torch.testing.assert_close(symmetric[7, 1, 0], torch.tensor(5.0))


def test_gradient_of_an_asymmetric_aggregation():
    """The mean's matrix is not symmetric; its gradient is that of the dense transposed matrix."""
    dense = torch.zeros(478, 478)
    dense[0, 1] = dense[2, 1] = 1
    dense[1, 0] = dense[1, 2] = 0.5
    x = torch.randn(478, 2, 3, requires_grad=True)
    weight = torch.randn(478, 2, 3)
    (mean_aggregation(PATH)(x) * weight).sum().backward()
    torch.testing.assert_close(x.grad, torch.einsum("ts,tbf->sbf", dense, weight))


def test_copies_of_a_layer_share_its_constant_matrix_but_no_weight():
    layer = build_conv("gcn", build_graph("anatomical"), 3, 3)
    copy = deepcopy(layer)
    assert copy.aggregate is layer.aggregate
    assert copy.lin.weight is not layer.lin.weight
    assert set(layer.state_dict()) == {"lin.weight", "bias"}, "the graph is no weight"


@pytest.mark.parametrize("name", [*STATIC_LAYERS, "gat"])
def test_mixed_precision(name):
    graph = build_graph("anatomical")
    torch.manual_seed(0)
    layer = build_conv(name, graph, 4, 6)
    x = nodes(graph, 2, 4)
    exact = layer(x).detach()
    with torch.autocast("cpu", torch.bfloat16):
        result = layer(x)
    result.float().square().sum().backward()
    torch.testing.assert_close(result.float(), exact, rtol=0.05, atol=0.05)
    assert all(torch.isfinite(parameter.grad).all() for parameter in layer.parameters())
    assert x.grad.dtype == torch.float32


def test_a_product_does_not_read_the_memory_that_it_writes(monkeypatch):
    """With beta = 0 the result's own memory does not count, even where it holds no numbers."""
    x = torch.randn(478, 2, 3)
    expected = sum_aggregation(PATH)(x)

    def dirty(like, **keywords):
        return torch.full(like.shape, torch.nan)

    monkeypatch.setattr(torch, "empty_like", dirty)
    assert torch.equal(sum_aggregation(PATH)(x), expected)
