import pickle

import numpy as np
import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.decode import UnreadableImage
from landmarkfer.extraction.sources.open import open_source

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (4, 6, 6), np.uint8)


def pixels(source, number):
    return pickle.loads(pickle.dumps(source.reader)).read(source.entries[number].key)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (GREY, GREY),
        (GREY[..., None], GREY),
        (GREY[:, None], GREY),
        (GREY.astype(np.float32) / 255, GREY),
        (GREY.astype(np.float64), GREY),
        (np.repeat(GREY[..., None], 3, 3), np.repeat(GREY[..., None], 3, 3)),
        (np.repeat(GREY[:, None], 3, 1), np.repeat(GREY[..., None], 3, 3)),
    ],
)
def test_layouts_of_images(tmp_path, images, expected):
    np.savez(tmp_path / "x.npz", images=images, labels=np.array(["happy", "sad", "happy", "fear"]))
    source = open_source(tmp_path / "x.npz")
    assert [entry.label for entry in source.entries] == ["happy", "sad", "happy", "fear"]
    for number in (3, 0):
        np.testing.assert_array_equal(pixels(source, number), expected[number])


def test_splits_are_in_the_names(tmp_path):
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"X_{split}"], arrays[f"y_{split}"] = GREY, np.eye(4)
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    source = open_source(tmp_path / "x.npz", label_names=["0=happy", "1=sad", "2=fear", "3="])
    assert [entry.split for entry in source.entries] == ["train"] * 4 + ["val"] * 4 + ["test"] * 4
    assert [entry.label for entry in source.entries][:4] == ["happy", "sad", "fear", None]


def test_pairs_of_files_in_a_folder(tmp_path, facts):
    for name, array in (("train_images", GREY), ("train_labels", [0, 1, 0, 1]), ("test_images", GREY[:2])):
        np.save(tmp_path / f"{name}.npy", np.array(array))
    source = open_source(tmp_path)
    assert [entry.split for entry in source.entries] == ["test"] * 2 + ["train"] * 4
    assert [entry.label for entry in source.entries] == [None, None, "0", "1", "0", "1"]


def test_labels_in_a_file_of_their_own(tmp_path):
    np.save(tmp_path / "faces.npy", GREY)
    np.save(tmp_path / "moods.npy", np.array([b"happy", b"sad", b"sad", b"sad"]))
    source = open_source(tmp_path / "faces.npy", labels=tmp_path / "moods.npy")
    assert [entry.label for entry in source.entries] == ["happy", "sad", "sad", "sad"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.arange(3)}, r"holds the arrays a \[3\], and none of images"),
        ({"x": GREY, "y": np.arange(3)}, "holds 4 images, and y 3 labels"),
        ({"x": np.array([{}], object)}, "none of images"),
        ({"x": GREY, "y": np.array([None] * 4)}, "pickled, which can run code"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(SourceError, match=message):
        open_source(tmp_path / "x.npz")


def test_values_that_are_no_pixels_cost_their_image_alone(tmp_path):
    images = GREY.astype(np.float32) / 255
    images[1, 0, 0] = np.nan
    np.savez(tmp_path / "x.npz", x=images, y=np.arange(4))
    source = open_source(tmp_path / "x.npz")
    with pytest.raises(UnreadableImage, match="not numbers"):
        pixels(source, 1)
    np.testing.assert_array_equal(pixels(source, 0), GREY[0])


def test_soft_labels_and_arrays_that_are_not_used(tmp_path):
    np.savez(tmp_path / "soft.npz", x=GREY, y=np.full((4, 2), 0.5))
    with pytest.raises(SourceError, match="and not one-hot"):
        open_source(tmp_path / "soft.npz")
    np.savez(tmp_path / "more.npz", images=GREY, labels=np.arange(4), split=np.arange(4), person=np.arange(4))
    assert "Arrays that are not used: split, person." in open_source(tmp_path / "more.npz").remarks
    np.savez(tmp_path / "odd.npz", x_train=GREY, y_train=np.arange(4), x_extra=GREY, y_extra=np.arange(4))
    assert "x_extra states no split; --split-names does." in open_source(tmp_path / "odd.npz").remarks
