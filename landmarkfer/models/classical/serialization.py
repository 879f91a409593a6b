"""Fitted scikit-learn estimators as files in skops' format: arrays and names of types, no pickle.

Reading such a file runs no code of its own, but builds objects of the types it names. Those that skops trusts
by itself and the few that are listed here may be among them; what was built must then be of the same kinds as
the estimator that is expected, and whole: scikit-learn follows the node numbers of a tree, and counts on the
shapes of support vectors, without a look at where they lead.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.tree._tree import Tree

from landmarkfer.errors import RunError
from landmarkfer.files import replacing

# Beyond what skops trusts by itself: the trees of the two ensembles.
TRUSTED_TYPES = (
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)

_NO_CHILD = -1


def save_estimator(path: Path, estimator: Any, values: Mapping[str, list[float]]) -> None:
    """Write a fitted estimator, and plain numbers that belong to it, whole or not at all."""
    with replacing(path) as temporary:
        skops.io.dump(
            {"estimator": estimator, "values": dict(values)},
            temporary,
            compression=zipfile.ZIP_DEFLATED,
            compresslevel=1,
        )


def load_estimator(
    path: Path, expected: Any, num_features: int
) -> tuple[Any, dict[str, NDArray[np.float64]]]:
    """Read what `save_estimator` has written.

    Args:
        path: The file.
        expected: An estimator, fitted or not, of the kind that must be in the file.
        num_features: How many features it must take.

    Returns:
        The estimator and the numbers, as arrays.

    Raises:
        RunError: The file is missing, damaged or of another estimator, or holds types foreign to it.
    """
    try:
        strangers = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED_TYPES)
    except Exception as error:  # the reader of a damaged file may stumble over anything
        raise _damaged(path, error) from error
    if strangers:
        raise RunError(
            f"{path} holds types that do not belong into a model ({', '.join(sorted(strangers))}); nothing "
            "of it was loaded; train the model again, and use no file of unknown origin."
        )
    try:
        content = skops.io.load(path, trusted=list(TRUSTED_TYPES))
        estimator = content["estimator"]
        values = {name: np.array(value, dtype=np.float64) for name, value in content["values"].items()}
        _check(estimator, expected, num_features)
    except Exception as error:  # as above, and `_check` stumbles over what lacks parts
        raise _damaged(path, error) from error
    return estimator, values


def _damaged(path: Path, error: Exception) -> RunError:
    reason = str(error).partition("\n")[0][:200]
    return RunError(
        f"{path} is damaged or of another model ({type(error).__name__}: {reason}); train it again."
    )


def _check(estimator: Any, expected: Any, num_features: int) -> None:
    """Check that an estimator is of the expected kind and whole.

    Raises:
        ValueError: It is not.
        Exception: Of any kind, where parts are missing or of a wrong type.
    """
    if _kinds(estimator) != _kinds(expected):
        raise ValueError(f"it holds {_kinds(estimator)}, not {_kinds(expected)}")
    if estimator.n_features_in_ != num_features:
        raise ValueError(f"it takes {estimator.n_features_in_} features, not {num_features}")
    if isinstance(estimator, Pipeline):
        machine = estimator.steps[-1][1]
        if isinstance(machine, SVC):
            _check_support_vectors(machine)
    elif isinstance(estimator, RandomForestClassifier):
        _check_forest(estimator)
    elif isinstance(estimator, HistGradientBoostingClassifier):
        _check_boosting(estimator)


def _kinds(estimator: Any) -> list[str]:
    steps = [step for _, step in estimator.steps] if type(estimator) is Pipeline else []
    return [type(part).__name__ for part in (estimator, *steps)]


def _check_support_vectors(machine: SVC) -> None:
    classes, vectors = len(machine.classes_), len(machine.support_vectors_)
    # What the native code reads is private; the public attributes are made from it.
    found = {
        "support": machine.support_.shape,
        "vectors": machine.support_vectors_.shape,
        "of each class": machine._n_support.shape,
        "in all": int(machine._n_support.sum()),
        "coefficients": machine._dual_coef_.shape,
        "intercepts": machine._intercept_.shape,
    }
    right = {
        "support": (vectors,),
        "vectors": (vectors, machine.n_features_in_),
        "of each class": (classes,),
        "in all": vectors,
        "coefficients": (classes - 1, vectors),
        "intercepts": (classes * (classes - 1) // 2,),
    }
    if found != right or (machine._n_support < 0).any() or machine.kernel != "rbf":
        raise ValueError("its support vectors do not fit each other")


def _check_forest(forest: RandomForestClassifier) -> None:
    for member in forest.estimators_:
        tree = member.tree_
        if type(member) is not DecisionTreeClassifier or type(tree) is not Tree:
            raise ValueError("its trees are none")
        left, right = tree.children_left, tree.children_right
        leaf = left == _NO_CHILD
        if tree.value.shape[1:] != (1, len(forest.classes_)):
            raise ValueError("its trees know other classes")
        _check_nodes(left, right, tree.feature, leaf, forest.n_features_in_)


def _check_boosting(boosting: HistGradientBoostingClassifier) -> None:
    for trees in boosting._predictors:
        for tree in trees:
            nodes = tree.nodes
            if type(tree) is not TreePredictor or nodes["is_categorical"].any():
                raise ValueError("its trees are none")
            leaf = nodes["is_leaf"].astype(bool)
            left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
            _check_nodes(left, right, nodes["feature_idx"], leaf, boosting.n_features_in_)


def _check_nodes(
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    feature: NDArray[np.int64],
    leaf: NDArray[np.bool_],
    num_features: int,
) -> None:
    """Check that a tree's branches end: children come after their parent, and all are there."""
    inner = np.flatnonzero(~leaf)
    for child in (left[inner], right[inner]):
        if not ((child > inner) & (child < len(leaf))).all():
            raise ValueError("a branch of a tree leads nowhere")
    if not len(leaf) or not ((feature[inner] >= 0) & (feature[inner] < num_features)).all():
        raise ValueError("a tree asks for a feature that is not there")
