"""How trained systems stand up to worse images: corrupted copies of the test images, predictions, and a page.

Copies of the images and predictions are stored, so that an interrupted suite resumes, and a second call does
nothing again.
"""

import hashlib
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landmarkfer.data.cache import CACHE_ROOT, LandmarkCache, find_cache
from landmarkfer.data.dataset import label_images
from landmarkfer.data.splits import Rows
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.evaluation.evaluate import evaluate_run
from landmarkfer.evaluation.opened import split_ids, tested_of_member
from landmarkfer.evaluation.robustness.report import write_robustness
from landmarkfer.evaluation.robustness.statistics import ImageResults, image_results, robustness_figures
from landmarkfer.evaluation.systems import average_seeds, result_key, system_text
from landmarkfer.extraction.corrupt import Variant, make_corrupted, stratified_rows, variants
from landmarkfer.extraction.corruptions import CORRUPTIONS
from landmarkfer.metrics.combine import align_predictions
from landmarkfer.metrics.predictions import Predictions, read_predictions, write_predictions
from landmarkfer.progress import SILENT, Progress, counted
from landmarkfer.runs.folder import RunFolder
from landmarkfer.runs.groups import System

RESULTS_ROOT = Path("experiments/results")
IMAGES = 500
"""Test images that are corrupted unless another number is asked for."""

PREDICTIONS = "predictions"
"""Folder beside the corrupted copies."""


