import numpy as np
import pytest

from landmarkfer.metrics import collapse
from landmarkfer.metrics.collapse import (
    averaging_warnings,
    chance,
    collapse_warnings,
    fitting_decay,
    permutation_p,
)

CLASSES = ["angry", "happy", "sad"]
HEALTHY = np.array([[30, 5, 5], [4, 50, 6], [6, 4, 20]])


def kinds(found):
    return [one.kind for one in found]


def test_nothing_is_said_of_a_good_model():
    assert collapse_warnings(HEALTHY, CLASSES) == []


class TestOneClass:
    def test_the_most_frequent_one(self):
        (found,) = collapse_warnings([[0, 4, 0], [0, 50, 0], [0, 6, 0]], CLASSES)
        assert found.kind == "one_class"
        assert found.sentence == (
            "every validation image was predicted as 'happy': the model has learnt which class is most "
            "common, nothing else; try another optimiser.lr, more epochs, or "
            "a higher step of loss.class_weights (none, sqrt_inverse, inverse)."
        )
        assert found.classes[0].model_dump() == dict(name="happy", images=50, correct=50, predicted=60)

    def test_of_classes_that_are_equally_frequent(self):
        (found,) = collapse_warnings([[0, 5, 0], [0, 5, 0], [0, 5, 0]], CLASSES)
        assert "as 'happy': the model does not distinguish the classes; try" in found.sentence

    def test_another_one(self):
        (found,) = collapse_warnings([[4, 0, 0], [50, 0, 0], [6, 0, 0]], CLASSES, "test image", "classical")
        assert found.sentence == (
            "every test image was predicted as 'angry': the model does not distinguish the classes; "
            "try model.class_weight=balanced, or another model."
        )

    @pytest.mark.parametrize(
        "counts", [np.diag([0, 9, 0]), [[0, 0, 0], [3, 3, 3], [0, 0, 0]], np.zeros((3, 3))]
    )
    def test_images_of_one_class_have_nothing_to_distinguish(self, counts):
        assert collapse_warnings(counts, CLASSES) == []


class TestClassAtChance:
    def test_all_such_classes_stand_in_one_sentence(self):
        counts = [[80, 10, 10, 0], [3, 60, 7, 0], [30, 13, 7, 0], [1, 1, 1, 0]]
        (found,) = collapse_warnings(counts, ["angry", "happy", "sad", "fear"])
        assert found.kind == "class_at_chance"
        # Chance of 'sad' is 25 of all 223 images, and 7 of 50 is above it: 14.0 % and 11.2 %.
        assert [one.name for one in found.classes] == ["fear"]
        assert "on the 223 validation images: fear 0 of 3 (never predicted; too few images to tell);" in (
            found.sentence
        )
        counts[2] = [30, 16, 4, 0]
        (found,) = collapse_warnings(counts, ["angry", "happy", "sad", "fear"])
        assert "sad 4 of 50 (chance 9.9%), fear 0 of 3 (never predicted; too few images" in found.sentence
        assert "sampling.name=balanced" in found.sentence

    def test_recall_of_exactly_chance_is_at_chance(self):
        counts = [[30, 10, 0], [10, 30, 0], [3, 3, 0]]
        assert [one.name for one in collapse_warnings(counts, CLASSES)[0].classes] == ["sad"]
        exact = [[40, 10, 10], [10, 40, 10], [15, 15, 6]]  # 6 of 36, and 26 of 156: one sixth
        (found,) = collapse_warnings(exact, CLASSES)
        assert [one.name for one in found.classes] == ["sad"]
        exact[2] = [14, 15, 7]
        assert collapse_warnings(exact, CLASSES) == []

    def test_few_images_are_called_few_and_many_are_not(self):
        for images, few in ((collapse.FEW, True), (collapse.FEW + 1, False)):
            (found,) = collapse_warnings([[40, 5, 0], [5, 40, 0], [images, 0, 0]], CLASSES)
            assert ("too few images to tell" in found.sentence) is few

    def test_classes_without_an_image_are_left_out(self):
        counts = [[40, 5, 1], [5, 40, 1], [0, 0, 0]]
        assert collapse_warnings(counts, CLASSES, "image", "other_data") == []

    def test_hundreds_of_classes_are_not_all_named(self):
        counts = np.diag([40] * 20 + [0] * 20)
        counts[20:, 0] = 1
        (found,) = collapse_warnings(counts, [f"c{n}" for n in range(40)])
        assert len(found.classes) == 20
        assert "c31 0 of 1 (never predicted; too few images to tell), and 8 more classes;" in found.sentence


