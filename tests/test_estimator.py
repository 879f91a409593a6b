"""`ExpressionClassifier` in scikit-learn's hands."""

import pickle
import shutil
import tempfile

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import landmarkfer as lf
from landmarkfer.config.recipes import changed_settings, load_settings
from landmarkfer.errors import RunError
from landmarkfer.estimator import ExpressionClassifier
from landmarkfer.evaluation.evaluate import evaluate_run
from landmarkfer.face.landmarks import CANONICAL, OUTER_LIPS_RING, region_points
from landmarkfer.inference.load import shipped_folder
from landmarkfer.training.fit import train

# Small networks without whitening, which would take most of the time of a fit this small.
# Noise of whole faces helps where they are so few.
QUICK = {
    "model.features": "displacement",
    "model.hidden": [16],
    "fit.device": "cpu",
    "augment.shape_jitter": 0.3,
}


def classifier(**keywords):
    given = {"epochs": 8, "batch_size": 16, "lr": 0.01, "settings": QUICK, "random_state": 0}
    return ExpressionClassifier(**{"model": "mlp", **given, **keywords})


@pytest.fixture(scope="module")
def faces():
    """Landmarks `[72, 478, 3]` in pixels and their labels, of three classes in turn."""
    rng = np.random.default_rng(0)
    moved = {"sad": region_points("left_brow"), "happy": OUTER_LIPS_RING, "angry": region_points("nose")}
    labels = np.array(list(moved) * 24)
    landmarks = CANONICAL + 0.02 * rng.standard_normal((len(labels), 478, 3))
    for face, label in zip(landmarks, labels, strict=True):
        face[list(moved[label]), 1] -= rng.uniform(0.1, 0.3)
    return landmarks * 25 + [100, 50, 0], labels


@pytest.fixture(scope="module")
def fitted(faces):
    landmarks, labels = faces
    return classifier().fit(landmarks[:54], labels[:54])


class TestLandmarks:
    def test_it_learns(self, fitted, faces):
        landmarks, labels = faces
        assert fitted.classes_.tolist() == ["angry", "happy", "sad"] and fitted.n_features_in_ == 1434
        assert fitted.score(landmarks[54:], labels[54:]) > 0.9
        probabilities = fitted.predict_proba(landmarks[54:])
        assert probabilities.shape == (18, 3)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1)
        predicted = fitted.predict(landmarks[54:])
        assert predicted.tolist() == fitted.classes_[probabilities.argmax(axis=1)].tolist()

    def test_rows_of_1434_numbers_are_the_same_faces(self, fitted, faces):
        landmarks, labels = faces
        flat = landmarks.reshape(-1, 1434)
        np.testing.assert_array_equal(fitted.predict_proba(flat), fitted.predict_proba(landmarks))
        again = classifier().fit(flat[:54], labels[:54])
        np.testing.assert_array_equal(again.predict_proba(flat), fitted.predict_proba(flat))

    def test_sizes_belong_to_fractions(self, fitted, faces):
        landmarks, labels = faces
        fractions = landmarks / [200, 100, 200]
        expected = fitted.predict_proba(landmarks)
        for sizes in ((200, 100), np.tile([200, 100], (72, 1))):
            np.testing.assert_allclose(fitted.predict_proba(fractions, sizes=sizes), expected, atol=1e-3)
        assert np.abs(fitted.predict_proba(fractions) - expected).max() > 0.01, "squeezed faces differ"
        again = classifier().fit(fractions[:54], labels[:54], sizes=(200, 100))
        assert again.score(fractions[54:], labels[54:], sizes=(200, 100)) > 0.9

    def test_labels_of_any_kind_keep_their_order(self, faces):
        landmarks, labels = faces
        numbers = np.select([labels == "sad", labels == "happy"], [10, 2], 7)
        model = classifier().fit(landmarks, numbers)
        assert model.classes_.tolist() == [2, 7, 10]
        assert (model.predict(landmarks) == numbers).mean() > 0.9

    def test_the_seed_decides(self, fitted, faces):
        landmarks, labels = faces
        again = clone(fitted).fit(landmarks[:54], labels[:54])
        np.testing.assert_array_equal(again.predict_proba(landmarks), fitted.predict_proba(landmarks))
        other = clone(fitted).set_params(random_state=1).fit(landmarks[:54], labels[:54])
        assert np.abs(other.predict_proba(landmarks) - fitted.predict_proba(landmarks)).max() > 1e-4

    @pytest.mark.parametrize(
        ("model", "keywords"),
        [
            ("gnn", {"epochs": 1, "graph": "contours", "settings": {"model.widths": [8]}}),
            (
                "landmark-svm",
                {"epochs": None, "batch_size": None, "lr": None, "settings": {"model.pca": 16}},
            ),
        ],
    )
    def test_other_models(self, faces, model, keywords):
        landmarks, labels = faces
        found = classifier(model=model, **keywords).fit(landmarks, labels)
        assert found.predict_proba(landmarks).shape == (72, 3)
        assert found.score(landmarks, labels) > (0.9 if model == "landmark-svm" else 0.3)

    def test_it_leaves_nothing_behind(self, faces, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        landmarks, labels = faces
        before = torch.random.get_rng_state()
        model = classifier(epochs=1).fit(landmarks, labels)
        assert not list(tmp_path.iterdir())
        assert torch.equal(torch.random.get_rng_state(), before)
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.predict_proba(landmarks), model.predict_proba(landmarks))