def robustness(
    systems: Sequence[System[RunFolder]],
    *,
    images: int = IMAGES,
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    baseline: str | None = None,
    page: str = "robustness",
    caches: Sequence[str | os.PathLike[str]] = (),
    results_root: Path = RESULTS_ROOT,
    caches_root: Path = CACHE_ROOT,
    workers: int | None = None,
    landmarker: Path | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Corrupt test images, evaluate systems on them, and write the page.

    Args:
        systems: See `systems.read_systems`; all with the same test images.
        images: How many test images, drawn with every class's share; all if there are no more.
        corruptions: Keys of `CORRUPTIONS`.
        baseline: Name of the system that the others are tested against; the first by default.
        page: Name of the page, the CSV and the picture.
        caches: Whose test images are corrupted, one cache of each run: needed of runs that were trained on
            several. By default those of the cache that each run was trained on.
        results_root: Their folder.
        caches_root: Where `<cache>-robustness-<images>` is made for each such cache.
        workers: Worker processes of the detection; by default one per core.
        landmarker: The model file of the `landmarker` detector.
        progress: Reported to.

    Returns:
        The page.

    Raises:
        LandmarkferError: A name, a run or a cache does not fit.
    """
    wanted = variants(corruptions)
    names = [system.name for system in systems]
    baseline = baseline or names[0]
    if baseline not in names:
        raise SettingsError(f"there is no system '{baseline}'; there are {', '.join(names)}.")
    suites: dict[Path, Suite] = {}
    sources = {run.path: _cache_of(run, caches) for run in _runs(systems)}
    if spare := {find_cache(one) for one in caches} - set(sources.values()):
        raise SettingsError(f"no run was trained on {', '.join(map(str, sorted(spare)))}; leave it out.")
    for run in _runs(systems):
        source = sources[run.path]
        if source not in suites:
            suites[source] = _make_suite(
                LandmarkCache.open(source), run, images, wanted, caches_root, workers, landmarker, progress
            )
    own = {path: suites[source] for path, source in sources.items()}
    predictions = _predict_all(systems, own, wanted, progress)
    results_by_image = _image_results(systems, predictions, corruptions)
    keys = {system.name: result_key(system) for system in systems}
    figures = robustness_figures({keys[name]: results_by_image[name] for name in names}, keys[baseline])
    made = max(copy.manifest.created for suite in suites.values() for copy in suite.copies.values())
    making = command(systems, images, corruptions, baseline, page, caches)
    return write_robustness(results_root / page, figures, making, made[:10])


def command(
    systems: Sequence[System[RunFolder]],
    images: int,
    corruptions: Sequence[str],
    baseline: str,
    page: str,
    caches: Sequence[str | os.PathLike[str]] = (),
) -> str:
    """The shell line that makes a page again."""
    words = [system_text(system) for system in systems]
    some = [] if list(corruptions) == list(CORRUPTIONS) else corruptions
    chosen = "".join(f" --corruption {name}" for name in some)
    of_caches = "".join(f" --cache {shlex.quote(os.fspath(cache))}" for cache in caches)
    words.append(f"--images {images}{chosen} --baseline '{baseline}' --page {page}{of_caches}")
    return " \\\n  ".join(["landmarkfer robustness", *words])


@dataclass(frozen=True)
class Suite:
    """The corrupted copies of a cache, below one folder."""

    root: Path
    copies: dict[Variant, LandmarkCache]


def _runs(systems: Sequence[System[RunFolder]]) -> list[RunFolder]:
    return [run for system in systems for run in system.runs]


def _cache_of(run: RunFolder, wanted: Sequence[str | os.PathLike[str]]) -> Path:
    """The folder of the cache that a run was trained on; of several, of the wanted one."""
    known = run.read_config().cache
    if not wanted:
        if known.members:
            raise SettingsError(
                f"run '{run.name}' was trained on {known.path}, and robustness is that of the test images of "
                f"one cache; name it: --cache {known.names[0]}."
            )
        return find_cache(known.path)
    of_run = [Path(one.path).resolve() for one in known.each]
    given = [find_cache(one) for one in wanted]
    found = [one for one in given if one.resolve() in of_run]
    if len(found) != 1:
        what = (
            f"has test images in {' and '.join(map(str, found))}"
            if found
            else f"has no test images in {', '.join(map(str, given))}"
        )
        raise SettingsError(
            f"run '{run.name}' was trained on {known.path}, and {what}; name "
            f"{'one of these' if known.members else 'that cache'}, or leave the run out."
        )
    return found[0]


def _make_suite(
    cache: LandmarkCache,
    run: RunFolder,
    images: int,
    wanted: Sequence[Variant],
    caches_root: Path,
    workers: int | None,
    landmarker: Path | None,
    progress: Progress,
) -> Suite:
    """The corrupted copies of the test images of a run, made where they are not there yet."""
    rows = stratified_rows(cache.frame(["label"])["label"], _test_rows(cache, run), images)
    root = caches_root / f"{cache.path.name}-robustness-{len(rows)}"
    copies = make_corrupted(
        cache, rows, root, wanted, workers=workers, landmarker=landmarker, progress=progress
    )
    return Suite(root, copies)


def _test_rows(cache: LandmarkCache, run: RunFolder) -> Rows:
    """Which rows of a cache are the test images of a run."""
    config = run.read_config()
    if config.cache.members:
        tested = tested_of_member(run, config, cache)
        if tested is None:
            raise CacheError(f"{cache.path} is no longer a cache that run '{run.name}' was trained on.")
        return np.flatnonzero(tested)
    test = set(split_ids(run, label_images(cache, config.settings.data)[0])["test"])
    frame = cache.frame(["id", "label"])
    rows = np.flatnonzero(frame["id"].isin(test) & frame["label"].notna())
    if len(rows) != len(test):
        raise CacheError(
            f"{cache.path} holds {len(rows)} of the {counted(len(test), 'test image')} of run '{run.name}'; "
            "extract the images that it was trained on."
        )
    return rows


def _predict_all(
    systems: Sequence[System[RunFolder]],
    suites: Mapping[Path, Suite],
    wanted: Sequence[Variant],
    progress: Progress,
) -> dict[tuple[Path, Variant], Predictions]:
    """The predictions of every run, with its suite by its folder, on every copy."""
    runs = list({run.path: run for run in _runs(systems)}.values())
    tables = {}
    each = [(run, variant) for run in runs for variant in wanted]
    for run, variant in progress.track(each, "predicting", len(each)):
        suite = suites[run.path]
        kept = suite.root / PREDICTIONS / f"{run.name}-{_digest(run)[:12]}"
        tables[run.path, variant] = _predictions(run, suite.copies[variant], kept)
    return tables


def _predictions(run: RunFolder, copy: LandmarkCache, folder: Path) -> Predictions:
    path = folder / f"{copy.path.name}-{copy.fingerprint[:12]}.parquet"
    if path.exists():
        return read_predictions(path)
    predictions = evaluate_run(run, copy.path)[1]
    write_predictions(path, predictions)
    return predictions


def _digest(run: RunFolder) -> str:
    """Of the settings and the weights, which distinguishes predictions of another training."""
    digest = hashlib.sha256(run.config_file.read_bytes())
    weights = run.weights_file if run.weights_file.exists() else run.estimator_file
    with weights.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _image_results(
    systems: Sequence[System[RunFolder]],
    predictions: Mapping[tuple[Path, Variant], Predictions],
    corruptions: Sequence[str],
) -> dict[str, ImageResults]:
    """What came of every image, by system; images in one order everywhere."""
    averaged = {}
    for system in systems:
        for variant in variants(corruptions):
            seeds = {s: tuple(predictions[r.path, variant] for r in runs) for s, runs in system.seeds.items()}
            for seed, average in average_seeds(System(system.name, seeds)).items():
                averaged[system.name, seed, variant] = average
    aligned = dict(zip(averaged, align_predictions(list(averaged.values())), strict=True))
    return {
        system.name: image_results(
            {
                seed: {
                    name: [aligned[system.name, seed, variant] for variant in variants([name])]
                    for name in corruptions
                }
                for seed in system.seeds
            }
        )
        for system in systems
    }
