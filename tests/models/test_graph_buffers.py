import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from landmarkfer.errors import GraphError, RunError
from landmarkfer.face.graph import build_graph
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.models import build_model, load_model
from landmarkfer.models.graph_buffers import GRAPH_ARRAYS, GraphBuffers

GNN = {"widths": [4], "hidden": [6], "identity": 2, "node_width": 2}
FUSION = {"encoder_settings": GNN, "width": 4, "size": 16}
OWN = build_graph("knn", mean_face=CANONICAL * [3, 1, 1], k=4)
CASES = {
    "gnn": ("gnn", GNN, "graph."),
    "transformer": ("transformer", {"depth": 1, "width": 16}, "graph."),
    "fusion": ("fusion", FUSION, "encoder.graph."),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def test_the_weights_alone_restore_the_graph(case, tmp_path):
    name, keywords, prefix = case
    model = build_model(name, 3, **keywords, graph=OWN)
    path = tmp_path / "model.safetensors"
    model.save(path)
    tensors = load_file(path)
    assert {key for key in tensors if "graph." in key} == {prefix + array for array in GRAPH_ARRAYS}
    loaded = load_model(
        name, 3, tmp_path / "model.safetensors", keywords | {"graph": "knn"}, graph_name="own"
    )
    assert not np.array_equal(build_graph("knn").edge_index, OWN.edge_index)
    for array in GRAPH_ARRAYS:
        np.testing.assert_array_equal(getattr(loaded.face_graph, array), getattr(OWN, array))
    assert (loaded.face_graph.name, loaded.face_graph.kinds) == ("own", ("kind 0",))
    assert {key: t.tolist() for key, t in loaded.tensors().items() if "graph." in key} == {
        key: t.tolist() for key, t in tensors.items() if "graph." in key
    }


def test_a_fusion_of_version_0_1_has_its_graph_beside_the_second_branch(tmp_path):
    model = build_model("fusion", 3, **FUSION, graph=OWN)
    old = {key.replace("encoder.graph.", "graph."): t.contiguous() for key, t in model.tensors().items()}
    save_file(old, tmp_path / "model.safetensors")
    loaded = load_model("fusion", 3, tmp_path / "model.safetensors", FUSION, edge_kinds=OWN.kinds)
    assert loaded.face_graph.kinds == OWN.kinds
    for key, value in model.tensors().items():
        assert torch.equal(loaded.tensors()[key], value)


def test_checkpoints_of_version_0_1_hold_no_graph(case):
    name, keywords, prefix = case
    source, model = (build_model(name, 3, **keywords, graph=OWN) for _ in range(2))
    weights = {key: value for key, value in source.state_dict().items() if not key.startswith(prefix)}
    assert len(weights) == len(source.state_dict()) - len(GRAPH_ARRAYS)
    model.load_state_dict(weights)
    for key, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)


def test_weights_for_another_graph_are_refused(case):
    name, keywords, prefix = case
    own = build_model(name, 3, **keywords, graph=OWN)
    other = build_model(name, 3, **keywords, graph="anatomical")
    with pytest.raises(GraphError, match=rf"graph 'knn' has changed .*\({prefix}edge_index differs\)"):
        own.load_state_dict(other.state_dict())


def test_initialising_leaves_the_graph_as_it_is(case):
    name, keywords, _ = case
    own = build_model(name, 3, **keywords, graph=OWN)
    other = build_model(name, 3, **keywords, graph="anatomical")
    own.initialise_from(other.tensors())
    np.testing.assert_array_equal(own.face_graph.edge_index, OWN.edge_index)
    assert torch.equal(own.head.weight, other.head.weight)


def test_a_branch_keeps_the_graph_of_the_fused_model():
    source = build_model("gnn", 3, **GNN, graph="anatomical")
    model = build_model("fusion", 3, **FUSION, graph=OWN)
    model.initialise_branch("encoder", source.tensors())
    np.testing.assert_array_equal(model.face_graph.edge_index, OWN.edge_index)
    assert torch.equal(model.encoder.identity, source.identity)


def test_files_without_a_graph(tmp_path):
    model = build_model("gnn", 3, **GNN)
    path = tmp_path / "model.safetensors"
    save_file({key: t for key, t in model.tensors().items() if key != "graph.edge_kind"}, path)
    with pytest.raises(RunError, match=r"model\.safetensors lacks graph\.edge_kind of the graph 'mine'"):
        load_model("gnn", 3, path, GNN, graph_name="mine")


def test_buffers_move_and_have_no_gradients():
    buffers = GraphBuffers(OWN)
    assert list(buffers.parameters()) == []
    assert {name: tensor.dtype for name, tensor in buffers.named_buffers()} == dict.fromkeys(
        GRAPH_ARRAYS, torch.int64
    )
