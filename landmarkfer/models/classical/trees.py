"""A random forest and gradient boosting on landmarks."""

import os
import time
import warnings
from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from landmarkfer.models.classical.base import (
    ClassicalModel,
    ClassWeight,
    Doubles,
    Labels,
    NotNegative,
    Positive,
    Share,
    sklearn_weight,
)
from landmarkfer.models.classical.features import Floats, LandmarkFeatures, LandmarkKind
from landmarkfer.progress import Progress, every_second

_PART_SECONDS = 1.0


class LandmarkForest(ClassicalModel):
    """A random forest on landmarks.

    Args:
        num_classes: C.
        features: `landmarks`: all coordinates; `geometry`: distances and angles; `both`.
        n_estimators: Trees.
        min_samples_leaf: The fewest faces in a leaf.
        max_features: Share of the features that a branching chooses from, or `sqrt` for their square root.
        class_weight: `balanced`: each class counts as much as any other.
        mirror: Whether it learns from the mirrored faces too.
    """

    inputs = frozenset({"landmarks"})

    def __init__(
        self,
        num_classes: int,
        *,
        features: LandmarkKind = "geometry",
        n_estimators: PositiveInt = 300,
        min_samples_leaf: PositiveInt = 2,
        max_features: Share | Literal["sqrt"] = "sqrt",
        class_weight: ClassWeight = "none",
        mirror: bool = True,
    ) -> None:
        super().__init__(num_classes, LandmarkFeatures(features), mirror)
        self.n_estimators = n_estimators
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.class_weight = class_weight

    @property
    def balances_classes(self) -> bool:
        """Whether each class had the same weight."""
        return self.class_weight == "balanced"

    def _new_estimator(self, seed: int) -> RandomForestClassifier:
        return RandomForestClassifier(
            self.n_estimators,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            class_weight=sklearn_weight(self.class_weight),
            n_jobs=-1,
            random_state=seed,
        )

    def _fitted(
        self,
        features: Floats,
        labels: Labels,
        weight: Doubles | None,
        held: tuple[Floats, Labels] | None,
        seed: int,
        progress: Progress,
    ) -> RandomForestClassifier:
        forest = _grown(self._new_estimator(seed), features, labels, weight, progress)
        # Threads add up the trees in the order in which they end, and so never give quite the same sum twice.
        return forest.set_params(n_jobs=1)


def _grown(
    forest: RandomForestClassifier,
    features: Floats,
    labels: Labels,
    weight: Doubles | None,
    progress: Progress,
) -> RandomForestClassifier:
    """The forest, fitted some trees at a time; they are those that it would fit at once.

    Each part keeps all cores busy, and takes a second or more where that takes more trees than cores.
    """
    trees, done = forest.n_estimators, 0
    part = os.cpu_count() or 1
    task = "fitting trees"
    progress(task, done, trees)
    forest.set_params(warm_start=True)
    with warnings.catch_warnings():
        # scikit-learn warns of balanced weights where later trees are of other faces; these are of the same.
        warnings.filterwarnings("ignore", message="class_weight presets", category=UserWarning)
        while done < trees:
            done, began = min(done + part, trees), time.monotonic()
            forest.set_params(n_estimators=done).fit(features, labels, weight)
            part *= 2 if time.monotonic() - began < _PART_SECONDS else 1
            progress(task, done, trees)
    return forest.set_params(warm_start=False)


class LandmarkBoosting(ClassicalModel):
    """Gradient boosting with histograms on landmarks; stops where the validation loss does not fall any more.

    Args:
        num_classes: C.
        features: `landmarks`: all coordinates; `geometry`: distances and angles; `both`.
        learning_rate: Factor of each tree.
        max_iter: The most rounds; each is one tree per class.
        max_leaf_nodes: The most leaves of a tree.
        min_samples_leaf: The fewest faces in a leaf.
        l2: Penalty on the values of the leaves.
        patience: Rounds without a lower validation loss before stopping.
        class_weight: `balanced`: each class counts as much as any other.
        mirror: Whether it learns from the mirrored faces too.
    """

    inputs = frozenset({"landmarks"})

    def __init__(
        self,
        num_classes: int,
        *,
        features: LandmarkKind = "geometry",
        learning_rate: Positive = 0.1,
        max_iter: PositiveInt = 300,
        max_leaf_nodes: Annotated[int, Field(ge=2)] = 15,
        min_samples_leaf: PositiveInt = 20,
        l2: NotNegative = 0.0,
        patience: PositiveInt = 10,
        class_weight: ClassWeight = "none",
        mirror: bool = True,
    ) -> None:
        super().__init__(num_classes, LandmarkFeatures(features), mirror)
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.max_leaf_nodes = max_leaf_nodes
        self.min_samples_leaf = min_samples_leaf
        self.l2 = l2
        self.patience = patience
        self.class_weight = class_weight

    @property
    def balances_classes(self) -> bool:
        """Whether each class had the same weight."""
        return self.class_weight == "balanced"

    def _new_estimator(self, seed: int) -> HistGradientBoostingClassifier:
        return HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.max_iter,
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2,
            n_iter_no_change=self.patience,
            early_stopping=True,
            class_weight=sklearn_weight(self.class_weight),
            random_state=seed,
        )

    def _fitted(
        self,
        features: Floats,
        labels: Labels,
        weight: Doubles | None,
        held: tuple[Floats, Labels] | None,
        seed: int,
        progress: Progress,
    ) -> HistGradientBoostingClassifier:
        boosting = self._new_estimator(seed)
        # It has no hook, but another thread can read how many rounds it has.
        task, note = "fitting rounds", "" if held is None else "may stop sooner"
        progress(task, 0, self.max_iter, note)
        with every_second(
            lambda _: progress(task, min(_rounds(boosting), self.max_iter - 1), self.max_iter, note), 0.5
        ):
            if held is None:
                boosting.set_params(early_stopping=False).fit(features, labels, weight)
            else:
                boosting.fit(features, labels, weight, X_val=held[0], y_val=held[1])
        progress(task, boosting.n_iter_, boosting.n_iter_, note)
        return boosting


def _rounds(boosting: HistGradientBoostingClassifier) -> int:
    """How many rounds it has, while it is being fitted."""
    try:
        return boosting.n_iter_
    except AttributeError:  # not fitted yet, in part or at all
        return 0
