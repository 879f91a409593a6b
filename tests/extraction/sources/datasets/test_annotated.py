import io

import numpy as np
import pytest

from landmarkfer.errors import SourceError
from landmarkfer.extraction.sources.open import open_source


def npy(value):
    file = io.BytesIO()
    np.save(file, np.array(value))
    return file.getvalue()


@pytest.fixture
def affectnet(tree):
    root = tree("val_set/images/7.jpg", "train_set/images/7.jpg", "train_set/images/8.jpg")
    for name, value in (("train_set/annotations/7", "3"), ("val_set/annotations/7", 10)):
        (root / name).parent.mkdir(exist_ok=True)
        (root / f"{name}_exp.npy").write_bytes(npy(value))
        (root / f"{name}_lnd.npy").write_bytes(npy([1.0]))
    return root


def test_annotations_go_with_the_images_beside_them(affectnet, facts):
    source = open_source(affectnet)
    assert facts(source) == [
        ("train_set/images/7.jpg", "surprise", "train", None),
        ("train_set/images/8.jpg", None, "train", None),
        ("val_set/images/7.jpg", None, "val", None),
    ]
    assert source.ignored == 0
    assert "Labels that mean no class: '10' (1)" in source.remarks[1]


def test_a_damaged_annotation_is_named(affectnet):
    (affectnet / "train_set/annotations/7_exp.npy").write_bytes(b"broken")
    with pytest.raises(SourceError, match=r"7_exp\.npy, an annotation of AffectNet, cannot be read"):
        open_source(affectnet)


def test_only_the_annotated_image_of_a_ck_sequence_has_a_label(tree, facts):
    root = tree(*(f"images/S{p:03d}/002/S{p:03d}_002_{f:08d}.png" for p in (5, 6) for f in (1, 2)))
    folder = root / "Emotion_labels/Emotion/S005/002"
    folder.mkdir(parents=True)
    (folder / "S005_002_00000002_emotion.txt").write_text("   5.0000000e+00\n")
    source = open_source(root)
    assert [(label, group) for _, label, _, group in facts(source)] == [
        (None, "S005"),
        ("happy", "S005"),
        (None, "S006"),
        (None, "S006"),
    ]
