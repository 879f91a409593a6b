"""Which runs are one configuration: those of the same settings, apart from seed, fold and name."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from landmarkfer.runs.records import RunRecord

_REPLICATES = ("name", "cache", "seed", "split.fold", "fit.device", "init")
_LONG = 40


@dataclass(frozen=True)
class Configuration:
    """Runs of the same settings, apart from seed, fold and name."""

    label: str
    runs: tuple[RunRecord, ...]

    @property
    def title(self) -> str:
        """The label, with the number of runs if there are several, or what a single one lacks."""
        if len(self.runs) == 1:
            run = self.runs[0]
            unfinished = run.state in ("training", "cut off")
            return (
                f"{self.label} ({run.state}, {run.epochs}/{run.epochs_planned})" if unfinished else self.label
            )
        folds = len({run.fold for run in self.runs}) > 1
        return f"{self.label} ({len(self.runs)} {'folds' if folds else 'seeds'})"


def configurations(records: Sequence[RunRecord]) -> list[Configuration]:
    """Group runs that differ by seed, fold and name alone, in the order of the first of each."""
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(json.dumps(_key(record), sort_keys=True, default=str), []).append(record)
    runs = list(groups.values())
    labels = [_label(group) for group in runs]
    told = list(labels)
    for number, (label, group) in enumerate(zip(labels, runs, strict=True)):
        if labels.count(label) > 1:
            alike = [_key(other[0]) for other, its in zip(runs, labels, strict=True) if its == label]
            told[number] = _told_apart(label, group, alike)
    return [Configuration(label, tuple(group)) for label, group in zip(told, runs, strict=True)]


def _key(record: RunRecord) -> dict[str, object]:
    """What makes a configuration, as plain data."""
    key: dict[str, object] = {k: v for k, v in record.changed.items() if k not in _REPLICATES}
    if record.model is None:
        return {"path": record.path}  # an evaluation or a damaged run: no settings to compare
    if record.init:
        # The seeds of a fine-tuning begin with the same seeds of the training before it.
        key["init"] = re.sub(rf"-s{record.seed}(?=-|$)", "", record.init)
    key |= {"cache": record.cache_fingerprint, "classes": list(record.classes)}
    key |= {"model": record.model, "graph": record.graph, "fit.epochs": record.epochs_planned}
    return key


def _label(runs: Sequence[RunRecord]) -> str:
    """A name for a configuration: what its runs' names have in common before the seed."""
    if len(runs) == 1:
        return runs[0].name
    alike = os.path.commonprefix([run.name for run in runs])  # noqa: RUF071 (names, by their characters)
    common = re.sub(r"[-_.]+(s|seed|f|fold)?\d*$", "", alike)
    return common or runs[0].architecture or runs[0].name


def _told_apart(label: str, runs: Sequence[RunRecord], alike: Sequence[Mapping[str, object]]) -> str:
    """The label with the settings by which the configurations of this label differ, but for the defaults."""
    own = _key(runs[0])
    differing = [k for k in own if len({json.dumps(other.get(k), default=str) for other in alike}) > 1]
    text = ", ".join(f"{key.rpartition('.')[2]}={own[key]}" for key in differing)
    if len(text) > _LONG:
        text = runs[0].name
    return f"{label}, {text}" if text else label
