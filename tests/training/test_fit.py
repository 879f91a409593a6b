import os
import resource
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from landmarkfer.config.data import NormalisationSettings
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.dataset import load_dataset
from landmarkfer.errors import CacheError, GraphError, LandmarkferError, RunError
from landmarkfer.runs.folder import RunFolder
from landmarkfer.training.fit import resume, train
from landmarkfer.training.task import ExpressionTask


@pytest.fixture
def run(tiny_settings, tmp_path):
    return train(tiny_settings(name="run", **{"fit.epochs": 3}), runs_root=tmp_path)


def validation_accuracy(run, cache):
    """Accuracy of the saved model on the validation images, worked out apart from training."""
    trained = run.load()
    dataset = load_dataset(cache, NormalisationSettings())
    rows = np.flatnonzero(dataset.frame["id"].isin(run.read_splits()["val"]))
    faces = dataset.faces.rows(torch.as_tensor(rows))
    with torch.inference_mode():
        return (trained.model(faces).argmax(dim=1) == faces.labels).double().mean().item()


class TestFolder:
    def test_what_a_run_leaves_behind(self, run, tiny_cache):
        names = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file()}
        assert {"config.json", "splits.json", "metrics.csv", "curves.png", "model.safetensors"} <= names
        assert {"checkpoints/last.ckpt", "checkpoints/best.ckpt"} <= names
        assert any(name.startswith("tensorboard/events.") for name in names)
        assert not [name for name in names if ".partial" in name], "no half file"
        with Image.open(run.curves_file) as picture:
            assert picture.width > 800

        table = pd.read_csv(run.metrics_file)
        assert table["epoch"].tolist() == [1, 2, 3]
        assert table["step"].tolist() == [5, 10, 15]
        assert table.notna().all(axis=None)
        assert (table["seconds"] < 60).all()
        assert table["train_accuracy"].iloc[-1] > table["train_accuracy"].iloc[0]
        assert table["lr"].iloc[-1] < 1e-4, "the end of one cycle"

        config = run.read_config()
        assert config.classes == ("angry", "happy", "sad")
        assert (config.cache.rows, config.cache.fingerprint) == (len(tiny_cache), tiny_cache.fingerprint)
        assert config.settings.model.keywords["dropout"] == 0.4, "what was not given is stated"
        assert config.graph is None
        assert config.parameters == sum(p.numel() for p in run.load().model.parameters())

        splits = run.read_splits()
        frame = tiny_cache.frame()
        assert set(splits["test"]) == set(frame["id"][frame["split"] == "test"])
        assert not set(splits["train"]) & set(splits["val"])
        assert len(splits["train"]) + len(splits["val"]) == (frame["split"] == "train").sum() - 1

    def test_names_by_default(self, tiny_settings, tmp_path):
        settings = tiny_settings("gnn", **{"model.graph": "anatomical", "fit.epochs": 1, "seed": 4})
        names = [train(settings, runs_root=tmp_path).name for _ in range(2)]
        assert names == ["gnn-anatomical-s4", "gnn-anatomical-s4-2"]
        assert RunFolder(tmp_path / names[0]).read_config().graph.edges == 157

    def test_a_name_that_is_taken(self, run, tiny_settings, tmp_path):
        before = run.weights_file.read_bytes()
        with pytest.raises(RunError, match=r"there is a finished run 'run' in .*; choose another --name"):
            train(tiny_settings(name="run"), runs_root=tmp_path)
        assert run.weights_file.read_bytes() == before


class TestRepeatability:
    def test_the_same_seed_gives_the_same_files_and_another_others(self, run, tiny_settings, tmp_path):
        torch.rand(7)
        np.random.seed(7)
        again = train(tiny_settings(name="again", **{"fit.epochs": 3}), runs_root=tmp_path)
        other = train(tiny_settings(name="other", **{"fit.epochs": 3, "seed": 1}), runs_root=tmp_path)
        tables = [pd.read_csv(r.metrics_file).drop(columns="seconds") for r in (run, again, other)]
        pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)
        assert run.weights_file.read_bytes() == again.weights_file.read_bytes()
        assert not tables[0].equals(tables[2])
        assert run.weights_file.read_bytes() != other.weights_file.read_bytes()
        assert run.splits_file.read_text() == other.splits_file.read_text(), "seeds share a split"

    def test_checkpointing_more_often_changes_nothing(self, run, tiny_settings, tmp_path):
        settings = tiny_settings(name="often", **{"fit.epochs": 3, "fit.checkpoint_every": 2})
        often = train(settings, runs_root=tmp_path)
        assert often.weights_file.read_bytes() == run.weights_file.read_bytes()


