"""Facial-expression recognition from the 478 landmarks of a face, as a graph, and fused with pixels.

    import landmarkfer as lf

    cache = lf.extract("photos/")                # landmarks of every image, once
    run = lf.train(model="gnn", cache=cache)     # a run folder
    lf.evaluate(run)                             # figures and pictures on its test images
    faces = lf.load(run).predict("more-photos/")

The functions do what the commands of the same names do. Importing the package loads neither torch nor
MediaPipe; what is used loads what it needs.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landmarkfer.errors import LandmarkferError, SettingsError, extras_named

if TYPE_CHECKING:
    from landmarkfer.data.cache import LandmarkCache
    from landmarkfer.extraction.sources.options import Layout
    from landmarkfer.face.graph import FaceGraph, build_graph
    from landmarkfer.inference.face import Face
    from landmarkfer.inference.faces import Faces
    from landmarkfer.inference.predictor import Predictor
    from landmarkfer.metrics.report import Evaluation
    from landmarkfer.progress import Progress
    from landmarkfer.runs.folder import RunFolder

    AnyCache = LandmarkCache | str | os.PathLike[str]

__version__ = "0.1.0"

__all__ = [
    "Evaluation",
    "Face",
    "FaceGraph",
    "Faces",
    "LandmarkCache",
    "LandmarkferError",
    "Predictor",
    "RunFolder",
    "__version__",
    "build_graph",
    "evaluate",
    "extract",
    "load",
    "train",
]

# Where the names of `__all__` that are not defined here come from; each is imported on first use.
_HOMES = {
    "Evaluation": "metrics.report",
    "Face": "inference.face",
    "FaceGraph": "face.graph",
    "Faces": "inference.faces",
    "LandmarkCache": "data.cache",
    "Predictor": "inference.predictor",
    "RunFolder": "runs.folder",
    "build_graph": "face.graph",
}

# Keywords of `train` that are short for a setting.
_SETTINGS = {
    "name": "name",
    "seed": "seed",
    "graph": "model.graph",
    "fusion": "model.fusion",
    "epochs": "fit.epochs",
    "batch_size": "fit.batch_size",
    "lr": "optimiser.lr",
    "device": "fit.device",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    with extras_named():
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


@extras_named()
def extract(
    source: str | os.PathLike[str],
    cache: str | os.PathLike[str] | None = None,
    *,
    workers: int | None = None,
    landmarker: str | os.PathLike[str] | None = None,
    layout: "Layout" = "auto",
    labels: "str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None" = None,
    label_names: "Mapping[Any, str | None] | Sequence[str] | str | None" = None,
    split_names: "Mapping[str, str | None] | Sequence[str] | str | None" = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    group_column: str | None = None,
    group_pattern: str | None = None,
    boxes: bool = True,
    fps: float | None = None,
    progress: "Progress | bool" = False,
    **options: Any,
) -> "LandmarkCache":
    """Find the face and its landmarks in every image of a source, and store them in a cache.

    An extraction that was interrupted resumes; of a finished cache nothing is detected again. Images are
    searched in processes that are started anew, so a script needs its `if __name__ == "__main__":` guard.

    Args:
        source: A folder, a `.zip` or a tar of images, a CSV of pixels, Parquet files, a folder of
            `datasets.save_to_disk`, or NumPy files.
        cache: Folder of the cache, or a name under `./cache`; the source's name there if None.
        workers: Processes; one per core if None.
        landmarker: The model file of the `landmarker` detector.
        layout: Whether folder names are labels: `auto`, `classes` or `unlabelled`.
        labels: Tables of labels for the images of a folder or an archive: CSV, JSON Lines, Excel, Parquet.
        label_names: What labels or class folders mean: names by value, `"7=contempt"`, or a file of these.
        split_names: What folders or values of a split column mean: `train`, `val`, `test` or None by name.
        path_column: The table's column of image paths.
        label_column: The table's column of labels.
        split_column: The table's column of splits.
        group_column: The table's column of people or sequences.
        group_pattern: A regular expression that names the person or sequence in a path, or a scheme's name.
        boxes: Whether a table's box columns are used: a row is then a face of an image.
        fps: Frames a second that are taken of videos.
        progress: True shows bars; or where to report to.
        **options: `detector`, `passes`, `retries`, `threshold`, `max_faces`, `keep`, `crop`; see
            `landmarkfer.extraction.settings.ExtractSettings`.

    Returns:
        The complete cache, opened.

    Raises:
        LandmarkferError: The source cannot be read, an option does not fit, the detector cannot be started,
            or the cache was made otherwise.
    """
    import logging

    from landmarkfer.data.cache import cache_folder
    from landmarkfer.extraction.pipeline import extract as run
    from landmarkfer.extraction.settings import make_settings
    from landmarkfer.extraction.sources.open import open_source
    from landmarkfer.progress import shown

    settings = make_settings(options)
    with shown(progress) as report:
        images = open_source(
            source,
            report,
            layout=layout,
            labels=labels,
            label_names=label_names,
            split_names=split_names,
            path_column=path_column,
            label_column=label_column,
            split_column=split_column,
            group_column=group_column,
            group_pattern=group_pattern,
            boxes=boxes,
            fps=fps,
        )
        for remark in images.remarks:
            logging.getLogger(__name__).warning(remark)
        summary = run(
            images,
            cache_folder(cache, Path(source)),
            settings,
            workers=workers,
            landmarker=None if landmarker is None else Path(landmarker),
            task=images.name,
            progress=report,
        )
    return summary.cache


@extras_named()
def train(
    model: str | None = None,
    cache: "AnyCache | Sequence[AnyCache] | None" = None,
    *,
    recipe: str | os.PathLike[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: "Progress | bool" = False,
    **options: Any,
) -> "RunFolder":
    """Train a model from a landmark cache, into a new run folder.

    Args:
        model: Which model (`landmarkfer.models.MODELS`); that of the recipe if None, and `gnn` without one.
        cache: The cache, its folder, or its name under `./cache`; several of them; or None for the only one
            there.
        recipe: A TOML file of settings.
        settings: Any settings by dotted key, such as `{"fit.epochs": 5, "augment.jitter": 0.1}`.
        out: The folder of all runs; `experiments/runs` if None.
        progress: True shows bars; or where to report to.
        **options: Short for settings: `epochs`, `batch_size` and `device` (of `fit`), `lr` (of `optimiser`),
            `graph` and `fusion` (of `model`), `seed`, and `name`, the run's.

    Returns:
        The finished run.

    Raises:
        LandmarkferError: The cache, a setting or the run's name does not fit.
    """
    from landmarkfer.config.recipes import load_settings
    from landmarkfer.data.cache import LandmarkCache
    from landmarkfer.progress import shown
    from landmarkfer.runs.folder import RUNS_ROOT
    from landmarkfer.training.fit import train as run

    unknown = sorted(set(options) - set(_SETTINGS))
    if unknown:
        raise SettingsError(
            f"train has no option '{unknown[0]}'; it has {', '.join(_SETTINGS)}, and settings={{...}} takes "
            "every setting by its dotted key."
        )
    overrides: dict[str, Any] = {"model.name": model}
    if cache is not None:
        several = [cache] if isinstance(cache, str | os.PathLike | LandmarkCache) else cache
        overrides["cache"] = [
            os.fspath(one.path if isinstance(one, LandmarkCache) else one) for one in several
        ]
    overrides |= {_SETTINGS[key]: value for key, value in options.items()} | dict(settings or {})
    resolved = load_settings(None if recipe is None else Path(recipe), overrides)
    with shown(progress) as report:
        return run(resolved, runs_root=RUNS_ROOT if out is None else Path(out), progress=report)


@extras_named()
def evaluate(
    run: "RunFolder | str | os.PathLike[str]",
    cache: "LandmarkCache | str | os.PathLike[str] | None" = None,
    *,
    label_names: Mapping[Any, str | None] | Sequence[str] | str | None = None,
    merge: Mapping[str, Sequence[str]] | None = None,
    out: str | os.PathLike[str] | None = None,
) -> "Evaluation":
    """Evaluate a run on its test images, and write figures, predictions and pictures into its folder.

    Args:
        run: The run, its folder, or its name under `experiments/runs`.
        cache: A cache other than the one that the run was trained on; its test images, or all where it has
            no test split, are predicted, as far as their label is a class of the model, and the files are
            written into the folder `on-<cache>` of the run. Without labels there are no figures.
        label_names: Names of the labels of that cache by value, such as `{1: "surprise", 2: "fear"}`, None
            where a value is no class; or the path of a file of them.
        merge: Classes that become one, by its name: labels of that cache are renamed, and probabilities of
            the model added.
        out: Another folder for the files.

    Returns:
        The figures of each subset of the test images; an image without a face counts. `other_data` states
        what is left out of them.

    Raises:
        LandmarkferError: The run is not finished or damaged, its cache is not there, or labels of the other
            cache are numbers without names.
    """
    from landmarkfer.data.cache import LandmarkCache
    from landmarkfer.data.label_names import make_label_names
    from landmarkfer.evaluation.evaluate import evaluate_runs
    from landmarkfer.evaluation.label_mapping import LabelMapping
    from landmarkfer.runs.folder import RunFolder, find_run

    folder = run if isinstance(run, RunFolder) else find_run(run)
    where = cache.path if isinstance(cache, LandmarkCache) else cache
    mapping = LabelMapping(make_label_names(label_names), merge or {})
    target = None if out is None else Path(out)
    [(_, evaluation)] = evaluate_runs([folder], where, target, mapping=mapping)
    return evaluation


@extras_named()
def load(
    model: "RunFolder | str | os.PathLike[str] | None" = None,
    *,
    device: str = "auto",
    landmarker: str | os.PathLike[str] | None = None,
) -> "Predictor":
    """Load a trained model for the prediction of new images.

    Args:
        model: A run, its folder, or its name under `experiments/runs`; an ONNX file of `landmarkfer export`;
            or a model that ships, `fusion` or `landmarks`. None is `fusion`.
        device: Where a run's network predicts: `cpu`, `cuda`, `mps`, or `auto`, CUDA where there is one.
        landmarker: The model file of the `landmarker` detector, where the model's landmarks are of it.

    Returns:
        The model; `load().predict("photos/")`.

    Raises:
        LandmarkferError: There is none of that name, or it is not finished or damaged.
    """
    from landmarkfer.inference.load import load_predictor

    return load_predictor(model, device=device, landmarker=None if landmarker is None else Path(landmarker))
