"""Train a run from settings, or resume one that was interrupted."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from landmarkfer.config.recipes import changed_settings, settings_that_differ
from landmarkfer.config.train import ResolvedSettings, TrainSettings
from landmarkfer.errors import RunError
from landmarkfer.progress import SILENT, Progress
from landmarkfer.runs.config import CacheInfo, RunConfig, environment
from landmarkfer.runs.folder import RUNS_ROOT, RunFolder, new_run
from landmarkfer.runs.metrics_table import read_epochs
from landmarkfer.training.classical import fit_classical
from landmarkfer.training.initialise import check_model
from landmarkfer.training.network import fit_network
from landmarkfer.training.resolve import resolve
from landmarkfer.training.setup import Training, open_caches, set_up

if TYPE_CHECKING:
    import lightning.pytorch as pl


def train(
    settings: TrainSettings,
    *,
    runs_root: Path = RUNS_ROOT,
    progress: Progress = SILENT,
    callbacks: "Sequence[pl.Callback]" = (),
) -> RunFolder:
    """Train a new run.

    Args:
        settings: All that decides the run.
        runs_root: The folder of all runs.
        progress: Shows how far it is.
        callbacks: What else is called along the way.

    Returns:
        The finished run's folder.

    Raises:
        LandmarkferError: The cache, a setting or the run's name does not fit.
        KeyboardInterrupt: The training was interrupted; the message says what is stored.
    """
    return _train(resolve(settings), changed_settings(settings), runs_root, progress, callbacks)


def train_or_resume(
    settings: TrainSettings,
    *,
    runs_root: Path = RUNS_ROOT,
    progress: Progress = SILENT,
    callbacks: "Sequence[pl.Callback]" = (),
) -> RunFolder:
    """Train the run that the settings name: a new one, or the rest of one that was interrupted.

    A finished run is returned as it is.

    Args:
        settings: Those of `train`, with a name.
        runs_root: See `train`.
        progress: See `train`.
        callbacks: See `train`.

    Raises:
        RunError: There is a run of that name with other settings.
        LandmarkferError: See `train`.
    """
    assert settings.name is not None
    resolved = resolve(settings)
    run = RunFolder(runs_root / settings.name)
    if not run.config_file.exists():
        return _train(resolved, changed_settings(settings), runs_root, progress, callbacks)
    config = run.read_config()
    if config.settings != resolved:
        differ = ", ".join(settings_that_differ(config.settings, resolved))
        raise RunError(
            f"there is a run '{run.path}' with other settings: {differ}; delete that folder to train it "
            "anew, or give the new run another name (train's --name, a benchmark's `runs`)."
        )
    return run if run.finished else _resume(run, config, progress, callbacks)


def resume(
    run: RunFolder, *, progress: Progress = SILENT, callbacks: "Sequence[pl.Callback]" = ()
) -> RunFolder:
    """Resume an interrupted run from its last checkpoint; from the start if there is none.

    The result is that of a run that was never interrupted.

    Args:
        run: The run's folder.
        progress: Shows how far it is.
        callbacks: What else is called along the way.

    Returns:
        The same folder, finished.

    Raises:
        RunError: The run is finished, another process trains it, or a cache or the graph has changed.
        KeyboardInterrupt: The training was interrupted again; the message says what is stored.
    """
    config = run.read_config()
    if run.finished:
        raise RunError(f"run '{run.name}' is finished; see it with `landmarkfer evaluate {run.name}`.")
    # This device may be another one, and settings that the run's version did not have get their defaults.
    config = config.model_copy(update={"settings": resolve(config.settings)})
    return _resume(run, config, progress, callbacks)


def _train(
    settings: ResolvedSettings,
    changed: Mapping[str, Any],
    runs_root: Path,
    progress: Progress,
    callbacks: "Sequence[pl.Callback]",
) -> RunFolder:
    check_model(settings)
    training = set_up(settings, open_caches(settings), progress)
    default = _default_name(training)
    with _disk_errors(RunFolder(runs_root / (settings.name or default))):
        run = new_run(settings.name, default, runs_root)
        run.write_splits(training.splits.as_ids(training.dataset.frame["id"]))
        run.write_config(_run_config(training, changed))
    return _fit(run, training, progress, callbacks)


def _resume(
    run: RunFolder, config: RunConfig, progress: Progress, callbacks: "Sequence[pl.Callback]"
) -> RunFolder:
    known = (config.cache, *config.also)
    caches = [info.open() for info in known]
    for cache, info in zip(caches, known, strict=True):
        for one, its in zip(cache.members, info.each, strict=True):
            if one.fingerprint != its.fingerprint:
                raise RunError(f"{one.path} has changed since run '{run.name}' started; train a new run.")
    fresh = not run.last_checkpoint.exists()
    training = set_up(config.settings, caches, progress, run.read_splits(), fresh=fresh)
    if training.graph != config.graph:
        graph = config.settings.model.keywords["graph"]
        raise RunError(f"the graph '{graph}' has changed since run '{run.name}' started; train a new run.")
    return _fit(run, training, progress, callbacks, resumed=True)


def _fit(
    run: RunFolder,
    training: Training,
    progress: Progress,
    callbacks: "Sequence[pl.Callback]",
    *,
    resumed: bool = False,
) -> RunFolder:
    with run.writing(), _disk_errors(run):
        if resumed:
            run.note_resume()
        try:
            if training.model.fitted_at_once:
                fit_classical(run, training, progress)
            else:
                fit_network(run, training, progress, callbacks)
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(_stored_text(run)) from stop
    return run


def _stored_text(run: RunFolder) -> str:
    """What an interrupted run has stored, and how it is resumed."""
    epochs = read_epochs(run.metrics_file)["epoch"]
    state = f"is stored after epoch {epochs.max()}" if len(epochs) else "has no finished epoch yet"
    return f"{run.path} {state}; `landmarkfer train --resume {run.address}` resumes it."


def _default_name(training: Training) -> str:
    """A run's name where its settings give none: the model, its graph or backbone, and the seed."""
    model = training.settings.model
    variant = training.graph.name if training.graph else model.keywords.get("backbone")
    return "-".join(filter(None, [model.name, variant, f"s{training.settings.seed}"]))


def _run_config(training: Training, changed: Mapping[str, Any]) -> RunConfig:
    cache, *also = training.caches
    return RunConfig(
        settings=training.settings,
        changed=dict(changed),
        classes=training.dataset.classes,
        cache=CacheInfo.of(cache),
        also=tuple(CacheInfo.of(one) for one in also),
        graph=training.graph,
        images=training.images,
        frame=training.frame,
        parameters=training.model.num_parameters,
        **environment(),
    )


@contextmanager
def _disk_errors(run: RunFolder) -> Iterator[None]:
    """A full disk or a folder that cannot be written is the user's to mend."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"the run cannot be written: {error}; make room, then resume it with "
            f"`landmarkfer train --resume {run.address}`."
        ) from error
