import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from landmarkfer.config.recipes import load_settings
from landmarkfer.config.train import ResolvedSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.errors import LandmarkferError, RunError
from landmarkfer.face.graph import GRAPHS, build_graph
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.metrics.collapse import collapse_warnings
from landmarkfer.models import build_model
from landmarkfer.runs.config import CacheInfo, GraphInfo, RunConfig, environment
from landmarkfer.runs.folder import RunFolder, find_run, new_run

CLASSES = ("happy", "sad", "angry")
GNN = {"widths": [4], "hidden": [6], "identity": 2, "node_width": 2}


def save(run, name="gnn", **keywords):
    """Write what training writes of a model with random weights and statistics; give the model back."""
    torch.manual_seed(3)
    model = build_model(name, len(CLASSES), **keywords)
    model.set_statistics(torch.tensor(CANONICAL) + 0.1, torch.rand(478, 3) + 0.5)
    model.set_prior(torch.tensor([0.5, 0.3, 0.2]))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    named = {"graph": model.face_graph.name} if name == "gnn" else {}
    overrides = {f"model.{key}": value for key, value in (keywords | named).items()} | {"model.name": name}
    config = RunConfig(
        settings=ResolvedSettings.model_validate(load_settings(overrides=overrides).model_dump()),
        classes=CLASSES,
        cache=CacheInfo(path="cache/x", fingerprint="f", rows=3, detector="none 1"),
        graph=GraphInfo.of(model.face_graph),
        parameters=1,
        **environment(),
    )
    run.write_config(config)
    run.write_splits({"train": ["ä.png"], "val": [], "test": ["b.png"]})
    run.write_model(model)
    return model.eval()


def faces(n=5):
    noise = torch.randn(n, 478, 3, generator=torch.Generator().manual_seed(7))
    return FaceBatch(torch.tensor(CANONICAL) + 0.3 * noise, torch.ones(n, dtype=torch.bool))


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "run")


@pytest.fixture
def saved(run):
    save(run, "mlp", hidden=[6])
    return run


class TestRoundTrip:
    @pytest.mark.parametrize(
        ("name", "keywords"),
        [
            ("mlp", {"hidden": [6], "features": "displacement"}),
            *[("gnn", GNN | {"graph": graph}) for graph in GRAPHS],
            ("gnn", GNN | {"graph": "regions", "readout": "region", "conv": "gin"}),
            ("gnn", GNN | {"graph": "hybrid", "conv": "gatv2", "readout": "attention"}),
            ("gnn", GNN | {"dynamic_k": 3}),
        ],
        ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
    )
    def test_logits_are_the_same_to_the_bit(self, run, name, keywords):
        model = save(run, name, **keywords)
        trained = run.load()
        assert not trained.model.training
        with torch.inference_mode():
            assert torch.equal(trained.model(faces()), model(faces()))
            missing = FaceBatch(faces().landmarks, torch.zeros(5, dtype=torch.bool))
            assert torch.equal(trained.model(missing), model.log_prior.expand(5, -1))
        assert trained.config.classes == CLASSES

    def test_a_graph_of_the_training_faces_is_not_built_anew(self, run):
        squashed = CANONICAL * [3, 1, 1]
        graph = build_graph("knn", mean_face=squashed, k=4)
        model = save(run, **GNN | {"graph": graph})
        loaded = run.load().model
        assert not np.array_equal(graph.edge_index, build_graph("knn", k=4).edge_index)
        np.testing.assert_array_equal(loaded.face_graph.edge_index, graph.edge_index)
        np.testing.assert_array_equal(loaded.face_graph.edge_kind, graph.edge_kind)
        assert (loaded.face_graph.name, loaded.face_graph.kinds) == ("knn", graph.kinds)
        assert torch.equal(loaded(faces()), model(faces()))

    def test_a_graph_from_a_file_that_is_gone(self, run, tmp_path):
        file = tmp_path / "mine.csv"
        file.write_text("source,target\n0,1\n1,2\n10,20\n")
        model = save(run, **GNN | {"graph": build_graph(file)})
        file.unlink()
        assert torch.equal(run.load().model(faces()), model(faces()))

    def test_the_same_model_gives_the_same_bytes(self, run, tmp_path):
        model = save(run, **GNN)
        first = run.weights_file.read_bytes()
        for number in range(8):
            other = RunFolder(tmp_path / str(number))
            other.path.mkdir()
            other.write_model(model)
            assert other.weights_file.read_bytes() == first

    def test_nothing_is_unpickled(self, run, monkeypatch):
        model = save(run, **GNN)

        def refuse(*args, **keywords):
            raise AssertionError("a pickle was loaded")

        for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
            monkeypatch.setattr(module, name, refuse)
        assert torch.equal(run.load().model(faces()), model(faces()))

    def test_config_and_splits(self, saved):
        assert saved.read_config().settings.model.keywords == {"hidden": [6]}
        assert saved.read_splits() == {"train": ["ä.png"], "val": [], "test": ["b.png"]}
        content = json.loads(saved.config_file.read_text())
        assert {"settings", "classes", "cache", "graph", "versions", "cores", "created", "format"} <= set(
            content
        )
        assert {"python", "torch", "landmarkfer", "mediapipe"} <= set(content["versions"])


