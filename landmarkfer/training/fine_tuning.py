"""Fine-tuning of a model that ships on one's own images: `train --init shipped`.

The model's settings, the normalisation of its landmarks and its augmentation are taken from the run that it
was trained in. It is trained at a lower learning rate and for fewer epochs than a fresh model, in smaller
batches, since one's own images are few (`DEFAULTS`). Whatever is stated goes before these defaults, but for
what would make it another model, which is refused.
"""

import logging
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

from landmarkfer.config.recipes import merged, parse_settings
from landmarkfer.config.train import ResolvedSettings, TrainSettings
from landmarkfer.data.joined import open_cache
from landmarkfer.data.schema import Manifest
from landmarkfer.errors import SettingsError
from landmarkfer.runs.config import RunConfig
from landmarkfer.runs.folder import is_run
from landmarkfer.runs.shipped import SHIPPED, shipped_run

logger = logging.getLogger(__name__)

DEFAULT = "shipped"
"""What names the first of `SHIPPED`."""
DEFAULTS: dict[str, dict[str, Any]] = {
    "optimiser": {"lr": 1e-3},
    "fit": {"epochs": 10, "batch_size": 32},
}
"""Settings of fine-tuning, unless they are stated."""
FREE = ("dropout", "drop_path", "fusion_dropout")
"""Keywords of the model that matter in training alone, so that they may be stated."""


def with_shipped(settings: TrainSettings) -> TrainSettings:
    """Settings with all that a training takes from the model that ships and that it is initialised from.

    Args:
        settings: Of a training; returned as they are where they name no model that ships. A run goes before a
            model that ships of the same name.

    Raises:
        CacheError: The cache, whose detector decides which of the models it is, is not there.
        SettingsError: The cache was extracted otherwise than the model's images, or a setting contradicts it.
    """
    init = settings.init
    if init is None or isinstance(settings, ResolvedSettings) or is_run(init):
        return settings
    name, _, wanted = (next(iter(SHIPPED)) if init == DEFAULT else init).partition("-")
    if name not in SHIPPED:
        return settings
    faces = open_cache(settings.cache)
    made, where = faces.manifest, str(faces.path)
    detector = made.detector.name
    run = shipped_run(f"{name}-{detector}")
    if wanted not in ("", detector) or run is None:
        raise SettingsError(
            f"'init' = '{init}' needs landmarks as those that it was trained on, and {where} has those of "
            f"the detector '{detector}'; {_advice(name, wanted, detector)}."
        )
    config = run.read_config()
    _check_images(name, config, made, where)
    trained = (config.cache.extraction or {}).get("passes", 1)
    _tell_passes(name, where, trained, made.settings.get("passes", 1))
    _check_stated(init, settings, config)
    stated = settings.model_dump(exclude_unset=True)
    taken = {
        "model": {"name": config.settings.model.name, **config.settings.model.keywords},
        "normalisation": config.settings.normalisation.model_dump(),
        "augment": config.settings.augment.model_dump(),
        "prediction": {"crops": config.settings.prediction.crops},
    }
    free = {key: value for key, value in stated.get("model", {}).items() if key in FREE}
    own = {"init": run.name, "model": taken["model"] | free}
    defaults = deepcopy(DEFAULTS)
    if settings.stages:  # which have epochs of their own
        del defaults["fit"]["epochs"]
    return parse_settings(merged(merged(taken | defaults, stated), own), "the settings of fine-tuning")


def _advice(name: str, wanted: str, detector: str) -> str:
    if wanted and shipped_run(f"{name}-{detector}") is not None:
        return (
            f"take 'init' = '{name}', which is the one of the cache's detector, or extract with the other one"
        )
    return "extract it with one of the package's detectors"


def _check_images(name: str, config: RunConfig, made: Manifest, where: str) -> None:
    """Refuse a cache whose images show faces otherwise than those that the model was trained on."""
    extraction = config.cache.extraction or {}
    there, crop = made.settings.get("crop"), extraction.get("crop")
    if config.images is None or there in (crop, *config.cache.crops):
        return
    alone = next(other for other in SHIPPED if other != name)
    crops = " or ".join(str(one) for one in config.cache.crops[::-1])
    raise SettingsError(
        f"the model that ships as '{name}' reads aligned crops of {crops} pixels, and {where} has "
        f"{f'crops of {there}' if there else 'whole images'}; extract it again with --crop {crop} --passes "
        f"{extraction.get('passes', 1)}, or take 'init' = '{alone}', which reads landmarks alone."
    )


@cache  # said once, however often settings are resolved
def _tell_passes(name: str, where: str, wanted: int, there: int) -> None:
    """Say where landmarks are not the mean of as many detections as those that the model was trained on."""
    if there != wanted:
        logger.warning(
            "the model that ships as '%s' was trained on landmarks averaged over %d detections, and those "
            "of %s are over %d; `landmarkfer extract --passes %d` makes them alike",
            *(name, wanted, where, there, wanted),
        )


def _check_stated(init: str, settings: TrainSettings, config: RunConfig) -> None:
    """Refuse what is stated of the model and contradicts the one that ships."""
    model = config.settings.model
    if "model" in settings.model_fields_set:
        keys = settings.model.model_fields_set - set(FREE)
        stated = {key: getattr(settings.model, key) for key in keys}
        _check_same(init, "model", stated, {"name": model.name, **model.keywords})
    if "normalisation" in settings.model_fields_set:
        _check_same(
            init,
            "normalisation",
            settings.normalisation.model_dump(exclude_unset=True),
            config.settings.normalisation.model_dump(),
        )


def _check_same(init: str, table: str, stated: Mapping[str, Any], shipped: Mapping[str, Any]) -> None:
    for key, value in stated.items():
        place, own = f"{table}.{key}", shipped.get(key)
        if isinstance(value, Mapping) and isinstance(own, Mapping):
            _check_same(init, place, value, own)
        elif key not in shipped or _plain(value) != _plain(own):
            known = f"has {own!r}" if key in shipped else "has no such setting"
            raise SettingsError(
                f"'{place}' = {value!r} contradicts 'init' = '{init}', whose model {known}; leave it out."
            )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value
