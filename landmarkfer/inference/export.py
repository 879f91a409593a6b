"""Export a trained network as one ONNX file that runs without torch and brings its preprocessing.

Inputs: `landmarks` float32 `[B, 478, 3]`, fractions of the image, NaN where no face was found; `size` float32
`[B, 2]`, width and height of the image in pixels; of models that look at pixels, `image` uint8 `[B, C, S,
S]`. Outputs: `probabilities` float32 `[B, C]`, calibrated and averaged over test-time augmentation; `sets`
bool `[B, C]`, the prediction sets of 90 % coverage; `embedding` float32 `[B, D]`; `uncalibrated` float32 `[B,
C]`, probabilities whose highest is the label. Without a face, a model of landmarks predicts the training
prior.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landmarkfer.calibration.conformal import threshold_for
from landmarkfer.data.preprocess import Preprocess
from landmarkfer.errors import RunError, extras_named
from landmarkfer.face.landmarks import CANONICAL, N_LANDMARKS
from landmarkfer.files import replacing
from landmarkfer.inference.frame import FaceArrays
from landmarkfer.inference.onnx import METADATA, OnnxNetwork
from landmarkfer.inference.torch_network import TorchNetwork
from landmarkfer.inference.tta import views
from landmarkfer.metrics.sets import STATED
from landmarkfer.models.base import FaceModel, is_network

if TYPE_CHECKING:
    import onnx

OPSET = 18
TOLERANCE = 1e-4
"""The largest difference of a probability to PyTorch's that an export may have."""


@dataclass(frozen=True)
class ExportCheck:
    """How an export compares with PyTorch on faces.

    Attributes:
        faces: How many were compared.
        largest: The largest difference of a probability where PyTorch normalises in double precision, too.
        of_run: The largest difference to what the run predicts, which normalises in single precision.
        same_labels: Share of the faces with the label that the run predicts.
    """

    faces: int
    largest: float
    of_run: float
    same_labels: float


