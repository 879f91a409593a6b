"""Search a recipe's stated ranges for the settings that validate best, with Optuna.

A study is a folder: `study.log` (Optuna's journal), `runs/` (a run for each trial), `trials.csv`,
`tuning.png` and `best.toml`, a recipe with the best settings found so far. An interrupted search resumes with
the trial that it was in, at its last epoch. Validation alone selects; test images are never predicted.
"""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import pandas as pd
from filelock import FileLock, Timeout

from landmarkfer.config.recipes import load_settings, stated_settings
from landmarkfer.config.removed import without_removed
from landmarkfer.config.search import Range, SearchSettings, read_search
from landmarkfer.config.train import TrainSettings
from landmarkfer.errors import DivergedError, LandmarkferError, RunError, SettingsError
from landmarkfer.files import replacing
from landmarkfer.progress import SILENT, Progress, counted
from landmarkfer.runs.folder import RunFolder
from landmarkfer.runs.metrics_table import lower_is_better, read_epochs
from landmarkfer.training.fit import train_or_resume

if TYPE_CHECKING:
    from optuna import Study, Trial

TUNING_ROOT = Path("experiments/tuning")
_RECIPE, _PRUNED = "recipe", "pruned"


def tune(
    recipe: Path,
    *,
    name: str | None = None,
    trials: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
    root: Path = TUNING_ROOT,
    progress: Progress = SILENT,
) -> Path:
    """Search, or resume a search.

    Args:
        recipe: A TOML file with a `[tune]` table.
        name: Of the study's folder; the recipe's own name if None.
        trials: Trainings in all, those of earlier calls included; as the recipe says if None.
        overrides: Settings of every trial, by dotted key.
        assignments: The same as `table.key=value`.
        root: The folder of all studies.
        progress: Shows how far it is.

    Returns:
        The study's folder.

    Raises:
        SettingsError: The recipe states no ranges, or they do not fit the study that is there.
        LandmarkferError: Optuna is missing, another process searches in the folder, or training fails.
    """
    optuna = _optuna()
    search = read_search(recipe)
    base = load_settings(recipe, overrides, assignments)
    folder = root / (name or recipe.stem)
    folder.mkdir(parents=True, exist_ok=True)
    with _searching(folder):
        backend = optuna.storages.journal.JournalFileBackend(str(folder / "study.log"))
        study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name="study",
            direction="minimize" if lower_is_better(base.fit.monitor) else "maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=base.epochs // 4)
            if search.prune
            else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
        _check_same_search(study, search, base)
        wanted = search.trials if trials is None else trials
        _search(study, search, base, folder, wanted, progress)
    return folder


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise LandmarkferError(
            "tuning needs Optuna; install it with `pip install landmarkfer[tune]`."
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextmanager
def _searching(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise RunError(
            f"another process searches in {folder}; wait until it ends, or choose --name."
        ) from None


def _check_same_search(study: "Study", search: SearchSettings, base: TrainSettings) -> None:
    """Trials of different searches cannot be compared."""
    plain = base.model_dump(mode="json", exclude={"name"})
    asked = json.loads(json.dumps({"settings": plain, "ranges": search.model_dump(mode="json")["ranges"]}))
    known = study.user_attrs.get(_RECIPE)
    if known is None:
        study.set_user_attr(_RECIPE, asked)
    elif known | {"settings": _as_today(known["settings"])} != asked:
        raise SettingsError(
            "the study in that folder has other settings or ranges; choose another --name, or remove it."
        )


def _as_today(settings: dict[str, Any]) -> dict[str, Any]:
    """Plain settings of an earlier version with the defaults of what it did not have."""
    try:
        known = TrainSettings.model_validate(without_removed(settings))
    except ValueError:
        return settings
    return known.model_dump(mode="json", exclude={"name"})


def _search(
    study: "Study",
    search: SearchSettings,
    base: TrainSettings,
    folder: Path,
    wanted: int,
    progress: Progress,
) -> None:
    from optuna import Trial
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    interrupted = [Trial(study, t._trial_id) for t in study.trials if t.state == TrialState.RUNNING]
    done = len(study.trials) - len(interrupted)
    if study.trials:
        progress.say(f"{done} of {counted(wanted, 'trial')} done.")
    started, first = time.monotonic(), done
    while done < wanted:
        # Seeded by the trial, so that a resumed search does not draw the same settings again.
        study.sampler = TPESampler(seed=1_000_003 * search.seed + done)
        trial = interrupted.pop(0) if interrupted else study.ask()
        drawn = {key: _draw(trial, key, values) for key, values in search.ranges.items()}
        settings = _settings_of(base, drawn, f"trial-{trial.number + 1:04}")
        progress.say(f"trial {done + 1} of {wanted}: {_as_text(drawn)}")
        value, state = _run(trial, settings, folder / "runs", progress)
        study.tell(trial, value, state=state)
        done += 1
        _write(study, base, search, folder)
        left = (time.monotonic() - started) / (done - first) * (wanted - done)
        progress.say(_summary(study, trial.number, base.fit.monitor, left))


def _draw(trial: "Trial", key: str, values: Range | Sequence[Any]) -> Any:
    if not isinstance(values, Range):
        # Lists, such as widths, are drawn as text: Optuna knows only plain values.
        return json.loads(trial.suggest_categorical(key, [json.dumps(value) for value in values]))
    if isinstance(values.low, int) and isinstance(values.high, int):
        return trial.suggest_int(key, values.low, values.high, step=int(values.step or 1), log=values.log)
    step = None if values.step is None else float(values.step)
    return trial.suggest_float(key, float(values.low), float(values.high), step=step, log=values.log)


def _settings_of(base: TrainSettings, drawn: Mapping[str, Any], name: str) -> TrainSettings:
    return load_settings(overrides={**stated_settings(base), **drawn, "name": name})


def _as_text(drawn: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in drawn.items()
    )


def _run(trial: "Trial", settings: TrainSettings, root: Path, progress: Progress) -> tuple[float | None, Any]:
    """Train or resume a trial; its best validation figure, and how it ended."""
    from optuna.trial import TrialState

    monitor = settings.fit.monitor
    assert settings.name is not None
    run = RunFolder(root / settings.name)
    report = _Report(trial, monitor)
    try:
        if _PRUNED not in trial.user_attrs:  # else the process was killed before the trial was reported
            train_or_resume(settings, runs_root=root, progress=progress, callbacks=[report])
    except DivergedError:
        return None, TrialState.FAIL
    shutil.rmtree(run.checkpoints, ignore_errors=True)
    if _PRUNED in trial.user_attrs:
        return None, TrialState.PRUNED  # Optuna keeps the last value that was reported
    values = read_epochs(run.metrics_file)[monitor]
    best = float(values.min() if lower_is_better(monitor) else values.max())
    return best, TrialState.COMPLETE


class _Report(pl.Callback):
    """Reports every epoch to Optuna, and stops a training that is pruned."""

    def __init__(self, trial: "Trial", monitor: str) -> None:
        self._trial = trial
        self._monitor = monitor

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the epoch; the last one is never pruned."""
        self._trial.report(trainer.callback_metrics[self._monitor].item(), trainer.current_epoch)
        last = trainer.current_epoch + 1 == trainer.max_epochs
        if not last and self._trial.should_prune():
            # In the journal, so that a process killed before the trial ends does not count it as complete.
            self._trial.set_user_attr(_PRUNED, True)
            trainer.should_stop = True


def _summary(study: "Study", number: int, monitor: str, left: float) -> str:
    from optuna.trial import TrialState

    trial = study.trials[number]
    if trial.state == TrialState.FAIL:
        text = "diverged"
    else:
        text = f"{monitor} {trial.value:.4f}" if trial.value is not None else monitor
        text += ", stopped early" if trial.state == TrialState.PRUNED else ""
    best = _best(study)
    text += f"; best {best.value:.4f} (trial {best.number + 1})" if best is not None else ""
    return f"  {text}; about {left / 60:.0f} min remaining"


def _best(study: "Study") -> Any:
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return study.best_trial if complete else None


def _write(study: "Study", base: TrainSettings, search: SearchSettings, folder: Path) -> None:
    """The table of trials, the picture, and the best settings as a recipe."""
    from landmarkfer.reporting.figures import draw_search

    table = trials_table(study)
    with replacing(folder / "trials.csv") as path:
        table.to_csv(path, index=False)
    best = _best(study)
    if best is None:
        return
    with replacing(folder / "tuning.png") as path:
        logarithmic = [key for key, r in search.ranges.items() if isinstance(r, Range) and r.log]
        draw_search(path, table, base.fit.monitor, list(search.ranges), logarithmic)
    settings = _settings_of(base, _values(best), "x")
    lines = [
        f"# The best of {counted(len(table), 'trial')}: {base.fit.monitor} {best.value:.4f} "
        f"(trial {best.number + 1}).",
        *_toml({key: value for key, value in stated_settings(settings).items() if key != "name"}),
    ]
    with replacing(folder / "best.toml") as path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _values(trial: Any) -> dict[str, Any]:
    """The values that a trial drew, with choices decoded."""
    from optuna.distributions import CategoricalDistribution

    return {
        key: json.loads(value) if isinstance(trial.distributions[key], CategoricalDistribution) else value
        for key, value in trial.params.items()
    }


def trials_table(study: "Study") -> pd.DataFrame:
    """A row per trial that ended: `trial, state, value`, and what was drawn, by dotted key."""
    rows = []
    for trial in study.trials:
        if trial.state.is_finished():
            row = {"trial": trial.number + 1, "state": trial.state.name.lower(), "value": trial.value}
            rows.append(row | {key: _plain(value) for key, value in _values(trial).items()})
    return pd.DataFrame(rows)


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list) else value


def _toml(flat: Mapping[str, Any]) -> Iterator[str]:
    """Lines of TOML: plain keys first, as they belong to no table."""
    for key, value in sorted(flat.items(), key=lambda pair: ("." in pair[0], pair[0])):
        yield f"{key} = {_toml_value(value)}"


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_toml_value(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml_value(part) for part in value) + "]"
    return json.dumps(value)
