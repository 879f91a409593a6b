"""A random forest and gradient boosting on landmarks."""

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
    ) -> RandomForestClassifier:
        forest = self._new_estimator(seed).fit(features, labels, weight)
        # Threads add up the trees in the order in which they end, and so never give quite the same sum twice.
        return forest.set_params(n_jobs=1)


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
    ) -> HistGradientBoostingClassifier:
        boosting = self._new_estimator(seed)
        if held is None:
            return boosting.set_params(early_stopping=False).fit(features, labels, weight)
        return boosting.fit(features, labels, weight, X_val=held[0], y_val=held[1])
