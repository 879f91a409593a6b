"""One tester for the four classical models, on faces and pictures that a tiny model can tell apart."""

from dataclasses import replace

import numpy as np
import pytest
import skops.io
import torch

from landmarkfer.calibration.fitted import Calibration
from landmarkfer.calibration.scaling import Scaling
from landmarkfer.data.augment import mirror_landmarks
from landmarkfer.data.batch import FaceBatch
from landmarkfer.errors import CacheError, RunError, SettingsError
from landmarkfer.face.landmarks import CANONICAL, OUTER_LIPS_RING, region_points
from landmarkfer.models import build_model
from landmarkfer.models.classical.base import ClassicalModel
from landmarkfer.models.classical.serialization import TRUSTED_TYPES
from landmarkfer.models.classical.svm import soft_votes
from landmarkfer.progress import Progress, every_second

CLASSES = 4  # of which the third never occurs
PRIOR = torch.tensor([0.5, 0.2, 0.0, 0.3])
HOG = {"size": 16, "cell": 8, "block": 2, "orientations": 4, "pca": 0}
VARIANTS = {
    "hog-svm": HOG,
    "landmark-svm": {"features": "geometry", "pca": 20, "C": 10.0},
    "landmark-forest": {"n_estimators": 12},
    "landmark-boosting": {"max_iter": 12, "min_samples_leaf": 5},
}