def sentence(error):
    text = str(error.value)
    assert "\n" not in text
    return text


class TestDamage:
    def test_no_config(self, run):
        with pytest.raises(RunError, match=r"cannot be read.*is .*run a run folder\?") as error:
            run.load()
        sentence(error)

    @pytest.mark.parametrize("content", ["", "{", "\x00\x01", '{"format": 1, '])
    def test_config_that_is_no_json(self, saved, content):
        saved.config_file.write_text(content)
        with pytest.raises(RunError, match=r"config\.json is no JSON") as error:
            saved.load()
        sentence(error)

    @pytest.mark.parametrize("content", ["[]", "3", "{}", '{"format": 99}', '{"format": "1"}'])
    def test_config_of_another_format(self, saved, content):
        saved.config_file.write_text(content)
        with pytest.raises(RunError, match="this version reads 1") as error:
            saved.load()
        sentence(error)

    @pytest.mark.parametrize(
        ("path", "value", "reason"),
        [
            (("settings", "fit", "epochs"), "many", "settings.fit.epochs"),
            (("settings", "fit", "ufo"), 1, "settings.fit.ufo"),
            (("classes",), None, "classes"),
            (("cache",), {}, "cache.path"),
        ],
    )
    def test_config_with_a_wrong_value(self, saved, path, value, reason):
        content = json.loads(saved.config_file.read_text())
        inner = content
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        saved.config_file.write_text(json.dumps(content))
        with pytest.raises(RunError, match=f"'{reason}'") as error:
            saved.load()
        sentence(error)

    def test_weights_that_are_not_there_yet(self, saved):
        saved.weights_file.unlink()
        with pytest.raises(RunError, match=r"training has not finished; .*--resume /.*run") as error:
            saved.load()
        sentence(error)

    @pytest.mark.parametrize("kept", [0, 5, 200, -1])
    def test_weights_cut_short(self, saved, kept):
        saved.weights_file.write_bytes(saved.weights_file.read_bytes()[:kept])
        with pytest.raises(RunError, match=r"model\.safetensors is damaged.*train the model again") as error:
            saved.load()
        sentence(error)

    def test_weights_that_are_no_numbers(self, saved):
        tensors = load_file(saved.weights_file)
        next(tensor for name, tensor in tensors.items() if name.endswith("weight")).view(-1)[3] = torch.nan
        save_file(tensors, saved.weights_file)
        with pytest.raises(RunError, match=r"model\.safetensors is damaged: '.*' holds non-finite") as error:
            saved.load()
        sentence(error)

    @pytest.mark.parametrize("tensor", ["graph.edge_index", "graph.node_region"])
    def test_weights_without_their_graph(self, run, tensor):
        save(run, **GNN)
        tensors = load_file(run.weights_file)
        del tensors[tensor]
        save_file(tensors, run.weights_file)
        with pytest.raises(RunError, match=rf"lacks {tensor}.*graph 'tesselation'") as error:
            run.load()
        sentence(error)
        save_file({n: t for n, t in tensors.items() if not n.startswith("graph.")}, run.weights_file)
        with pytest.raises(RunError, match=r"lacks the graph 'tesselation'") as error:
            run.load()
        sentence(error)

    @pytest.mark.parametrize(
        ("tensor", "value"),
        [
            ("graph.edge_index", torch.tensor([[0, 9000], [9000, 0]])),
            ("graph.edge_index", torch.zeros(3, dtype=torch.int64)),
            ("graph.edge_kind", torch.tensor([7])),
            ("graph.node_region", torch.arange(5)),
        ],
    )
    def test_weights_with_a_broken_graph(self, run, tensor, value):
        save(run, **GNN)
        tensors = load_file(run.weights_file)
        save_file(tensors | {tensor: value}, run.weights_file)
        with pytest.raises(LandmarkferError) as error:
            run.load()
        sentence(error)

    def test_weights_of_another_model(self, saved, tmp_path):
        other = RunFolder(tmp_path / "other")
        save(other, "mlp", hidden=[7])
        saved.weights_file.write_bytes(other.weights_file.read_bytes())
        with pytest.raises(RunError, match=r"does not fit the settings of its model.*size mismatch") as error:
            saved.load()
        sentence(error)

    @pytest.mark.parametrize(
        "content", [None, "", "[]", '{"train": []}', '{"train": [], "val": 3, "test": []}']
    )
    def test_splits(self, saved, content):
        saved.splits_file.unlink() if content is None else saved.splits_file.write_text(content)
        with pytest.raises(RunError, match=r"splits\.json.*train") as error:
            saved.read_splits()
        sentence(error)

    @pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 but no archive"])
    def test_checkpoints(self, saved, content):
        saved.checkpoints.mkdir()
        saved.last_checkpoint.write_bytes(content)
        with pytest.raises(RunError, match=r"last\.ckpt is damaged.*delete .*checkpoints") as error:
            saved.read_checkpoint(saved.last_checkpoint)
        sentence(error)

    def test_a_checkpoint_of_something_else(self, saved):
        saved.checkpoints.mkdir()
        torch.save({"weights": torch.ones(2)}, saved.last_checkpoint)
        with pytest.raises(RunError, match=r"last\.ckpt is damaged .KeyError"):
            saved.read_checkpoint(saved.last_checkpoint)

    def test_a_checkpoint_that_would_run_code(self, saved, tmp_path):
        class Trap:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "sprung"),)

        saved.checkpoints.mkdir()
        torch.save({"global_step": Trap()}, saved.last_checkpoint)
        with pytest.raises(RunError, match="damaged"):
            saved.read_checkpoint(saved.last_checkpoint)
        assert not (tmp_path / "sprung").exists()


