"""The files of a comparison: its figures, the predictions on each image, pictures, and the report."""

from collections.abc import Sequence
from pathlib import Path

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.evaluation.compare.comparison import Comparison
from landmarkfer.evaluation.compare.disagreements import clearest
from landmarkfer.evaluation.compare.report import render_differences, write_rows
from landmarkfer.evaluation.compare.sheet import write_outcome_sheet
from landmarkfer.files import replacing
from landmarkfer.progress import SILENT, Progress, counted
from landmarkfer.reporting.markdown import Header, package_versions

FIGURES_FILE, IMAGES_FILE = "differences.csv", "images.csv"
DIFFERENCES_PAGE = "differences.md"
SHEET = 48
"""How many images a sheet shows at most."""


def write_comparison(
    comparison: Comparison,
    out: Path,
    *,
    commands: Sequence[str],
    date: str,
    images: LandmarkCache | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Write what was found.

    Leaves in `out`: `differences.csv`, `differences.md` and `differences.png`; `images.csv`, both
    predictions for each image; `slices.png` where there is something to slice by; and `won.png` and
    `lost.png`, which hold images of the data set.

    Args:
        comparison: What was found.
        out: Folder, made if need be.
        commands: How it was made, for the page.
        date: When it was measured, YYYY-MM-DD.
        images: The cache that images are drawn from; without it, none are.
        progress: Of the contact sheets.

    Returns:
        The page.

    Raises:
        CacheError: The cache lacks some of the images.
    """
    for name in ("won.png", "lost.png"):
        (out / name).unlink(missing_ok=True)  # of an earlier comparison
    if images is not None:
        _draw_images(images, comparison, out, progress)
    with replacing(out / IMAGES_FILE) as path:
        table = comparison.disagreements.reset_index()
        table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    write_rows(out / FIGURES_FILE, comparison.rows)
    header = Header("", commands, package_versions(), date, introduction=_introduction(comparison))
    return render_differences(out / FIGURES_FILE, comparison.names, header, comparison.groups)


def _introduction(comparison: Comparison) -> str:
    first, second = (
        f"{name} ({count} {'run' if count == 1 else 'seeds'})"
        for name, count in zip(comparison.names, comparison.seeds, strict=True)
    )
    text = f"First: {first}. Second: {second}. {counted(len(comparison.disagreements), 'test image')}."
    if comparison.cache is not None:
        text += f" Pose, size and detections are those in the cache {comparison.cache}."
    return text


def _draw_images(cache: LandmarkCache, comparison: Comparison, out: Path, progress: Progress) -> None:
    """Draw the sheets of won and lost images, as far as there are some."""
    disagreements = comparison.disagreements
    # Of images that are pixel by pixel the same, one is enough; an unreadable one cannot be drawn.
    pixels = cache.frame(["id", "sha256"]).set_index("id")["sha256"].reindex(disagreements.index)
    distinct = disagreements[pixels.notna() & ~pixels.duplicated()]
    for number, outcome in enumerate(("won", "lost")):
        progress("contact sheets", number, 2)
        count = int((distinct["outcome"] == outcome).sum())
        shown = clearest(distinct, outcome, SHEET)
        if count:
            right = comparison.names[outcome == "lost"]
            title = (
                f"{len(shown)} of {counted(count, 'distinct image')} that {right} alone predicts correctly"
            )
            write_outcome_sheet(cache, shown, out / f"{outcome}.png", comparison.names, title)
    progress("contact sheets", 2, 2)
