"""What prediction asks of a trained model, whatever runs it: arrays in, probabilities out. NumPy alone."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from landmarkfer.calibration.conformal import label_sets, threshold_for
from landmarkfer.data.images import ImageInfo
from landmarkfer.errors import RunError
from landmarkfer.face.frame import Frame
from landmarkfer.inference.frame import FaceArrays


class Outputs(NamedTuple):
    """What a model gives of N faces, float64 `[N, C]` each.

    `uncalibrated` probabilities are averaged over test-time augmentation, and their most probable class is
    the label; `probabilities` are calibrated (`calibration.fitted`).
    """

    probabilities: NDArray[np.float64]
    uncalibrated: NDArray[np.float64]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The number of each label, `[N]`."""
        return self.uncalibrated.argmax(axis=1)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of each label, `[N]`."""
        return self.probabilities[np.arange(len(self.predicted)), self.predicted]


class ModelInfo(BaseModel):
    """What is known of a trained model beside its weights; the metadata of an export.

    Attributes:
        name: Of the run, or of the model that ships.
        kind: Which model, a key of `landmarkfer.models.MODELS`.
        classes: Class names in the order of the probabilities.
        images: Size and channels of the images that it reads; None if it reads none.
        frame: How faces lie in its training images; None where that is not known.
        extraction: How the faces of its training images were found; `ExtractSettings` by name.
        crops: Sides in pixels of the aligned crops of its training faces, one of each data set; a face is cut
            at the one that is nearest to its own size. Empty of whole images, and where it is not known.
        graph: Name of its graph; None without one.
        prior: Share of each class among the training images, `[C]`; None where it is not known.
        set_thresholds: Of prediction sets, `[99, C]`, see `calibration.conformal`; None where none were
            fitted. Exports of version 0.1 have `[99]`, for all classes.
        answer_thresholds: Least confidence at which the answers reached 1 to 99 % of accuracy, `[99]`, see
            `calibration.answers`; above 1 where none did. None where none were fitted.
        versions: Of the packages that it was trained with.
        card: Its model card, in Markdown; empty if it has none.
    """

    model_config = ConfigDict(frozen=True)
    name: str
    kind: str
    classes: tuple[str, ...]
    images: ImageInfo | None = None
    frame: Frame | None = None
    extraction: dict[str, Any] = {}
    crops: tuple[int, ...] = ()
    graph: str | None = None
    prior: tuple[float, ...] | None = None
    set_thresholds: tuple[tuple[float, ...], ...] | None = None
    answer_thresholds: tuple[float, ...] | None = None
    versions: dict[str, str] = {}
    card: str = ""

    @model_validator(mode="before")
    @classmethod
    def _thresholds_by_class(cls, content: Any) -> Any:
        thresholds = content.get("set_thresholds") if isinstance(content, dict) else None
        if thresholds is not None and np.ndim(thresholds) == 1:
            by_class = tuple((value,) * len(content["classes"]) for value in thresholds)
            return {**content, "set_thresholds": by_class}
        return content

    @property
    def graph_text(self) -> str:
        """The graph in words; empty without one."""
        return f" on graph '{self.graph}'" if self.graph else ""


class Network(ABC):
    """A trained model that predicts.

    Attributes:
        info: What is known of it.
    """

    info: ModelInfo

    @abstractmethod
    def outputs(self, arrays: FaceArrays, batch_size: int = 0) -> Outputs:
        """Probabilities of faces, averaged over test-time augmentation.

        Args:
            arrays: N faces; without usable input, the training prior is predicted.
            batch_size: Faces at a time; chosen by the model and device if 0.
        """

    def probabilities(self, arrays: FaceArrays, batch_size: int = 0) -> NDArray[np.float64]:
        """Calibrated probabilities `[N, C]`; arguments are those of `outputs`."""
        return self.outputs(arrays, batch_size).probabilities

    @abstractmethod
    def embed(self, arrays: FaceArrays, batch_size: int = 0) -> NDArray[np.float32]:
        """Features `[N, D]` that the model classifies, averaged over test-time augmentation.

        Raises:
            RunError: It is no network.
        """

    def sets(self, outputs: Outputs, coverage: float) -> NDArray[np.bool_] | None:
        """Which classes are in the prediction set of each face, `[N, C]`; None without fitted thresholds.

        Raises:
            ValueError: The coverage is not a whole percent from 1 % to 99 %.
        """
        if self.info.set_thresholds is None:
            return None
        thresholds = threshold_for(self.info.set_thresholds, coverage)
        return label_sets(outputs.probabilities, thresholds, outputs.predicted)

    def check_landmarks_suffice(self) -> None:
        """Check that the model needs no pixels.

        Raises:
            RunError: It does.
        """
        if self.info.images is not None:
            raise RunError(
                f"model '{self.info.kind}' of '{self.info.name}' looks at pixels; give images to predict."
            )
