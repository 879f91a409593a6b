import numpy as np
import pytest

from landmarkfer.data.duplicates import candidates
from landmarkfer.data.duplicates.candidates import Descriptor, candidate_pairs
from landmarkfer.data.duplicates.patches import SIDE, Patches


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def random_patches(count, seed=0):
    grey = np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)
    return Patches.of(grey, np.ones(grey.shape, bool))


@pytest.mark.parametrize("block_values", [1, 150, 2**25])
def test_pairs_are_those_of_comparing_all_with_all(monkeypatch, block_values):
    monkeypatch.setattr(candidates, "_BLOCK_VALUES", block_values)
    rng = np.random.default_rng(0)
    first, second = (unit(rng.standard_normal((40, 3))) for _ in range(2))
    cosines = first @ second.T
    expected = [[i, j] for i in range(40) for j in range(i + 1, 40) if cosines[i, j] >= 0.8]
    assert candidate_pairs(first, second, 0.8).tolist() == expected
    assert len(expected) > 10


def test_least_cosine_is_inclusive():
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    assert candidate_pairs(vectors, vectors, 0.6).tolist() == [[0, 1], [1, 2]]
    assert candidate_pairs(vectors, vectors, 0.61).tolist() == [[1, 2]]
    assert candidate_pairs(vectors, vectors, 0.9).shape == (0, 2)


def test_no_image_and_one_image_have_no_pairs():
    for count in (0, 1):
        vectors = np.ones((count, 3), np.float32)
        assert candidate_pairs(vectors, vectors, 0.5).shape == (0, 2)


@pytest.mark.parametrize("block_values", [70, 2**25])
def test_an_image_keeps_its_closest_partners(monkeypatch, block_values):
    monkeypatch.setattr(candidates, "_BLOCK_VALUES", block_values)
    monkeypatch.setattr(candidates, "MOST_PARTNERS", 2)
    angles = np.array([0, 0.3, 0.1, 0.2])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert candidate_pairs(vectors, vectors, 0.5).tolist() == [[0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]


def test_progress_reaches_the_end(monkeypatch, recorder):
    monkeypatch.setattr(candidates, "_BLOCK_VALUES", 70)
    vectors = np.ones((10, 3), np.float32)
    candidate_pairs(vectors, vectors, 0.5, recorder)
    assert len(recorder.steps) > 1
    assert recorder.steps[-1] == (10, 10)
    candidate_pairs(vectors, vectors, 0.5, recorder, done=10, of=20)
    assert recorder.steps[-1] == (20, 20)


@pytest.mark.parametrize("count", [30, 600])
def test_vectors_have_length_one_and_equal_patches_point_alike(count):
    patches = random_patches(count)
    describe = Descriptor.fit(patches)
    assert (describe.basis is None) == (count < 500), "too few to estimate components of"
    vectors = describe(patches)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(describe(random_patches(count)), vectors)
    cosines = vectors @ vectors.T
    assert cosines[~np.eye(count, dtype=bool)].max() < 0.6


def test_invalid_patches_have_no_direction():
    patches = random_patches(5)
    patches.valid[2] = False
    assert (Descriptor.fit(patches)(patches)[2] == 0).all()
