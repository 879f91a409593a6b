"""What all networks have in common.

A model predicts every image: without usable input (no face was found, or the image could not be read), it
predicts the training prior.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from landmarkfer.calibration.fitted import Calibration
from landmarkfer.data.batch import FaceBatch
from landmarkfer.errors import RunError
from landmarkfer.face.graph import FaceGraph
from landmarkfer.files import replacing
from landmarkfer.models.class_rows import rows_by_class
from landmarkfer.models.classifier import Classifier
from landmarkfer.models.graph_buffers import GRAPH_ARRAYS, GraphBuffers, graph_of

# What a keyword of models may be; `build_model` checks it against the annotation of the constructor.
Share = Annotated[float, Field(ge=0, lt=1)]

CALIBRATION = ("scale_matrix", "scale_bias", "set_thresholds", "answer_thresholds")
"""Buffers that hold a `calibration.fitted.Calibration`."""
OF_ITS_DATA = ("log_prior", "class_offset", *CALIBRATION)
"""Buffers fitted to a model's own training and validation images: no other model is initialised from them."""


class FaceModel(nn.Module, Classifier):
    """A network from a `FaceBatch` to logits `[B, C]`.

    Without usable input, the logits are the logarithm of the training prior, whatever the batch holds there.

    Args:
        num_classes: C.

    Attributes:
        graph_prefix: What the names of a graph's buffers start with.
    """

    fitted_at_once: ClassVar[bool] = False
    file_name: ClassVar[str] = "model.safetensors"
    graph_prefix: ClassVar[str] = "graph."
    log_prior: Tensor
    class_offset: Tensor
    scale_matrix: Tensor
    scale_bias: Tensor
    set_thresholds: Tensor
    answer_thresholds: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.register_buffer("log_prior", torch.full((num_classes,), 1 / num_classes).log())
        self.register_buffer("class_offset", torch.zeros(num_classes))
        for name, array in zip(CALIBRATION, Calibration.none(num_classes).arrays(), strict=True):
            self.register_buffer(name, torch.from_numpy(array).float())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # Runs of version 0.1 have a temperature and thresholds for all classes, or no calibration.
        temperature = state_dict.pop(f"{prefix}temperature", torch.ones(()))
        for name in CALIBRATION:
            state_dict.setdefault(f"{prefix}{name}", torch.zeros_like(getattr(self, name)))
        if not state_dict[f"{prefix}scale_matrix"].any():
            state_dict[f"{prefix}scale_matrix"] = torch.eye(self.num_classes) / temperature
        thresholds = state_dict[f"{prefix}set_thresholds"]
        if thresholds.dim() == 1:
            state_dict[f"{prefix}set_thresholds"] = thresholds[:, None].repeat(1, self.num_classes)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @property
    def num_parameters(self) -> int:
        """The number of trained parameters."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def face_graph(self) -> FaceGraph | None:
        """The graph of a graph model."""
        buffers = getattr(self, "graph", None)
        return None if buffers is None else buffers.face_graph

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.log_prior.device

    def set_prior(self, prior: Tensor) -> None:
        """Set the share of each class among the training images, `[C]`."""
        self.log_prior.copy_(prior.clamp_min(1e-6).log())

    def set_offset(self, offset: Tensor) -> None:
        """Set what is added to the logits of each class, `[C]`; see `calibration.class_offsets`."""
        self.class_offset.copy_(offset)

    def set_calibration(self, calibration: Calibration) -> None:
        """Set what turns uncalibrated probabilities into calibrated ones and prediction sets."""
        for name, array in zip(CALIBRATION, calibration.arrays(), strict=True):
            getattr(self, name).copy_(torch.from_numpy(array))

    @property
    def calibration(self) -> Calibration:
        """What turns uncalibrated probabilities into calibrated ones and prediction sets."""
        return Calibration.of_arrays(*(getattr(self, name).cpu().double().numpy() for name in CALIBRATION))

    @property
    def prior(self) -> NDArray[np.float64]:
        """The share of each class among the training images, `[C]`."""
        return self.log_prior.double().softmax(dim=0).cpu().numpy()

    def tensors(self) -> Mapping[str, Tensor]:
        """All tensors by name."""
        return self.state_dict()

    def save(self, path: Path) -> None:
        """Write all tensors as safetensors.

        The same tensors give the same bytes: with more than one entry of metadata, their order would not be
        the same each time.
        """
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors().items()}
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={"landmarkfer": version("landmarkfer")})

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
        """The model that `save` has written, in evaluation mode; see `Classifier.from_file`."""
        try:
            tensors = cls.current_names(load_file(path))
        except (SafetensorError, OSError) as error:
            raise RunError(f"{path} is damaged: {error}; train the model again.") from error
        has_graph = any(name.startswith(cls.graph_prefix) for name in tensors)
        if has_graph:
            # Its layers are built for this graph; one of the same name may have been changed since.
            graph = graph_of(tensors, path, prefix=cls.graph_prefix, name=graph_name, kinds=edge_kinds)
            keywords = {**keywords, "graph": graph}
        model = cls(num_classes, **keywords)
        if model.face_graph is not None and not has_graph:
            raise RunError(f"{path} lacks the graph '{graph_name}' of its model; train the model again.")
        try:
            model.load_state_dict(tensors)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise RunError(
                f"{path} does not fit the settings of its model ({reason[:300]}); train the model again."
            ) from error
        for name, weight in model.named_parameters():
            if not weight.isfinite().all():
                raise RunError(f"{path} is damaged: '{name}' holds non-finite values; train the model again.")
        return model.eval()

    @classmethod
    def current_names(cls, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of a file, also of one that version 0.1 wrote, by the names that they have today."""
        return tensors

    @property
    def never_initialised(self) -> set[str]:
        """Names of the tensors that belong to a model's own data and graph; see `initialise_from`."""
        graphs = [name for name, module in self.named_modules() if isinstance(module, GraphBuffers)]
        models = [
            f"{name}." if name else "" for name, one in self.named_modules() if isinstance(one, FaceModel)
        ]
        found = {prefix + buffer for prefix in models for buffer in OF_ITS_DATA}
        return found.union(f"{name}.{array}" for name in graphs for array in GRAPH_ARRAYS)

    def initialise_from(self, weights: Mapping[str, Tensor], classes: Sequence[int] | None = None) -> None:
        """Set the weights of another model; those of the head by class.

        Args:
            weights: Of the other model.
            classes: The number that each class has in the other model, -1 for one that it lacks and whose
                rows of the head stay as they are; None where the classes are the same, if they are as many.

        Raises:
            ValueError: They do not fit; the message names one.
        """
        own = self.state_dict()
        head = set(self.depth_groups()[-1])
        if classes is not None:
            weights = {**weights, **{key: rows_by_class(key, own[key], weights, classes) for key in head}}
        fresh = {key for key in head if key in weights and weights[key].shape != own[key].shape}
        fresh |= self.never_initialised
        for key, value in own.items():
            if key not in fresh and (key not in weights or weights[key].shape != value.shape):
                raise ValueError(f"'{key}' differs")
        self.load_state_dict(own | {key: value for key, value in weights.items() if key not in fresh})

    @property
    def embedding_size(self) -> int:
        """D, what `embed` gives of each face."""
        assert isinstance(self.head, nn.Linear)
        return self.head.in_features

    @abstractmethod
    def embed(self, batch: FaceBatch) -> Tensor:
        """Features of each face, `[B, D]`."""

    @abstractmethod
    def classify(self, embedding: Tensor) -> Tensor:
        """Logits `[B, C]` from features `[B, D]`."""

    def forward(self, batch: FaceBatch) -> Tensor:
        """Logits `[B, C]`; the log prior without usable input."""
        return self.logits(self.embed(batch), self.has_input(batch))

    def probabilities(self, batch: FaceBatch) -> Tensor:
        """Uncalibrated probabilities of each class, float64 `[B, C]` on the CPU."""
        return self(batch).float().cpu().double().softmax(dim=-1)

    def logits(self, embedding: Tensor, usable: Tensor) -> Tensor:
        """Logits `[B, C]` from features `[B, D]` and whether there was usable input, bool `[B]`."""
        logits = self.classify(embedding)
        logits = logits + self.class_offset.to(logits.dtype)
        return torch.where(usable[:, None], logits, self.log_prior.to(logits.dtype))

    def freeze(self, groups: int) -> None:
        """Freeze the first groups of `depth_groups` and thaw the others.

        What is frozen gets no gradients and stays in evaluation mode, through later calls of `train` too, so
        that its norm layers keep their statistics and nothing is dropped out of it.
        """
        parameters = dict(self.named_parameters())
        for number, names in enumerate(self.depth_groups()):
            for name in names:
                parameters[name].requires_grad_(number >= groups)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all that is not frozen."""
        super().train(mode)
        for module in self.modules():
            parameters = list(module.parameters())
            frozen = parameters and not any(parameter.requires_grad for parameter in parameters)
            if frozen and module.training:
                module.eval()
        return self

    def depth_groups(self) -> list[list[str]]:
        """Names of all parameters, grouped by depth from the input to the head, which is the last group.

        Staged training freezes groups, and layer-wise decay lowers their learning rates. By default every
        child is a group, in the order of its creation, and so is every module of a `ModuleList`; parameters
        of the model itself belong to the first.
        """
        modules: list[str] = []
        for name, child in self.named_children():
            parts = child.named_children() if isinstance(child, nn.ModuleList) else None
            modules += [name] if parts is None else [f"{name}.{number}" for number, _ in parts]
        names = [name for name, _ in self.named_parameters()]
        groups = [[name for name in names if name.startswith(f"{module}.")] for module in modules]
        grouped = {name for group in groups for name in group}
        first, *others = [group for group in groups if group]
        return [[name for name in names if name not in grouped] + first, *others]


def is_network(model: Classifier) -> TypeGuard[FaceModel]:
    """Whether a model is a network, with layers, gradients and epochs."""
    return not model.fitted_at_once
