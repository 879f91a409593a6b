"""The search: what it draws, stores and says, and that it resumes after an interruption."""

import json
import tomllib

import pandas as pd
import pytest
from click.testing import CliRunner
from lightning.pytorch import Callback

from landmarkfer.cli import cli
from landmarkfer.config.recipes import load_settings
from landmarkfer.config.search import read_search
from landmarkfer.config.train import TrainSettings
from landmarkfer.errors import DivergedError, RunError, SettingsError
from landmarkfer.training import tune as module
from landmarkfer.training.fine_tuning import DEFAULTS
from landmarkfer.training.tune import tune

RECIPE = """
[model]
name = "mlp"
hidden = [8]
features = "displacement"
[fit]
epochs = 2
batch_size = 16
device = "cpu"
[tune]
trials = 4
[tune.ranges]
"optimiser.lr" = {low = 1e-3, high = 1e-1, log = true}
"model.dropout" = {low = 0.0, high = 0.5, step = 0.25}
"model.hidden" = [[8], [16, 4]]
"fit.batch_size" = {low = 8, high = 32}
"""


@pytest.fixture
def recipe(tmp_path, tiny_cache):
    path = tmp_path / "small.toml"
    path.write_text(f'cache = "{tiny_cache.path}"\n' + RECIPE)
    return path


def run(recipe, root, **options):
    folder = tune(recipe, root=root, **options)
    return folder, pd.read_csv(folder / "trials.csv")


def test_what_a_search_leaves_behind(recipe, tmp_path):
    folder, trials = run(recipe, tmp_path / "studies")
    assert folder == tmp_path / "studies/small"
    assert trials["trial"].tolist() == [1, 2, 3, 4]
    assert set(trials["state"]) <= {"complete", "pruned"}
    assert trials["optimiser.lr"].between(1e-3, 1e-1).all() and trials["optimiser.lr"].nunique() == 4
    assert trials["fit.batch_size"].between(8, 32).all()
    assert set(trials["model.dropout"]) <= {0.0, 0.25, 0.5}
    assert set(trials["model.hidden"]) <= {"[8]", "[16, 4]"}
    assert (folder / "tuning.png").stat().st_size > 10_000
    complete = trials[trials["state"] == "complete"]
    best = complete.loc[complete["value"].idxmax()]
    settings = load_settings(folder / "best.toml")
    assert settings.optimiser.lr == pytest.approx(best["optimiser.lr"])
    assert settings.model.keywords["hidden"] == json.loads(best["model.hidden"])
    assert settings.fit.epochs == 2
    epochs = pd.read_csv(folder / "runs" / f"trial-{best['trial']:04}" / "metrics.csv")
    assert best["value"] == pytest.approx(epochs["val_accuracy"].max())
    assert not list(folder.glob("runs/*/checkpoints")), "of trials that ended nothing need go on"


