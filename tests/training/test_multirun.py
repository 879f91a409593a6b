import io

import pandas as pd
import pytest
from rich.console import Console

from landmarkfer.errors import RunError
from landmarkfer.training.multirun import (
    Validation,
    read_validation,
    repetitions,
    train_multirun,
    validation_table,
)


@pytest.fixture
def console():
    return Console(width=100, record=True, file=io.StringIO())


class TestRepetitions:
    def test_seeds(self, tiny_settings):
        found = repetitions(tiny_settings(name="mine"), seeds=(0, 3))
        assert [(s.name, s.seed) for s in found] == [("mine-s0", 0), ("mine-s3", 3)]
        assert {s.split.folds for s in found} == {0}

    def test_folds(self, tiny_settings):
        found = repetitions(tiny_settings(), folds=3)
        assert [s.name for s in found] == [f"mlp-s0-fold{n}of3" for n in (1, 2, 3)]
        assert [(s.split.folds, s.split.fold) for s in found] == [(3, 0), (3, 1), (3, 2)]

    def test_both(self, tiny_settings):
        names = [s.name for s in repetitions(tiny_settings(), (1, 2), 2, "base")]
        assert names == ["base-s1-fold1of2", "base-s1-fold2of2", "base-s2-fold1of2", "base-s2-fold2of2"]


class TestTraining:
    def test_folds_differ_and_cover_every_training_image_once(self, tiny_settings, tmp_path):
        wanted = repetitions(tiny_settings(**{"fit.epochs": 1}), folds=3)
        runs = train_multirun(wanted, runs_root=tmp_path)
        splits = [run.read_splits() for run in runs]
        held = [set(split["val"]) for split in splits]
        assert all(held)
        assert not held[0] & held[1] and not held[0] & held[2] and not held[1] & held[2]
        for split in splits:
            assert not set(split["val"]) & set(split["train"])
            assert set(split["val"]) | set(split["train"]) == set().union(*held)
            assert split["test"] == splits[0]["test"]
        weights = {run.weights_file.read_bytes() for run in runs}
        assert len(weights) == 3, "what was learnt differs too"

    def test_finished_runs_stay_and_interrupted_ones_resume(self, tiny_settings, tmp_path, recorder):
        wanted = repetitions(tiny_settings(**{"fit.epochs": 1}), seeds=(0, 1))
        first, second = train_multirun(wanted, runs_root=tmp_path)
        whole = second.weights_file.read_bytes()
        stamp = first.weights_file.stat().st_mtime_ns
        second.weights_file.unlink()
        again = train_multirun(wanted, runs_root=tmp_path, progress=recorder)
        assert [run.name for run in again] == ["mlp-s0", "mlp-s1"]
        assert first.weights_file.stat().st_mtime_ns == stamp
        assert second.weights_file.read_bytes() == whole
        assert "run 2 of 2: mlp-s1" in recorder.said

    def test_finished_runs_repeat_their_warnings(self, tiny_settings, tmp_path, caplog):
        wanted = repetitions(tiny_settings(**{"fit.epochs": 1, "fit.ema": 0.999}), seeds=(0,))
        (run,) = train_multirun(wanted, runs_root=tmp_path)
        first = [record.getMessage() for record in caplog.records]
        assert first == [f"run 'mlp-s0': {sentence}" for sentence in run.read_warnings()] != []
        caplog.clear()
        train_multirun(wanted, runs_root=tmp_path)
        assert [record.getMessage() for record in caplog.records] == first

    def test_a_run_of_that_name_with_other_settings_is_refused(self, tiny_settings, tmp_path):
        train_multirun(repetitions(tiny_settings(**{"fit.epochs": 1}), seeds=(0,)), runs_root=tmp_path)
        other = repetitions(tiny_settings(**{"fit.epochs": 1, "optimiser.lr": 0.5}), seeds=(0,))
        with pytest.raises(RunError, match=r"-s0' with other settings: optimiser\.lr \(.*, not 0\.5\); "):
            train_multirun(other, runs_root=tmp_path)


class TestValidation:
    def test_figures_are_those_of_the_selected_epoch(self, tiny_settings, tmp_path):
        settings = tiny_settings(**{"fit.epochs": 4, "fit.monitor": "val_loss"})
        (run,) = train_multirun(repetitions(settings, seeds=(0,)), runs_root=tmp_path)
        table = pd.read_csv(run.metrics_file)
        kept = table.loc[table["val_loss"].idxmin()]
        names = ("val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_loss")
        assert read_validation(run).figures == pytest.approx({name: kept[name] for name in names})

    def test_mean_and_sd_by_hand(self, console):
        def one(name, accuracy):
            figures = {"val_accuracy": accuracy, "val_balanced_accuracy": 0.5, "val_macro_f1": 0.4}
            return Validation(name, figures | {"val_loss": 1.0})

        console.print(validation_table([one("a", 0.50), one("b", 0.54), one("c", 0.58)]))
        assert "54.00 ± 4.00" in console.export_text()
        console.print(validation_table([one("a", 0.5)]))
        assert "±" not in console.export_text(), "one run has no spread"