class TestAtChance:
    def test_shuffled_predictions(self):
        rng = np.random.default_rng(1)
        counts = np.zeros((3, 3), int)
        np.add.at(counts, (rng.integers(0, 3, 300), rng.integers(0, 3, 300)), 1)
        found = collapse_warnings(counts, CLASSES)
        assert kinds(found)[0] == "at_chance"
        assert "shuffled predictions reach too (chance 33.3%, p = 0." in found[0].sentence
        assert found[0].numbers["p"] > 0.025

    def test_the_p_value_is_the_exact_one_of_fisher_for_two_classes(self):
        """Of two classes, balanced accuracy grows with the first cell: a hypergeometric tail."""
        from scipy.stats import fisher_exact

        counts = np.array([[12, 8], [7, 13]])
        exact = fisher_exact(counts, alternative="greater").pvalue
        assert permutation_p(counts) == pytest.approx(exact, abs=0.015)
        assert 0.05 < exact < 0.2

    def test_a_good_model_is_far_from_it(self):
        assert permutation_p(HEALTHY) == pytest.approx(1 / (collapse.PERMUTATIONS + 1))

    def test_so_few_images_that_even_perfect_predictions_show_nothing(self):
        assert collapse_warnings(np.diag([1, 1, 1]), CLASSES) == [], "one in six orders"
        assert collapse_warnings(np.diag([2, 2, 2]), CLASSES) == [], "one in ninety"
        assert "at_chance" not in kinds(collapse_warnings([[1, 0, 0], [1, 0, 0], [0, 1, 0]], CLASSES))

    def test_few_images_are_called_few(self):
        """The same shares of ten images a class, and of one hundred."""
        counts = np.array([[7, 3], [4, 6]])
        (found,) = collapse_warnings(counts, ["happy", "sad"])
        assert "cannot be distinguished from guessing on so few images; check" in found.sentence
        assert collapse_warnings(10 * counts, ["happy", "sad"]) == []
        (found,) = collapse_warnings([[25, 25], [24, 26]], ["happy", "sad"])
        assert "cannot be distinguished from guessing; check" in found.sentence

    def test_chance_of_absent_classes(self):
        counts = np.array([[6, 2, 2], [2, 6, 2], [0, 0, 0]])
        shares, balanced = chance(counts)
        assert shares.tolist() == [0.4, 0.4, 0.2] and balanced == pytest.approx(0.4)
        assert chance(HEALTHY)[1] == pytest.approx(1 / 3)


class TestAveraging:
    labels = np.arange(200) % 4

    def predictions(self, wrong):
        return np.where(np.arange(200) < wrong, (self.labels + 1) % 4, self.labels)

    def test_far_below_the_plain_ones(self):
        found = averaging_warnings(self.labels, self.predictions(20), self.predictions(120), 0.998, 40)
        assert kinds(found) == ["averaged_below_plain"]
        sentence = found[0].sentence
        assert (
            "averaged weights predict 40.0% of the validation images correctly, the plain ones 90.0%"
            in sentence
        )
        assert (
            "of 40 steps, the average is nearly the plain mean over all of them, the first ones" in sentence
        )
        assert "fit.ema=0.8 fits 40 steps" in sentence
        assert found[0].numbers["p"] < 1e-20

    def test_old_and_far_below(self):
        found = averaging_warnings(self.labels, self.predictions(20), self.predictions(120), 0.9, 4000)
        assert "the average trails the weights; train with fit.ema=0." in found[0].sentence

    def test_younger_than_the_decay(self):
        found = averaging_warnings(self.labels, self.predictions(20), self.predictions(18), 0.998, 400)
        assert kinds(found) == ["young_average"]
        assert "averages over about 500 steps, and the training had 400" in found[0].sentence
        assert found[0].sentence.endswith("fit.ema=0.97 fits 400 steps.")

    def test_of_a_handful_of_steps(self):
        """No average reaches back less far, so that the plain weights are all that could be advised."""
        for wrong, said in ((22, ["young_average"]), (18, [])):
            found = averaging_warnings(self.labels, self.predictions(20), self.predictions(wrong), 0.998, 8)
            assert kinds(found) == said

    @pytest.mark.parametrize(("plain", "averaged"), [(20, 20), (20, 24), (60, 20)])
    def test_nothing_is_said_of_a_good_average(self, plain, averaged):
        found = averaging_warnings(
            self.labels, self.predictions(plain), self.predictions(averaged), 0.998, 500
        )
        assert found == []

    def test_a_decay_that_fits(self):
        steps = (1, 10, 11, 40, 100, 2000, 100_000)
        assert [fitting_decay(n) for n in steps] == [0, 0, 0.1, 0.8, 0.9, 0.995, 0.9999]