@pytest.mark.slow
def test_in_pipelines_and_searches(faces):
    landmarks, labels = faces
    scores = cross_val_score(classifier(epochs=4), landmarks, labels, cv=2)
    assert scores.shape == (2,) and scores.min() > 0.5
    turned = make_pipeline(FunctionTransformer(lambda X: X * [2, 2, 2]), classifier(epochs=4))
    search = GridSearchCV(turned, {"expressionclassifier__lr": [1e-6, 0.01]}, cv=2).fit(landmarks, labels)
    assert search.best_params_ == {"expressionclassifier__lr": 0.01}


class TestCaches:
    def test_it_trains_as_the_command_does(self, tiny_cache, tiny_settings, tmp_path):
        model = classifier(epochs=2, settings={"model.hidden": [16], "model.features": "displacement"})
        model.fit(tiny_cache)
        assert model.classes_.tolist() == ["angry", "happy", "sad"]
        seed = int(np.random.RandomState(0).randint(2**31 - 1))
        settings = tiny_settings("mlp", seed=seed, **{"split.seed": seed})
        evaluation, _ = evaluate_run(train(settings, runs_root=tmp_path))
        assert model.score(tiny_cache) == pytest.approx(evaluation.subsets["test"].accuracy)
        assert len(model.predict(tiny_cache)) == len(tiny_cache)
        np.testing.assert_allclose(model.predict_proba(tiny_cache).sum(axis=1), 1)

    def test_pixels_too(self, pictured_cache):
        small = {"model.width": 4, "model.size": 16, "fit.device": "cpu"}
        model = classifier(model="image", epochs=1, settings=small).fit(pictured_cache)
        assert model.predict_proba(pictured_cache).shape == (len(pictured_cache), 3)


@pytest.fixture(scope="module")
def run(tiny_cache, tiny_settings, tmp_path_factory):
    """A finished run of 1 and 0.2 where 20 epochs and 0.1 are the defaults; only read."""
    settings = tiny_settings(
        "mlp", seed=3, **{"fit.epochs": 1, "split.validation": 0.2, "augment.jitter": 0.1, "name": "mine"}
    )
    return train(settings, runs_root=tmp_path_factory.mktemp("runs"))


OF_A_RUN = {"cache", "name", "seed", "split.seed"}


