"""A scikit-learn classifier of expressions, for pipelines, cross-validation and grid search.

    from landmarkfer.estimator import ExpressionClassifier

    classifier = ExpressionClassifier("mlp", epochs=30, random_state=0)
    cross_val_score(classifier, landmarks, labels)    # landmarks [N, 478, 3] or [N, 1434]

    ExpressionClassifier.from_run("mlp-s0").predict(landmarks)    # a run of `landmarkfer train`

Landmarks are in pixels, or fractions of a square image, with z on the scale of x: what counts is that x and y
have the same unit. Place, size and roll of a face do not matter. Landmarks that are fractions of an oblong
image need its `sizes`. A row of NaN is an image without a face, as `LandmarkCache.landmarks()` gives it.
"""

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from landmarkfer.errors import LandmarkferError, RunError, extras_named

with extras_named():  # a plain installation has neither scikit-learn nor torch
    import torch
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data

    from landmarkfer.config.recipes import changed_settings, load_settings
    from landmarkfer.config.train import TrainSettings
    from landmarkfer.data.cache import LandmarkCache
    from landmarkfer.data.cache_writer import write_cache
    from landmarkfer.data.dataset import label_images, load_dataset
    from landmarkfer.data.preprocess import Preprocess
    from landmarkfer.data.row import Row
    from landmarkfer.face.landmarks import N_LANDMARKS, N_MESH
    from landmarkfer.inference.frame import check_landmarks
    from landmarkfer.inference.network import Outputs
    from landmarkfer.inference.predict import predict_faces
    from landmarkfer.models import model_class
    from landmarkfer.progress import shown
    from landmarkfer.runs.folder import RunFolder, TrainedModel, find_run
    from landmarkfer.training.fit import train

if TYPE_CHECKING:
    from sklearn.utils import Tags

N_FEATURES = 3 * N_LANDMARKS

_SETTINGS = {
    "model": "model.name",
    "epochs": "fit.epochs",
    "batch_size": "fit.batch_size",
    "lr": "optimiser.lr",
    "graph": "model.graph",
    "validation": "split.validation",
}
"""The settings that are parameters of their own."""
_OF_A_RUN = ("cache", "name", "seed", "split.seed")  # which `fit` sets itself


