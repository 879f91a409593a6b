"""Every recipe runs from a cache to an evaluation, on 100 training images of each of the seven classes."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmarkfer.config.recipes import load_settings
from landmarkfer.config.train import TrainSettings
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.row import Row
from landmarkfer.evaluation.evaluate import evaluate_run
from landmarkfer.face.landmarks import CANONICAL, REGION
from landmarkfer.models import model_class
from landmarkfer.models.base import FaceModel
from landmarkfer.training.fit import train
from landmarkfer.training.multirun import train_multirun
from landmarkfer.training.resolve import resolve

RECIPES = sorted((Path(__file__).parents[2] / "experiments" / "recipes").glob("*.toml"))
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
PER_CLASS = 100
# Backbones of many layers, or of large inputs, see smaller images here: patches of 16 need at least 32 px.
LARGEST = 32
# At their own depth, these would train for a minute each.
DEPTHS = {"fer2013-transformer-published": 1}
SLOW = {
    *(
        "fer2013-gcn-published",
        "fer2013-transformer-published",
        "fer2013-resnet-fer",
        "fer2013-efficientnet-b0",
    ),
    *("fer2013-vit", "fer2013-vit-100", "fer2013-vit-5-epochs", "fer2013-vit-adaptive", "fer2013-vgg19"),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """720 + 140 faces of 48 px, as FER2013's are: each class moves a region and brightens a band."""
    rng = np.random.default_rng(0)
    rows = []
    for split, count in (("train", 120), ("test", 20)):
        for number, label in enumerate(CLASSES):
            for item in range(count):
                face = CANONICAL + 0.02 * rng.standard_normal((478, 3))
                face[REGION == 2 * number, 1] -= rng.uniform(0.1, 0.3)
                pixels = rng.integers(60, 160, (48, 48))
                pixels[6 * number : 6 * number + 8] += 60
                file = io.BytesIO()
                Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
                name = f"{split}/{label}/{item:03}.png"
                row = Row(id=name, label=label, split=split, width=48, height=48, faces=1, detections=1)
                row.landmarks = (face / 5 + 0.5).astype(np.float32)
                row.sha256, row.face = f"{len(rows):064x}", file.getvalue()
                rows.append(row)
    path = tmp_path_factory.mktemp("recipes") / "fer2013"
    said = pd.DataFrame(
        {"id": [row.id for row in rows], "label": [row.label for row in rows], "status": "ok"}
    )
    for name in CLASSES:
        said[f"p_{name}"] = np.where(said["label"] == name, 0.4, 0.1)
    said.assign(predicted=said["label"]).to_parquet(path.parent / "said.parquet")
    return write_cache(path, sorted(rows, key=lambda row: row.id))


def small(path: Path, cache: Path) -> TrainSettings:
    """The recipe's settings, cut to an epoch of each stage, large inputs to 32 px, and deep transformers.

    Runs that it begins with are trained beside the cache, once, by the recipes that they are named after.
    """
    settings = load_settings(path)
    changed = {"cache": str(cache), "name": path.stem, "fit.device": "cpu", "data.per_class": PER_CLASS}
    kind = model_class(settings.model.name)
    if not issubclass(kind, FaceModel):
        del changed["fit.device"]
    elif settings.stages:
        changed["stages"] = [stage.model_dump() | {"epochs": 1} for stage in settings.stages]
    else:
        changed["fit.epochs"] = 1
    if settings.distillation.predictions:
        changed["distillation.predictions"] = str(cache.parent / "said.parquet")
    if settings.data.also:
        changed["data.also"] = [str(cache)]
    first = {"init": settings.init}
    first |= {f"branches.{name}": getattr(settings.branches, name) for name in ("image", "encoder")}
    for setting, wanted in first.items():
        if wanted is not None:
            recipe = path.with_name(f"{wanted.removesuffix('-s0')}.toml")
            (run,) = train_multirun([small(recipe, cache)], runs_root=cache.parent / "runs")
            changed[setting] = str(run.path)
    if path.stem in DEPTHS:
        changed["model.depth"] = DEPTHS[path.stem]
    if "image" in kind.inputs and issubclass(kind, FaceModel):
        changed["model.size"] = min(settings.model.keywords["size"], LARGEST)
        changed["model.weights"] = "none"  # ImageNet's are not at hand in a test
        changed["fit.batch_size"] = max(settings.fit.batch_size, 64)
    return load_settings(path, changed)


def marked(path: Path):
    return pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else [])


@pytest.mark.slow
@pytest.mark.parametrize("path", [marked(path) for path in RECIPES])
def test_it_runs_from_the_cache_to_an_evaluation(path, cache, tmp_path):
    settings = small(path, cache.path)
    run = train(settings, runs_root=tmp_path)
    splits = run.read_splits()
    classes = settings.data.classes or CLASSES
    assert len(splits["train"]) == PER_CLASS * len(classes)
    evaluation, predictions = evaluate_run(run)
    assert len(predictions) == 20 * len(classes)
    assert evaluation.subsets["test"].n == len(predictions)
    probabilities = predictions.probabilities
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    assert np.isfinite(probabilities).all()


def test_every_published_system_has_a_recipe():
    there = {path.stem.removeprefix("fer2013-") for path in RECIPES}
    assert there >= {
        *("mlp", "transformer-published", "gcn-published", "efficientnet-b0", "hog-svm", "cnn-small"),
        *("resnet18", "vit-100", "vit", "vit-5-epochs", "vit-adaptive", "vgg16", "vgg19", "resnet50"),
        *("cnn-focal", "mobilenet-head", "mobilenet"),
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_says_what_it_reproduces(path):
    comment = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert len(comment) >= 2
    assert any("landmarkfer extract" in line for line in comment)


def test_the_default_graph_network_is_that_of_the_recipe():
    recipe = next(path for path in RECIPES if path.stem == "fer2013-gnn-7")
    best, default = (resolve(settings) for settings in (load_settings(recipe), load_settings()))
    assert best.epochs == default.epochs == 48
    assert best.model_copy(update={"cache": None}).model_dump(mode="json") == default.model_dump(mode="json")
