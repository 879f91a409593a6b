import numpy as np
import pytest
import torch

from landmarkfer.config.data import DataSettings, NormalisationSettings
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.cache_writer import CacheWriter, write_cache
from landmarkfer.data.dataset import label_images, load_dataset
from landmarkfer.data.row import Row
from landmarkfer.errors import CacheError
from landmarkfer.face.geometry import normalise
from landmarkfer.face.landmarks import CANONICAL


@pytest.fixture(scope="module")
def dataset(tiny_cache):
    return load_dataset(tiny_cache, NormalisationSettings())


def test_rows_are_those_of_the_cache(tiny_cache, dataset):
    frame = tiny_cache.frame()
    assert len(dataset) == len(frame)
    assert list(dataset.frame["id"]) == list(frame["id"])
    assert dataset.classes == ("angry", "happy", "sad")
    assert dataset.faces.has_face.tolist() == (frame["status"] == "ok").tolist()
    number = {"angry": 0, "happy": 1, "sad": 2}
    expected = [
        number[label] if known else -1
        for label, known in zip(frame["label"], frame["label"].notna(), strict=True)
    ]
    assert dataset.faces.labels.tolist() == expected
    assert expected.count(-1) == 1


def test_landmarks_are_normalised_with_the_size_of_their_image(tiny_cache, dataset):
    raw = tiny_cache.landmarks()
    has_face = dataset.faces.has_face.numpy()
    expected = normalise(raw[has_face], 200, 100)
    np.testing.assert_array_equal(dataset.faces.landmarks.numpy()[has_face], expected)
    assert (dataset.faces.landmarks.numpy()[~has_face] == 0).all()
    kept = load_dataset(tiny_cache, NormalisationSettings(align="none", scale="interocular"))
    np.testing.assert_array_equal(
        kept.faces.landmarks.numpy()[has_face],
        normalise(raw[has_face], 200, 100, align="none", scale="interocular"),
    )


def test_blendshapes_where_the_detector_gives_them(make_rows, dataset, tmp_path):
    assert dataset.faces.blendshapes is None
    rows = make_rows()
    seen = next(number for number, row in enumerate(rows) if row.landmarks is not None)
    rows[seen].blendshapes = np.linspace(0, 1, 52, dtype=np.float32)
    faces = load_dataset(write_cache(tmp_path / "scored", rows), NormalisationSettings()).faces
    np.testing.assert_array_equal(faces.blendshapes[seen].numpy(), rows[seen].blendshapes)
    others = torch.arange(len(rows)) != seen
    assert (faces.blendshapes[others] == 0).all()


def test_deviations_are_of_normalised_faces(make_rows, tmp_path, dataset):
    """A first detection that is shifted and larger is normalised to the same face: no error of its shape."""
    assert dataset.faces.deviation is None
    rows = make_rows()
    seen = [number for number, row in enumerate(rows) if row.landmarks is not None][:2]
    shifted, bent = (rows[number] for number in seen)
    shifted.deviation = (0.1 * (shifted.landmarks - shifted.landmarks.mean(axis=0)) + 0.05).astype(np.float16)
    bent.deviation = np.zeros((478, 3), np.float16)
    bent.deviation[:40, 1] = 0.02
    cache = write_cache(tmp_path / "twice", rows)
    assert load_dataset(cache, NormalisationSettings()).faces.deviation is None, "not read unless wanted"
    faces = load_dataset(cache, NormalisationSettings(), deviations=True).faces
    assert faces.deviation[seen[0]].abs().max() < 2e-3
    alone = normalise(bent.landmarks + bent.deviation, bent.width, bent.height)
    expected = alone - faces.landmarks[seen[1]].numpy()
    np.testing.assert_allclose(faces.deviation[seen[1]].numpy(), expected, atol=1e-6)
    assert faces.deviation[seen[1]].abs().max() > 0.02
    others = torch.ones(len(rows), dtype=torch.bool)
    others[seen] = False
    assert (faces.deviation[others] == 0).all()
    shuffled = load_dataset(cache, NormalisationSettings(), shuffled=True, deviations=True).faces
    place = int((shuffled.landmarks == faces.landmarks[seen[1]]).all(dim=2).all(dim=1).nonzero()[0, 0])
    assert place != seen[1]
    assert torch.equal(shuffled.deviation[place], faces.deviation[seen[1]])


def test_classes_of_a_model_trained_elsewhere(tiny_cache):
    labels = label_images(tiny_cache, DataSettings(), ("sad", "fear", "angry"))
    dataset = load_dataset(tiny_cache, NormalisationSettings(), labels)
    number = dict(zip(dataset.frame["label"], dataset.faces.labels.tolist(), strict=True))
    assert (number["sad"], number["angry"]) == (0, 2)
    assert "happy" not in number
    assert dataset.faces.labels.tolist().count(-1) == tiny_cache.frame()["label"].isin(["happy"]).sum() + 1


def test_an_unfinished_cache_is_refused(make_rows, tiny_cache, tmp_path):
    rows = make_rows()
    manifest = tiny_cache.manifest.model_copy(update={"complete": False, "counts": None})
    with CacheWriter(tmp_path / "cut", manifest, [row.id for row in rows]) as writer:
        writer.write_part(0, rows[:100])
    with pytest.raises(CacheError, match=f"not complete \\(100 of {len(rows)} rows\\)"):
        load_dataset(LandmarkCache.open(tmp_path / "cut"), NormalisationSettings())


def test_faces_without_the_size_of_their_image_are_refused(tmp_path):
    row = Row(id="a.png", label="happy", landmarks=0.5 + CANONICAL / 10)
    cache = write_cache(tmp_path / "sizeless", [row])
    with pytest.raises(CacheError, match=r"a\.png.*width and height"):
        load_dataset(cache, NormalisationSettings())
