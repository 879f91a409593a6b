"""Support vector machines on HOG of the pixels, and on landmarks."""

from typing import Any, Literal

import numpy as np
from pydantic import NonNegativeInt, PositiveInt
from scipy.special import log_softmax
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from landmarkfer.calibration.temperature import fit_temperature
from landmarkfer.errors import CacheError
from landmarkfer.models.classical.base import (
    ClassicalModel,
    ClassWeight,
    Doubles,
    Labels,
    NotNegative,
    Positive,
    sklearn_weight,
)
from landmarkfer.models.classical.features import Floats, HogFeatures, LandmarkFeatures, LandmarkKind
from landmarkfer.progress import Progress, counted, wait_for

Kernel = Literal["rbf", "linear"]

_TEMPERATURES = (1e-2, 1e2)


class SupportVectorModel(ClassicalModel):
    """Support vectors on standardised features, and a temperature that makes probabilities of their scores.

    With an RBF kernel, classes are distinguished in pairs (libsvm), which vote (`soft_votes`); with a linear
    one, each from the rest (liblinear). The scores of the classes go through a softmax whose temperature is
    the one of the lowest log-loss on the validation faces; 1 where there are none.

    Args:
        num_classes: C.
        features: What describes a face.
        kernel: `rbf` or `linear`.
        C: What an error costs, beside a narrow margin.
        gamma: Of `rbf`: 1 / (2 width^2); 0 for 1 / (number of inputs x their variance).
        pca: Principal components of the standardised features that are kept; 0 for the features themselves.
        whiten: Whether each component is brought to variance 1.
        class_weight: `balanced`: each class counts as much as any other.
        mirror: Whether it learns from the mirrored faces too, for over four times the time.
    """

    def __init__(
        self,
        num_classes: int,
        features: HogFeatures | LandmarkFeatures,
        *,
        kernel: Kernel,
        C: float,
        gamma: float,
        pca: int,
        whiten: bool,
        class_weight: ClassWeight,
        mirror: bool,
    ) -> None:
        super().__init__(num_classes, features, mirror)
        if pca > len(features):
            raise ValueError(f"pca = {pca}, but there are {len(features)} features")
        self.kernel = kernel
        self.C = C
        self.gamma = gamma
        self.pca = pca
        self.whiten = whiten
        self.class_weight = class_weight

    def _new_estimator(self, seed: int) -> Pipeline:
        steps: list[Any] = [StandardScaler()]
        if self.pca:
            steps.append(PCA(self.pca, whiten=self.whiten, random_state=seed))
        weight = sklearn_weight(self.class_weight)
        if self.kernel == "linear":
            steps.append(LinearSVC(C=self.C, class_weight=weight, random_state=seed))
        else:
            gamma = self.gamma or "scale"
            steps.append(
                SVC(
                    C=self.C,
                    gamma=gamma,
                    class_weight=weight,
                    decision_function_shape="ovo",
                    cache_size=1000,
                )
            )
        return make_pipeline(*steps)

    def _fitted(
        self,
        features: Floats,
        labels: Labels,
        weight: Doubles | None,
        held: tuple[Floats, Labels] | None,
        seed: int,
        progress: Progress,
    ) -> Pipeline:
        pipeline = self._new_estimator(seed)
        if self.pca > len(features):
            raise CacheError(
                f"pca = {self.pca} needs as many training faces, and there are {len(features)}; "
                "set model.pca lower."
            )
        self._temperature = 1.0
        # libsvm and liblinear do not tell how far they are.
        known = f"{counted(len(features), 'face')} of {self.pca or features.shape[1]:,} inputs"
        with wait_for(progress, "fitting support vectors", known):
            pipeline.fit(features, labels, **{f"{pipeline.steps[-1][0]}__sample_weight": weight})
        if held is not None:
            numbers = np.searchsorted(pipeline.classes_, held[1])
            with wait_for(progress, "fitting the temperature", counted(len(numbers), "validation face")):
                self._temperature = fit_temperature(_scores(pipeline, held[0]), numbers, _TEMPERATURES)
        return pipeline

    def _shares(self, estimator: Pipeline, features: Floats) -> Doubles:
        return np.exp(log_softmax(_scores(estimator, features) / self._temperature, axis=1))


class HogSvm(SupportVectorModel):
    """Histograms of oriented gradients of the pixels, and support vectors.

    Args:
        num_classes: C.
        size: Pixels a side that images are brought to.
        cell: Pixels a side of a cell, which has one histogram.
        orientations: Bins of a histogram.
        block: Cells a side of a block, over which histograms are normalised.
        kernel: See `SupportVectorModel`, as all that follow.
    """

    inputs = frozenset({"image"})

    def __init__(
        self,
        num_classes: int,
        *,
        size: PositiveInt = 48,
        cell: PositiveInt = 6,
        orientations: PositiveInt = 9,
        block: PositiveInt = 3,
        kernel: Kernel = "rbf",
        C: Positive = 3.0,
        gamma: NotNegative = 0.0,
        pca: NonNegativeInt = 150,
        whiten: bool = False,
        class_weight: ClassWeight = "none",
        mirror: bool = False,
    ) -> None:
        super().__init__(
            num_classes,
            HogFeatures(size, cell, orientations, block),
            kernel=kernel,
            C=C,
            gamma=gamma,
            pca=pca,
            whiten=whiten,
            class_weight=class_weight,
            mirror=mirror,
        )


class LandmarkSvm(SupportVectorModel):
    """Landmarks and support vectors.

    Args:
        num_classes: C.
        features: `landmarks`: all coordinates; `geometry`: distances and angles; `both`.
        kernel: See `SupportVectorModel`, as all that follow.
    """

    inputs = frozenset({"landmarks"})

    def __init__(
        self,
        num_classes: int,
        *,
        features: LandmarkKind = "landmarks",
        kernel: Kernel = "rbf",
        C: Positive = 3.0,
        gamma: NotNegative = 0.0,
        pca: NonNegativeInt = 64,
        whiten: bool = True,
        class_weight: ClassWeight = "none",
        mirror: bool = False,
    ) -> None:
        super().__init__(
            num_classes,
            LandmarkFeatures(features),
            kernel=kernel,
            C=C,
            gamma=gamma,
            pca=pca,
            whiten=whiten,
            class_weight=class_weight,
            mirror=mirror,
        )


def _scores(pipeline: Pipeline, features: Floats) -> Doubles:
    """Scores of the classes, `[b, K]`."""
    decisions = pipeline.decision_function(features)
    if decisions.ndim == 1:  # of two classes, scikit-learn gives the second one's alone
        return np.stack([-decisions, decisions], axis=1) / 2
    pairs = isinstance(pipeline.steps[-1][1], SVC)
    return soft_votes(decisions, len(pipeline.classes_)) if pairs else decisions


def soft_votes(decisions: Doubles, classes: int) -> Doubles:
    """What each class gets from its comparisons with the others, `[b, K]`.

    A comparison gives at most one vote, and less inside the margin, where the machine is not sure. Whole
    votes (scikit-learn's way) hardly tell how sure it is, and their probabilities have a clearly higher
    log-loss on faces that were not learned.

    Args:
        decisions: `[b, K * (K - 1) / 2]`, of (0, 1), (0, 2) ... (K - 2, K - 1); positive for the first one.
        classes: K.
    """
    first, second = np.triu_indices(classes, 1)
    sign = np.zeros((len(first), classes))
    sign[np.arange(len(first)), first] = 1
    sign[np.arange(len(first)), second] = -1
    return np.clip(decisions, -1, 1) @ sign