@pytest.mark.slow
def test_a_search_that_was_interrupted_resumes_as_if_it_had_not_been(recipe, tmp_path, monkeypatch):
    _, whole = run(recipe, tmp_path / "whole")

    class Stop(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 1:
                raise KeyboardInterrupt

    def stopped(settings, **options):
        again = options | {"callbacks": [*options["callbacks"], Stop()]}
        return train(settings, **(again if settings.name == "trial-0002" else options))

    train = module.train_or_resume
    monkeypatch.setattr(module, "train_or_resume", stopped)
    with pytest.raises(KeyboardInterrupt):
        tune(recipe, root=tmp_path / "cut")
    monkeypatch.setattr(module, "train_or_resume", train)
    folder, trials = run(recipe, tmp_path / "cut")
    assert (folder / "runs/trial-0002/resumed.txt").exists()
    pd.testing.assert_frame_equal(trials, whole)
    _, again = run(recipe, tmp_path / "cut")
    pd.testing.assert_frame_equal(again, whole), "a finished search is not searched again"
    assert len(list((folder / "runs").iterdir())) == 4


@pytest.mark.slow
def test_more_trials_go_on_with_a_finished_search(recipe, tmp_path):
    run(recipe, tmp_path, trials=1)
    _, trials = run(recipe, tmp_path, trials=2)
    assert trials["trial"].tolist() == [1, 2]


@pytest.mark.slow
def test_the_smaller_loss_is_the_better(recipe, tmp_path):
    folder, trials = run(recipe, tmp_path, trials=3, overrides={"fit.monitor": "val_loss"})
    best = load_settings(folder / "best.toml").optimiser.lr
    complete = trials[trials["state"] == "complete"]
    assert best == pytest.approx(complete.loc[complete["value"].idxmin(), "optimiser.lr"])


@pytest.mark.slow
def test_a_trial_that_is_worse_than_the_median_is_stopped(recipe, tmp_path, monkeypatch):
    from optuna import Trial

    monkeypatch.setattr(Trial, "should_prune", lambda self: self.number == 1)
    folder, trials = run(recipe, tmp_path)
    assert trials["state"].tolist() == ["complete", "pruned", "complete", "complete"]
    assert len(pd.read_csv(folder / "runs/trial-0002/metrics.csv")) == 1
    assert trials["value"].notna().all()


@pytest.mark.slow
def test_a_stopped_trial_stays_one_if_the_process_is_killed_before_it_is_told(recipe, tmp_path, monkeypatch):
    from optuna import Study, Trial

    tell = Study.tell

    def killed(self, trial, *arguments, **keywords):
        if trial.number == 1:
            raise KeyboardInterrupt
        return tell(self, trial, *arguments, **keywords)

    monkeypatch.setattr(Trial, "should_prune", lambda self: self.number == 1)
    monkeypatch.setattr(Study, "tell", killed)
    with pytest.raises(KeyboardInterrupt):
        tune(recipe, root=tmp_path)
    monkeypatch.setattr(Study, "tell", tell)
    folder, trials = run(recipe, tmp_path, trials=2)
    assert trials["state"].tolist() == ["complete", "pruned"]
    assert len(pd.read_csv(folder / "runs/trial-0002/metrics.csv")) == 1


@pytest.mark.slow
def test_a_training_that_diverges_is_a_failed_trial(recipe, tmp_path, monkeypatch):
    train = module.train_or_resume

    def diverging(settings, **options):
        if settings.name == "trial-0001":
            raise DivergedError("training diverged")
        return train(settings, **options)

    monkeypatch.setattr(module, "train_or_resume", diverging)
    _, trials = run(recipe, tmp_path, trials=2)
    assert trials["state"].tolist() == ["fail", "complete"]
    assert trials["value"].isna().tolist() == [True, False]


@pytest.mark.slow
def test_other_ranges_need_another_study(recipe, tmp_path):
    tune(recipe, root=tmp_path, trials=1)
    recipe.write_text(recipe.read_text().replace("high = 32", "high = 64"))
    with pytest.raises(SettingsError, match="choose another --name"):
        tune(recipe, root=tmp_path)
    assert tune(recipe, root=tmp_path, name="other", trials=1) == tmp_path / "other"


def test_a_study_of_an_earlier_version_goes_on():
    """Its settings lack what came later, at the value that they have by default."""
    now = load_settings(overrides={"cache": ["a", "b"], "model.name": "mlp", "name": "x"})
    plain = now.model_dump(mode="json", exclude={"name"})
    old = json.loads(json.dumps(plain))
    del old["sampling"]["shares"]
    assert old != plain
    assert module._as_today(old) == plain
    other = old | {"seed": 5}
    assert module._as_today(other) != plain
    assert module._as_today({"model": {"name": 5}}) == {"model": {"name": 5}}, "of another kind: not the same"


def test_one_process_searches_at_a_time(recipe, tmp_path):
    from filelock import FileLock

    (tmp_path / "small").mkdir()
    with FileLock(tmp_path / "small/.lock"), pytest.raises(RunError, match="another process"):
        tune(recipe, root=tmp_path)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ("", r"no table \[tune.ranges\]"),
        ("[tune]\ntrials = 3", "ranges"),
        ('[tune.ranges]\n"fit.epochs" = [3]', "at least two different values"),
        ('[tune.ranges]\n"fit.epochs" = {low = 3, high = 3}', "low must be below high"),
        ('[tune.ranges]\n"optimiser.lr" = {low = 0.0, high = 1.0, log = true}', "begins above 0"),
        ('[tune.ranges]\n"optimiser.lr" = {from = 0.0, to = 1.0}', "low"),
        ('[tune]\ntrail = 3\n[tune.ranges]\n"fit.epochs" = [3, 4]', "no setting 'trail'"),
    ],
)
def test_a_wrong_search_is_refused(tmp_path, table, reason):
    path = tmp_path / "wrong.toml"
    path.write_text(table)
    with pytest.raises(SettingsError, match=reason):
        read_search(path)


def test_a_setting_that_is_none_is_refused_before_training(recipe, tmp_path):
    recipe.write_text(recipe.read_text().replace("fit.batch_size", "fit.batch"))
    with pytest.raises(SettingsError, match=r"no setting 'fit\.batch'"):
        tune(recipe, root=tmp_path)


def test_train_passes_over_the_search(recipe):
    assert load_settings(recipe).model.keywords["hidden"] == [8]


def test_what_is_stated_stays_beside_what_comes_from_a_model_that_ships():
    """Defaults of fine-tuning give way to a statement, be it the ordinary default."""
    ordinary = TrainSettings().optimiser.lr
    base = load_settings(overrides={"init": "shipped", "optimiser.lr": ordinary})
    assert DEFAULTS["optimiser"]["lr"] != ordinary
    trial = module._settings_of(base, {"fit.epochs": 3}, "trial")
    assert trial.model_dump(exclude_unset=True)["optimiser"] == {"lr": ordinary}
    assert trial.fit.epochs == 3


def test_best_recipes_are_toml_whatever_they_hold():
    flat = {"stages": [{"train": "head", "epochs": 2}], "data.merge": {"bad": ["angry", "sad"]}, "seed": 3}
    text = "\n".join(module._toml(flat))
    assert tomllib.loads(text) == {
        "stages": [{"train": "head", "epochs": 2}],
        "data": {"merge": {"bad": ["angry", "sad"]}},
        "seed": 3,
    }


def test_tune_as_a_user_would(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["tune", "small.toml", "--trials", "2"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    for text in (
        "trial 1 of 2",
        "trial 2 of 2",
        "best",
        "remaining",
        "--recipe experiments/tuning/small/best.toml",
    ):
        assert text in result.output