class TestBest:
    @pytest.mark.parametrize("ema", [0.0, 0.5])
    @pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss"])
    def test_the_saved_model_is_that_of_the_best_epoch(
        self, tiny_settings, tiny_cache, tmp_path, ema, monitor
    ):
        """At a learning rate that ruins the model in the end, so that the best is not the last."""
        settings = tiny_settings(
            **{"fit.epochs": 5, "fit.ema": ema, "fit.monitor": monitor, "split.validation": 0.3},
            **{"optimiser.lr": 1.0, "optimiser.schedule": "constant", "optimiser.warmup": 0.4},
            **{"model.features": "displacement", "augment.shape_jitter": 0.3},
        )
        run = train(settings, runs_root=tmp_path)
        table = pd.read_csv(run.metrics_file)
        best = table["val_loss"].idxmin() if monitor == "val_loss" else table["val_accuracy"].idxmax()
        assert validation_accuracy(run, tiny_cache) == pytest.approx(table["val_accuracy"].iloc[best])
        if not ema:
            assert best < 4, "the test needs a best epoch that is not the last"
        assert run.read_checkpoint(run.best_checkpoint)["global_step"] == table["step"].iloc[best]

    def test_the_average_of_the_weights_is_what_is_saved(self, tiny_settings, tmp_path):
        """EMA by hand over the weights after each step, whose weights sum to 1."""
        steps = []
        original = ExpressionTask.optimizer_step

        def watched(self, *args, **keywords):
            original(self, *args, **keywords)
            steps.append(self.model.head.weight.detach().clone())

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ExpressionTask, "optimizer_step", watched)
            run = train(tiny_settings(**{"fit.epochs": 1, "fit.ema": 0.8}), runs_root=tmp_path)
        shares = 0.8 ** torch.arange(len(steps) - 1, -1, -1)
        average = (torch.stack(steps) * (shares / shares.sum())[:, None, None]).sum(dim=0)
        torch.testing.assert_close(run.load().model.head.weight.detach(), average)
        assert not torch.allclose(average, steps[-1])

    def test_patience_stops(self, tiny_settings, tmp_path):
        settings = tiny_settings(
            **{"fit.epochs": 40, "fit.patience": 2, "fit.monitor": "val_loss"},
            **{"optimiser.lr": 0.3, "optimiser.schedule": "constant"},
        )
        losses = pd.read_csv(train(settings, runs_root=tmp_path).metrics_file)["val_loss"]
        assert len(losses) < 40
        assert losses.idxmin() == len(losses) - 3, "two epochs without a better one"


class TestVariants:
    @pytest.mark.parametrize(
        "overrides",
        [
            {"model.conv": "gat", "model.graph": "anatomical"},
            {"model.graph": "regions", "model.readout": "region", "fit.ema": 0.9},
            {"model.dynamic_k": 3, "fit.checkpoint_every": 2},
            {"fit.precision": "bf16-mixed", "model.conv": "gcn"},
            {"optimiser.clip": 0.1, "loss.class_weights": "sqrt_inverse", "split.folds": 3, "split.fold": 2},
            {"augment.shape_jitter": 0.0, "augment.jitter": 0.1},
        ],
        ids=str,
    )
    def test_settings_that_change_the_path(self, tiny_settings, tiny_cache, tmp_path, overrides):
        run = train(tiny_settings("gnn", **overrides), runs_root=tmp_path)
        table = pd.read_csv(run.metrics_file)
        assert table.notna().all(axis=None)
        assert validation_accuracy(run, tiny_cache) == pytest.approx(table["val_accuracy"].max(), abs=0.1)


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss"])
def test_a_training_that_diverges_is_no_model(tiny_settings, tmp_path, monitor):
    settings = tiny_settings(name="run", **{"optimiser.lr": 1e30, "fit.monitor": monitor, "fit.patience": 1})
    with pytest.raises(RunError, match=r"diverged in epoch 1.*optimiser\.lr \(it is 1e\+30\)"):
        train(settings, runs_root=tmp_path)
    assert not RunFolder(tmp_path / "run").weights_file.exists()


