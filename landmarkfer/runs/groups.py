"""Runs as systems: a name and its runs by seed."""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from landmarkfer.runs.records import RunRecord

Run = TypeVar("Run")
Other = TypeVar("Other")
_REPLICATES = ("name", "cache", "seed", "split.fold", "fit.device", "init")
_LONG = 40


@dataclass(frozen=True)
class System(Generic[Run]):
    """What tables and tests compare: a name and its runs by seed.

    Attributes:
        name: The system's name.
        seeds: By seed, the runs whose probabilities are averaged; one, unless the system is an ensemble. A
            run may be its folder, its record, or its predictions.
    """

    name: str
    seeds: Mapping[int, tuple[Run, ...]]

    @property
    def runs(self) -> list[Run]:
        """Every run, seed by seed."""
        return [run for runs in self.seeds.values() for run in runs]

    @property
    def ensemble(self) -> bool:
        """Whether probabilities are averaged."""
        return any(len(runs) > 1 for runs in self.seeds.values())

    def map(self, function: Callable[[Run], Other]) -> "System[Other]":
        """The system with what a function gives for each run."""
        return System(self.name, {seed: tuple(map(function, runs)) for seed, runs in self.seeds.items()})


def number_seeds(seeds: Iterable[int | None]) -> list[int]:
    """The seeds of a system's runs if they are known and differ; else 0, 1, ..., as for folds of one seed."""
    given = list(seeds)
    known = [seed for seed in given if seed is not None]
    return known if len(set(known)) == len(given) else list(range(len(given)))


def group_runs(records: Sequence[RunRecord]) -> list[System[RunRecord]]:
    """Systems of runs that differ by seed, fold and name alone, in the order of the first run of each."""
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(json.dumps(_key(record), sort_keys=True, default=str), []).append(record)
    runs = list(groups.values())
    labels = [_label(group) for group in runs]
    names = list(labels)
    for number, (label, group) in enumerate(zip(labels, runs, strict=True)):
        if labels.count(label) > 1:
            alike = [_key(other[0]) for other, its in zip(runs, labels, strict=True) if its == label]
            names[number] = _distinct_name(label, group, alike)
    return [_system(name, group) for name, group in zip(names, runs, strict=True)]


def _system(name: str, records: Sequence[RunRecord]) -> System[RunRecord]:
    seeds = number_seeds(record.seed for record in records)
    return System(name, {seed: (record,) for seed, record in zip(seeds, records, strict=True)})


def _key(record: RunRecord) -> dict[str, object]:
    """What the runs of a system have in common, as plain data."""
    key: dict[str, object] = {k: v for k, v in record.changed.items() if k not in _REPLICATES}
    if record.model is None:
        return {"path": record.path}  # an evaluation or a damaged run: no settings to compare
    if record.init:
        # Each seed of a fine-tuning is initialised from the same seed of the training before it.
        key["init"] = re.sub(rf"-s{record.seed}(?=-|$)", "", record.init)
    key |= {"cache": record.cache_fingerprint, "classes": list(record.classes)}
    key |= {"model": record.model, "graph": record.graph, "fit.epochs": record.epochs_planned}
    return key


def _label(runs: Sequence[RunRecord]) -> str:
    """A name for a system: what its runs' names have in common before the seed."""
    if len(runs) == 1:
        return runs[0].name
    alike = os.path.commonprefix([run.name for run in runs])  # noqa: RUF071 (names, by their characters)
    common = re.sub(r"[-_.]+(s|seed|f|fold)?\d*$", "", alike)
    return common or runs[0].architecture or runs[0].name


def _distinct_name(label: str, runs: Sequence[RunRecord], alike: Sequence[Mapping[str, object]]) -> str:
    """The label with the settings by which the systems of this label differ, but for the defaults."""
    own = _key(runs[0])
    differing = [k for k in own if len({json.dumps(other.get(k), default=str) for other in alike}) > 1]
    text = ", ".join(f"{key.rpartition('.')[2]}={own[key]}" for key in differing)
    if len(text) > _LONG:
        text = runs[0].name
    return f"{label}, {text}" if text else label
