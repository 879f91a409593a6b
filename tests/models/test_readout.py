import pytest
import torch

from landmarkfer.face.graph import build_graph
from landmarkfer.face.landmarks import REGIONS, region_points
from landmarkfer.models.readout import READOUTS

PLAIN, HUBS = build_graph("anatomical"), build_graph("regions")


def build(name, graph=PLAIN, width=5, node_width=2):
    torch.manual_seed(0)
    return READOUTS[name](graph, width, node_width).eval()


def nodes(graph=PLAIN, batch=3, width=5):
    return torch.randn(graph.num_nodes, batch, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("graph", [PLAIN, HUBS], ids=lambda graph: graph.name)
@pytest.mark.parametrize("name", READOUTS)
def test_the_size_is_what_comes_out(name, graph):
    readout = build(name, graph)
    assert readout(nodes(graph)).shape == (3, readout.size)


@pytest.mark.parametrize("name", READOUTS)
def test_samples_do_not_mix(name):
    readout, x = build(name), nodes()
    for sample in range(3):
        torch.testing.assert_close(readout(x[:, sample : sample + 1])[0], readout(x)[sample])


def test_mean_max_and_attention_by_hand():
    x = nodes()
    torch.testing.assert_close(build("mean")(x), x.sum(dim=0) / 478)
    torch.testing.assert_close(build("max")(x), x.max(dim=0).values)
    attention = build("attention")
    score = (x * attention.score.weight[0]).sum(-1) + attention.score.bias  # [N, B]
    weight = score.exp() / score.exp().sum(dim=0)
    torch.testing.assert_close(attention(x), (weight[..., None] * x).sum(dim=0))


def test_region_is_the_mean_of_each_region():
    x = nodes()
    result = build("region")(x).view(3, len(REGIONS), 5)
    for number, region in enumerate(REGIONS):
        torch.testing.assert_close(result[:, number], x[region_points(region)].mean(dim=0))


def test_region_takes_the_hub_in():
    x = nodes(HUBS)
    result = build("region", HUBS)(x).view(3, len(REGIONS), 5)
    for number, region in enumerate(REGIONS):
        members = [*region_points(region), 478 + number]
        torch.testing.assert_close(result[:, number], x[members].mean(dim=0))


def test_nodewise_keeps_nodes_side_by_side():
    readout, x = build("nodewise"), nodes()
    result = readout(x).view(3, 478, 2) * (1 + readout.norm.eps) ** 0.5  # fresh batch norm divides by this
    torch.testing.assert_close(result[:, 33], x[33] @ readout.project.weight.T + readout.project.bias)


@pytest.mark.parametrize(
    ("name", "tells_points", "tells_regions"),
    [("mean", False, False), ("max", False, False), ("region", False, True), ("nodewise", True, True)],
)
def test_which_read_out_knows_what_moved(name, tells_points, tells_regions):
    """A mean over all nodes forgets which landmark moved: the published fault, and why there are others."""
    first, neighbour = region_points("nose")[:2]
    x = torch.zeros(478, 3, 5)
    for sample, point in enumerate((first, neighbour, region_points("chin")[0])):
        x[point, sample] = 1
    nose, beside, chin = build(name)(x)
    assert torch.allclose(nose, beside) is not tells_points
    assert torch.allclose(nose, chin) is not tells_regions
