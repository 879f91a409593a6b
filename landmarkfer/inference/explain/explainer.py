"""From faces that were found to their explanations."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from landmarkfer.errors import RunError, SettingsError
from landmarkfer.inference.explain.attribution import (
    METHODS,
    Method,
    branch_contributions,
    pixel_contributions,
    point_contributions,
)
from landmarkfer.inference.explain.decorrelation import FILE, Decorrelation
from landmarkfer.inference.explain.edges import edge_contributions
from landmarkfer.inference.explain.explanation import Explanation
from landmarkfer.inference.explain.faithfulness import check_pixels, check_points, stability
from landmarkfer.inference.explain.target import Target
from landmarkfer.inference.face import Face
from landmarkfer.inference.frame import FaceArrays
from landmarkfer.inference.network import Network
from landmarkfer.inference.onnx import OnnxNetwork
from landmarkfer.inference.torch_network import TorchNetwork
from landmarkfer.models.base import FaceModel
from landmarkfer.models.fusion import FusionModel
from landmarkfer.models.gnn import GNN
from landmarkfer.models.landmark import LandmarkModel
from landmarkfer.runs.folder import RunFolder

logger = logging.getLogger(__name__)


class Explainer:
    """Explains the predictions of a network.

    Args:
        network: That predicts. Of an export that lies in the folder of its run, as those that ship do, the
            run is loaded, since an export has no gradients.

    Raises:
        RunError: It is another export, or no network.
        MissingExtra: torch is not installed.
    """

    def __init__(self, network: Network) -> None:
        name = network.info.name
        if isinstance(network, OnnxNetwork):
            run = RunFolder(network.path.parent)
            if not run.finished:
                raise RunError(f"{network.path} is an export, without gradients; give the run of '{name}'.")
            network = TorchNetwork.of_run(run)
        assert isinstance(network, TorchNetwork)
        if not isinstance(network.trained.model, FaceModel):
            raise RunError(
                f"'{network.info.kind}' of '{name}' is no network, and only networks are explained."
            )
        self.network = network
        self.model = network.trained.model.eval()
        self.decorrelation = decorrelation_of(self.model, network.folder)

    def explain(
        self,
        face: Face,
        arrays: FaceArrays,
        deviation: NDArray[np.float32] | None = None,
        *,
        label: str | None = None,
        method: Method = "integrated-gradients",
        check: bool = True,
    ) -> Explanation:
        """Explain one face.

        Args:
            face: What was predicted of it, with its label.
            arrays: What the model is given of it, of one face.
            deviation: `[478, 3]`, how far the first of several detections of it lies from their mean, as
                fractions of the image; None for one detection.
            label: The class that is explained; the predicted one if None.
            method: How points are attributed.
            check: Whether the maps are checked, see `faithfulness`.

        Raises:
            SettingsError: There is no such class or method.
        """
        check_method(method)
        wanted = str(face.label) if label is None else label
        target = self.target(arrays, self.number_of(wanted))
        found: dict[str, Any] = {}
        checks = {}
        if target.landmarks is not None:
            found["points"] = point_contributions(target, method)
            if check:
                checks["points"] = check_points(target, found["points"])
                noise = self._noise(arrays, deviation)
                found["stability"] = stability(target, found["points"], noise, method)
        if target.fusion is not None:
            found["branches"] = branch_contributions(target)
        found |= self._edges(target)
        if target.pixels is not None:
            found["pixels"] = pixel_contributions(target)
            found["image"] = _shown(target.image(0))
            if check and found["pixels"] is not None:
                checks["pixels"] = check_pixels(target, found["pixels"])
        name = self.network.info.name
        return Explanation(face, name, wanted, method, target.whole(), checks=checks, **found)

    def target(self, arrays: FaceArrays, label: int) -> Target:
        """What is explained of one face.

        Args:
            arrays: What the model is given of it.
            label: Number of the class.
        """
        settings = self.network.trained.config.settings.prediction
        return Target(self.model, self.network.batch(arrays), label, settings, self.decorrelation)

    def number_of(self, label: str) -> int:
        """The number of a class.

        Raises:
            SettingsError: There is no such class.
        """
        classes = self.network.info.classes
        if label not in classes:
            raise SettingsError(f"there is no class '{label}'; the model's are {', '.join(classes)}.")
        return classes.index(label)

    def _edges(self, target: Target) -> dict[str, Any]:
        if not isinstance(target.landmarks, GNN):
            return {}
        edges = edge_contributions(target)
        return {} if edges is None else {"edges": edges, "graph": target.landmarks.face_graph}

    def _noise(self, arrays: FaceArrays, deviation: NDArray[np.float32] | None) -> Tensor | None:
        """The deviation in normalised landmarks, `[1, 478, 3]`."""
        if deviation is None:
            return None
        first = replace(arrays, landmarks=arrays.landmarks + deviation[None])
        return self.network.batch(first).landmarks - self.network.batch(arrays).landmarks


def decorrelation_of(model: FaceModel, folder: Path | None) -> Decorrelation:
    """That of a network on landmarks: its own whitening, or of one that ships the file beside it.

    Args:
        model: The network, or a fusion with one.
        folder: Of the run; None where it is not known.
    """
    network = model.encoder if isinstance(model, FusionModel) else model
    if isinstance(network, LandmarkModel) and network.features == "whitened":
        return Decorrelation.of_matrix(network.whitening)
    if folder is not None and (folder / FILE).is_file():
        return Decorrelation.read(folder / FILE)
    return Decorrelation.none()


def check_method(method: str) -> None:
    """Check the name of a method.

    Raises:
        SettingsError: There is none of that name.
    """
    if method not in METHODS:
        raise SettingsError(f"there is no method '{method}'; there are {' and '.join(METHODS)}.")


def _shown(image: Tensor) -> NDArray[np.uint8]:
    """An image `[1, C, h, w]` in 0..1 as pixels `[h, w]` or `[h, w, 3]`."""
    pixels = (image[0] * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
