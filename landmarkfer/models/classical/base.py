"""Classical baselines: what models have in common that scikit-learn fits to features written by hand.

They are no torch modules: they are fitted once, on the CPU, and have no layers to train. As every
other model, they predict probabilities for each image, and the training prior without usable input.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from landmarkfer.calibration.fitted import Calibration
from landmarkfer.data.augment import mirror_landmarks
from landmarkfer.data.batch import FaceBatch
from landmarkfer.errors import CacheError, RunError
from landmarkfer.models.classical.features import Floats, HogFeatures, LandmarkFeatures
from landmarkfer.models.classical.serialization import load_estimator, save_estimator
from landmarkfer.models.classifier import Classifier
from landmarkfer.progress import SILENT, Progress, counted

Doubles = NDArray[np.float64]
Labels = NDArray[np.int64]
ClassWeight = Literal["none", "balanced"]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]

_CHUNK = 1024
_CALIBRATION = ("scale_matrix", "scale_bias", "set_thresholds", "answer_thresholds")
_LEAST = 1e-6  # no class is ever impossible, as in the neural models' prior


class ClassicalModel(Classifier):
    """A model from a `FaceBatch` to probabilities `[B, C]` that is fitted once and has no gradients.

    Args:
        num_classes: C.
        features: What describes a face.
        mirror: Whether it learns from the mirrored faces too.
    """

    fitted_at_once: ClassVar[bool] = True
    file_name: ClassVar[str] = "model.skops"

    def __init__(self, num_classes: int, features: HogFeatures | LandmarkFeatures, mirror: bool) -> None:
        self.num_classes = num_classes
        self.features = features
        self.mirror = mirror
        self._prior: Doubles = np.full(num_classes, 1 / num_classes)
        self._estimator: Any = None
        self._temperature = 1.0
        self._calibration = Calibration.none(num_classes)

    @property
    def calibration(self) -> Calibration:
        """What turns uncalibrated probabilities into calibrated ones and prediction sets."""
        return self._calibration

    def set_calibration(self, calibration: Calibration) -> None:
        """Set `calibration`."""
        self._calibration = calibration

    @property
    def prior(self) -> Doubles:
        """The share of each class among the training images, `[C]`."""
        return self._prior

    def set_prior(self, prior: Tensor) -> None:
        """Set the share of each class among the training images, `[C]`."""
        self._prior = _floored(prior.detach().cpu().double().numpy())

    def has_input(self, batch: FaceBatch) -> Tensor:
        """Bool `[B]`: whether there is anything that the features can be made of."""
        return self.features.has_input(batch)

    def fit(
        self,
        batch: FaceBatch,
        labels: Labels,
        *,
        validation: tuple[FaceBatch, Labels],
        seed: int,
        sample_weight: Doubles | None = None,
        progress: Progress = SILENT,
    ) -> None:
        """Learn from faces; those without usable input are left out.

        Args:
            batch: Training faces.
            labels: int64 `[n]`, the class of each.
            validation: Faces and classes for early stopping and calibration.
            seed: Of all that is random.
            sample_weight: `[n]`, the weight of each face; equal if None.
            progress: Shows how far it is.

        Raises:
            CacheError: The faces with usable input have fewer than two classes.
        """
        rows = self._usable(batch)
        labels = labels[rows]
        known = np.unique(labels)
        if len(known) < 2:
            raise CacheError(
                f"training needs two classes, and the {len(rows)} training images with usable input have "
                f"{len(known)}."
            )
        described = [self._describe(batch, rows, progress, "describing training faces")]
        weights = [] if sample_weight is None else [sample_weight[rows]]
        if self.mirror:
            mirrored = self._describe(batch, rows, progress, "describing mirrored faces", mirror=True)
            described.append(mirrored)
            labels = np.concatenate([labels, labels])
            weights *= 2
        held_batch, held_labels = validation
        held_rows = self._usable(held_batch)
        held_rows = held_rows[np.isin(held_labels[held_rows], known)]
        held = self._describe(held_batch, held_rows, progress, "describing validation faces")
        learned = np.concatenate(described)
        progress.say(f"fitting {counted(len(learned), 'face')} of {len(self.features):,} features")
        self._estimator = self._fitted(
            learned,
            labels,
            np.concatenate(weights) if weights else None,
            (held, held_labels[held_rows]) if len(held_rows) else None,
            seed,
            progress,
        )

    @torch.inference_mode()
    def probabilities(self, batch: FaceBatch) -> Tensor:
        """Uncalibrated probabilities of each class, float32 `[B, C]`; the prior without usable input.

        Faces are described some at a time, so that what this takes of memory does not grow with their number.

        Raises:
            RunError: The model was neither fitted nor loaded.
        """
        estimator = self._fitted_estimator()
        found = np.tile(self._prior, (len(batch), 1))
        usable = self._usable(batch)
        for start in range(0, len(usable), _CHUNK):
            rows = usable[start : start + _CHUNK]
            shares = np.zeros((len(rows), self.num_classes))
            shares[:, estimator.classes_] = self._shares(estimator, self._describe(batch, rows))
            found[rows] = _floored(shares)
        return torch.from_numpy(found.astype(np.float32))

    def save(self, path: Path) -> None:
        """Write what was learned to a file.

        Raises:
            RunError: The model was neither fitted nor loaded.
        """
        values = {"temperature": [self._temperature], "prior": self._prior.tolist()}
        stored = zip(_CALIBRATION, self._calibration.arrays(), strict=True)
        values |= {name: array.ravel().tolist() for name, array in stored}
        save_estimator(path, self._fitted_estimator(), values)

    @classmethod
    def from_file(
        cls,
        path: Path,
        num_classes: int,
        keywords: Mapping[str, Any],
        *,
        graph_name: str = "graph",
        edge_kinds: Sequence[str] = (),
    ) -> Self:
        """The model that `save` has written; see `Classifier.from_file`."""
        model = cls(num_classes, **keywords)
        model.load(path)
        return model

    def load(self, path: Path) -> None:
        """Read what `save` of a model with the same keywords has written.

        Raises:
            RunError: The file is missing, damaged, hostile or of another model.
        """
        estimator, values = load_estimator(path, self._new_estimator(0), len(self.features))
        prior, temperature = values.get("prior"), values.get("temperature")
        if (
            prior is None
            or prior.shape != (self.num_classes,)
            or not ((prior > 0).all() and abs(prior.sum() - 1) < _LEAST)
            or temperature is None
            or not (temperature.shape == (1,) and 0 < temperature[0] < np.inf)
            or not np.isin(estimator.classes_, np.arange(self.num_classes)).all()
        ):
            raise RunError(f"{path} is not of a model of {self.num_classes} classes; train it again.")
        self._estimator, self._prior, self._temperature = estimator, prior, float(temperature[0])
        if set(_CALIBRATION) <= set(values):  # models of version 0.1 are not calibrated
            try:
                arrays = [
                    values[name].reshape(array.shape)
                    for name, array in zip(_CALIBRATION, self._calibration.arrays(), strict=True)
                ]
            except ValueError:
                arrays = []
            if not arrays or not all(np.isfinite(array).all() for array in arrays):
                raise RunError(f"{path} is not of a model of {self.num_classes} classes; train it again.")
            self._calibration = Calibration.of_arrays(*arrays)

    @abstractmethod
    def _new_estimator(self, seed: int) -> Any:
        """A scikit-learn estimator that has learned nothing yet."""

    @abstractmethod
    def _fitted(
        self,
        features: Floats,
        labels: Labels,
        weight: Doubles | None,
        held: tuple[Floats, Labels] | None,
        seed: int,
        progress: Progress,
    ) -> Any:
        """A fitted estimator; `held` are validation faces, all of classes that are learned."""

    def _shares(self, estimator: Any, features: Floats) -> Doubles:
        """Probabilities of the estimator's classes, `[b, K]`."""
        return estimator.predict_proba(features)

    def _usable(self, batch: FaceBatch) -> NDArray[np.int64]:
        return np.flatnonzero(self.has_input(batch).cpu().numpy())

    def _describe(
        self,
        batch: FaceBatch,
        rows: NDArray[np.int64],
        progress: Progress = SILENT,
        task: str = "describing faces",
        *,
        mirror: bool = False,
    ) -> Floats:
        """Features of some faces, or of their mirror images, `[b, F]`."""
        faces = batch.rows(torch.from_numpy(rows).to(batch.has_face.device))
        return self.features.describe(_mirrored(faces) if mirror else faces, progress, task)

    def _fitted_estimator(self) -> Any:
        if self._estimator is None:
            raise RunError("this model has learned nothing yet; fit it, or load what one has learned.")
        return self._estimator


def _mirrored(batch: FaceBatch) -> FaceBatch:
    """The faces as seen in a mirror, as far as features are made of them."""
    image = None if batch.image is None else batch.image.flip(-1)
    return replace(batch, landmarks=mirror_landmarks(batch.landmarks), image=image)


def sklearn_weight(class_weight: ClassWeight) -> str | None:
    """The same in scikit-learn's words."""
    return None if class_weight == "none" else class_weight


def _floored(shares: Doubles) -> Doubles:
    """Probabilities `[..., C]` of which none is zero."""
    raised = np.maximum(shares, _LEAST)
    return raised / raised.sum(axis=-1, keepdims=True)
