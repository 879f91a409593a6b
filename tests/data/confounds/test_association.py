import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mutual_info_score

from landmarkfer.data.confounds.association import associate

PRIOR = np.array([0.5, 0.3, 0.15, 0.05])


def rejections(draw, repeats, alpha=0.05):
    """How many of the p-values of `draw(rng)` are at most `alpha`."""
    # Another seed of the test for each, or else they all share the error of one set of shuffled tables.
    return sum(
        associate(*draw(np.random.default_rng(seed)), permutations=200, seed=10_000 + seed).p <= alpha
        for seed in range(repeats)
    )


def most_expected(repeats, alpha=0.05):
    """What is exceeded once in a thousand times where the level of a test is right."""
    return stats.binom.ppf(0.999, repeats, alpha)


def test_share_is_the_mutual_information_beyond_chance():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    values = np.where(rng.random(400) < 0.4, labels, rng.integers(0, 3, 400))
    raw = mutual_info_score(values, labels) / stats.entropy(np.bincount(labels))
    chance = np.mean([mutual_info_score(values, rng.permutation(labels)) for _ in range(300)])
    found = associate(values, labels)
    assert found.share == pytest.approx(raw - chance / stats.entropy(np.bincount(labels)), abs=5e-4)
    assert found.p == pytest.approx(1 / 1001)


def test_a_feature_that_determines_the_label_explains_all_of_it():
    labels = np.arange(600) % 3
    assert associate(labels, labels).share == pytest.approx(1, abs=0.02)
    assert associate((labels + 1) % 3, labels).share == pytest.approx(1, abs=0.02)


def test_many_values_explain_nothing_by_themselves():
    rng = np.random.default_rng(1)
    values, labels = rng.integers(0, 20, 500), rng.integers(0, 7, 500)
    raw = mutual_info_score(values, labels) / stats.entropy(np.bincount(labels))
    found = associate(values, labels)
    assert raw > 0.06
    assert abs(found.share) < 0.03


def test_independent_images_are_rejected_as_often_as_stated():
    def draw(rng):
        return rng.integers(0, 4, 200), rng.choice(4, 200, p=PRIOR)

    found = rejections(draw, 200)
    assert stats.binom.ppf(0.001, 200, 0.05) <= found <= most_expected(200)


def clustered(rng, constant_labels=True):
    """30 people of 1 to 40 images, whose feature and label are constant for each, and independent."""
    size = rng.integers(1, 41, 30)
    group = np.repeat(np.arange(30), size)
    values = rng.integers(0, 3, 30)[group]
    labels = rng.choice(4, 30, p=PRIOR)[group] if constant_labels else rng.choice(4, len(group), p=PRIOR)
    return values, labels, group


@pytest.mark.slow
def test_groups_are_rejected_as_often_as_stated():
    assert rejections(lambda rng: clustered(rng)[:2], 100) > 90, "taken as independent, nearly always"
    found = rejections(clustered, 300)
    assert stats.binom.ppf(0.001, 300, 0.05) <= found <= most_expected(300)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["labels vary", "both vary", "sizes differ"])
def test_groups_of_images_that_vary_are_never_rejected_too_often(kind):
    def draw(rng):
        if kind == "labels vary":
            return clustered(rng, constant_labels=False)
        size = rng.geometric(0.2, 80) if kind == "both vary" else np.repeat([60, 1], 40)
        group = np.repeat(np.arange(len(size)), size)
        values = rng.integers(0, 3, len(group)) if kind == "both vary" else (size == 1).astype(int)[group]
        return values, rng.choice(4, len(group), p=PRIOR), group

    assert rejections(draw, 200) <= most_expected(200)


def test_people_do_not_pass_for_an_association():
    shares, p = zip(*(associate(*clustered(np.random.default_rng(seed))) for seed in range(20)), strict=True)
    naive = [associate(*clustered(np.random.default_rng(seed))[:2]) for seed in range(20)]
    assert np.mean([one.share for one in naive]) > 0.05
    assert abs(np.mean(shares)) < 0.03
    assert sum(value <= 0.05 for value in p) <= most_expected(20)


def test_an_association_over_groups_is_found():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(200), rng.integers(1, 30, 200))
    labels = rng.choice(4, 200, p=PRIOR)
    values = np.where(rng.random(200) < 0.7, labels, rng.integers(0, 4, 200))
    found = associate(values[group], labels[group], group)
    assert found.p < 0.01
    assert found.share > 0.3


def test_one_draw_may_hold_one_class_alone():
    labels = np.array([0, 1, 0, 1])
    found = associate(np.array([0, 1, 0, 1]), labels, np.array([0, 0, 1, 1]))
    assert 0 < found.p <= 1
    assert np.isfinite(found.share)


def test_the_same_seed_gives_the_same():
    arguments = clustered(np.random.default_rng(5))
    assert associate(*arguments) == associate(*arguments)