class TestFromRun:
    def test_it_predicts_as_the_run(self, run, tiny_cache):
        model = ExpressionClassifier.from_run(run)
        assert model.classes_.tolist() == ["angry", "happy", "sad"] and model.n_features_in_ == 1434
        there = (tiny_cache.frame(["status"])["status"] == "ok").to_numpy()
        landmarks = tiny_cache.landmarks()[there]
        faces = lf.load(run).predict_landmarks(landmarks, sizes=(200, 100))
        found = model.predict_proba(landmarks, sizes=(200, 100))
        np.testing.assert_allclose(found, faces.probabilities, atol=1e-6)
        assert model.predict(landmarks, sizes=(200, 100)).tolist() == faces.labels
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.predict_proba(landmarks, sizes=(200, 100)), found)

    def test_its_score_is_that_of_the_evaluation(self, run, tiny_cache):
        evaluation, _ = evaluate_run(run)
        score = ExpressionClassifier.from_run(run).score(tiny_cache)
        assert score == pytest.approx(evaluation.subsets["test"].accuracy)

    def test_a_folder_and_a_name_are_the_run(self, run, monkeypatch):
        for where in (run.path, str(run.path)):
            assert ExpressionClassifier.from_run(where).random_state == 3
        monkeypatch.setattr("landmarkfer.runs.folder.RUNS_ROOT", run.path.parent)
        assert ExpressionClassifier.from_run("mine").epochs == 1

    def test_parameters_are_the_settings(self, run):
        given = ExpressionClassifier.from_run(run).get_params()
        settings = given.pop("settings")
        assert given == {
            "model": "mlp",
            "epochs": 1,
            "batch_size": 16,
            "lr": 0.01,
            "graph": None,
            "validation": 0.2,
            "random_state": 3,
            "verbose": False,
        }
        assert settings["model.hidden"] == [16] and settings["augment.jitter"] == 0.1
        assert not OF_A_RUN & set(settings)

    def test_a_clone_is_trained_as_the_run_was(self, run, tiny_cache, faces):
        landmarks, labels = faces
        fresh = clone(ExpressionClassifier.from_run(run))
        with pytest.raises(NotFittedError):
            fresh.predict(landmarks)
        fresh.fit(tiny_cache)
        trained, first = (
            {key: value for key, value in changed_settings(settings).items() if key not in OF_A_RUN}
            for settings in (fresh._trained_.config.settings, run.read_config().settings)
        )
        assert trained == first and first["fit.epochs"] == 1
        refitted = fresh.fit(landmarks, labels)
        assert refitted.predict_proba(landmarks).shape == (72, 3)
        other = ExpressionClassifier.from_run(run).set_params(epochs=8).fit(landmarks, labels)
        assert other.score(landmarks, labels) > 0.9

    @pytest.mark.slow
    def test_graph_and_classical_models(self, tiny_settings, tiny_cache, tmp_path):
        small = load_settings(
            overrides={"model.name": "landmark-svm", "model.pca": 16, "cache": str(tiny_cache.path)}
        )
        for settings in (tiny_settings("gnn", **{"model.graph": "contours", "fit.epochs": 1}), small):
            model = ExpressionClassifier.from_run(train(settings, runs_root=tmp_path))
            assert model.model == settings.model.name
            assert model.graph == ("contours" if model.model == "gnn" else None)
            assert clone(model).fit(tiny_cache).score(tiny_cache) > 0

    def test_configuration_and_weights_suffice(self, run, tiny_cache, faces, tmp_path):
        shutil.copytree(run.path, tmp_path / "bare")
        (tmp_path / "bare/splits.json").unlink()
        model = ExpressionClassifier.from_run(tmp_path / "bare")
        assert model.predict(faces[0]).shape == (72,)
        with pytest.raises(ValueError, match=r"no splits\.json that names the training images"):
            model.score(tiny_cache)

    def test_the_model_that_ships(self, faces):
        landmarks = faces[0][:4]
        model = ExpressionClassifier.from_run(shipped_folder("landmarks", "facemesh"))
        file = shipped_folder("landmarks", "facemesh") / "model.onnx"
        expected = lf.load(file).predict_landmarks(landmarks)
        order = np.argsort(expected.classes)
        np.testing.assert_allclose(
            model.predict_proba(landmarks), expected.probabilities[:, order], atol=1e-4
        )
        assert model.classes_.tolist() == sorted(expected.classes)

    def test_mistakes(self, run, image_settings, tmp_path):
        with pytest.raises(RunError, match="'nowhere' is no run"):
            ExpressionClassifier.from_run("nowhere")
        with pytest.raises(RunError, match="not by int"):
            ExpressionClassifier.from_run(3)
        pixels = train(image_settings(**{"fit.epochs": 1, "name": "pixels"}), runs_root=tmp_path)
        for use in (pixels, pixels.path):
            with pytest.raises(RunError, match="model 'image' of run 'pixels' looks at pixels, and from_run"):
                ExpressionClassifier.from_run(use)
        shutil.copytree(run.path, tmp_path / "started")
        (tmp_path / "started/model.safetensors").unlink()
        with pytest.raises(RunError, match="its training has not finished"):
            ExpressionClassifier.from_run(tmp_path / "started")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "nonsense"}, "there is no model 'nonsense'"),
        ({"model": "image", "settings": None}, "model 'image' looks at pixels; give it a LandmarkCache"),
        ({"settings": {"fit.epoch": 3}}, r"no setting 'fit\.epoch'"),
        ({"epochs": 0}, r"'fit\.epochs' = 0 does not fit"),
        ({"model": "landmark-forest", "settings": None}, "is for networks"),
    ],
)
def test_mistakes_in_parameters(faces, change, message):
    with pytest.raises(ValueError, match=message):
        classifier(**change).fit(*faces)


def test_mistakes_in_data(fitted, faces, tiny_cache):
    landmarks, labels = faces
    with pytest.raises(ValueError, match=r"X has 6 columns; landmarks are \[N, 478, 3\] or \[N, 1434\]"):
        classifier().fit(landmarks[:, :2].reshape(len(labels), 6), labels)
    for shape, message in (
        ((5, 468, 3), "the 10 points of the irises are missing"),
        ((5, 478, 2), "z is missing"),
        ((478, 3), r"give a single face as landmarks\[None\]"),
        ((1, 5, 478, 3), r"must be \[N, 478, 3\], not \[1, 5, 478, 3\]"),
    ):
        for use in (classifier().fit, fitted.score):
            with pytest.raises(ValueError, match=message):
                use(np.zeros(shape), labels[: shape[0]])
    with pytest.raises(ValueError, match="sizes must be"):
        fitted.predict(landmarks, sizes=[1, 2, 3])
    with pytest.raises(ValueError, match="row 0 of X has a face, so its sizes must be known, and not NaN"):
        fitted.predict(landmarks, sizes=[np.nan, 1])
    with pytest.raises(ValueError, match="leave y out"):
        classifier().fit(tiny_cache, labels)
    with pytest.raises(NotFittedError):
        classifier().predict(landmarks)


