"""What code outside this package asks of a model, be it a network or a classical one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landmarkfer.calibration.fitted import Calibration
from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.graph import FaceGraph
from landmarkfer.progress import SILENT, Progress

Branch = Literal["image", "encoder"]
"""The branches of a fused model."""


class Classifier(ABC):
    """A model from a `FaceBatch` to probabilities `[B, C]`.

    Every image has a prediction: without usable input, it is the training prior.

    Attributes:
        inputs: The fields of a batch that the model reads: `landmarks`, `image`, `keypoints`.
        fitted_at_once: Whether `fit` trains the model. Otherwise it is a network, trained by epochs.
        usual_epochs: How many, where the settings do not say.
        file_name: What `save` names its file in a run folder.
        num_classes: C.
    """

    inputs: ClassVar[frozenset[str]]
    fitted_at_once: ClassVar[bool]
    usual_epochs: ClassVar[int] = 20
    file_name: ClassVar[str]
    num_classes: int

    def __init__(self, num_classes: int, **keywords: Any) -> None:
        super().__init__()
        self.num_classes = num_classes

    @property
    def num_parameters(self) -> int | None:
        """The number of trained parameters; None where there is no such number."""
        return None

    @property
    def face_graph(self) -> FaceGraph | None:
        """The graph of a graph model."""
        return None

    @property
    def looks_up_landmarks(self) -> bool:
        """Whether the model reads its image where the landmarks lie."""
        return "keypoints" in self.inputs

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return torch.device("cpu")

    def to(self, device: str | torch.device) -> Self:
        """Move the model to a device. A classical model stays on the CPU."""
        return self

    @abstractmethod
    def has_input(self, batch: FaceBatch) -> Tensor:
        """Bool `[B]`: whether there is anything that the model can use."""

    @abstractmethod
    def set_prior(self, prior: Tensor) -> None:
        """Set the share of each class among the training images, `[C]`."""

    def learn_statistics(self, faces: FaceBatch) -> None:
        """Set statistics of the landmarks and blendshapes of training faces, all of them with a face."""
        return

    def load_pretrained(self) -> bool:
        """Load the pretrained weights that the model's settings name, if any.

        Returns:
            Whether the model needs no `set_image_statistics`: the weights brought them, or it has none.
        """
        return True

    def set_image_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Set mean and SD of the training images' channels, `[1]` or `[3]` each, of pixels in 0..1."""
        return

    def tensors(self) -> Mapping[str, Tensor]:
        """All tensors of a network by name; none of a classical model."""
        return {}

    def initialise_from(self, weights: Mapping[str, Tensor], classes: Sequence[int] | None = None) -> None:
        """Set the weights of another model of the same kind, as the start of a training.

        Args:
            weights: Of the other model.
            classes: The number that each class has in the other model, -1 for one that it lacks, `[C]`; None
                where the classes are the same.

        Raises:
            ValueError: They do not fit; the message names one.
        """
        raise ValueError("a classical model has no weights")

    def initialise_branch(self, name: Branch, weights: Mapping[str, Tensor]) -> None:
        """Set the weights of one branch of a fused model, as the start of a training.

        Raises:
            ValueError: They do not fit, or the model has no branches.
        """
        raise ValueError("the model has no branches")

    def freeze_branch(self, name: Branch) -> None:
        """Stop the training of one branch of a fused model.

        Raises:
            ValueError: The branch cannot be frozen, or the model has no branches.
        """
        raise ValueError("the model has no branches")

    def fit(
        self,
        batch: FaceBatch,
        labels: NDArray[np.int64],
        *,
        validation: tuple[FaceBatch, NDArray[np.int64]],
        seed: int,
        sample_weight: NDArray[np.float64] | None = None,
        progress: Progress = SILENT,
    ) -> None:
        """Train a model that is `fitted_at_once`.

        Args:
            batch: Training faces; those without usable input are left out.
            labels: int64 `[n]`, the class of each.
            validation: Faces and classes for early stopping and calibration.
            seed: Of all that is random.
            sample_weight: `[n]`, the weight of each face; equal if None.
            progress: Shows how far it is.
        """
        raise NotImplementedError(f"{type(self).__name__} is trained by epochs")

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write all that was learned to a file."""

    @classmethod
    @abstractmethod
    def from_file(
        cls,
        path: Path,
        num_classes: int,
        keywords: Mapping[str, Any],
        *,
        graph_name: str = "graph",
        edge_kinds: Sequence[str] = (),
    ) -> Self:
        """The model that `save` has written, in evaluation mode.

        Args:
            path: The file.
            num_classes: C.
            keywords: Of the constructor.
            graph_name: Name of the graph that the file holds, if it does.
            edge_kinds: Names of the kinds of its edges; numbered if empty.

        Raises:
            RunError: The file is missing, damaged, hostile or of another model.
        """

    @abstractmethod
    def probabilities(self, batch: FaceBatch) -> Tensor:
        """Uncalibrated probabilities of each class, `[B, C]` on the CPU."""

    @property
    @abstractmethod
    def calibration(self) -> Calibration:
        """What turns uncalibrated probabilities into calibrated ones and prediction sets."""

    @abstractmethod
    def set_calibration(self, calibration: Calibration) -> None:
        """Set `calibration`."""

    @property
    def balances_classes(self) -> bool:
        """Whether each class had the same weight in a fit that minimises a log-loss, or a like of it."""
        return False

    @property
    def prior(self) -> NDArray[np.float64] | None:
        """The share of each class among the training images, `[C]`; None where the model does not keep it."""
        return None

    def fit_branch_weight(
        self, embedded: Tensor, labels: NDArray[np.int64], weights: NDArray[np.float64] | None = None
    ) -> None:
        """Fit the weight of a fused model's second branch to validation images.

        Args:
            embedded: Features of each face in each pass of test-time augmentation, `[V, N, D]`.
            labels: int64 `[N]`.
            weights: `[N]`, how much each image counts, see `calibration.weights`.
        """
        return
