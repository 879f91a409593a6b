import numpy as np
import pytest
from sklearn import metrics as sk

from landmarkfer.metrics import classification as metrics

# Class 0: 3 images, 2 right; class 1: 2 images, 1 right; class 2: 1 image, 0 right; class 3: none at all.
LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTIONS = np.array([0, 0, 1, 1, 0, 1])
CLASSES = range(4)


def test_values_worked_out_by_hand():
    assert metrics.accuracy(LABELS, PREDICTIONS) == pytest.approx(3 / 6)
    assert metrics.balanced_accuracy(LABELS, PREDICTIONS, CLASSES) == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    # F1: 2*2/(3+3), 2*1/(2+3), 2*0/(1+0); class 3 occurs nowhere and is left out.
    assert metrics.macro_f1(LABELS, PREDICTIONS, CLASSES) == pytest.approx((2 / 3 + 2 / 5 + 0) / 3)


def test_undefined_scores_of_a_class_are_nan_and_never_zero():
    scores = metrics.per_class(LABELS, PREDICTIONS, CLASSES)
    np.testing.assert_allclose(scores.precision, [2 / 3, 1 / 3, np.nan, np.nan])
    np.testing.assert_allclose(scores.recall, [2 / 3, 1 / 2, 0, np.nan])
    np.testing.assert_allclose(scores.f1, [2 / 3, 2 / 5, 0, np.nan])
    assert scores.support.tolist() == [3, 2, 1, 0]


def test_confusion_has_true_classes_as_rows():
    counts = metrics.confusion(LABELS, PREDICTIONS, CLASSES)
    assert counts.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    share = metrics.normalised_confusion(counts)
    np.testing.assert_allclose(share[0], [2 / 3, 1 / 3, 0, 0])
    assert np.isnan(share[3]).all()


def test_names_serve_as_well_as_indices():
    names = np.array(["a", "b", "c", "d"])
    assert metrics.macro_f1(names[LABELS], names[PREDICTIONS], names) == metrics.macro_f1(
        LABELS, PREDICTIONS, CLASSES
    )


def test_a_class_that_is_predicted_but_absent_lowers_macro_f1_and_not_balanced_accuracy():
    labels, predictions = [0, 0, 1, 1], [0, 2, 1, 1]
    assert metrics.balanced_accuracy(labels, predictions, range(3)) == pytest.approx((1 / 2 + 1) / 2)
    assert metrics.macro_f1(labels, predictions, range(3)) == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_many_matrices_at_once_agree_with_scikit_learn():
    rng = np.random.default_rng(4)
    labels, predictions = rng.integers(0, 5, (2, 6, 40))
    stacked = np.stack([metrics.confusion(a, b, range(5)) for a, b in zip(labels, predictions, strict=True)])
    scores = metrics.scores_from_confusion(stacked)
    for i, (a, b) in enumerate(zip(labels, predictions, strict=True)):
        assert scores["accuracy"][i] == pytest.approx(sk.accuracy_score(a, b))
        assert scores["balanced_accuracy"][i] == pytest.approx(sk.balanced_accuracy_score(a, b))
        assert scores["macro_f1"][i] == pytest.approx(sk.f1_score(a, b, average="macro"))
        np.testing.assert_allclose(scores["precision"][i], sk.precision_score(a, b, average=None))


@pytest.mark.parametrize(("labels", "predictions"), [([], []), ([0, 1], [0]), ([[0]], [[0]])])
def test_shapes_that_make_no_sense_are_refused(labels, predictions):
    with pytest.raises(ValueError, match="one length"):
        metrics.accuracy(labels, predictions)