class TestRowsWithoutAFace:
    def test_they_get_the_shares_of_the_classes(self, fitted, faces):
        landmarks = faces[0][:4].copy()
        landmarks[[1, 3]] = np.nan
        found = fitted.predict_proba(landmarks, sizes=[[1, 1], [np.nan, np.nan]] * 2)
        np.testing.assert_allclose(found[[1, 3]], 1 / 3, atol=1e-6)
        expected = fitted.predict_proba(landmarks[[0, 2]])
        np.testing.assert_allclose(found[[0, 2]], expected, atol=1e-6)

    def test_they_are_left_out_of_training(self, fitted, faces):
        landmarks, labels = faces
        some = np.concatenate([landmarks[:54], np.full((3, 478, 3), np.nan)])
        sizes = np.repeat([[1.0], [np.nan]], [54, 3], axis=0) * [1, 1]  # as of images that cannot be read
        with pytest.warns(UserWarning, match="rows without a face are left out of training: 3 of 57"):
            again = classifier().fit(some, [*labels[:54], "sad", "sad", "none"], sizes=sizes)
        assert again.classes_.tolist() == fitted.classes_.tolist()
        np.testing.assert_array_equal(again.predict_proba(landmarks), fitted.predict_proba(landmarks))

    def test_of_rows_without_a_face_alone_nothing_is_learnt(self):
        nothing = np.full((4, 1434), np.nan)
        with pytest.warns(UserWarning, match="4 of 4"), pytest.raises(ValueError, match="no row of X has a"):
            classifier().fit(nothing, list("abab"))

    @pytest.mark.parametrize(
        ("value", "message"), [(np.nan, "row 2 of X is NaN in 9 of 1434 values"), (np.inf, "infinity")]
    )
    def test_faces_in_part(self, fitted, faces, value, message):
        landmarks, labels = faces[0][:6].copy(), faces[1][:6]
        landmarks[2, 5:8] = value
        for use in (classifier().fit, fitted.score):
            with pytest.raises(ValueError, match=message):
                use(landmarks, labels)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["b", "b", "b"], r"all faces are of one class, 'b'; training needs at least two classes"),
        ([7, 7], r"all faces are of one class, '7'"),
        (["b", "a", "c"], r"each of the 3 classes \(a, b, c\) has one face"),
        ([5, 3], r"each of the 2 classes \(3, 5\) has one face"),
    ],
)
def test_too_few_faces(faces, given, message):
    with pytest.raises(ValueError, match=message) as raised:
        classifier().fit(faces[0][: len(given)], given)
    assert "cache" not in str(raised.value)


@pytest.mark.parametrize("labels", [["b", "a", "b"], [10, 2, 10], [True, False, True]])
def test_settings_and_messages_know_the_labels(faces, labels):
    a = str(labels[1])
    with pytest.raises(ValueError, match=rf"class '{a}' has 1 training image\."):
        classifier(settings=QUICK | {"data.per_class": 2}).fit(faces[0][:3], labels)
    some = classifier(epochs=1, settings=QUICK | {"data.merge": {"one": [str(labels[0])]}})
    found = some.fit(faces[0][:3], labels)
    assert found.classes_.tolist() == sorted([a, "one"])
    assert found.predict_proba(faces[0][:2]).shape == (2, 2)


class AnyColumns(ExpressionClassifier):
    """The estimator on tables of any width, which scikit-learn's checks are about.

    The checks fit tables of 1 to 20 columns, and landmarks have 1,434: on the estimator itself nearly all of
    them would end at the check of the width. Here column j of K moves every (K + 1)-th point of the canonical
    face up or down in place of that check, and a row with a NaN has no face. All else is the estimator:
    validation of input and labels, training, prediction, parameters, cloning and pickling.
    """

    def _landmarks(self, flat):
        columns = flat.shape[1]
        group = np.arange(478) % (columns + 1)
        moved = np.column_stack([np.arctan(flat), np.zeros(len(flat))])[:, group]  # [N, 478]
        faces = np.tile(CANONICAL.astype(float), (len(flat), 1, 1))
        faces[..., 1] += 0.5 * moved
        faces[np.isnan(flat).any(axis=1)] = np.nan
        return faces


EXPECTED_FAILURES: dict[str, str] = {}


@pytest.mark.slow
@parametrize_with_checks(
    [AnyColumns("mlp", epochs=12, batch_size=16, lr=0.01, settings=QUICK, random_state=0)],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