class ExportedModel(nn.Module):
    """What an export computes: from raw landmarks, sizes and pixels to probabilities, sets and features.

    Args:
        network: Of a network, on the CPU.
    """

    threshold: Tensor

    def __init__(self, network: TorchNetwork) -> None:
        super().__init__()
        config = network.trained.config
        self.model = cast(FaceModel, network.trained.model).eval()
        self.settings = config.settings.prediction
        images = config.images
        self.preprocess = Preprocess(
            config.settings.normalisation, keypoints=images is not None and images.keypoints
        )
        thresholds = network.info.set_thresholds
        threshold = np.zeros(1) if thresholds is None else threshold_for(thresholds, STATED)
        self.register_buffer("threshold", torch.from_numpy(threshold).double())

    def forward(
        self, landmarks: Tensor, size: Tensor, image: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Probabilities, sets, features and uncalibrated probabilities; see the top of this module."""
        batch = self.preprocess(landmarks, size, image)
        embedded = torch.stack([self.model.embed(view) for view in views(batch, self.model, self.settings)])
        usable = self.model.has_input(batch)
        each = [self.model.logits(view, usable).double().softmax(dim=-1) for view in embedded.unbind()]
        mean = torch.stack(each).mean(dim=0)
        matrix, bias = self.model.scale_matrix.double(), self.model.scale_bias.double()
        scaled = (mean.log() @ matrix.T + bias).softmax(dim=-1)
        probabilities = torch.where(usable[:, None], scaled, mean)
        predicted = mean >= mean.amax(dim=-1, keepdim=True)
        sets = (probabilities >= self.threshold) | predicted
        return probabilities.float(), sets, embedded.mean(dim=0), mean.float()


def export_onnx(network: TorchNetwork, path: Path, card: str = "") -> None:
    """Write a network as an ONNX file.

    Args:
        network: A trained network, on the CPU.
        path: The file.
        card: Its model card.

    Raises:
        RunError: The model is classical, or has an operation that ONNX does not know.
        MissingExtra: The packages of the extra `export` are not installed.
    """
    if not is_network(network.trained.model):
        raise RunError(f"'{network.info.kind}' is no network; only networks can be exported as ONNX.")
    with extras_named():
        import onnx
        import onnxscript  # noqa: F401 (torch's exporter is built on it)
    exported = ExportedModel(network).eval()
    example = example_arrays(network, 3)
    inputs: dict[str, NDArray] = {"landmarks": example.landmarks, "size": example.sizes}
    if example.image is not None:
        inputs["image"] = example.image
    faces = torch.export.Dim("faces", min=1)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                exported,
                tuple(torch.from_numpy(array) for array in inputs.values()),
                dynamo=True,
                dynamic_shapes=tuple({0: faces} for _ in inputs),
                input_names=list(inputs),
                output_names=["probabilities", "sets", "embedding", "uncalibrated"],
                opset_version=OPSET,
                verbose=False,
            )
    except Exception as error:  # torch's exporter wraps whatever the model raised while it was traced
        reason = str(error.__cause__ or error).strip().partition("\n")[0][:200]
        raise RunError(f"'{network.info.name}' cannot be exported as ONNX: {reason}.") from error
    assert program is not None
    model = program.model_proto
    if any(not value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input):
        raise RunError(
            f"'{network.info.name}' cannot be exported as ONNX: its file would take batches of "
            f"{len(example.landmarks)} faces alone."
        )
    metadata = network.info.model_copy(update={"card": card}).model_dump_json(exclude_none=True)
    onnx.helper.set_model_props(model, {METADATA: metadata})
    with replacing(path) as temporary:
        temporary.write_bytes(_without_traces(model).SerializeToString())


def check_export(network: TorchNetwork, exported: OnnxNetwork, arrays: FaceArrays) -> ExportCheck:
    """Compare an export with its network on faces."""
    alike = TorchNetwork(network.trained, network.info.name, in_double=True)
    ours, theirs = network.outputs(arrays), exported.outputs(arrays)
    same = ours.predicted == theirs.predicted
    return ExportCheck(
        faces=len(same),
        largest=float(np.abs(alike.probabilities(arrays) - theirs.probabilities).max(initial=0.0)),
        of_run=float(np.abs(ours.probabilities - theirs.probabilities).max(initial=0.0)),
        same_labels=float(same.mean()) if len(same) else 1.0,
    )


def example_arrays(network: TorchNetwork, faces: int) -> FaceArrays:
    """Arrays of the shapes that a network takes, of the canonical face and grey images."""
    images = network.info.images
    points = CANONICAL * np.float32(0.2)
    points[:, :2] += 0.5
    arrays = FaceArrays(np.stack([points] * faces), np.full((faces, 2), 48, np.float32))
    if images is None:
        return arrays
    shape = (faces, images.channels, images.size, images.size)
    return replace(arrays, image=np.full(shape, 128, np.uint8), has_image=np.ones(faces, dtype=bool))


def _without_traces(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The model without what the exporter notes of the source code, which names files of this machine."""
    for node in (node for graph in (model.graph, *model.functions) for node in graph.node):
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress and its warnings about its own packages away from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def quantise(path: Path) -> None:
    """Round the weights of an export's linear maps to 8 bits, in place, but for those that read landmarks.

    What reads landmarks stays in single precision: it raises small differences of large numbers, which 8 bits
    cannot hold. Activations are rounded as they come (dynamic quantisation).

    Args:
        path: The file.
    """
    with extras_named():
        import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(path)
    whole = path.with_suffix(".whole.onnx")
    onnx.save(model, whole)
    try:
        with _quiet():
            quantize_dynamic(
                whole,
                path,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=["MatMul", "Gemm"],
                nodes_to_exclude=_landmark_maps(model),
            )
    finally:
        whole.unlink(missing_ok=True)


def _landmark_maps(model: "onnx.ModelProto") -> list[str]:
    """Names of the linear maps whose matrix has a row or column for every coordinate of the landmarks."""
    wide = {value.name for value in model.graph.initializer if 3 * N_LANDMARKS in value.dims}
    return [node.name for node in model.graph.node if wide.intersection(node.input)]