class ExpressionClassifier(ClassifierMixin, BaseEstimator):
    """Classify the expressions of faces from their landmarks, or from a landmark cache.

    Args:
        model: Which model, a key of `landmarkfer.models.MODELS`. Those that look at pixels (`image`,
            `fusion`, `hog-svm`) are fitted to a cache.
        epochs: Epochs of a network; if None, 48 on landmarks alone and else 20.
        batch_size: Faces per training batch of a network; 256 if None.
        lr: Peak learning rate of a network; 0.002 if None.
        graph: Of a graph model: a name or the path of a file; `tesselation` if None.
        validation: Share of the faces of each class that chooses the best epoch and calibrates the
            probabilities; of a cache that has no validation split.
        settings: Any other settings by dotted key, such as `{"augment.jitter": 0.1}`.
        random_state: Seed of weights, order, augmentation and validation faces.
        verbose: Whether to show how far a training is.

    Attributes:
        classes_: Labels `[C]`, sorted; columns of `predict_proba` are in their order.
        n_features_in_: 1434.
    """

    def __init__(
        self,
        model: str = "gnn",
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        graph: str | None = None,
        validation: float = 0.1,
        settings: Mapping[str, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.graph = graph
        self.validation = validation
        self.settings = settings
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> "Tags":
        """What scikit-learn has to know: three-dimensional input is welcome, and so are rows of NaN."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        return tags

    @classmethod
    def from_run(cls, run: RunFolder | str | os.PathLike[str]) -> Self:
        """The fitted estimator of a finished run.

        Its predictions are those of `landmarkfer.load(run).predict_landmarks`; rows without a face get the
        shares of the classes, as of any fitted estimator. Its parameters are the run's settings, so that a
        clone is trained as the run was. `random_state` is the run's seed, from which `fit` draws the seeds of
        weights and split anew.

        Args:
            run: The run, its folder, or its name under `experiments/runs`.

        Raises:
            RunError: There is no such run, it is not finished or damaged, or its model looks at pixels.
        """
        folder = run if isinstance(run, RunFolder) else find_run(run)
        config = folder.read_config()
        if "image" in model_class(config.settings.model.name).inputs:
            raise RunError(
                f"model '{config.settings.model.name}' of run '{folder.name}' looks at pixels, and from_run "
                "takes runs on landmarks alone; predict images with landmarkfer.load."
            )
        estimator = cls(**_parameters(config.settings))
        seen = None
        if folder.splits_file.exists():  # configuration and weights alone make a trained model
            splits = folder.read_splits()
            seen = frozenset(splits["train"]) | frozenset(splits["val"])
        estimator.n_features_in_ = N_FEATURES
        estimator._set_fitted(folder.load(), config.classes, seen)
        return estimator

    def fit(
        self, X: "ArrayLike | LandmarkCache", y: ArrayLike | None = None, sizes: ArrayLike | None = None
    ) -> Self:
        """Train a model.

        Args:
            X: Landmarks `[N, 478, 3]` or `[N, 1434]`, of which rows without a face are left out, with a
                warning; or a cache, whose labels and splits are taken and whose test images stay unseen.
            y: Labels `[N]`, of any kind; None with a cache.
            sizes: Width and height of the images in pixels, `[N, 2]` or `[2]`, where landmarks are fractions
                of them.

        Raises:
            ValueError: Shapes, labels or settings do not fit.
        """
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with _value_errors(), tempfile.TemporaryDirectory(prefix="landmarkfer-") as name:
            folder = Path(name)
            if isinstance(X, LandmarkCache):
                if y is not None:
                    raise ValueError("a LandmarkCache brings its own labels; leave y out.")
                trained, splits = self._train(X, seed, folder)
                self.n_features_in_ = N_FEATURES
                known: list[Any] = list(trained.config.classes)
            else:
                flat, labels = validate_data(
                    self, _flat(X), y, dtype=np.float64, ensure_all_finite="allow-nan"
                )
                check_classification_targets(labels)
                self._check_inputs(model_class(self.model).inputs)
                faces = self._landmarks(flat)
                found = _has_face(faces)
                if not found.all():
                    left_out = f"{len(found) - found.sum()} of {len(found)}"
                    warnings.warn(f"rows without a face are left out of training: {left_out}", stacklevel=2)
                labels = labels[found]
                _check_labels(labels)
                rows = _rows(faces[found], _sizes(sizes, found)[found], labels)
                trained, splits = self._train(_stored(rows, folder, self.validation, seed), seed, folder)
                labels_by_name = {str(label): label for label in np.unique(labels)}
                known = [labels_by_name.get(name, name) for name in trained.config.classes]
        self._set_fitted(trained, known, frozenset(splits["train"]) | frozenset(splits["val"]))
        return self

    def _set_fitted(self, trained: TrainedModel, labels: Sequence[Any], seen: frozenset[str] | None) -> None:
        """Set what fitting leaves.

        Args:
            trained: The model.
            labels: `[C]`, in the order of its classes.
            seen: Ids of the images that train and validate; None where they are not known.
        """
        self.classes_ = np.unique(labels)
        self._trained_ = trained
        self._order_ = np.argsort(np.searchsorted(self.classes_, labels))
        self._seen_ = seen

    def predict(self, X: "ArrayLike | LandmarkCache", sizes: ArrayLike | None = None) -> NDArray:
        """The label of each face, `[N]`; of each row of a cache.

        Where training weighted the classes (`loss.class_weights`, `sampling`), it need not be the one of the
        highest `predict_proba`, as of scikit-learn's support vector machines: see `calibration.fitted`.
        Arguments and errors are those of `predict_proba`.
        """
        uncalibrated = self._outputs(X, sizes).uncalibrated
        return self.classes_[uncalibrated[:, self._order_].argmax(axis=1)]

    def predict_proba(
        self, X: "ArrayLike | LandmarkCache", sizes: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Probability of each class, `[N, C]`, calibrated on the validation faces.

        Args:
            X: Landmarks `[N, 478, 3]` or `[N, 1434]`, or a cache; rows without a face get the shares of the
                classes among the training faces.
            sizes: See `fit`.

        Raises:
            ValueError: The shape does not fit, or a row is NaN in part.
        """
        probabilities = self._outputs(X, sizes).probabilities
        return probabilities[:, self._order_]

    def _outputs(self, X: "ArrayLike | LandmarkCache", sizes: ArrayLike | None) -> Outputs:
        check_is_fitted(self)
        with _value_errors():
            if isinstance(X, LandmarkCache):
                return predict_cache(self._trained_, X)
            flat = validate_data(self, _flat(X), reset=False, dtype=np.float64, ensure_all_finite="allow-nan")
            model, settings = self._trained_.model, self._trained_.config.settings
            self._check_inputs(model.inputs)
            faces = self._landmarks(flat)
            sides = _sizes(sizes, _has_face(faces)).astype(np.float32)
            batch = Preprocess(settings.normalisation)(
                torch.from_numpy(faces.astype(np.float32)), torch.from_numpy(sides)
            )
            return predict_faces(model, batch, settings.prediction)

    def score(
        self,
        X: "ArrayLike | LandmarkCache",
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        sizes: ArrayLike | None = None,
    ) -> float:
        """Share of the faces whose label is predicted.

        Args:
            X: As of `predict_proba`; of a cache with test images these count, and otherwise all that have a
                label.
            y: Labels `[N]`; None with a cache.
            sample_weight: Weight of each face, `[N]`.
            sizes: See `fit`.

        Raises:
            ValueError: The shape does not fit, or the cache is that of a run that lacks its `splits.json`.
        """
        from sklearn.metrics import accuracy_score

        predicted = self.predict(X, sizes)
        if not isinstance(X, LandmarkCache):
            return float(accuracy_score(y, predicted, sample_weight=sample_weight))
        frame = X.frame(["id", "label", "split"])
        counted = frame["label"].isin(list(self.classes_))
        prefix = self._trained_.config.cache.prefix_of(X.fingerprint)
        if prefix is not None:
            if self._seen_ is None:
                raise ValueError(
                    f"the model was trained on {X.path}, and its run has no splits.json that names the "
                    "training images; score another cache, or landmarks and labels."
                )
            counted &= ~(prefix + frame["id"]).isin(self._seen_)
        elif (counted & (frame["split"] == "test")).any():
            counted &= frame["split"] == "test"
        rows = np.flatnonzero(counted)
        truth = frame["label"].to_numpy(object)[rows]
        return float(accuracy_score(truth, predicted[rows], sample_weight=sample_weight))

    def _train(
        self, cache: LandmarkCache, seed: int, folder: Path
    ) -> tuple[TrainedModel, dict[str, list[str]]]:
        """The trained model and its splits; nothing stays on the disk."""
        given = {key: getattr(self, name) for name, key in _SETTINGS.items()}
        given |= {"split.validation": float(self.validation)}
        given |= {"cache": str(cache.path), "seed": seed, "split.seed": seed}
        settings = load_settings(overrides=given | dict(self.settings or {}))
        with shown(bool(self.verbose)) as progress, torch.random.fork_rng(devices=[]):
            run = train(settings, runs_root=folder / "runs", progress=progress)
            return run.load(), run.read_splits()

    def _check_inputs(self, inputs: frozenset[str]) -> None:
        if "image" in inputs:
            raise ValueError(f"model '{self.model}' looks at pixels; give it a LandmarkCache.")

    def _landmarks(self, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Landmarks `[N, 478, 3]` from checked columns `[N, 1434]`."""
        if flat.shape[1] != N_FEATURES:
            raise ValueError(
                f"X has {flat.shape[1]} columns; landmarks are [N, {N_LANDMARKS}, 3] or [N, {N_FEATURES}]."
            )
        return flat.reshape(-1, N_LANDMARKS, 3)


def predict_cache(trained: TrainedModel, cache: LandmarkCache) -> Outputs:
    """Probabilities `[N, C]` of all rows of a cache, as an evaluation predicts them."""
    config = trained.config
    labels = label_images(cache, config.settings.data, config.classes)
    dataset = load_dataset(cache, config.settings.normalisation, labels, config.images)
    return predict_faces(trained.model, dataset.faces, config.settings.prediction)


def _parameters(settings: TrainSettings) -> dict[str, Any]:
    """The parameters under which an estimator is trained with some settings, its seeds apart."""
    changed = changed_settings(settings)
    for key in _OF_A_RUN:
        changed.pop(key, None)
    own = {name: changed.pop(key) for name, key in _SETTINGS.items() if key in changed}
    return own | {"settings": changed or None, "random_state": settings.seed}


def _flat(X: Any) -> Any:
    """Columns `[N, 1434]` from landmarks `[N, 478, 3]`; a table as it is, unless it is a single face."""
    array = X if hasattr(X, "shape") else np.asarray(X)
    shape = tuple(array.shape)
    if len(shape) > 2 or shape in ((N_LANDMARKS, 3), (N_MESH, 3), (N_LANDMARKS, 2)):
        check_landmarks(shape)
        return np.asarray(array).reshape(-1, N_FEATURES)  # [N, 478, 3] -> [N, 1434]
    return array


def _has_face(faces: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each of faces `[N, 478, 3]` is one, `[N]`, and not NaN throughout."""
    missing = np.isnan(faces).sum(axis=(1, 2))
    partly = np.flatnonzero((missing > 0) & (missing < N_FEATURES))
    if len(partly):
        raise ValueError(
            f"row {partly[0]} of X is NaN in {missing[partly[0]]} of {N_FEATURES} values; give all points of "
            "a face, or NaN alone where there is none."
        )
    return missing == 0


def _check_labels(labels: NDArray) -> None:
    """Refuse labels that cannot be trained on; one face at least has to validate."""
    classes, counts = np.unique(labels, return_counts=True)
    if not len(classes):
        raise ValueError("no row of X has a face; training needs faces of at least two classes.")
    if len(classes) == 1:
        raise ValueError(f"all faces are of one class, '{classes[0]}'; training needs at least two classes.")
    if counts.max() == 1:
        raise ValueError(
            f"each of the {len(classes)} classes ({', '.join(map(str, classes[:8]))}"
            f"{', ...' if len(classes) > 8 else ''}) has one face; training needs at least two faces of one, "
            "since one face is for validation."
        )


def _sizes(sizes: ArrayLike | None, found: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Width and height of each image, `[N, 2]`, in whole pixels; 1 and 1 where none are given."""
    given = np.asarray(1 if sizes is None else sizes, np.float64)
    count = len(found)
    if given.shape not in ((), (2,), (count, 2)):
        raise ValueError(f"sizes must be [{count}, 2] or [2], width and height, not {list(given.shape)}.")
    sides = np.broadcast_to(given, (count, 2))
    unknown = np.flatnonzero(found & ~np.isfinite(sides).all(axis=1))
    if len(unknown):
        raise ValueError(f"row {unknown[0]} of X has a face, so its sizes must be known, and not NaN.")
    return np.rint(np.where(found[:, None], sides, 1)).astype(np.int64)


def _rows(landmarks: NDArray, sizes: NDArray[np.int64], labels: NDArray) -> list[Row]:
    """A row of a cache for each face."""
    return [
        Row(
            id=f"face-{position:06d}",
            label=str(label),
            split="train",
            width=int(width),
            height=int(height),
            faces=1,
            detections=1,
            landmarks=points.astype(np.float32),
        )
        for position, (points, (width, height), label) in enumerate(
            zip(landmarks, sizes, labels, strict=True)
        )
    ]


def _stored(rows: list[Row], folder: Path, validation: float, seed: int) -> LandmarkCache:
    """Faces as a cache, a share of each class, at least one of two or more, for validation."""
    shuffled = np.random.default_rng(seed).permutation(len(rows))
    by_class: dict[str | None, list[Row]] = {}
    for position in shuffled:
        by_class.setdefault(rows[position].label, []).append(rows[position])
    for members in by_class.values():
        for row in members[: min(len(members) - 1, max(1, round(validation * len(members))))]:
            row.split = "val"
    # All faces are to be trained on, so the test images that a training asks for are one without a face.
    stand_in = Row(id="none", label=rows[0].label, split="test", status="no_face", width=1, height=1)
    return write_cache(folder / "cache", [*rows, stand_in])


@contextmanager
def _value_errors() -> Iterator[None]:
    """Raise errors of this package as scikit-learn expects them."""
    try:
        yield
    except ImportError:
        raise
    except LandmarkferError as error:
        raise ValueError(str(error)) from error
