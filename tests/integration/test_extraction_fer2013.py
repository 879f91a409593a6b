"""Extraction of real data, read in place from its archive."""

import pytest

from landmarkfer.extraction import ExtractSettings, extract
from landmarkfer.extraction.sources.open import open_source

pytestmark = pytest.mark.fer2013


def sample_of(path, every):
    source = open_source(path)
    source.entries = source.entries[::every]
    return source


def test_nearly_every_face_is_found_with_default_settings(detector, fer2013_zip, tmp_path):
    source = sample_of(fer2013_zip, 240)
    summary = extract(source, tmp_path / "cache", workers=2, part_rows=64)
    assert len(summary.cache) == 150
    # Over all images 98.9 % are found with facemesh and about 97 % with landmarker.
    least = 0.97 if detector.name == "facemesh" else 0.94
    assert summary.counts["ok"] >= least * 150
    assert summary.counts["unreadable"] == 0
    assert set(summary.by_class) == {"angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"}
    frame = summary.cache.frame()
    assert (frame[["width", "height"]] == 48).all(axis=None)
    assert summary.cache.faces([7])[0] == source.reader.read(source.entries[7].key), "the file as it is"


def test_landmarker_finds_faces_and_blendshapes(fer2013_zip, landmarker_path, tmp_path):
    source = sample_of(fer2013_zip, 700)
    settings = ExtractSettings(detector="landmarker", passes=2, crop=48)
    summary = extract(source, tmp_path / "cache", settings, workers=2, landmarker=landmarker_path)
    assert summary.counts["ok"] >= 0.9 * len(summary.cache)
    frame = summary.cache.frame()
    found = (frame["status"] == "ok").to_numpy()
    blendshapes = summary.cache.blendshapes()
    assert ((blendshapes[found] >= 0) & (blendshapes[found] <= 1)).all()
    assert frame.loc[found, "detections"].mean() > 1.9
    assert frame["spread"].median() < 0.1
    happy = (frame["label"] == "happy").to_numpy() & found
    smile = blendshapes[:, [44, 45]].mean(axis=1)  # mouthSmileLeft and mouthSmileRight
    assert smile[happy].mean() > 2 * smile[found & ~happy].mean()
