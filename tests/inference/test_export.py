"""Exports of networks: the predictions of PyTorch without torch."""

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import landmarkfer as lf
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.errors import RunError
from landmarkfer.inference.export import check_export, example_arrays, export_onnx
from landmarkfer.inference.frame import cache_rows, frame_faces
from landmarkfer.inference.onnx import OnnxNetwork
from landmarkfer.inference.torch_network import TorchNetwork
from landmarkfer.models.mlp import MLP
from landmarkfer.training.fit import train

PIXELS = {"model.width": 4, "model.size": 16, "model.crop": 0.9, "prediction.crops": "five"}
FUSED = {**PIXELS, "model.fusion_width": 8}
KINDS = {
    "mlp": ("mlp", {"model.features": "whitened"}),
    "gnn": ("gnn", {"model.features": "whitened"}),
    "gcn": ("gnn", {"model.conv": "gcn"}),
    "gin": ("gnn", {"model.conv": "gin"}),
    "gatv2": ("gnn", {"model.conv": "gatv2"}),
    "hubs": ("gnn", {"model.graph": "regions"}),
    "transformer": ("transformer", {"model.depth": 1, "model.width": 8, "model.heads": 2}),
    "image": ("image", PIXELS),
    **{
        f"fusion {fusion}": (
            "fusion",
            {
                **FUSED,
                "model.fusion": fusion,
                "model.encoder": "gnn" if fusion == "sampled" else "mlp",
                "model.encoder_settings": {"widths": [4], "hidden": [8]}
                if fusion == "sampled"
                else {"hidden": [8]},
            },
        )
        for fusion in ("late", "concat", "gated", "cross-attention", "sampled")
    },
}


@pytest.fixture(scope="module")
def export(tiny_settings, image_settings, tmp_path_factory):
    """`export("mlp")`: a tiny trained network of a kind, its export, and the faces of its cache."""
    made = {}

    def of(kind):
        if kind not in made:
            model, settings = KINDS[kind]
            base = tiny_settings if model in ("mlp", "gnn") else image_settings
            folder = tmp_path_factory.mktemp("run")
            run = train(base(model, **settings, **{"fit.epochs": 1}), runs_root=folder)
            network = TorchNetwork.of_run(run, "cpu")
            export_onnx(network, folder / "model.onnx")
            cache = LandmarkCache.open(network.trained.config.cache.path)
            rows = cache_rows(cache, range(len(cache)), with_image=True)
            # An export is given images; one that cannot be read has no prediction.
            rows = [row for row in rows if row.status != "unreadable"]
            arrays = frame_faces(rows, network.info.images)
            made[kind] = network, folder / "model.onnx", arrays, run
        return made[kind]

    return of


@pytest.mark.parametrize(
    "kind", [kind if kind == "mlp" else pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS]
)
def test_it_predicts_as_pytorch_does(export, kind):
    network, path, arrays, _ = export(kind)
    exported = OnnxNetwork(path)
    assert np.isnan(arrays.landmarks).all(axis=(1, 2)).any(), "some have no face"
    check = check_export(network, exported, arrays)
    assert check.largest < 1e-4 and check.same_labels == 1 and check.faces == len(arrays.landmarks)
    ours, theirs = network.probabilities(arrays), exported.probabilities(arrays)
    assert np.ptp(ours, axis=0).max() > 1e-3, "faces differ"
    np.testing.assert_allclose(exported.embed(arrays), network.embed(arrays), rtol=1e-3, atol=1e-3)
    # One by one as all at once: the size of a batch is free.
    one = example_arrays(network, 1)
    np.testing.assert_allclose(exported.probabilities(one, 1), exported.probabilities(one, 5))
    assert theirs.shape == ours.shape
    assert exported.info.classes == network.info.classes
    assert exported.info.extraction == network.info.extraction
    np.testing.assert_allclose(exported.info.set_thresholds, network.info.set_thresholds)