def make_batch(n=60, seed=0):
    """Faces that move the mouth, a brow or nothing, shown as stripes of three directions."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 3], n)
    landmarks = CANONICAL + 0.02 * rng.standard_normal((n, 478, 3))
    landmarks[np.ix_(labels == 0, OUTER_LIPS_RING, [1])] += 0.2
    landmarks[np.ix_(labels == 1, region_points("left_brow"), [1])] -= 0.3
    stripes = np.indices((16, 16)) // 2 % 2
    patterns = {0: stripes[0], 1: stripes[1], 3: (np.indices((16, 16)).sum(axis=0) // 3) % 2}
    image = np.stack([patterns[label] for label in labels]) * 100 + rng.integers(0, 60, (n, 16, 16))
    batch = FaceBatch(
        torch.from_numpy(landmarks.astype(np.float32)),
        torch.ones(n, dtype=torch.bool),
        torch.from_numpy(image.astype(np.uint8))[:, None],
        torch.ones(n, dtype=torch.bool),
    )
    return batch, labels


def fitted(name, seed=0, n=120, **keywords) -> ClassicalModel:
    model = build_model(name, CLASSES, **VARIANTS[name] | keywords)
    model.set_prior(PRIOR)
    batch, labels = make_batch(n)
    model.fit(batch, labels, validation=make_batch(30, seed=1), seed=seed)
    return model


@pytest.fixture(params=VARIANTS)
def name(request):
    return request.param


def test_every_model_learns_and_keeps_the_contract(name):
    model = fitted(name)
    batch, labels = make_batch(40, seed=2)
    found = model.probabilities(batch)
    assert (found.shape, found.dtype) == ((40, CLASSES), torch.float32)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(40))
    assert (found.argmax(dim=1).numpy() == labels).mean() > 0.85
    # A class that was not among the training faces has hardly any share, but some.
    assert (found[:, 2] > 0).all() and (found[:, 2] < 1e-5).all()
    # What else is in the batch does not matter.
    torch.testing.assert_close(model.probabilities(batch.rows(torch.tensor([7, 3]))), found[[7, 3]])


def test_the_prior_is_told_where_nothing_is_seen(name):
    model = fitted(name)
    batch, _ = make_batch(5)
    nowhere = torch.tensor([True, False, True, False, True])
    blind = replace(batch, has_face=nowhere, has_image=nowhere)
    assert model.has_input(blind).tolist() == nowhere.tolist()
    found = model.probabilities(blind)
    torch.testing.assert_close(found[[1, 3]], PRIOR.expand(2, -1), rtol=0, atol=1e-5)
    torch.testing.assert_close(found[[0, 2, 4]], model.probabilities(batch)[[0, 2, 4]])
    torch.testing.assert_close(
        model.probabilities(replace(batch, has_face=~nowhere.new_ones(5), has_image=~nowhere.new_ones(5))),
        PRIOR.expand(5, -1),
        rtol=0,
        atol=1e-5,
    )


def test_faces_that_are_not_seen_teach_nothing(name):
    batch, labels = make_batch(60)
    there = torch.arange(60) % 3 > 0
    wrong = np.where(there.numpy(), labels, 3 - labels)
    holes = replace(batch, has_face=there, has_image=there)
    model, other = (build_model(name, CLASSES, **VARIANTS[name]) for _ in range(2))
    model.fit(holes, wrong, validation=make_batch(30, seed=1), seed=0)
    rows = torch.nonzero(there)[:, 0]
    other.fit(batch.rows(rows), labels[rows], validation=make_batch(30, seed=1), seed=0)
    torch.testing.assert_close(model.probabilities(batch), other.probabilities(batch))


def test_the_seed_decides(name):
    batch, _ = make_batch(20, seed=3)
    assert torch.equal(fitted(name).probabilities(batch), fitted(name).probabilities(batch))
    if name == "landmark-forest":
        assert not torch.equal(fitted(name, 1).probabilities(batch), fitted(name).probabilities(batch))


def test_its_calibration_is_saved_and_loaded(name, tmp_path):
    model = fitted(name)
    rng = np.random.default_rng(0)
    scaling = Scaling("dirichlet", rng.normal(size=(CLASSES, CLASSES)), rng.normal(size=CLASSES))
    thresholds = rng.random((99, CLASSES)).astype(np.float32)
    model.set_calibration(Calibration(scaling, thresholds, thresholds[:, 0]))
    model.save(tmp_path / "model.skops")
    other = build_model(name, CLASSES, **VARIANTS[name])
    assert other.calibration.set_thresholds is None
    other.load(tmp_path / "model.skops")
    given, usable = rng.dirichlet(np.ones(CLASSES), 10), np.arange(10) > 2
    found = other.calibration.calibrated(given, usable)
    np.testing.assert_allclose(found, model.calibration.calibrated(given, usable))
    np.testing.assert_array_equal(found[:3], given[:3])
    np.testing.assert_array_equal(other.calibration.set_thresholds, thresholds)
    np.testing.assert_array_equal(other.calibration.answer_thresholds, thresholds[:, 0])
    model.set_calibration(Calibration(Scaling("stored", np.full((CLASSES, CLASSES), np.nan), scaling.bias)))
    model.save(tmp_path / "damaged.skops")
    with pytest.raises(RunError, match="train it again"):
        other.load(tmp_path / "damaged.skops")


def test_saving_and_loading_changes_no_bit(name, tmp_path):
    model = fitted(name)
    model.save(tmp_path / "model.skops")
    assert [path.name for path in tmp_path.iterdir()] == ["model.skops"]
    other = build_model(name, CLASSES, **VARIANTS[name])
    other.load(tmp_path / "model.skops")
    batch, _ = make_batch(20, seed=3)
    assert torch.equal(other.probabilities(batch), model.probabilities(batch))
    blind = replace(batch, has_face=torch.zeros(20, dtype=torch.bool), has_image=torch.zeros(20).bool())
    assert torch.equal(other.probabilities(blind), model.probabilities(blind))


def test_weights_count(name):
    batch, labels = make_batch(120)
    # Each face twice, once with a wrong label that weighs next to nothing.
    twice = batch.rows(torch.arange(120).repeat(2))
    both = np.concatenate([labels, (labels + 1) % 2])
    weight = np.concatenate([np.ones(120), np.full(120, 1e-3)])
    model = build_model(name, CLASSES, **VARIANTS[name])
    model.fit(twice, both, validation=make_batch(30, seed=1), seed=0, sample_weight=weight)
    test, expected = make_batch(40, seed=2)
    assert (model.probabilities(test).argmax(dim=1).numpy() == expected).mean() > 0.9


@pytest.mark.parametrize("name", ["landmark-forest", "hog-svm"])
def test_mirrored_faces_are_learned_too(name):
    # In training, class 1 lifts the left brow alone, and has its bright half on one side.
    batch, labels = make_batch(60)
    keep = torch.from_numpy(np.flatnonzero(labels != 0))
    batch, labels = batch.rows(keep), labels[keep]
    half = torch.zeros(len(labels), 1, 16, 16, dtype=torch.uint8)
    half[labels == 1, :, 2:14, 2:6] = 255
    half[labels == 3, :, 2:6, 2:14] = 255
    batch = replace(batch, image=half)
    mirrored = replace(batch, landmarks=mirror_landmarks(batch.landmarks), image=half.flip(-1))
    sure = {}
    for mirror in (False, True):
        model = build_model(name, CLASSES, **VARIANTS[name], mirror=mirror)
        model.fit(batch, labels, validation=(mirrored, labels), seed=0)
        found = model.probabilities(mirrored)
        sure[mirror] = found[np.arange(len(labels)), labels][labels == 1].mean()
    assert sure[True] > 0.85
    assert sure[True] > sure[False] + 0.05


def test_balanced_classes_find_more_of_the_rare_one():
    rng = np.random.default_rng(0)
    labels = (np.arange(300) % 15 == 0).astype(np.int64)
    landmarks = np.tile(CANONICAL, (300, 1, 1)) + 0.05 * rng.standard_normal((300, 478, 3))
    landmarks[labels == 1] += 0.02 * (np.arange(478) % 2)[:, None]
    batch = FaceBatch(torch.from_numpy(landmarks.astype(np.float32)), torch.ones(300, dtype=torch.bool))
    shares = {}
    for class_weight in ("none", "balanced"):
        keywords = {"features": "geometry", "min_samples_leaf": 20, "class_weight": class_weight}
        model = build_model("landmark-forest", 2, **VARIANTS["landmark-forest"] | keywords)
        model.fit(batch, labels, validation=(batch, labels), seed=0)
        shares[class_weight] = model.probabilities(batch)[labels == 1, 1].mean()
    assert shares["balanced"] > shares["none"] + 0.1


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_support_vectors_of_two_classes(kernel, tmp_path):
    batch, labels = make_batch(60)
    rows = np.flatnonzero(labels != 1)
    model = build_model("landmark-svm", CLASSES, features="geometry", kernel=kernel, pca=0)
    batch, labels = batch.rows(torch.from_numpy(rows)), labels[rows]
    model.fit(batch, labels, validation=(batch, labels), seed=0)
    found = model.probabilities(batch)
    assert (found.argmax(dim=1).numpy() == labels).all()
    model.save(tmp_path / "model.skops")
    model.load(tmp_path / "model.skops")
    assert torch.equal(model.probabilities(batch), found)


def test_votes_by_hand():
    # (0, 1), (0, 2), (1, 2): the first class beats the second by far and the third hardly.
    decisions = np.array([[3.0, 0.25, -0.5], [-0.5, -2.0, 0.0]])
    assert soft_votes(decisions, 3).tolist() == [[1.25, -1.5, 0.25], [-1.5, 0.5, 1.0]]


def test_votes_and_predictions_of_support_vectors_agree():
    batch, _ = make_batch(200, seed=5)
    model = fitted("landmark-svm")
    expected = model._estimator.predict(model.features.describe(batch))
    assert (model.probabilities(batch).argmax(dim=1).numpy() == expected).mean() > 0.95


def test_the_temperature_lowers_the_log_loss_of_the_validation_faces():
    model = fitted("landmark-svm", C=0.3)
    batch, labels = make_batch(30, seed=1)

    def loss():
        return -model.probabilities(batch)[np.arange(30), labels].log().mean().item()

    calibrated = loss()
    assert model._temperature != pytest.approx(1, rel=0.1)
    model._temperature = 1.0
    assert calibrated < loss()


def test_without_a_usable_validation_face_models_still_learn(name):
    batch, labels = make_batch(60)
    nothing = replace(batch, has_face=torch.zeros(60, dtype=torch.bool), has_image=torch.zeros(60).bool())
    model = build_model(name, CLASSES, **VARIANTS[name])
    model.fit(batch, labels, validation=(nothing, labels), seed=0)
    assert (model.probabilities(batch).argmax(dim=1).numpy() == labels).mean() > 0.9


def test_boosting_stops_where_the_validation_loss_does(monkeypatch):
    batch, labels = make_batch(60)
    rng = np.random.default_rng(0)
    model = build_model("landmark-boosting", CLASSES, max_iter=40, patience=2, min_samples_leaf=3)
    model.fit(batch, labels, validation=(batch, rng.permutation(labels)), seed=0)
    assert model._estimator.n_iter_ < 10, "validation that contradicts training stops it"


def test_what_is_being_done_is_told(name, recorder):
    batch, labels = make_batch(60)
    model = build_model(name, CLASSES, **VARIANTS[name] | {"mirror": True})
    model.fit(batch, labels, validation=(batch, labels), seed=0, progress=recorder)
    assert recorder.said[-1] == f"fitting 120 faces of {len(model.features):,} features"
    described = {task: ends for task, ends in recorder.ends.items() if task.startswith("describing")}
    if name == "hog-svm":
        parts = ("training", "mirrored", "validation")
        assert described == {f"describing {part} faces": (60, 60) for part in parts}
    fitting = {task: ends for task, ends in recorder.ends.items() if task.startswith("fitting")}
    if name == "landmark-forest":
        assert fitting == {"fitting trees": (12, 12)}
    elif name == "landmark-boosting":
        rounds = model._estimator.n_iter_
        assert fitting == {"fitting rounds": (rounds, rounds)}


@pytest.mark.parametrize("class_weight", ["none", "balanced"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_forest_grown_in_parts_is_the_one_that_is_fitted_at_once(
    monkeypatch, recorder, class_weight, weighted
):
    batch, labels = make_batch(80)
    weight = np.random.default_rng(0).uniform(0.5, 2, 80) if weighted else None
    keywords = {"n_estimators": 20, "class_weight": class_weight, "mirror": False}
    model = build_model("landmark-forest", CLASSES, **keywords)
    monkeypatch.setattr("landmarkfer.models.classical.trees.os.cpu_count", lambda: 3)
    monkeypatch.setattr("landmarkfer.models.classical.trees._PART_SECONDS", 0.0)
    model.fit(batch, labels, validation=(batch, labels), seed=5, sample_weight=weight, progress=recorder)
    assert [done for done, _ in recorder.steps if done] == [3, 6, 9, 12, 15, 18, 20]
    features = model.features.describe(batch)
    whole = model._new_estimator(5).fit(features, labels, weight)
    assert model._estimator.get_params() == whole.get_params() | {"n_jobs": 1}
    pairs = zip(model._estimator.estimators_, whole.estimators_, strict=True)
    for one, other in pairs:
        states = [tree.tree_.__getstate__() for tree in (one, other)]
        np.testing.assert_array_equal(states[0]["nodes"], states[1]["nodes"])
        np.testing.assert_array_equal(states[0]["values"], states[1]["values"])


@pytest.mark.parametrize("held", [False, True])
def test_watched_boosting_is_the_one_that_is_not(held):
    batch, labels = make_batch(80)
    other, theirs = make_batch(30, seed=1)
    nobody = replace(other, has_face=torch.zeros(30, dtype=torch.bool))
    model = build_model("landmark-boosting", CLASSES, **VARIANTS["landmark-boosting"], mirror=False)
    model.fit(batch, labels, validation=(other if held else nobody, theirs), seed=0)
    features, plain = model.features.describe(batch), model._new_estimator(0)
    if held:
        plain.fit(features, labels, X_val=model.features.describe(other), y_val=theirs)
    else:
        plain.set_params(early_stopping=False).fit(features, labels)
    assert model._estimator.n_iter_ == plain.n_iter_
    np.testing.assert_array_equal(model._estimator.predict_proba(features), plain.predict_proba(features))


def test_boosting_shows_its_rounds_while_it_is_fitted(monkeypatch, recorder):
    """Watched so often that each round is seen: the count only grows, and never reaches the end early."""
    monkeypatch.setattr(
        "landmarkfer.models.classical.trees.every_second", lambda report, _: every_second(report, 1e-4)
    )
    batch, labels = make_batch(120)
    model = build_model("landmark-boosting", CLASSES, max_iter=30, min_samples_leaf=3)
    model.fit(batch, labels, validation=(batch, labels), seed=0, progress=recorder)
    counts = [done for task, done, _ in recorder.calls if task == "fitting rounds"]
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] == model._estimator.n_iter_
    assert len(set(counts)) > 3, "also while it runs"


def test_support_vectors_say_how_long_they_take(monkeypatch):
    waited = []

    class Watching(Progress):
        def waiting(self, task, seconds, note="", *, ended=False):
            waited.append((task, note, ended))

    batch, labels = make_batch(60)
    model = build_model("landmark-svm", CLASSES, **VARIANTS["landmark-svm"])
    model.fit(batch, labels, validation=(batch, labels), seed=0, progress=Watching())
    assert waited[-2:] == [
        ("fitting support vectors", "60 faces of 20 inputs", True),
        ("fitting the temperature", "60 validation faces", True),
    ]


def test_one_class_is_not_enough(name):
    batch, labels = make_batch(60)
    model = build_model(name, CLASSES, **VARIANTS[name])
    with pytest.raises(CacheError, match="needs two classes"):
        model.fit(batch, np.ones_like(labels), validation=(batch, labels), seed=0)


def test_more_components_than_faces_are_refused():
    batch, labels = make_batch(60)
    model = build_model("landmark-svm", CLASSES, pca=61)
    with pytest.raises(CacheError, match="pca = 61 needs as many training faces, and there are 60"):
        model.fit(batch, labels, validation=(batch, labels), seed=0)


@pytest.mark.parametrize(
    ("name", "keywords", "message"),
    [
        ("hog-svm", {"C": 0.0}, "'C' = 0.0 does not fit"),
        ("hog-svm", {"kernel": "poly"}, "'kernel' = 'poly' does not fit"),
        ("hog-svm", {"size": 10, "cell": 8, "block": 2}, "block of 2 cells of 8 pixels does not fit"),
        ("landmark-svm", {"features": "geometry", "pca": 200}, "pca = 200, but there are 111 features"),
        ("landmark-forest", {"max_features": 1.5}, "'max_features' = 1.5 does not fit"),
        ("landmark-forest", {"features": "pixels"}, "'features' = 'pixels' does not fit"),
        ("landmark-boosting", {"trees": 3}, "'trees' is no setting of model 'landmark-boosting'"),
    ],
)
def test_wrong_keywords_are_refused(name, keywords, message):
    with pytest.raises(SettingsError, match=message):
        build_model(name, CLASSES, **keywords)


def test_nothing_learned_is_nothing_to_use(name, tmp_path):
    model = build_model(name, CLASSES, **VARIANTS[name])
    with pytest.raises(RunError, match="learned nothing yet"):
        model.probabilities(make_batch(2)[0])
    with pytest.raises(RunError, match="learned nothing yet"):
        model.save(tmp_path / "model.skops")


class Stranger:
    """A type that skops would have to import and build by its name."""


def content_of(path):
    return skops.io.load(path, trusted=list(TRUSTED_TYPES))


def test_a_file_with_a_type_that_does_not_belong_is_refused(tmp_path):
    path = tmp_path / "model.skops"
    model = fitted("landmark-forest")
    model.save(path)
    skops.io.dump(content_of(path) | {"extra": Stranger()}, path)
    with pytest.raises(RunError, match=r"types that do not belong into a model \(.*Stranger\)") as error:
        model.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", [b"", b"no archive", "half", "byte", "missing"])
def test_a_damaged_file_is_refused_in_one_sentence(damage, tmp_path):
    path = tmp_path / "model.skops"
    model = fitted("landmark-svm")
    if damage != "missing":
        model.save(path)
        data = path.read_bytes()
        middle = len(data) // 2
        damaged = {"half": data[:middle], "byte": data[:middle] + b"\x00\xff\x00" + data[middle + 3 :]}
        path.write_bytes(damaged.get(damage, damage) if isinstance(damage, str) else damage)
    with pytest.raises(RunError, match="is damaged or of another model") as error:
        model.load(path)
    assert "\n" not in str(error.value) and "model.skops" in str(error.value)


@pytest.mark.parametrize(
    "content", [{}, [1], {"estimator": None, "values": {}}, {"estimator": [], "values": {"prior": ["x"]}}]
)
def test_a_file_of_something_else_is_refused(content, tmp_path, name):
    path = tmp_path / "model.skops"
    skops.io.dump(content, path)
    with pytest.raises(RunError, match=r"train it again"):
        build_model(name, CLASSES, **VARIANTS[name]).load(path)


def test_a_file_of_another_model_is_refused(tmp_path):
    path = tmp_path / "model.skops"
    fitted("landmark-svm").save(path)
    for other, keywords in [
        ("landmark-forest", {}),
        ("landmark-svm", {"pca": 0}),
        ("landmark-svm", {"features": "landmarks"}),
    ]:
        with pytest.raises(RunError, match="is damaged or of another model"):
            build_model(other, CLASSES, **VARIANTS[other] | keywords).load(path)
    with pytest.raises(RunError, match="is not of a model of 3 classes"):
        build_model("landmark-svm", 3, **VARIANTS["landmark-svm"]).load(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("temperature", [0.0]), ("prior", [0.5, 0.5]), ("prior", [0.5, 0.5, 0.5, 0.5]), ("prior", None)],
)
def test_numbers_that_do_not_fit_are_refused(tmp_path, key, value):
    path = tmp_path / "model.skops"
    model = fitted("landmark-svm")
    model.save(path)
    content = content_of(path)
    content["values"][key] = value
    skops.io.dump(content, path)
    with pytest.raises(RunError, match="train it again"):
        model.load(path)


@pytest.mark.parametrize("change", ["child", "loop", "feature"])
def test_a_forest_whose_branches_lead_astray_is_refused(tmp_path, change):
    path = tmp_path / "model.skops"
    model = fitted("landmark-forest")
    model.save(path)
    content = content_of(path)
    member = content["estimator"].estimators_[0]
    constructor, arguments, state = member.tree_.__reduce__()
    nodes = state["nodes"].copy()
    field, wrong = {
        "child": ("left_child", len(nodes)),
        "loop": ("right_child", 0),
        "feature": ("feature", 10**6),
    }[change]
    nodes[field][0] = wrong
    tree = constructor(*arguments)
    tree.__setstate__({**state, "nodes": nodes})
    member.tree_ = tree
    skops.io.dump(content, path)
    with pytest.raises(RunError, match=r"of a tree leads nowhere|feature that is not there"):
        model.load(path)


@pytest.mark.parametrize("field", ["left", "feature_idx", "is_categorical"])
def test_boosted_trees_that_lead_astray_are_refused(tmp_path, field):
    path = tmp_path / "model.skops"
    model = fitted("landmark-boosting")
    model.save(path)
    content = content_of(path)
    content["estimator"]._predictors[0][0].nodes[field][0] = 200
    skops.io.dump(content, path)
    with pytest.raises(RunError, match=r"a branch of a tree|asks for a feature|its trees are none"):
        model.load(path)


@pytest.mark.parametrize("part", ["_dual_coef_", "_intercept_", "_n_support", "support_", "support_vectors_"])
def test_support_vectors_that_do_not_fit_each_other_are_refused(tmp_path, part):
    path = tmp_path / "model.skops"
    model = fitted("landmark-svm")
    model.save(path)
    content = content_of(path)
    machine = content["estimator"].steps[-1][1]
    # One column less of the vectors, one row less of the others.
    whole = getattr(machine, part)
    setattr(machine, part, whole[:, :-1].copy() if part == "support_vectors_" else whole[:-1])
    skops.io.dump(content, path)
    with pytest.raises(RunError, match="support vectors do not fit each other"):
        model.load(path)
