"""The report of a robustness suite: its CSV, its picture, and tables of accuracy under corruption."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from landmarkfer.evaluation.robustness.statistics import ALL, CLEAN, MEASURES
from landmarkfer.extraction.corruptions import SEVERITIES
from landmarkfer.files import replacing
from landmarkfer.progress import counted
from landmarkfer.reporting.markdown import (
    ABSENT,
    Header,
    markdown_table,
    mean_sd,
    package_versions,
    probability_text,
    read_header,
    write_page,
)
from landmarkfer.reporting.results import ALL_SEEDS, append_results, read_results
from landmarkfer.reporting.runs import COLOURS, GREY, STYLES

LEGEND = (
    "Percent of the images; mean ± standard deviation over training seeds. *Mean corruption accuracy*: mean "
    "accuracy over the five severities; an image without a face counts, with the fallback prediction. "
    "*Accuracy drop*: accuracy on the clean images minus the mean corruption accuracy. *Detected*: images in "
    "which the detector still finds a face, mean over the severities. *Difference*: to {baseline} on the "
    "same images, in points, with its 95 % bootstrap interval over images and the p-value of a permutation "
    "test, over all seeds together, corrected (Holm) for all {tests} tests of its kind on this page. A "
    "system with a higher clean accuracy has a higher corruption accuracy without being more robust; the "
    "accuracy drop shows whether it is."
)
_COLUMNS = 4


def write_robustness(stem: Path, figures: pd.DataFrame, command: str, date: str) -> Path:
    """Write `<stem>.csv`, `<stem>.png` and `<stem>.md`; the same figures give the same files.

    Args:
        stem: The folder and the page's name.
        figures: From `statistics.robustness_figures`.
        command: The shell line that makes the page.
        date: When the newest images were corrupted, YYYY-MM-DD.

    Returns:
        The page.
    """
    csv = stem.with_name(f"{stem.name}.csv")
    with replacing(csv) as path:
        path.unlink(missing_ok=True)  # of a process that was killed
        append_results(path, figures)
    return render_robustness(csv, Header("", [command], package_versions(), date))


def render_robustness(csv: Path, header: Header | None = None) -> Path:
    """Write the page and the picture beside `csv`, whose figures they show.

    Args:
        csv: Figures from `statistics.robustness_figures`.
        header: Command, versions and date; by default those of the page that is there.

    Returns:
        The page.

    Raises:
        LandmarkferError: The CSV is missing or has other columns, or there is no page and no header.
    """
    page = csv.with_suffix(".md")
    header = header or read_header(page)
    results = read_results(csv)
    with replacing(csv.with_suffix(".png")) as path:
        robustness_figure(results).savefig(path, dpi=150)
    names, systems = _corruptions(results), list(dict.fromkeys(results["experiment"]))
    images = int(results.loc[results["metric"] == "n", "value"].iloc[0])
    headings = ["system", "seeds", "clean", "mean corruption accuracy", "accuracy drop", "detected"]
    if len(systems) > 1:
        headings += ["difference in accuracy", "95 %", "p", "difference in drop", "95 %", "p"]
    parts = [f"![Accuracy over the severity of each corruption]({csv.with_suffix('.png').name})"]
    for name in (ALL, *names):
        title = "All corruptions" if name == ALL else name
        cells = [_row(results[results["experiment"] == system], system, name) for system in systems]
        parts += [f"## {title}", markdown_table(headings, cells if len(systems) > 1 else [cells[0][:6]], 1)]
        if name == ALL:
            tests = (len(systems) - 1) * (len(names) + 1)
            parts.append(LEGEND.format(baseline=_baseline(results), tests=tests))
    introduction = (
        f"{counted(images, 'test image')}, each corrupted in {len(names)} ways at {len(SEVERITIES)} "
        "severities before face detection, with the detector and the settings of the training images."
    )
    header = replace(header, title="How robust each system is", introduction=introduction)
    write_page(page, csv, header, parts)
    return page


def robustness_figure(results: pd.DataFrame) -> Figure:
    """Accuracy over the severity, a panel for each corruption, a line for each system.

    Args:
        results: From `statistics.robustness_figures`.
    """
    names = _corruptions(results)
    systems = list(dict.fromkeys(results["experiment"]))
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(max(6.0, 2.7 * columns), 2.3 * rows + 0.9), layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        _draw_panel(axes, results, name, systems)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    for number in range(columns):  # below the last panel of each column, which need not be in the last row
        last = panels[max(place for place in range(number, len(names), columns))]
        last.tick_params(labelbottom=True)
        last.set_xlabel("severity")
    for axes in panels[::columns]:
        axes.set_ylabel("%")
    lines = {line.get_label(): line for line in panels[0].get_lines()}
    named = {text: line for text, line in lines.items() if not str(text).startswith("_")}
    figure.legend(
        list(named.values()), list(named), loc="outside upper left", ncols=2, frameon=False, fontsize=9
    )
    return figure


def _draw_panel(axes: Axes, results: pd.DataFrame, name: str, systems: list[str]) -> None:
    subsets = [CLEAN, *(f"{name}-{severity}" for severity in SEVERITIES)]
    severities = range(len(subsets))
    found_lines: set[tuple[float, ...]] = set()
    for number, system in enumerate(systems):
        own = results[results["experiment"] == system]
        accuracy, found = (100 * _by_seed(own, subsets, metric) for metric in ("accuracy", "found"))  # [S, K]
        style = STYLES[number // len(COLOURS) % len(STYLES)]
        colour = COLOURS[number % len(COLOURS)]
        mean = accuracy.mean(axis=0)
        axes.plot(severities, mean, marker="o", markersize=3, color=colour, linestyle=style, label=system)
        if len(accuracy) > 1:
            spread = accuracy.std(axis=0, ddof=1)
            axes.fill_between(severities, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)
        found_lines.add(tuple(found.mean(axis=0)))
    for number, line in enumerate(sorted(found_lines)):
        label = "_" if number else "faces found"
        axes.plot(severities, line, color=GREY, linewidth=0.9, linestyle="--", label=label, zorder=1)
    axes.set_title(name, fontsize=10, loc="left")
    axes.set_ylim(0, 102)
    axes.set_xticks(severities, labels=["clean", *map(str, SEVERITIES)])
    axes.tick_params(labelsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)


def _row(own: pd.DataFrame, system: str, name: str) -> list[str]:
    seeds = sorted(set(own["seed"]) - {ALL_SEEDS})
    clean = mean_sd(list(_by_seed(own, [CLEAN], "accuracy")[:, 0]), "percent")
    cells = [system, ", ".join(map(str, seeds)), clean]
    cells += [
        mean_sd(list(_by_seed(own, [name], metric)[:, 0]), "percent")
        for metric in ("corruption_accuracy", "accuracy_drop")
    ]
    cells.append(f"{100 * _by_seed(own, [name], 'found').mean():.2f}")
    tested = own[(own["seed"] == ALL_SEEDS) & (own["subset"] == name)].set_index("metric")["value"]
    for measure in MEASURES:
        if f"{measure}_difference" not in tested:
            cells += [ABSENT] * 3
            continue
        gap, low, high = (100 * tested[f"{measure}_difference{end}"] for end in ("", "_low", "_high"))
        corrected = probability_text(tested[f"{measure}_p_holm"])
        cells += [f"{gap:+.2f}", f"{low:+.2f} to {high:+.2f}", corrected]
    return cells


def _baseline(results: pd.DataFrame) -> str:
    """The system that the others are tested against: the one that is not tested itself."""
    tested = set(results.loc[results["seed"] == ALL_SEEDS, "experiment"])
    return next(name for name in results["experiment"] if name not in tested)


def _corruptions(results: pd.DataFrame) -> list[str]:
    subsets = results.loc[results["metric"] == "corruption_accuracy", "subset"]
    return [name for name in dict.fromkeys(subsets) if name != ALL]


def _by_seed(own: pd.DataFrame, subsets: list[str], metric: str) -> NDArray[np.float64]:
    """The figures of one system, `[S, K]`: a row for each seed, a column for each subset."""
    rows = own[(own["metric"] == metric) & (own["seed"] != ALL_SEEDS)]
    return rows.pivot(index="seed", columns="subset", values="value")[subsets].to_numpy()
