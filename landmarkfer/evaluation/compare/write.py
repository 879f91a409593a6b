"""Where two systems differ, from prediction tables to files: figures, a page, pictures, images."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.evaluation.compare.covariates import face_numbers
from landmarkfer.evaluation.compare.disagreements import clearest, image_disagreements
from landmarkfer.evaluation.compare.figures import draw_differences, draw_slices
from landmarkfer.evaluation.compare.report import Pictures, render_differences
from landmarkfer.evaluation.compare.sheet import write_outcome_sheet
from landmarkfer.evaluation.compare.statistics import (
    Pair,
    confusion_differences,
    pair_systems,
    slice_differences,
)
from landmarkfer.files import replacing
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.progress import SILENT, Progress
from landmarkfer.reporting.markdown import Header, package_versions

FIGURES_FILE, IMAGES_FILE = "differences.csv", "images.csv"
DIFFERENCES_PAGE = "differences.md"
SHEET = 48
"""How many images a sheet shows at most."""

"""Called with what is being done, how much of it is done, and how much there is."""


def write_differences(
    first: Sequence[Predictions],
    second: Sequence[Predictions],
    out: Path,
    *,
    cache: LandmarkCache | None,
    names: tuple[str, str],
    commands: Sequence[str],
    date: str,
    images: bool = True,
    progress: Progress = SILENT,
) -> pd.DataFrame:
    """Compare two systems and write what was found.

    Leaves in `out`: `differences.csv`, `differences.md` and `differences.png`; `images.csv`, both
    predictions for each image; `slices.png` where there is something to slice by; and, drawn from the
    cache, `won.png` and `lost.png`, which hold images of the data set.

    Args:
        first: Predictions of one system, for each of its seeds.
        second: Those of the other, on the same images.
        out: Folder, made if need be.
        cache: The cache of the images; without it, no slice by pose, size or detector, and no images.
        names: What the systems are called.
        commands: How it was made, for the page.
        date: When it was measured, YYYY-MM-DD.
        images: Whether to draw images.
        progress: Told of the tasks `slices`, `classes and confusions` and `images`.

    Returns:
        Rows with `evaluation.differences.DIFFERENCE_COLUMNS`.

    Raises:
        RunError: The predictions differ in images, labels or classes.
        CacheError: The cache lacks some of the images.
    """
    pair = pair_systems(first, second)
    disagreements = image_disagreements(pair)
    measures = _measures(pair, [*first, *second], cache)
    slices = slice_differences(pair, measures, task="slices", progress=progress)
    parts = [confusion_differences(pair, task="classes and confusions", progress=progress), slices]
    rows = pd.concat([one for one in parts if len(one)], ignore_index=True)
    pictures = Pictures(
        "differences.png",
        None if slices.empty else "slices.png",
        *_draw_images(cache if images else None, disagreements, out, names, progress),
    )
    for name in ("slices.png", "won.png", "lost.png"):
        if name not in (pictures.slices, pictures.won, pictures.lost):
            (out / name).unlink(missing_ok=True)  # of an earlier comparison
    with replacing(out / pictures.differences) as path:
        draw_differences(path, rows, names, pair.classes)
    if pictures.slices is not None:
        with replacing(out / pictures.slices) as path:
            draw_slices(path, slices, names)
    for name, table in ((FIGURES_FILE, rows), (IMAGES_FILE, disagreements.reset_index())):
        with replacing(out / name) as path:
            table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    header = Header(
        title=f"Where {names[0]} and {names[1]} differ",
        commands=commands,
        versions=package_versions(),
        date=date,
        introduction=_introduction(pair, names, (len(first), len(second)), cache),
    )
    render_differences(out / FIGURES_FILE, rows, disagreements, names, pictures, header)
    return rows


def _introduction(
    pair: Pair, names: tuple[str, str], seeds: tuple[int, int], cache: LandmarkCache | None
) -> str:
    first, second = (
        f"{name} ({count} {'run' if count == 1 else 'seeds'})"
        for name, count in zip(names, seeds, strict=True)
    )
    text = f"First: {first}. Second: {second}. {len(pair.ids):,} test images."
    if cache is not None:
        text += f" Pose, size and detections are those in the cache {cache.path.name}."
    return text


def _measures(pair: Pair, several: Sequence[Predictions], cache: LandmarkCache | None) -> pd.DataFrame:
    """What the images can be sliced by: what any of the predictions states, and what the cache does."""
    known: dict[str, pd.Series] = {}
    for name in ("status", "subset", "clean"):
        for one in several:
            if name not in known and getattr(one, name) is not None:
                known[name] = pd.Series(getattr(one, name), index=one.ids).reindex(pair.ids)
    if cache is None:
        measures = pd.DataFrame({"face": known["status"].map({"ok": "found"}).fillna("not found")})
    else:
        measures = face_numbers(cache, list(pair.ids))
    if "subset" in known:
        measures["part of the data set"] = known["subset"]
    if "clean" in known:
        twins = {True: "none", False: "there"}
        measures["pixel-identical training image"] = known["clean"].map(twins)
    return measures


def _draw_images(
    cache: LandmarkCache | None,
    disagreements: pd.DataFrame,
    out: Path,
    names: tuple[str, str],
    progress: Progress,
) -> tuple[str | None, str | None]:
    """The names of the sheets of won and lost images that were drawn."""
    if cache is None:
        return None, None
    drawn: list[str | None] = []
    # Of images that are pixel by pixel the same, one is enough; an unreadable one cannot be drawn.
    pixels = cache.frame(["id", "sha256"]).set_index("id")["sha256"].reindex(disagreements.index)
    distinct = disagreements[pixels.notna() & ~pixels.duplicated()]
    for number, outcome in enumerate(("won", "lost")):
        progress("images", number, 2)
        count = int((distinct["outcome"] == outcome).sum())
        shown = clearest(distinct, outcome, SHEET)
        drawn.append(f"{outcome}.png" if count else None)
        if count:
            right = names[outcome == "lost"]
            title = f"{len(shown)} of {count:,} distinct images that {right} alone predicts correctly"
            write_outcome_sheet(cache, shown, out / f"{outcome}.png", names, title)
    progress("images", 2, 2)
    return drawn[0], drawn[1]
