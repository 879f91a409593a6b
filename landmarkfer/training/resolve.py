"""Settings checked against their model and this machine, and with everything stated."""

import os
import shutil
from typing import Any

from landmarkfer.config.data import AugmentSettings
from landmarkfer.config.train import ModelSettings, ResolvedSettings, TrainSettings
from landmarkfer.errors import SettingsError
from landmarkfer.face.graph import FaceGraph
from landmarkfer.inference.device import accelerator
from landmarkfer.models import check_keywords, model_class, model_keywords
from landmarkfer.models.backbones.weights import weights_file
from landmarkfer.runs.folder import find_run, is_run
from landmarkfer.training.fine_tuning import with_shipped


def resolve(settings: TrainSettings) -> ResolvedSettings:
    """Check settings, and state all that they leave to choose, so that a run outlives changed defaults.

    The result equals what is read from the `config.json` of a run that was trained with it.

    Raises:
        SettingsError: See `check_settings`, and `fine_tuning.with_shipped`.
    """
    settings = with_shipped(settings)
    check_settings(settings)
    name, keywords = settings.model.name, settings.model.keywords
    keywords = model_keywords(name) | keywords
    if name == "fusion" and keywords["encoder"] != "image":
        own = model_keywords(keywords["encoder"])
        own |= _keywords_of_branch(settings.branches.encoder, keywords["encoder"])
        own |= dict(keywords["encoder_settings"] or {})
        # The graph is the whole model's.
        keywords["encoder_settings"] = {key: own[key] for key in own if key not in ("graph", "k")}
    stated: dict[str, Any] = {"model": ModelSettings(name=name, **keywords)}
    if not model_class(name).fitted_at_once:
        stated["loss"] = settings.loss.model_copy(update={"class_weights": settings.class_weights})
        if settings.fit.epochs is None and not settings.stages:
            stated["fit"] = settings.fit.model_copy(update={"epochs": model_class(name).usual_epochs})
    # By way of JSON, so that tuples are lists, as in that file.
    return ResolvedSettings.model_validate_json(settings.model_copy(update=stated).model_dump_json())


def _keywords_of_branch(run: str | None, model: str) -> dict[str, Any]:
    """The keywords of the model of the run that a branch is initialised from; none if it is not there."""
    if run is None or not is_run(run):
        return {}
    known = find_run(run).read_config().settings.model
    return known.keywords if known.name == model else {}


def check_settings(settings: TrainSettings) -> None:
    """Check settings against the model and the machine; no data is read.

    Raises:
        SettingsError: A keyword of the model does not fit, settings do not agree, or there is no such device.
    """
    name, keywords = settings.model.name, settings.model.keywords
    check_keywords(name, keywords)
    if isinstance(keywords.get("graph"), FaceGraph):
        raise SettingsError("'model.graph' must be a name or the path of a file, so that it can be saved.")
    if settings.fit.compile and accelerator(settings.fit.device) == "cpu" and not _compiler():
        raise SettingsError("'fit.compile' = true needs a C++ compiler on the CPU, and none is found (g++).")
    accelerator(settings.fit.device)
    _check_agreement(settings)


def _compiler() -> str | None:
    return shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")


def _check_agreement(settings: TrainSettings) -> None:
    """Refuse settings that mean nothing for the model they are given with."""
    kind = model_class(settings.model.name)
    name = settings.model.name
    if kind.fitted_at_once:
        tables = (
            "augment",
            "mixing",
            "loss",
            "distillation",
            "sampling",
            "optimiser",
            "stages",
            "fit",
            "init",
        )
        default = TrainSettings().model_dump()
        given = settings.model_dump()
        changed = [table for table in tables if given[table] != default[table]]
        if settings.data.labels == "votes":
            changed.insert(0, "data.labels")
        if changed:
            raise SettingsError(
                f"'{changed[0]}' is for networks, and model '{name}' is fitted at once; leave it out."
            )
        return
    if settings.data.labels == "votes" and settings.distillation.predictions is not None:
        raise SettingsError(
            "'data.labels' = 'votes' and 'distillation.predictions' both say what is to be learnt; give one."
        )
    if settings.loss.consistency and settings.mixing.mixup:
        raise SettingsError(
            "'loss.consistency' compares two versions of one image, which 'mixing.mixup' would blend with "
            "others; set one of them to 0."
        )
    if "image" in kind.inputs:
        weights_file(settings.model.keywords.get("weights", "none"))
    given = settings.augment.model_dump(exclude={"mirror"})
    plain = AugmentSettings().model_dump(exclude={"mirror"})
    for field, inputs in ((("image",), "image"), (tuple(set(plain) - {"image"}), "landmarks")):
        wrong = sorted(key for key in field if given[key] != plain[key] and inputs not in kind.inputs)
        if wrong:
            what = "pixels" if inputs == "image" else "landmarks"
            raise SettingsError(f"'augment.{wrong[0]}' changes {what}, and model '{name}' reads none.")
    if settings.prediction.crops == "five" and "image" not in kind.inputs:
        raise SettingsError(f"'prediction.crops' = 'five' crops pixels, and model '{name}' reads none.")
