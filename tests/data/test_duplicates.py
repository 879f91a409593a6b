import numpy as np
import pytest
from PIL import Image, ImageFilter

from landmarkfer.data.duplicates import HASH_BITS, NEAR_RADIUS, count_groups, near_pairs, perceptual_hash


def photo(seed):
    rng = np.random.default_rng(seed)
    noise = Image.fromarray(rng.integers(0, 256, (6, 6), dtype=np.uint8))
    return noise.resize((96, 96), Image.Resampling.BICUBIC)


def flipped(bits, *places):
    changed = bits.copy()
    changed[list(places)] ^= True
    return changed


@pytest.mark.parametrize("block_values", [1, 150, 2**25])
def test_pairs_are_those_of_comparing_all_with_all(monkeypatch, block_values):
    monkeypatch.setattr("landmarkfer.data.duplicates._BLOCK_VALUES", block_values)
    rng = np.random.default_rng(0)
    base = rng.random((12, HASH_BITS)) < 0.5
    hashes = base[rng.integers(0, 12, 40)] ^ (rng.random((40, HASH_BITS)) < 0.04)
    distance = (hashes[:, None] != hashes[None]).sum(axis=2)
    expected = [(i, j) for i in range(40) for j in range(i + 1, 40) if distance[i, j] <= 5]
    pairs, distances = near_pairs(hashes, 5)
    assert sorted(map(tuple, pairs.tolist())) == expected
    assert len(expected) > 10
    assert distances.tolist() == [distance[i, j] for i, j in pairs]


def test_radius_is_inclusive():
    bits = np.arange(HASH_BITS) % 3 == 0
    hashes = np.stack([bits, flipped(bits, 1, 2), flipped(bits, 10, 20, 30)])
    assert near_pairs(hashes, 2)[0].tolist() == [[0, 1]]
    assert near_pairs(hashes, 3)[0].tolist() == [[0, 1], [0, 2]]
    assert near_pairs(hashes, 0)[0].shape == (0, 2)


def test_no_hash_and_one_hash_have_no_pairs():
    for count in (0, 1):
        pairs, distances = near_pairs(np.zeros((count, HASH_BITS), bool), 4)
        assert pairs.shape == (0, 2)
        assert distances.shape == (0,)


def test_progress_reaches_the_end(monkeypatch, recorder):
    monkeypatch.setattr("landmarkfer.data.duplicates._BLOCK_VALUES", 70)
    near_pairs(np.zeros((10, HASH_BITS), bool), 0, recorder)
    assert len(recorder.steps) > 1
    assert recorder.steps[-1] == (10, 10)


def test_hash_stays_near_under_what_copies_undergo_and_far_otherwise():
    original = perceptual_hash(photo(1))
    for copy in (
        photo(1).resize((48, 48), Image.Resampling.BICUBIC),
        photo(1).convert("RGB"),
        photo(1).filter(ImageFilter.GaussianBlur(1)),
        photo(1).point(lambda value: value * 0.8 + 20),
    ):
        assert np.sum(perceptual_hash(copy) != original) <= NEAR_RADIUS
    assert np.sum(perceptual_hash(photo(2)) != original) > NEAR_RADIUS


@pytest.mark.parametrize(
    ("pairs", "groups"),
    [([], 0), ([[3, 9]], 1), ([[0, 1], [1, 2], [5, 7]], 2), ([[0, 1], [2, 3], [1, 3]], 1)],
)
def test_groups_that_pairs_link(pairs, groups):
    assert count_groups(np.array(pairs, dtype=np.int64).reshape(-1, 2)) == groups
