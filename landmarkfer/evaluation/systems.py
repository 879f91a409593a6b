"""Systems as commands take them: runs, patterns of names, and `NAME=RUN+RUN,RUN`.

A comma separates seeds, and a plus the runs whose probabilities are averaged:
`both=mlp-s0+gnn-s0,mlp-s1+gnn-s1` is an ensemble of two runs, trained with two seeds. `NAME=` may be left
out.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias, TypeVar

from landmarkfer.errors import RunError
from landmarkfer.evaluation.files import PREDICTIONS_FILE
from landmarkfer.metrics.combine import average_predictions
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.progress import counted
from landmarkfer.reporting.results import NO_GRAPH
from landmarkfer.runs.folder import RUNS_ROOT, RunFolder, find_run
from landmarkfer.runs.groups import System, group_runs, number_seeds
from landmarkfer.runs.records import find_runs, read_runs

ENSEMBLE = "ensemble"
"""Model of a system that averages several runs, in results."""
Source: TypeAlias = RunFolder | Path
"""Where predictions come from: the folder of a run or of an evaluation, or a file of them."""
AnySource = TypeVar("AnySource", bound=Source)


def read_systems(wanted: Sequence[str]) -> list[System[RunFolder]]:
    """The systems that a user names, each of finished runs.

    Args:
        wanted: Runs (names, folders or patterns), of which those that differ by their seed alone are one
            system; and systems such as `NAME=RUN+RUN,RUN`.

    Raises:
        RunError: A run is missing or not finished, or two systems have one name.
    """
    plain = [one for one in wanted if not _is_system(one)]
    groups = group_runs(read_runs(find_runs(plain))) if plain else []
    systems = [group.map(lambda record: _finished(RunFolder(Path(record.path)))) for group in groups]
    systems += [_by_seed(_parse(one, find_run).map(_finished)) for one in wanted if _is_system(one)]
    names = [system.name for system in systems]
    if twice := [name for name in names if names.count(name) > 1]:
        raise RunError(f"two systems are called '{twice[0]}'; name one with NAME=RUN,RUN.")
    return systems


def read_averages(wanted: Sequence[str]) -> list[System[RunFolder]]:
    """What `evaluate` averages: all the runs that are named one by one, and each seed of each system.

    Raises:
        RunError: A run is missing.
    """
    plain = [find_run(name) for one in wanted if not _is_system(one) for name in _expanded(one)]
    systems = [System(f"average of {counted(len(plain), 'run')}", {0: tuple(plain)})] if plain else []
    return systems + [_by_seed(_parse(one, find_run)) for one in wanted if _is_system(one)]


def read_side(wanted: Sequence[str]) -> System[Source]:
    """One side of a comparison.

    Args:
        wanted: Runs, evaluations (folders that `landmarkfer evaluate --out` writes) or files of predictions
            (see `metrics.predictions`), one for each seed; or one system such as `NAME=RUN+RUN,RUN`.

    Raises:
        RunError: A run is missing, or a system stands beside others.
    """
    if len(wanted) == 1 and _is_system(wanted[0]):
        return _parse(wanted[0], find_source)
    if mixed := [one for one in wanted if _is_system(one)]:
        raise RunError(f"'{mixed[0]}' is a system of its own; give it alone, or its runs one by one.")
    sources = [find_source(name) for one in wanted for name in _expanded(one)]
    seeds = {seed: (source,) for seed, source in enumerate(sources)}
    return System(_common_name(seeds.values()), seeds)


def find_source(name: str) -> Source:
    """A file of predictions, the folder of an evaluation, or a run.

    Raises:
        RunError: There is none of them.
    """
    if Path(name).is_file():
        return Path(name)
    for candidate in (Path(name), RUNS_ROOT / name):
        if (candidate / PREDICTIONS_FILE).is_file():
            return RunFolder(candidate)
    return find_run(name)


def source_name(source: Source) -> str:
    """The name of a run, or that of a file without its suffix."""
    return source.stem if isinstance(source, Path) else source.name


def full_name(system: System[Source]) -> str:
    """A name that tells the seeds too: the names of all runs."""
    return ", ".join(" + ".join(map(source_name, sources)) for sources in system.seeds.values())


def system_text(system: System[RunFolder]) -> str:
    """What a command takes for a system, quoted for a shell: the inverse of `read_systems`."""
    seeds = ["+".join(run.address for run in runs) for runs in system.seeds.values()]
    return system.name if seeds == [system.name] else f"'{system.name}={','.join(seeds)}'"


def result_key(system: System[RunFolder]) -> tuple[str, str, str]:
    """Experiment, model and graph of a system's rows in results."""
    if system.ensemble:
        return system.name, ENSEMBLE, NO_GRAPH
    first = system.runs[0].read_config()
    return system.name, first.settings.model.name, first.graph.name if first.graph else NO_GRAPH


def average_seeds(system: System[Predictions]) -> dict[int, Predictions]:
    """Predictions of a system by seed: the average of the runs of each.

    Raises:
        RunError: Runs of a seed differ in images, labels or classes.
    """
    return {
        seed: runs[0] if len(runs) == 1 else average_predictions(runs) for seed, runs in system.seeds.items()
    }


def _is_system(text: str) -> bool:
    """Whether a word is a system, and not the name or the path of a run or a file."""
    return any(sign in text for sign in "=+,") and not Path(text).exists()


def _parse(text: str, find: Callable[[str], AnySource]) -> System[AnySource]:
    name, _, rest = text.rpartition("=")
    seeds = [tuple(find(run) for run in part.split("+")) for part in rest.split(",")]
    system = System(name, dict(enumerate(seeds)))
    return system if name else replace(system, name=_common_name(seeds))


def _expanded(name: str) -> list[str]:
    """The runs that a pattern of names stands for; any other name as it is."""
    if Path(name).exists() or not any(sign in name for sign in "*?["):
        return [name]
    return [path.as_posix() for path in find_runs([name])]


def _common_name(seeds: Iterable[Sequence[Source]]) -> str:
    """The names of the runs without their seeds."""
    names = (" + ".join(re.sub(r"-s\d+$", "", source_name(one)) for one in sources) for sources in seeds)
    return ", ".join(dict.fromkeys(names))


def _by_seed(system: System[RunFolder]) -> System[RunFolder]:
    """The system with the seeds of its runs' settings, where those differ."""
    own = number_seeds(runs[0].read_config().settings.seed for runs in system.seeds.values())
    return replace(system, seeds=dict(zip(own, system.seeds.values(), strict=True)))


def _finished(run: RunFolder) -> RunFolder:
    if not run.finished:
        raise RunError(f"run '{run.name}' has not finished; resume it with `train --resume {run.address}`.")
    return run
