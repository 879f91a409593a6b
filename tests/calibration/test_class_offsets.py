import numpy as np
import pytest

from landmarkfer.calibration.class_offsets import COST, LARGEST, class_offsets


def logits_of(rng, labels, hidden, gap, classes=3):
    """Logits of images that are told well, but for those of class `hidden`, which class 0 wins by a gap."""
    logits = rng.normal(0, 0.05, (1, len(labels), classes))
    logits[0, np.arange(len(labels)), labels] += 4
    of_hidden = labels == hidden
    logits[0, of_hidden, 0] = logits[0, of_hidden, hidden] + gap[: of_hidden.sum()]
    return logits


def recalls(logits, labels):
    told = logits.mean(axis=0).argmax(axis=1)
    return {number: np.mean(told[labels == number] == number) for number in np.unique(labels)}


class TestClassOffsets:
    labels = np.repeat([0, 1, 2], [40, 40, 20])
    # A fifth of class 2 is told; the others are missed by 0.1 to 0.9.
    gap = np.r_[np.full(4, -0.5), np.linspace(0.1, 0.9, 16)]

    def test_a_low_class_is_raised_to_the_floor_and_no_further(self):
        logits = logits_of(np.random.default_rng(0), self.labels, 2, self.gap)
        assert recalls(logits, self.labels)[2] == 0.2
        offsets = class_offsets(logits, self.labels, 0.5)
        assert offsets[:2].tolist() == [0, 0]
        assert recalls(logits + offsets, self.labels)[2] == pytest.approx(0.5, abs=0.051)
        assert offsets[2] == pytest.approx(self.gap[9], abs=0.03)

    def test_nothing_is_changed_where_all_are_above(self):
        logits = logits_of(np.random.default_rng(0), self.labels, 2, self.gap)
        assert not class_offsets(logits, self.labels, 0.2).any()
        assert not class_offsets(logits, self.labels, 0.0).any()

    def test_accuracy_pays_no_more_than_the_cost(self):
        # Whatever lifts class 2 over class 0 takes as many images from class 0.
        labels = np.repeat([0, 2], [160, 40])
        logits = np.zeros((1, 200, 3))
        logits[0, :, 1] = -9
        logits[0, :160, 0] = np.linspace(0.01, 1.6, 160)
        logits[0, 160:, 0] = np.linspace(0.01, 1.6, 40)
        offsets = class_offsets(logits, labels, 0.9)
        before, after = (np.mean(x[0].argmax(axis=1) == labels) for x in (logits, logits + offsets))
        assert before - COST <= after <= before
        assert 0 < recalls(logits + offsets, labels)[2] < 0.9

    def test_a_class_that_cannot_be_raised_ends_it(self):
        labels = np.repeat([0, 1], [30, 30])
        logits = np.zeros((2, 60, 2))
        logits[:, :, 0] = 50
        offsets = class_offsets(logits, labels, 0.4)
        assert not offsets.any(), "the rise that gained nothing is not kept"
        assert LARGEST < 50

    def test_classes_without_images_and_no_images_at_all(self):
        logits = logits_of(np.random.default_rng(0), self.labels, 2, self.gap, classes=5)
        assert class_offsets(logits, self.labels, 0.5)[3:].tolist() == [0, 0]
        assert class_offsets(logits, self.labels, 0.5).any()
        assert not class_offsets(logits[:, :-1], self.labels[:-1], 0.5).any(), "19 images say too little"
        assert class_offsets(np.zeros((1, 0, 3)), np.zeros(0, dtype=int), 0.5).tolist() == [0, 0, 0]

    def test_views_are_averaged_as_probabilities(self):
        # One view is sure of class 0 and the other of class 1: only together they tell what an offset does.
        logits = np.array([[[2.0, 0.0]], [[0.0, 1.9]]])
        many = np.repeat(logits, 20, axis=1)
        (offset,) = class_offsets(many, np.ones(20, dtype=int), 1.0)[1:]
        one = np.exp(logits + np.array([0, offset]))
        assert (one / one.sum(axis=2, keepdims=True)).mean(axis=0).argmax() == 1
        assert offset <= 0.1
