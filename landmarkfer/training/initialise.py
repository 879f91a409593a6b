"""A model with its first weights: fresh ones, pretrained ones, or those of finished runs."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landmarkfer.config.train import BranchSettings, ResolvedSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.dataset import FaceDataset
from landmarkfer.data.splits import Rows, Splits
from landmarkfer.data.statistics import landmark_statistics
from landmarkfer.errors import CacheError, RunError, SettingsError
from landmarkfer.face.graph import build_graph
from landmarkfer.models import build_model
from landmarkfer.models.classifier import Branch, Classifier
from landmarkfer.progress import counted
from landmarkfer.runs.folder import RunFolder, find_run, is_run
from landmarkfer.runs.shipped import SHIPPED, shipped_run
from landmarkfer.runs.trained_images import trained_it
from landmarkfer.training.cache_shares import drawn_shares, image_weights

logger = logging.getLogger(__name__)

_OF_TRAINING = ("weights", "dropout", "drop_path", "fusion_dropout", "encoder_dropout")
"""Keywords of a model by which its weights do not differ."""


def class_counts(dataset: FaceDataset, rows: Rows, weights: NDArray[np.float64] | None = None) -> Tensor:
    """Images of each class among some rows, `[C]`, those without a face included.

    Args:
        dataset: The images.
        rows: Their rows.
        weights: How much each of the rows counts, `[n]`; once if None.
    """
    labels = dataset.faces.labels
    assert labels is not None
    each = None if weights is None else torch.from_numpy(weights)
    return torch.bincount(labels[torch.as_tensor(rows)], each, minlength=len(dataset.classes))


def class_shares(settings: ResolvedSettings, dataset: FaceDataset, splits: Splits) -> Tensor:
    """The share of each class in the data, `[C]`: among the training images, as far as these are as drawn.

    Where `data.per_class` has drawn the training images evenly, it is that among the validation images, with
    one more of each class, since a class of which these have none may exist. Of several caches, images count
    as often as the shares of the caches say (`cache_shares`).
    """
    shares = drawn_shares(settings, dataset, splits.train)
    if settings.data.per_class:
        counts = class_counts(dataset, splits.val, image_weights(shares, dataset, splits.val)) + 1
    else:
        counts = class_counts(dataset, splits.train, image_weights(shares, dataset, splits.train))
    return (counts / counts.sum()).float()


def usable_rows(model: Classifier, dataset: FaceDataset, rows: Rows) -> Rows:
    """Of some rows, those in which the model has usable input."""
    return rows[model.has_input(dataset.faces).numpy()[rows]]


def check_model(settings: ResolvedSettings) -> None:
    """Build a model and look for the runs that it is initialised from, so that names are checked before data.

    Raises:
        LandmarkferError: The model cannot be built, or there is no such run.
    """
    if settings.init is not None:
        initial_run(settings.init)
    for run in (settings.branches.image, settings.branches.encoder):
        if run is not None:
            find_run(run)
    build_model(settings.model.name, 2, **settings.model.keywords)


def initialise_model(
    settings: ResolvedSettings, dataset: FaceDataset, splits: Splits, *, fresh: bool = True
) -> Classifier:
    """Build the model of a run, with its first weights and the statistics of its training faces.

    Args:
        settings: Of the run.
        dataset: The cache in memory.
        splits: Of its rows.
        fresh: False where a checkpoint is loaded next, so that weights of other runs need not be available.

    Raises:
        CacheError: There are too few faces or classes.
        LandmarkferError: The model cannot be built, or the weights to initialise it from do not fit.
    """
    keywords: dict[str, Any] = settings.model.keywords
    faces = dataset.faces
    found = splits.train[faces.has_face.numpy()[splits.train]]
    landmarks = faces.landmarks.index_select(0, torch.as_tensor(found))
    if isinstance(keywords.get("graph"), str) and keywords["graph"] != "none":
        mean_face = landmark_statistics(landmarks)[0].numpy()
        keywords["graph"] = build_graph(keywords["graph"], mean_face=mean_face, k=keywords["k"])
    torch.manual_seed(settings.seed)
    model = build_model(settings.model.name, len(dataset.classes), **keywords)
    rows = usable_rows(model, dataset, splits.train)
    if len(rows) < 2 or len(dataset.classes) < 2:
        raise CacheError(
            "training needs at least two faces and two classes; there are "
            f"{counted(len(rows), 'labelled face')} to train on and {counted(len(dataset.classes), 'class')}."
        )
    model.set_prior(class_shares(settings, dataset, splits))
    if fresh:
        model.learn_statistics(replace(faces, image=None).rows(torch.as_tensor(found)))
        # Pretrained weights bring the statistics of the images that they were trained on.
        if not model.load_pretrained():
            model.set_image_statistics(*image_statistics(faces, rows))
        if settings.init is not None:
            run = initial_run(settings.init)
            _initialise_whole(model, run, settings, dataset.classes)
            _warn_of_trained_images(run, dataset, splits)
    initialise_branches(model, settings.branches, keywords, dataset.classes, fresh=fresh)
    return model


def image_statistics(faces: FaceBatch, rows: Rows) -> tuple[Tensor, Tensor]:
    """Mean and SD of each channel, `[C]` each, of images in 0..1, over at most 5,000 evenly spaced rows."""
    assert faces.image is not None
    some = rows[:: max(1, len(rows) // 5000)]
    pixels = faces.image.index_select(0, torch.as_tensor(some)).float() / 255
    return pixels.mean(dim=(0, 2, 3)), pixels.std(dim=(0, 2, 3)).clamp_min(1e-3)


def initialise_branches(
    model: Classifier,
    settings: BranchSettings,
    keywords: Mapping[str, Any],
    classes: Sequence[str],
    *,
    fresh: bool,
) -> None:
    """Initialise the branches of a fused model from finished runs, and freeze those that are not trained.

    Args:
        model: The fused model.
        settings: Which runs, and which branches.
        keywords: Of the fused model.
        classes: Of the fused model, C names.
        fresh: False where a checkpoint is loaded next.

    Raises:
        RunError: There is no such run, it is not finished, its model is another one or has other classes; or
            a branch that is frozen was trained on images that it would see otherwise now.
        SettingsError: A branch cannot be frozen.
    """
    runs: dict[Branch, str | None] = {
        "image": settings.image,
        "encoder": settings.encoder,
    }
    for name, wanted in runs.items():
        if wanted is None or not fresh:
            continue
        run = find_run(wanted)
        trained = run.load()
        there = trained.config.settings.model
        wanted_kind = "image" if name == "image" else str(keywords.get("encoder"))
        _check_kind(run, there.name, wanted_kind, f"the {name} branch")
        _check_backbone(run, there.keywords, keywords)
        if list(trained.config.classes) != list(classes):
            raise RunError(
                f"run '{run.name}' was trained on {', '.join(trained.config.classes)}, and this training has "
                f"{', '.join(classes)}; a branch has the classes of the whole, in the same order: train it "
                "with them."
            )
        if name in settings.freeze:
            _check_view(run, there.keywords, keywords, name)
        try:
            model.initialise_branch(name, trained.model.tensors())
        except ValueError as error:
            what = f"the model of run '{run.name}' is not the {name} branch of this one ({error})"
            within = "" if name == "image" else "encoder_settings."
            here = keywords if name == "image" else keywords["encoder_settings"]
            raise RunError(f"{what}{_advice(there.keywords, here, within)}.") from error
    for name in settings.freeze:
        try:
            model.freeze_branch(name)
        except ValueError as error:
            raise SettingsError(f"'branches.freeze' = '{name}': {error}.") from error


def _check_kind(run: RunFolder, there: str, here: str, what: str) -> None:
    """Refuse a run of another kind of model.

    Raises:
        RunError: It is.
    """
    if there != here:
        raise RunError(f"run '{run.name}' is a model '{there}', and {what} is '{here}'; name a run of that.")


def _check_backbone(run: RunFolder, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Refuse weights of another image network, which may fit and mean something else: timm has such twins.

    Raises:
        RunError: They are.
    """
    names = [keywords["backbone"] for keywords in (there, here) if "backbone" in keywords]
    if len(set(names)) > 1:
        raise RunError(
            f"run '{run.name}' has the image network '{names[0]}', and this model has '{names[1]}'; set "
            f"model.backbone={names[0]}."
        )


