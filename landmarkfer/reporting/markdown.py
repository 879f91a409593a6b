"""Markdown reports of measured results, rendered from the CSV beside them; equal input gives an equal report.

Nothing here measures: what a report states besides the CSV (commands, versions, date, published figures) is
given by the caller, so that rendering again on another day or machine changes nothing.
"""

import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from landmarkfer.errors import LandmarkferError
from landmarkfer.files import replacing
from landmarkfer.reporting.results import read_bench

PACKAGES = ("landmarkfer", "torch", "torch-geometric", "mediapipe", "numpy", "scikit-learn")
ABSENT = "–"


@dataclass(frozen=True)
class Header:
    """How the figures of a report were made.

    `commands` are shell lines, `versions` names to versions (see `package_versions`), `date` the day of the
    measurement as YYYY-MM-DD (empty if not known), `machine` a few words such as "2 CPU cores";
    `introduction` and `notes` are Markdown, before the tables and after them.
    """

    title: str
    commands: Sequence[str]
    versions: Mapping[str, str]
    date: str
    machine: str = ""
    introduction: str = ""
    notes: str = ""


UNITS = {
    "percent": (100, 2),
    "minutes": (1 / 60, 1),
    "count": (1, 0),
    "millions": (1e-6, 1),
    "milliseconds": (1, 1),
    "nats": (1, 3),
    "number": (1, 2),
}
"""What a figure of the CSV is multiplied by, and how many decimals are shown."""
_SPREADLESS = ("count", "millions")
_HEADER = re.compile(
    r"# (?P<title>[^\n]*)\n\n(?P<introduction>[^\n]*)\n.*\n## How it was made\n\n"
    r"```sh\n(?P<commands>.*?)\n```\n\n"
    r"(?:Measured(?: (?P<date>\d[^\n]*?))?(?: on (?P<machine>[^\n]*))?\.\n\n)?"
    r"Versions: (?P<versions>[^\n]*)\.\n",
    re.DOTALL,
)


def render_bench(csv: Path, md: Path, header: Header) -> None:
    """Write the report `md` of the timings in `csv` (`results.BENCH_COLUMNS`): one table per bench.

    Raises:
        LandmarkferError: If the CSV is missing or has other columns.
    """
    parts = []
    for bench, rows in read_bench(csv).groupby("bench", sort=False):
        key = ["variant", "device", "batch"]
        wide = rows.pivot(index=key, columns="metric", values="value")
        order = list(dict.fromkeys(rows[key].itertuples(index=False, name=None)))
        metrics = list(dict.fromkeys(rows["metric"]))
        cells = [[*map(str, k), *(_number(wide.loc[k, m]) for m in metrics)] for k in order]
        parts += [
            f"## {bench}",
            markdown_table([*key, *(m.replace("_", " ") for m in metrics)], cells, text_columns=2),
        ]
    write_page(md, csv, header, parts)


def package_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of the installed ones of `packages`, read without importing them."""
    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def probability_text(p: float) -> str:
    """A p-value as reports show it."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def mean_sd(values: Sequence[float], kind: str) -> str:
    """Mean ± sample SD of a figure over seeds, in the unit `kind` of `UNITS`; of one seed without SD."""
    if not len(values):
        return ABSENT
    factor, decimals = UNITS[kind]
    scaled = factor * np.asarray(values, float)
    text = f"{scaled.mean():,.{decimals}f}"
    if len(scaled) > 1 and kind not in _SPREADLESS:
        text += f" ± {scaled.std(ddof=1):.{decimals}f}"
    return text


def _number(value: float) -> str:
    if np.isnan(value):
        return ABSENT
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def markdown_table(headings: Sequence[str], cells: Sequence[Sequence[str]], text_columns: int = 3) -> str:
    """A Markdown table; all but the first `text_columns` columns are aligned to the right."""
    rule = ["---" if i < text_columns else "---:" for i in range(len(headings))]
    escaped = [[cell.replace("|", "\\|") or ABSENT for cell in row] for row in cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, rule, *escaped))


def write_page(md: Path, csv: Path, header: Header, parts: Sequence[str]) -> None:
    """Write a report: title and introduction, `parts`, and how `csv`, whose figures it shows, was made."""
    versions = ", ".join(f"{name} {version}" for name, version in header.versions.items())
    machine = f" on {header.machine}" if header.machine else ""
    date = f" {header.date}" if header.date else ""
    text = [
        f"# {header.title}",
        header.introduction.strip(),
        *parts,
        header.notes.strip(),
        "## How it was made",
        "```sh\n" + "\n".join(header.commands) + "\n```",
        f"Measured{date}{machine}." if date or machine else "",
        f"Versions: {versions}.",
        f"Rendered from [{csv.name}]({csv.name}), which holds every measured figure.",
    ]
    with replacing(md) as path:
        path.write_text("\n\n".join(part for part in text if part) + "\n", encoding="utf-8")


def read_header(md: Path) -> Header:
    """The header of a page that `write_page` wrote, so that the page can be rendered again from its CSV.

    The introduction is the first paragraph; notes are left out.

    Raises:
        LandmarkferError: There is no such page.
    """
    try:
        found = _HEADER.match(md.read_text(encoding="utf-8"))
    except OSError as error:
        raise LandmarkferError(f"{md} cannot be read: {error}.") from error
    if found is None:
        raise LandmarkferError(f"{md} does not tell how it was made; make it with the command that measures.")
    return Header(
        title=found["title"],
        commands=found["commands"].split("\n"),
        versions=dict(one.split(" ", 1) for one in found["versions"].split(", ")),
        date=found["date"] or "",
        machine=found["machine"] or "",
        introduction=found["introduction"],
    )