def test_a_file_for_batches_of_one_size_is_not_written(export, tmp_path, monkeypatch):
    network, *_ = export("mlp")
    embed = MLP.embed
    # `len` gives torch's exporter a number, where `shape` gives it the size of any batch.
    monkeypatch.setattr(MLP, "embed", lambda self, batch: embed(self, batch) + torch.zeros(len(batch), 1))
    with pytest.raises(RunError, match="batches of 3 faces alone"):
        export_onnx(network, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_sets_and_names_in_the_file(export):
    import onnxruntime

    network, path, arrays, _ = export("mlp")
    session = onnxruntime.InferenceSession(path)
    assert [one.name for one in session.get_inputs()] == ["landmarks", "size"]
    assert [one.name for one in session.get_outputs()] == [
        "probabilities",
        "sets",
        "embedding",
        "uncalibrated",
    ]
    given = {"landmarks": arrays.landmarks, "size": arrays.sizes}
    probabilities, sets = session.run(["probabilities", "sets"], given)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    ours = network.outputs(arrays)
    clear = np.abs(ours.probabilities - np.array(network.info.set_thresholds[89])) > 1e-5
    np.testing.assert_array_equal(sets[clear], network.sets(ours, 0.9)[clear])
    assert str(path.parent).encode() not in path.read_bytes(), "no path of this machine"
    assert b".py" not in path.read_bytes(), "no source code"


def test_it_is_loaded_and_used_as_a_run_is(export):
    _, path, arrays, run = export("mlp")
    model, trained = lf.load(path), lf.load(run)
    faces = model.predict_landmarks(arrays.landmarks, arrays.sizes)
    expected = trained.predict_landmarks(arrays.landmarks, arrays.sizes)
    assert faces.labels == expected.labels and model.classes == trained.classes
    again = pickle.loads(pickle.dumps(model)).predict_landmarks(arrays.landmarks, arrays.sizes)
    np.testing.assert_array_equal(again.probabilities, faces.probabilities)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda _: model.predict_landmarks(arrays.landmarks, arrays.sizes), range(8)))
    for part in parts:
        np.testing.assert_array_equal(part.probabilities, faces.probabilities)


def test_without_torch(export, tmp_path):
    _, path, arrays, _ = export("mlp")
    np.savez(tmp_path / "faces.npz", landmarks=arrays.landmarks, sizes=arrays.sizes)
    code = """
import sys
import numpy as np
import landmarkfer as lf
faces = np.load(sys.argv[2])
found = lf.load(sys.argv[1]).predict_landmarks(faces["landmarks"], faces["sizes"])
print(found, "torch" in sys.modules)
"""
    command = [sys.executable, "-c", code, str(path), str(tmp_path / "faces.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("<Faces: ") and done.stdout.strip().endswith("False")


def test_what_cannot_be_exported(tiny_cache, tmp_path):
    run = lf.train("landmark-svm", tiny_cache, settings={"model.pca": 4}, out=tmp_path)
    with pytest.raises(RunError, match="'landmark-svm' is no network"):
        export_onnx(TorchNetwork.of_run(run), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_files_that_are_no_export(tmp_path):
    with pytest.raises(RunError, match=r"there is no .*gone\.onnx; write one with `landmarkfer export RUN`"):
        lf.load(tmp_path / "gone.onnx")
    (tmp_path / "damaged.onnx").write_bytes(b"\x08\x09nothing")
    with pytest.raises(RunError, match="cannot be read as ONNX"):
        lf.load(tmp_path / "damaged.onnx")


def test_an_onnx_file_of_something_else(export, tmp_path):
    import onnx

    model = onnx.load(export("mlp")[1])
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(RunError, match="is no export of landmarkfer"):
        lf.load(tmp_path / "other.onnx")
    onnx.helper.set_model_props(model, {"landmarkfer": '{"name": "x"}'})
    onnx.save(model, tmp_path / "old.onnx")
    with pytest.raises(RunError, match="was written by another version"):
        lf.load(tmp_path / "old.onnx")