class TestResumeErrors:
    @pytest.fixture
    def cut(self, run):
        """A run that was interrupted after its last epoch."""
        run.weights_file.unlink()
        return run

    def test_a_finished_run(self, run):
        before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
        with pytest.raises(RunError, match=r"run 'run' is finished; .*evaluate run"):
            resume(run)
        assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before

    def test_a_cache_that_changed(self, cut, make_rows, tmp_path):
        rows = make_rows()
        rows[3].landmarks = rows[3].landmarks + 0.01
        changed = write_cache(tmp_path / "changed", rows)
        config = cut.read_config()
        info = config.cache.model_copy(update={"path": str(changed.path)})
        cut.write_config(config.model_copy(update={"cache": info}))
        with pytest.raises(RunError, match="has changed since run 'run' started"):
            resume(cut)

    def test_a_cache_that_is_gone(self, cut, tmp_path):
        config = cut.read_config()
        info = config.cache.model_copy(update={"path": str(tmp_path / "gone")})
        cut.write_config(config.model_copy(update={"cache": info}))
        with pytest.raises(CacheError, match="gone is no landmark cache"):
            resume(cut)

    @pytest.mark.parametrize("edges", ["0,1", "0,1\n0,2"], ids=["fewer", "as many"])
    def test_a_graph_file_that_changed(self, tiny_settings, tmp_path, edges):
        file = tmp_path / "mine.csv"
        file.write_text("source,target\n0,1\n1,2\n")
        run = train(tiny_settings("gnn", **{"model.graph": str(file)}), runs_root=tmp_path)
        assert run.name == "gnn-mine-s0"
        run.weights_file.unlink()
        file.write_text(f"source,target\n{edges}\n")
        with pytest.raises((RunError, GraphError), match=r"mine(\.csv)?' has changed since"):
            resume(run)

    def test_images_the_cache_does_not_have(self, cut):
        cut.write_splits(cut.read_splits() | {"val": ["nobody.png"]})
        with pytest.raises(RunError, match=r"splits\.json does not fit the cache.*nobody\.png"):
            resume(cut)

    @pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
    def test_a_damaged_checkpoint_and_the_way_out(self, run, name):
        expected = run.weights_file.read_bytes(), pd.read_csv(run.metrics_file)["val_loss"].tolist()
        run.weights_file.unlink()
        path = run.checkpoints / name
        path.write_bytes(path.read_bytes()[:-2000])
        with pytest.raises(RunError, match=rf"{name} is damaged .*delete .*checkpoints") as error:
            resume(run)
        assert "\n" not in str(error.value)
        for checkpoint in run.checkpoints.iterdir():
            checkpoint.unlink()
        resume(run)
        assert (run.weights_file.read_bytes(), pd.read_csv(run.metrics_file)["val_loss"].tolist()) == expected

    def test_no_run(self, tmp_path):
        with pytest.raises(RunError, match=r"config\.json cannot be read"):
            resume(RunFolder(tmp_path))


class TestStopping:
    def test_ctrl_c(self, tiny_settings, tmp_path, monkeypatch):
        """A real signal in the third step: it is passed on, and neither Ctrl-C nor the run is lost."""
        original = ExpressionTask.training_step

        def interrupted(self, batch, batch_idx):
            if self.global_step == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return original(self, batch, batch_idx)

        handler = signal.getsignal(signal.SIGINT)
        settings = tiny_settings(name="stopped", **{"fit.checkpoint_every": 2})
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as stop:
            patch.setattr(ExpressionTask, "training_step", interrupted)
            train(settings, runs_root=tmp_path)
        assert signal.getsignal(signal.SIGINT) is handler
        folder = tmp_path / "stopped"
        stored = f"{folder} has no finished epoch yet; `landmarkfer train --resume {folder}` resumes it."
        assert str(stop.value) == stored
        run = resume(RunFolder(tmp_path / "stopped"))
        whole = train(settings.model_copy(update={"name": "whole"}), runs_root=tmp_path)
        assert run.weights_file.read_bytes() == whole.weights_file.read_bytes()

    @pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs file size limits")
    @pytest.mark.parametrize("limit", [20_000, 500])
    def test_a_full_disk(self, tiny_settings, tmp_path, limit):
        """Files may not grow beyond a limit: the checkpoint fails, or even the config."""
        settings = tiny_settings(name="full")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(
                LandmarkferError, match=r"cannot be written: .*make room, then .*--resume /.*full"
            ):
                train(settings, runs_root=tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert not RunFolder(tmp_path / "full").weights_file.exists()
        assert not list((tmp_path / "full").rglob("*.partial*")), "no half file"
        if limit == 20_000:
            run = resume(RunFolder(tmp_path / "full"))
            assert pd.read_csv(run.metrics_file)["epoch"].tolist() == [1, 2]


class TestCollapse:
    """The published fault of a network that answers with the majority class: accuracy alone hides it."""

    def test_it_is_said(self, make_rows, tiny_settings, tmp_path, caplog):
        rows = make_rows()
        same = next(row.landmarks for row in rows if row.landmarks is not None)
        kept = []
        for row in rows:
            if row.landmarks is not None:
                row.landmarks = same  # nothing to tell the classes by
            if row.label == "happy" or row.id.endswith("5.png"):
                kept.append(row)
        cache = write_cache(tmp_path / "same", kept)
        settings = {"cache": str(cache.path), "fit.epochs": 8, "loss.class_weights": "none"}
        settings |= {"prediction.mirror": False}  # the mirrored face is another one, and never learnt
        run = train(tiny_settings(**settings), runs_root=tmp_path)
        assert "every validation image was predicted as 'happy'" in caplog.text
        assert pd.read_csv(run.metrics_file)["val_accuracy"].iloc[-1] > 0.6, "and yet"

    def test_nothing_is_said_of_a_model_that_tells(self, tiny_settings, tmp_path, caplog):
        train(tiny_settings(**{"fit.epochs": 3}), runs_root=tmp_path)
        assert "every validation image" not in caplog.text
