"""Trains models on skewed data: photographs, FER2013, and FER2013 drawn as skewed as photographs are.

    python experiments/skew.py --fer2013 fer2013.zip --photos photos.zip

Makes the caches `photos`, `fer2013` and `fer2013-skewed` under `cache/`, and under `experiments/runs/` the
runs `DATA-MODEL-WEIGHTS-sSEED`, with `loss.class_weights` none, sqrt_inverse and, of the perceptron, inverse.
What is there already is left as it is, so that the same command resumes. About two hours on two cores.
`experiments/calibration.py` and `experiments/priors.py` measure the runs. Test images of the photographs are
of other people than their training images.
"""

import argparse
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from landmarkfer.config.recipes import load_settings
from landmarkfer.extraction.pipeline import extract
from landmarkfer.extraction.settings import make_settings
from landmarkfer.extraction.sources.open import open_source
from landmarkfer.progress import Progress, show_progress
from landmarkfer.training.fit import train_or_resume

SHARES = {
    **{"neutral": 50.0, "happy": 42.0, "surprise": 2.7, "sad": 2.0},
    **{"angry": 1.8, "disgust": 1.5, "fear": 0.2},
}
"""Of the classes of FER2013 as it is drawn, in percent."""
SEEDS = (0, 1, 2)
WEIGHTS = ("none", "sqrt_inverse")
CROPS = {"photos": 0.8462, "fer2013-skewed": 0.9167, "fer2013": 0.9167}
"""The share of a stored image's side that image networks look at."""
WEIGHTED = "experiments/weights/fer2013-resnet-fer-16-s{seed}"
"""The image networks of all of FER2013, trained without class weights; they are not trained anew."""
IMAGE = {
    **{"model.backbone": "resnet-fer", "model.width": 16, "model.size": 44, "model.dropout": 0.2},
    **{"augment.image.rotation": 10.0, "augment.image.scale": 0.15, "augment.image.shift": 0.05},
    **{"augment.image.brightness": 0.2, "optimiser.lr": 4e-3, "optimiser.weight_decay": 2e-2},
    **{"fit.batch_size": 128, "fit.epochs": 6},
}


def draw(source: Path, out: Path) -> None:
    """Write a zip of as many images of FER2013 as there can be with the shares of `SHARES`."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(source) as given, zipfile.ZipFile(out, "w") as drawn:
        names = [name for name in given.namelist() if name.lower().endswith((".jpg", ".png"))]
        for split in ("train", "test"):
            of_class = {one: sorted(n for n in names if f"{split}/{one}/" in n) for one in SHARES}
            total = min(len(of_class[one]) / share for one, share in SHARES.items())
            for one, share in SHARES.items():
                count = max(1, round(total * share))
                for name in sorted(rng.permutation(of_class[one])[:count]):
                    drawn.writestr(name, given.read(name))


def make_caches(fer2013: Path, photos: Path, progress: Progress) -> None:
    """Extract the three caches, as far as they are not there."""
    skewed = Path("cache") / "fer2013-skewed.zip"
    skewed.parent.mkdir(exist_ok=True)
    if not skewed.exists():
        draw(fer2013, skewed)
    for name, source, settings in (
        ("photos", open_source(photos, labels=["labels.csv"]), {"crop": 52}),
        ("fer2013", open_source(fer2013), {"threshold": 0.3}),
        ("fer2013-skewed", open_source(skewed), {"threshold": 0.3}),
    ):
        extract(source, Path("cache") / name, make_settings(settings), progress=progress)


def plan() -> Iterator[dict[str, Any]]:
    """The settings of all runs, in an order in which each finds those that it is initialised from."""
    for data in ("photos", "fer2013-skewed", "fer2013"):
        for seed in SEEDS:
            for weights in (*WEIGHTS, "inverse"):
                yield settings_of(data, "mlp", weights, seed)
            for weights in WEIGHTS:
                yield settings_of(data, "gnn", weights, seed)
            for weights in ("none",) if data == "fer2013" else WEIGHTS:
                if data != "fer2013":
                    yield settings_of(data, "image", weights, seed)
                yield settings_of(data, "fusion", weights, seed)
            yield {
                **{"cache": data, "model.name": "hog-svm", "seed": seed},
                "name": f"{data}-hog-svm-s{seed}",
            }


def settings_of(data: str, model: str, weights: str, seed: int) -> dict[str, Any]:
    """The settings of one run, by name; those that are left out have their defaults."""
    settings: dict[str, Any] = {
        **{"cache": data, "model.name": model, "seed": seed, "loss.class_weights": weights},
        "name": f"{data}-{model}-{weights}-s{seed}",
    }
    if model == "image":
        settings |= IMAGE | {"model.crop": CROPS[data]}
    if model == "fusion":
        own = {key: IMAGE[key] for key in ("model.backbone", "model.width", "model.size")}
        settings |= own | {"model.crop": CROPS[data], "model.fusion": "late", "model.encoder": "mlp"}
        image = WEIGHTED.format(seed=seed) if data == "fer2013" else f"{data}-image-{weights}-s{seed}"
        settings |= {"branches.image": image, "branches.encoder": f"{data}-mlp-{weights}-s{seed}"}
        settings |= {"branches.freeze": ["image", "encoder"], "optimiser.lr": 3e-4, "fit.epochs": 1}
    return settings


def main() -> None:
    """Make what is not there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for option, variable in (("--fer2013", "LANDMARKFER_FER2013"), ("--photos", "LANDMARKFER_PHOTOS")):
        parser.add_argument(option, type=Path, default=os.environ.get(variable), metavar="ZIP")
    given = parser.parse_args()
    if given.fer2013 is None or given.photos is None:
        parser.error("give both zips, or set LANDMARKFER_FER2013 and LANDMARKFER_PHOTOS.")
    with show_progress() as progress:
        make_caches(given.fer2013, given.photos, progress)
        for settings in plan():
            train_or_resume(load_settings(overrides=settings), progress=progress)


if __name__ == "__main__":
    main()
