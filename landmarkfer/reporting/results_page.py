"""The report of measured results: systems over seeds, paired tests, contrasts and recalls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from landmarkfer.config.benchmark import ContrastSettings, PairSettings, PublishedSettings
from landmarkfer.errors import LandmarkferError
from landmarkfer.reporting.markdown import (
    ABSENT,
    Header,
    markdown_table,
    mean_sd,
    probability_text,
    write_page,
)
from landmarkfer.reporting.results import ALL_SEEDS, ELSEWHERE, PAIRED, pair_subset, read_results

LEGEND = (
    "Percent, except time and parameters; mean ± standard deviation over training seeds. *Detected*: only "
    "images in which a face was found; everywhere else an image without one counts, with the fallback "
    "prediction. *Clean*: images without a pixel-identical one in the training split. *ECE*: expected "
    "calibration error, 15 bins. *Lowest recall*: the mean recall of the class where it is lowest."
)
PAIRED_LEGEND = (
    "Points of accuracy over all test images, on the same images as the baseline. *95 % interval*: bootstrap "
    "over images of the mean over seeds. *p*: permutation test that exchanges, image by image, the shares of "
    "seeds that predict it correctly; *Holm*: corrected for the number of rows. *McNemar*: mid-p of each "
    "seed."
)
GROUPED_LEGEND = (
    "Intervals and permutation tests draw and exchange {groups} whole groups of images (people or "
    "sequences); McNemar's test takes the images as independent."
)
OWN_TEST_LEGEND = (
    "Each row is over the test images of the data that it was trained on; rows that were trained on other "
    "data than each other can be compared in *Trained on, tested on* alone."
)
MATRIX_LEGEND = (
    "Percent; mean ± standard deviation over training seeds. A column is over the same images for all rows, "
    "those that every row has to be tested on: {images}; images of a class that a row does not know are left "
    "out of all. Balanced accuracy is over the classes that have images; macro-F1 also counts, as 0, a class "
    "that has none and is predicted. Rows that were trained on a data set are tested on "
    "its test images, and others on its test images, or all where it has no test split."
)
LEAST_GROUPS = 6
"""Of fewer groups, no permutation test can give a p below 0.05."""
PAIRS_LEGEND = (
    "Points of accuracy on the other data, on the same images of both. *95 % interval*: bootstrap of the "
    "mean over seeds. *p*: permutation test that exchanges the shares of seeds that are correct; *Holm*: "
    "corrected for all pairs and data sets together. Where a number of groups (people or sequences) is "
    "given, both draw and exchange whole groups of images, and else images; of few groups there is no "
    "interval, since it would be too narrow."
)


@dataclass(frozen=True)
class Column:
    """A column of the results table; `kind` is one of `UNITS`."""

    heading: str
    subset: str
    metric: str
    kind: str = "percent"

    @classmethod
    def of(cls, figure: str) -> "Column":
        """The column of a figure `<subset>.<metric>`."""
        subset, metric = figure.split(".")
        default = f"{metric.replace('_', ' ')} ({subset})"
        return cls(_HEADINGS.get(figure, default), subset, metric, _KINDS.get(figure, "percent"))


# Not in the CSV: the class of the lowest mean recall, with its recall.
LOWEST_RECALL = "lowest_recall"
_HEADINGS = {
    "test.accuracy": "accuracy, all test",
    "test_detected.accuracy": "detected",
    "public.accuracy": "public",
    "private.accuracy": "private",
    "clean.accuracy": "clean",
    "test.macro_f1": "macro-F1",
    "test.balanced_accuracy": "mean recall",
    "test.ece": "ECE",
    "test.lowest_recall": "lowest recall",
    "run.train_seconds": "training, min",
    "run.parameters": "parameters",
    "run.macs": "MMAC",
    "run.latency_ms": "one-core latency, ms",
}
_KINDS = {
    "run.train_seconds": "minutes",
    "run.parameters": "count",
    "run.macs": "millions",
    "run.latency_ms": "milliseconds",
}


@dataclass(frozen=True)
class _Row:
    """One experiment: values over seeds by (subset, metric)."""

    experiment: str
    model: str
    graph: str
    seeds: list[int]
    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    paired: dict[str, list[float]] = field(default_factory=dict)

    def elsewhere(self) -> list[str]:
        """Names of the other data that there are figures of."""
        return list(dict.fromkeys(s for s, _ in self.values if s.startswith(ELSEWHERE)))

    def recalls(self, subset: str) -> dict[str, list[float]]:
        prefix = "recall_"
        return {
            m.removeprefix(prefix): v
            for (s, m), v in self.values.items()
            if s == subset and m.startswith(prefix)
        }


def render_results(
    csv: Path,
    md: Path,
    header: Header,
    *,
    columns: Sequence[str],
    order: Sequence[str] = (),
    published: Sequence[PublishedSettings] = (),
    contrasts: Sequence[ContrastSettings] = (),
    baseline: str | None = None,
    pairs: Sequence[PairSettings] = (),
    trained_on: Mapping[str, str] | None = None,
) -> None:
    """Write the report `md` of the results in `csv` (`results.RESULT_COLUMNS`).

    One row per experiment, model and graph, each figure as mean ± sample SD over seeds (no SD where there is
    one seed); then the contrasts, with the standard error of the difference of means; the differences from
    the `baseline`, if the CSV has paired tests; the figures on other data, if it has any; and the recall of
    each class.

    Args:
        csv: The figures.
        md: The report.
        header: What it says of its making.
        columns: Figures of the table, as `<subset>.<metric>`.
        order: Experiments in the order of the rows; the others follow as they appear in the CSV.
        published: Rows of others' figures; those without a row to stand beside are at the end.
        contrasts: Pairs of experiments.
        baseline: The experiment that the paired tests are against.
        pairs: Experiments that are compared on other data.
        trained_on: What each experiment was trained on; where that differs, the figures on other data are a
            table of it.

    Raises:
        LandmarkferError: The CSV is missing or has other columns, or a contrast or a published row names an
            experiment that is not there or, for a contrast, has more than one row.
    """
    rows = _rows(read_results(csv), order)
    names = {row.experiment for row in rows}
    if lost := sorted({p.beside for p in published if p.beside is not None} - names):
        raise LandmarkferError(
            f"{csv} has no experiment {', '.join(lost)}, beside which to put published rows."
        )
    shown = [Column.of(figure) for figure in columns]
    parts = [
        markdown_table(
            ["experiment", "model", "graph", "seeds", *(c.heading for c in shown)],
            _cells(rows, published, shown),
        )
    ]
    parts.append(LEGEND)
    several = len(set((trained_on or {}).values())) > 1
    if several:
        parts.append(OWN_TEST_LEGEND)
    if published:
        parts.append("\n".join(f"- *{p.name}* (published): {p.source}" for p in published))
    if contrasts:
        parts += ["## What each choice contributed", _contrasts(csv, rows, contrasts)]
    if baseline is not None and any(row.paired for row in rows):
        parts += [f"## Compared with {baseline}", _paired(rows), PAIRED_LEGEND]
        if groups := {f"{value:,.0f}" for row in rows for value in row.paired.get("groups", ())}:
            parts.append(GROUPED_LEGEND.format(groups=" or ".join(sorted(groups))))
    if any(row.elsewhere() for row in rows):
        parts += [f"## {'Trained on, tested on' if several else 'On other data'}"]
        parts += [_elsewhere(rows, (trained_on or {}) if several else None)]
        if several:
            parts.append(MATRIX_LEGEND.format(images=_images_of(rows)))
        if tests := _pairs(rows, pairs):
            parts += [
                "## Pairs on each data set" if several else "## Pairs on other data",
                tests,
                PAIRS_LEGEND,
            ]
    if any(row.recalls("test") for row in rows):
        parts += ["## Recall of each class, all test images", _recalls(rows)]
    write_page(md, csv, header, parts)


def _rows(table: pd.DataFrame, order: Sequence[str]) -> list[_Row]:
    places = {name: i for i, name in enumerate(dict.fromkeys([*order, *table["experiment"]]))}
    rows = []
    for key, part in table.groupby(["experiment", "model", "graph"], sort=False):
        experiment, model, graph = map(str, key)
        row = _Row(experiment, model, graph, sorted(set(part["seed"]) - {ALL_SEEDS}))
        for subset, metric, value in zip(part["subset"], part["metric"], part["value"], strict=True):
            if subset == PAIRED:
                row.paired.setdefault(metric, []).append(value)
                continue
            row.values.setdefault((subset, metric), []).append(value)
        rows.append(row)
    return sorted(rows, key=lambda row: places[row.experiment])


def _cells(
    rows: Sequence[_Row], published: Sequence[PublishedSettings], columns: Sequence[Column]
) -> list[list[str]]:
    cells = []
    last = {row.experiment: i for i, row in enumerate(rows)}
    for i, row in enumerate(rows):
        seeds = ", ".join(map(str, row.seeds))
        cells.append(
            [row.experiment, row.model, row.graph, seeds, *(_cell(row, column) for column in columns)]
        )
        if i == last[row.experiment]:
            cells += [_published(p, columns) for p in published if p.beside == row.experiment]
    return cells + [_published(p, columns) for p in published if p.beside is None]


def _cell(row: _Row, column: Column) -> str:
    if column.metric == LOWEST_RECALL:
        recalls = row.recalls(column.subset)
        if not recalls:
            return ABSENT
        worst = min(recalls, key=lambda name: np.mean(recalls[name]))
        return f"{mean_sd(recalls[worst], column.kind)} ({worst})"
    return mean_sd(row.values.get((column.subset, column.metric), []), column.kind)


def _published(row: PublishedSettings, columns: Sequence[Column]) -> list[str]:
    values = [row.values.get(f"{column.subset}.{column.metric}") for column in columns]
    shown = [mean_sd([] if v is None else [v], c.kind) for v, c in zip(values, columns, strict=True)]
    return [f"*{row.name}*", row.model, row.graph, "*published*", *shown]


def _contrasts(csv: Path, rows: Sequence[_Row], contrasts: Sequence[ContrastSettings]) -> str:
    cells = []
    for contrast in contrasts:
        variant, base = (_values(csv, rows, name, contrast) for name in (contrast.row, contrast.against))
        difference = 100 * (np.mean(variant) - np.mean(base))
        text = f"{difference:+.2f}"
        if min(len(variant), len(base)) > 1:
            error = 100 * np.sqrt(sum(np.var(v, ddof=1) / len(v) for v in (variant, base)))
            text += f" ± {error:.2f}"
        cells.append([contrast.choice, contrast.row, contrast.against, text])
    figures = dict.fromkeys(contrast.figure for contrast in contrasts)
    named = [f"{metric.replace('_', ' ')} ({subset})" for subset, metric in (f.split(".") for f in figures)]
    return (
        markdown_table(["choice", "with", "without", "difference"], cells, text_columns=3)
        + f"\n\nDifference of the means over seeds in points of {', '.join(named)}, ± its standard error."
    )


def _values(csv: Path, rows: Sequence[_Row], experiment: str, contrast: ContrastSettings) -> list[float]:
    found = [row for row in rows if row.experiment == experiment]
    subset, metric = contrast.figure.split(".")
    key = (subset, metric)
    if len(found) != 1 or key not in found[0].values:
        raise LandmarkferError(
            f"The contrast {contrast.choice!r} needs one row of {csv} for experiment {experiment!r} with "
            f"{contrast.figure}; found {sum(key in row.values for row in found)}."
        )
    return found[0].values[key]


def _recalls(rows: Sequence[_Row]) -> str:
    classes = list(dict.fromkeys(name for row in rows for name in row.recalls("test")))
    cells = [
        [
            row.experiment,
            row.model,
            row.graph,
            *(mean_sd(row.recalls("test").get(name, []), "percent") for name in classes),
        ]
        for row in rows
    ]
    return markdown_table(["experiment", "model", "graph", *classes], cells)


def _paired(rows: Sequence[_Row]) -> str:
    """The difference of each experiment from the baseline, in points, with its tests."""
    cells = []
    for row in rows:
        if not row.paired:
            continue
        (difference,), (low,), (high,), (p,), (corrected,) = (
            row.paired[name]
            for name in ("difference", "difference_low", "difference_high", "p_permutation", "p_holm")
        )
        of_seeds = ", ".join(probability_text(value) for value in row.paired["p_mcnemar"])
        cells.append(
            [
                row.experiment,
                row.model,
                f"{100 * difference:+.2f}",
                f"{100 * low:+.2f} to {100 * high:+.2f}",
                probability_text(p),
                probability_text(corrected),
                of_seeds or ABSENT,
            ]
        )
    headings = ["experiment", "model", "difference", "95 % interval", "p", "p, Holm", "McNemar by seed"]
    return markdown_table(headings, cells, text_columns=2)


def _data_of(rows: Sequence[_Row]) -> list[str]:
    """Subsets of other data, those of all rows."""
    return list(dict.fromkeys(name for row in rows for name in row.elsewhere()))


def _elsewhere(rows: Sequence[_Row], trained_on: Mapping[str, str] | None) -> str:
    """The scores on each other data set, and what the rows were trained on unless that is None."""
    columns = [
        Column(f"{name.removeprefix(ELSEWHERE)}, {heading}", name, metric)
        for name in _data_of(rows)
        for heading, metric in (
            ("accuracy", "accuracy"),
            ("balanced", "balanced_accuracy"),
            ("macro-F1", "macro_f1"),
        )
    ]
    shown = [row for row in rows if trained_on is None or row.elsewhere()]
    about = {row.experiment: [row.model, row.graph] for row in rows}
    headings = ["experiment", "model", "graph"]
    if trained_on is not None:
        about = {row.experiment: [trained_on.get(row.experiment, ABSENT), row.model] for row in rows}
        headings = ["experiment", "trained on", "model"]
    cells = [[row.experiment, *about[row.experiment], *(_cell(row, c) for c in columns)] for row in shown]
    return markdown_table([*headings, *(c.heading for c in columns)], cells)


def _images_of(rows: Sequence[_Row]) -> str:
    """How many images of each data set the rows were tested on; several numbers where they differ."""
    texts = []
    for name in _data_of(rows):
        counts = sorted({n for row in rows for n in row.values.get((name, "n"), ())})
        texts.append(f"{' or '.join(f'{n:,.0f}' for n in counts)} of {name.removeprefix(ELSEWHERE)}")
    return ", ".join(texts)


def _pairs(rows: Sequence[_Row], pairs: Sequence[PairSettings]) -> str:
    """The difference of the rows of each pair on each data set, with its test; empty without any."""
    cells = []
    known = {row.experiment: row for row in rows}
    for pair in pairs:
        for name in _data_of(rows):
            data = name.removeprefix(ELSEWHERE)
            values = known[pair.first].values if pair.first in known else {}
            found = {
                metric: value
                for (subset, metric), (value, *_) in values.items()
                if subset == pair_subset(data, pair.second)
            }
            if not found:
                continue
            images = f"{found['n']:,.0f}"
            interval = f"{100 * found['difference_low']:+.2f} to {100 * found['difference_high']:+.2f}"
            if "groups" in found:
                images += f" ({found['groups']:,.0f} groups)"
            cells.append(
                [
                    f"{pair.first} – {pair.second}",
                    data,
                    images,
                    f"{100 * found['difference']:+.2f}",
                    ABSENT if found.get("groups", LEAST_GROUPS) < LEAST_GROUPS else interval,
                    probability_text(found["p_permutation"]),
                    probability_text(found["p_holm"]),
                ]
            )
    headings = ["pair", "tested on", "images", "difference", "95 % interval", "p", "p, Holm"]
    return markdown_table(headings, cells, text_columns=2) if cells else ""