class TestWarnings:
    def test_written_whole_and_read_back(self, saved):
        assert saved.read_warnings() == [], "a run of before there were any"
        warnings = collapse_warnings([[5, 0], [4, 0]], ["glücklich", "sad"])
        saved.write_warnings(warnings)
        assert saved.read_warnings() == [warnings[0].sentence]
        assert "every validation image was predicted as 'glücklich'" in saved.read_warnings()[0]
        assert not list(saved.path.glob(".*partial*"))
        saved.write_warnings([])
        assert saved.read_warnings() == []

    def test_damaged(self, saved):
        saved.warnings_file.write_text("[{}]")
        with pytest.raises(RunError, match=r"warnings\.json cannot be read .*delete it") as error:
            saved.read_warnings()
        sentence(error)


class TestNames:
    def test_a_run_is_found_by_folder_and_by_name(self, saved, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("landmarkfer.runs.folder.RUNS_ROOT", tmp_path)
        for where in ("run", tmp_path / "run", "./run/"):
            assert find_run(where).config_file.samefile(saved.config_file)
            assert find_run(where).name == "run"
        monkeypatch.chdir(saved.path)
        assert find_run(".").name == "run"

    def test_an_unknown_run_is_refused_and_the_known_ones_listed(self, saved, tmp_path, monkeypatch):
        monkeypatch.setattr("landmarkfer.runs.folder.RUNS_ROOT", tmp_path)
        with pytest.raises(RunError, match=r"'walk' is no run .*there are run"):
            find_run("walk")
        monkeypatch.setattr("landmarkfer.runs.folder.RUNS_ROOT", tmp_path / "none")
        with pytest.raises(RunError, match="there is none under"):
            find_run("walk")

    @pytest.mark.parametrize("where", [["run"], 3, None])
    def test_what_cannot_name_a_run(self, where):
        with pytest.raises(RunError, match=rf"or a RunFolder, not by {type(where).__name__}; "):
            find_run(where)

    def test_names_that_are_taken(self, tmp_path):
        assert new_run("a", "x", tmp_path).path.is_dir()
        with pytest.raises(RunError, match=r"there is a run 'a'.*--resume a"):
            new_run("a", "x", tmp_path)
        assert [new_run(None, "x", tmp_path).name for _ in range(3)] == ["x", "x-2", "x-3"]

    @pytest.mark.parametrize("name", ["a/b", "..", "", "/abs", "."])
    def test_names_that_are_no_folder(self, tmp_path, name):
        with pytest.raises(RunError, match="plain folder name"):
            new_run(name, "x", tmp_path)

    def test_runs_begun_at_once_get_folders_of_their_own(self, tmp_path):
        with ThreadPoolExecutor(8) as pool:
            names = list(pool.map(lambda _: new_run(None, "x", tmp_path).name, range(40)))
        assert len(set(names)) == 40
