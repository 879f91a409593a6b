"""The report of a benchmark: Markdown and a picture of the figures in its CSV. Nothing is measured here."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from landmarkfer.config.benchmark import BenchmarkSettings, RowSettings
from landmarkfer.files import replacing
from landmarkfer.reporting.figures import draw_comparison
from landmarkfer.reporting.markdown import Header
from landmarkfer.reporting.results import read_results
from landmarkfer.reporting.results_page import render_results


@dataclass(frozen=True)
class Making:
    """How the figures of a report were made.

    Attributes:
        command: The shell line that makes it again.
        date: When the runs were started, see `date_range`.
        versions: Of the packages.
        archive: Folder of the predictions beside the report; None if there are none.
        differences: Reports of pairs of rows by what they compare, relative to the results.
        trained_on: What each row was trained on, as far as it is known.
    """

    command: str
    date: str
    versions: Mapping[str, str]
    archive: str | None = None
    differences: Mapping[str, str] | None = None
    trained_on: Mapping[str, str] | None = None


def date_range(days: Iterable[str]) -> str:
    """The day, or the first and the last; empty without any."""
    ordered = sorted(set(days))
    if len(ordered) < 2:
        return "".join(ordered)
    return f"{ordered[0]} to {ordered[-1]}"


def merged_versions(runs: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Versions of packages over several runs; different ones of a package stand beside each other."""
    found: dict[str, dict[str, None]] = {}
    for versions in runs:
        for name, version in versions.items():
            found.setdefault(name, {})[version] = None
    return {name: " and ".join(versions) for name, versions in found.items()}


def render_benchmark(settings: BenchmarkSettings, csv: Path, making: Making) -> Path:
    """Write the report beside its CSV and, if there is a baseline, the picture.

    Args:
        settings: The recipe.
        csv: The figures.
        making: How they were made.

    Returns:
        The report.
    """
    results = read_results(csv)
    there = set(results["experiment"])
    order = [row.name for row in settings.rows if row.name in there]
    notes = [settings.notes.strip()]
    drawn = (results["subset"] == "test") & (results["metric"] == "accuracy")
    if settings.baseline is not None and drawn.any():
        picture = csv.with_suffix(".png")
        in_order = results.sort_values("experiment", key=lambda names: names.map(order.index), kind="stable")
        with replacing(picture) as path:
            draw_comparison(path, in_order, settings.baseline)
        notes.append(f"![Test accuracy of each system]({picture.name})")
    if making.archive is not None:
        notes.append(
            f"The predictions of each run on each test image are in [{making.archive}]({making.archive}); "
            "with `--no-train`, this report is computed from them again."
        )
    if making.differences:
        links = ", ".join(f"[{what}]({path})" for what, path in making.differences.items())
        notes.append(f"Differences by expression, confusion and face: {links}.")
    notes.append(_missing([row for row in settings.rows if row.name not in there], making.command))
    page = csv.with_suffix(".md")
    header = Header(
        title=settings.title,
        commands=[*settings.commands, making.command],
        versions=making.versions,
        date=making.date,
        machine=settings.machine,
        introduction=settings.introduction,
        notes="\n\n".join(filter(None, notes)),
    )
    render_results(
        csv,
        page,
        header,
        columns=settings.columns,
        order=order,
        published=[one for one in settings.published if one.beside is None or one.beside in there],
        contrasts=[one for one in settings.contrasts if {one.row, one.against} <= there],
        baseline=settings.baseline,
        pairs=settings.pairs,
        trained_on=making.trained_on,
    )
    return page


def _missing(rows: Sequence[RowSettings], command: str) -> str:
    """Which rows have no figures, and how they are measured."""
    if not rows:
        return ""
    lines = [
        f"- {row.name}: the average of {', '.join(row.average)}"
        if row.average
        else f"- {row.name}: its weights, {row.weights}, are not there"
        if row.weights
        else f"- {row.name}: `{command} --only {shlex.quote(row.name)}`"
        for row in rows
    ]
    return "\n".join(["## Not measured yet", "", *lines])
