"""A trained run on PyTorch, as `Predictor` uses it."""

import logging
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.preprocess import Preprocess
from landmarkfer.errors import CacheError, RunError
from landmarkfer.extraction.settings import DetectorName, ExtractSettings, make_settings
from landmarkfer.inference.device import accelerator
from landmarkfer.inference.frame import FaceArrays
from landmarkfer.inference.network import ModelInfo, Network, Outputs
from landmarkfer.inference.predict import predict_faces
from landmarkfer.inference.tta import tta_embeddings
from landmarkfer.models.base import is_network
from landmarkfer.runs.config import RunConfig
from landmarkfer.runs.folder import RunFolder, TrainedModel

logger = logging.getLogger(__name__)


class TorchNetwork(Network):
    """A trained model in this process.

    Args:
        trained: The model and its configuration.
        name: Of the run.
        in_double: Normalise landmarks in double precision, as an export does, and not in single, as training.
        folder: Of the run; None where it is not known.
    """

    def __init__(
        self, trained: TrainedModel, name: str, *, in_double: bool = False, folder: Path | None = None
    ) -> None:
        self.trained = trained
        self.folder = folder
        self.in_double = in_double
        self.info = model_info(trained, name)

    @classmethod
    def of_run(cls, run: RunFolder, device: str = "auto") -> "TorchNetwork":
        """Load a finished run.

        Args:
            run: The run.
            device: Where a network predicts; `auto` is CUDA where there is one, else the CPU.

        Raises:
            RunError: The run is not finished or damaged.
            SettingsError: PyTorch finds no such device.
        """
        trained = run.load()
        trained.model.to(accelerator(device))
        return cls(trained, run.name, folder=run.path)

    def outputs(self, arrays: FaceArrays, batch_size: int = 0) -> Outputs:
        """Probabilities `[N, C]`; see `Network`."""
        settings = self.trained.config.settings.prediction
        return predict_faces(self.trained.model, self.batch(arrays), settings, batch_size=batch_size)

    def embed(self, arrays: FaceArrays, batch_size: int = 0) -> NDArray[np.float32]:
        """Features `[N, D]`; see `Network`."""
        model = self.trained.model
        if not is_network(model):
            raise RunError(f"'{self.info.kind}' of '{self.info.name}' is no network and has no embedding.")
        settings = self.trained.config.settings.prediction
        return tta_embeddings(model, self.batch(arrays), settings, batch_size=batch_size).mean(dim=0).numpy()

    def batch(self, arrays: FaceArrays) -> FaceBatch:
        """Faces as the model takes them, normalised."""
        images = self.info.images
        preprocess = Preprocess(
            self.trained.config.settings.normalisation,
            keypoints=images is not None and images.keypoints,
            crop=arrays.crop,
            in_double=self.in_double,
        )

        def tensor(array: NDArray | None) -> torch.Tensor | None:
            return None if array is None else torch.from_numpy(array)

        return preprocess(
            torch.from_numpy(arrays.landmarks),
            torch.from_numpy(arrays.sizes),
            tensor(arrays.image),
            tensor(arrays.has_image),
            tensor(arrays.blendshapes),
        )


def model_info(trained: TrainedModel, name: str) -> ModelInfo:
    """What is known of a trained model beside its weights."""
    config = trained.config
    model = trained.model
    images = config.images
    if images is not None:  # a run states what its kind of model may read
        images = images.model_copy(update={"keypoints": model.looks_up_landmarks})

    def numbers(values: NDArray | None) -> Any:
        return None if values is None else values.tolist()

    calibration = model.calibration
    return ModelInfo(
        name=name,
        kind=config.settings.model.name,
        classes=config.classes,
        images=images,
        frame=config.frame,
        extraction=extraction_of(name, config).model_dump(),
        crops=config.cache.crops,
        graph=config.graph.name if config.graph else None,
        prior=numbers(model.prior),
        set_thresholds=numbers(calibration.set_thresholds),
        answer_thresholds=numbers(calibration.answer_thresholds),
        versions=config.versions,
    )


def extraction_of(name: str, config: RunConfig) -> ExtractSettings:
    """How the faces that a run was trained on were found.

    Runs of version 0.1 do not state it: then their cache does, if it is there, and a warning says so if not.

    Args:
        name: The run's name, for the warning.
        config: The run's.
    """
    stated = config.cache.extraction
    if stated is None:
        try:
            cache = config.cache.open()
            same = cache.fingerprint == config.cache.fingerprint
        except CacheError:
            same = False
        if same:
            stated = {"detector": cache.manifest.detector.name, **cache.manifest.settings}
    if stated is None:
        stated = {"detector": config.cache.detector.partition(" ")[0]}
        logger.warning(
            "run '%s' does not state how its faces were extracted, and its cache %s is not there or has "
            "changed; default settings are used, with the detector %s",
            name,
            config.cache.path,
            stated["detector"],
        )
    known = {key: value for key, value in stated.items() if key in ExtractSettings.model_fields}
    if known.get("detector") not in get_args(DetectorName):
        logger.warning(
            "the landmarks that run '%s' was trained on are of '%s', which is no detector of this package; "
            "the default detector is used",
            name,
            known.get("detector"),
        )
        known["detector"] = None
    return make_settings(known)
