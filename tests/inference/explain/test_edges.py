import numpy as np
import pytest
import torch
from torch_geometric.explain import Explainer, GNNExplainer

from landmarkfer.config.train import PredictionSettings
from landmarkfer.face.graph import build_graph
from landmarkfer.inference.explain.edges import PyGForm, edge_contributions, undirected
from landmarkfer.models.convs import PYG_LAYERS

SMALL = {"gnn": {"widths": [8], "hidden": [16], "node_width": 2, "identity": 2, "features": "displacement"}}
ALONE = PredictionSettings(mirror=False)


@pytest.mark.parametrize("conv", PYG_LAYERS)
def test_the_form_for_explainers_predicts_the_same(make_target, conv):
    target = make_target("gnn", conv=conv, graph="anatomical", settings=ALONE)
    model, face = target.model, target.views[0]
    index = torch.from_numpy(model.face_graph.edge_index.copy())
    with torch.no_grad():
        logits = PyGForm(model)(model.describe(face.landmarks)[0], index)
        torch.testing.assert_close(logits, model(face), rtol=1e-4, atol=1e-4)


def test_any_explainer_of_pytorch_geometric_runs_on_it(make_target):
    target = make_target("gnn", graph="anatomical")
    model = target.model
    index = torch.from_numpy(model.face_graph.edge_index.copy())
    explainer = Explainer(
        PyGForm(model),
        GNNExplainer(epochs=2),
        explanation_type="model",
        node_mask_type="object",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "graph", "return_type": "raw"},
    )
    found = explainer(model.describe(target.views[0].landmarks)[0], index)
    assert found.edge_mask.shape == (index.shape[1],) and found.node_mask.shape == (478, 1)


@pytest.mark.parametrize("conv", ["sage", "gcn"])
def test_edges_add_up_to_what_messages_do(make_target, conv):
    target = make_target("gnn", conv=conv, graph="anatomical", settings=ALONE)
    found = edge_contributions(target)
    graph = target.model.face_graph
    assert found.shape == (len(graph.edges),)
    if conv == "sage":  # whose loops are no edges
        form = PyGForm(target.model)
        none = torch.zeros(2, 0, dtype=torch.int64)
        with torch.no_grad():
            logits = form(target.model.describe(target.views[0].landmarks)[0], none)
        silent = float(logits[0, 1] - logits[0, [0, 2]].logsumexp(dim=0))
        assert found.sum() == pytest.approx(target.whole() - silent, rel=0.05, abs=0.02)


@pytest.mark.parametrize("fusion", ["late", "concat"])
def test_edges_of_a_graph_network_that_is_a_branch(make_target, fusion):
    """They are what they add to the log-odds of the whole; a branch that adds nothing has none."""
    keywords = {"fusion": fusion, "encoder": "gnn", "graph": "anatomical", "encoder_settings": SMALL["gnn"]}
    silent = make_target("fusion", settings=ALONE, **keywords)
    with torch.no_grad():
        silent.model.head.weight.zero_()
    assert np.abs(edge_contributions(silent)).max() == pytest.approx(0, abs=1e-7)
    with torch.no_grad():
        silent.model.head.weight.normal_(0, 0.5)
    target = type(silent)(*silent._given)
    found = edge_contributions(target)
    assert found.shape == (len(target.landmarks.face_graph.edges),) and np.abs(found).max() > 1e-4


def test_a_branch_that_reads_the_image_has_no_edges(make_target):
    keywords = {"fusion": "sampled", "encoder": "gnn", "encoder_settings": SMALL["gnn"]}
    target = make_target("fusion", settings=ALONE, **keywords)
    assert edge_contributions(target) is None
    with pytest.raises(ValueError, match="reads the image as well"):
        target.of_encoded(torch.zeros(1, 16))


def test_models_without_edges_of_one_graph_have_none(make_target):
    assert edge_contributions(make_target("mlp")) is None
    assert edge_contributions(make_target("gnn", dynamic_k=4)) is None
    with pytest.raises(ValueError, match="not those of one graph"):
        PyGForm(make_target("gnn", dynamic_k=4).model)


def test_both_directions_of_an_edge_count():
    graph = build_graph("anatomical")
    values = np.arange(graph.edge_index.shape[1], dtype=float)
    found = undirected(graph, values)
    a, b = graph.edges[5]
    of_edge = (np.sort(graph.edge_index, axis=0) == [[a], [b]]).all(axis=0)
    assert of_edge.sum() == 2 and found[5] == values[of_edge].sum()
    assert found.sum() == values.sum()