def _advice(there: Mapping[str, Any], here: Mapping[str, Any], within: str = "") -> str:
    """What to set so that the model is that of a run: its settings that differ."""
    differ = {key: value for key, value in there.items() if key in here and here[key] != value}
    told = [f"model.{within}{key}={_text(value)}" for key, value in differ.items() if key not in _OF_TRAINING]
    return "; set " + " ".join(told) if told else ""


def _text(value: Any) -> str:
    """A value as --set takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _check_view(
    run: RunFolder, trained: Mapping[str, Any], keywords: Mapping[str, Any], branch: Branch
) -> None:
    """Refuse a frozen branch that would see images otherwise than in its training; its tensors fit all sizes.

    Raises:
        RunError: It would.
    """
    for name in ("size", "crop", "keep_resolution"):
        if name in trained and trained[name] != keywords.get(name):
            here, there = (json.dumps(value) for value in (keywords.get(name), trained[name]))
            raise RunError(
                f"run '{run.name}' was trained with model.{name}={there}, and this model has "
                f"model.{name}={here}, with which the frozen {branch} branch would see images otherwise; set "
                f"model.{name}={there}, or name another run."
            )


def initial_run(name: str) -> RunFolder:
    """The run that a training is initialised from: a run, or a model that ships.

    Raises:
        RunError: There is no such run.
    """
    shipped = None if is_run(name) else shipped_run(name)
    try:
        return find_run(name) if shipped is None else shipped
    except RunError as error:
        names = ", ".join(f"'{one}'" for one in ("shipped", *SHIPPED))
        raise RunError(f"{str(error).removesuffix('.')}; the models that ship are {names}.") from error


def _initialise_whole(
    model: Classifier, run: RunFolder, settings: ResolvedSettings, classes: Sequence[str]
) -> None:
    """Initialise a model from the run that `init` names, after its kind and its image network are checked."""
    assert settings.init is not None
    there, here = run.read_config().settings.model, settings.model
    _check_kind(run, there.name, here.name, "this one")
    _check_backbone(run, there.keywords, here.keywords)
    try:
        initialise_from(model, settings.init, classes)
    except RunError as error:
        raise RunError(f"{str(error).removesuffix('.')}{_advice(there.keywords, here.keywords)}.") from error


def _warn_of_trained_images(run: RunFolder, dataset: FaceDataset, splits: Splits) -> None:
    """Say how many validation and test images the model that ships has been trained on."""
    for name, rows in (("validation", splits.val), ("test", splits.test)):
        known = trained_it(run.path, dataset.frame["sha256"].iloc[rows])
        if known is not None and known.any():
            logger.warning(
                "%d of %s trained '%s' already, so that figures on them are too good; take images that it "
                "has not seen, or the data's own splits",
                int(known.sum()),
                counted(len(rows), f"{name} image"),
                run.name,
            )


def initialise_from(model: Classifier, name: str, classes: Sequence[str] | None = None) -> None:
    """Set the weights of a finished run, or of a model that ships; those of the head for the classes of both.

    Args:
        model: The model.
        name: Of the run, or of the model that ships, with its detector.
        classes: Of the model, C names; None where they are those of the run, if they are as many.

    Raises:
        RunError: There is no such run, it is not finished, or its model is another one.
    """
    run = initial_run(name)
    trained = run.load()
    numbers = None
    if classes is not None:
        place = {one: number for number, one in enumerate(trained.config.classes)}
        numbers = [place.get(one, -1) for one in classes]
        if max(numbers) < 0:
            logger.warning(
                "no class of run '%s' (%s) is one here, so that the head has fresh weights",
                run.name,
                ", ".join(place),
            )
    try:
        model.initialise_from(trained.model.tensors(), numbers)
    except ValueError as error:
        raise RunError(f"the model of run '{run.name}' is not this one ({error}).") from error
