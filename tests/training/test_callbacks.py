import re
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from landmarkfer.runs.metrics_table import COLUMNS, read_epochs
from landmarkfer.training.callbacks import TrainingProgress, WholeCheckpointIO
from landmarkfer.training.fit import train


def test_progress_counts_steps_and_notes_the_figures_of_each_epoch(tiny_settings, tmp_path, recorder):
    train(tiny_settings(), runs_root=tmp_path, progress=recorder)
    steps = [(done, total) for task, done, total in recorder.calls if task == "training"]
    assert steps[0] == (0, 10) and steps[-1] == (10, 10) and steps == sorted(steps)
    notes = [note for note in dict.fromkeys(recorder.notes) if note]
    pattern = r"epoch (\d)/2  loss \d\.\d{3}  val accuracy \d+\.\d%  best \d+\.\d%"
    assert [re.fullmatch(pattern, note)[1] for note in notes] == ["1", "2"]
    table = pd.read_csv(next(tmp_path.glob("*/metrics.csv")))
    assert f"loss {table['train_loss'].iloc[1]:.3f}" in notes[1]
    assert f"best {table['val_accuracy'].max():.1%}" in notes[1]
    assert notes[1] in recorder.said


def test_the_best_is_that_of_the_figure_that_chooses(tiny_settings, tmp_path, recorder):
    train(tiny_settings(**{"fit.monitor": "val_loss"}), runs_root=tmp_path, progress=recorder)
    table = pd.read_csv(next(tmp_path.glob("*/metrics.csv")))
    notes = [note for note in recorder.notes if note]
    assert notes[-1].endswith(f"best val_loss {table['val_loss'].min():.3f}")


def test_a_first_figure_that_is_no_number_is_not_the_best(recorder):
    shown = TrainingProgress(recorder, "val_accuracy")
    for epoch, accuracy in enumerate((float("nan"), 0.5, 0.25)):
        metrics = {"val_accuracy": torch.tensor(accuracy)}
        trainer = SimpleNamespace(
            callback_metrics=metrics, current_epoch=epoch, max_epochs=3, global_step=epoch
        )
        shown.on_train_epoch_end(trainer, None)
    shown.on_train_end(trainer, None)
    assert recorder.said[-1].endswith("val accuracy 25.0%  best 50.0%")


def test_a_checkpoint_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    saver = WholeCheckpointIO()
    saver.save_checkpoint({"x": torch.ones(3)}, path)
    before = path.read_bytes()

    def half(checkpoint, target, *args):
        target.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(
        "lightning.pytorch.plugins.io.TorchCheckpointIO.save_checkpoint", lambda _, *a: half(*a)
    )
    with pytest.raises(OSError, match="No space"):
        saver.save_checkpoint({"x": torch.zeros(3)}, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_no_epochs_yet(tmp_path):
    assert list(read_epochs(tmp_path / "metrics.csv").columns) == COLUMNS
