import io
import pickle
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.framing import training_frame
from landmarkfer.data.row import Row
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.extraction import corrupt as corrupted
from landmarkfer.extraction import extract
from landmarkfer.extraction.corrupt import (
    corrupted_sources,
    drawn_source,
    folder_name,
    make_corrupted,
    make_training_copies,
    stratified_rows,
    unfinished,
    variants,
)
from landmarkfer.extraction.corruptions import corrupt
from landmarkfer.extraction.decode import UnreadableImage
from landmarkfer.extraction.encode import encode
from landmarkfer.face.alignment import aligned_crop, crop_landmarks
from landmarkfer.face.landmarks import OUTER_LIPS_RING

WANTED = [("clean", 0), ("blur", 5), ("occluded-mouth", 3)]


@pytest.fixture(scope="module")
def cache(detector, synthetic_dataset, tmp_path_factory):
    return extract(synthetic_dataset, tmp_path_factory.mktemp("own") / "made", workers=1).cache


@pytest.fixture(scope="module")
def rows(cache):
    return np.flatnonzero(cache.frame()["split"] == "test")


@pytest.fixture(scope="module")
def made(cache, rows, tmp_path_factory):
    return make_corrupted(cache, rows, tmp_path_factory.mktemp("copies"), WANTED, workers=2)


def pixels(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


class TestMaking:
    def test_the_clean_copy_is_what_the_cache_was(self, cache, rows, made):
        clean = made["clean", 0]
        columns = ["id", "label", "split", "subset", "status", "sha256", "attempts"]
        ours, theirs = clean.frame(columns), cache.frame(columns).iloc[rows].reset_index(drop=True)
        assert ours.equals(theirs)
        np.testing.assert_array_equal(clean.landmarks(), cache.landmarks(rows))
        assert clean.faces(range(len(rows))) == cache.faces(rows)
        assert clean.complete
        assert clean.manifest.settings == cache.manifest.settings
        assert clean.manifest.detector == cache.manifest.detector

    def test_images_are_corrupted_before_the_face_is_looked_for(self, cache, rows, made):
        bars = made["occluded-mouth", 3]
        known = cache.frame().iloc[rows]
        stored = zip(cache.faces(rows), bars.faces(range(len(rows))), cache.landmarks(rows), strict=True)
        for (before, after, points), name in zip(stored, known["id"], strict=True):
            expected = corrupt(pixels(before), "occluded-mouth", 3, points, name)
            np.testing.assert_array_equal(pixels(after), expected)
        found = bars.frame()
        assert found["id"].tolist() == known["id"].tolist()
        assert found["label"].tolist() == known["label"].tolist()
        assert (found["status"] == "ok").sum() >= 5
        moved = np.abs(bars.landmarks() - cache.landmarks(rows))[..., :2].max(axis=(1, 2))
        assert np.nanmin(moved) > 0, "the landmarks are those of the corrupted image"

    def test_the_copies_have_names(self, made):
        assert [copy.path.name for copy in made.values()] == ["clean-0", "blur-5", "occluded-mouth-3"]

    def test_a_second_call_detects_nothing(self, cache, rows, made, monkeypatch):
        root = made["clean", 0].path.parent
        monkeypatch.setattr(corrupted, "start_workers", lambda *_: pytest.fail("a worker was started"))
        again = make_corrupted(cache, rows, root, WANTED)
        assert {k: copy.fingerprint for k, copy in again.items()} == {
            k: copy.fingerprint for k, copy in made.items()
        }

    @pytest.mark.slow
    def test_stopped_it_goes_on_where_it_was(self, cache, rows, made, tmp_path, recorder):
        recorder.stop = len(rows) + 2
        with pytest.raises(KeyboardInterrupt):
            make_corrupted(cache, rows, tmp_path, WANTED, workers=1, progress=recorder)
        assert unfinished(tmp_path, WANTED) == WANTED[1:]
        kept = LandmarkCache.open(tmp_path / "clean-0").parts[0].stat().st_mtime_ns
        recorder.stop = None
        recorder.calls.clear()
        again = make_corrupted(cache, rows, tmp_path, WANTED, workers=1, progress=recorder)
        assert again["clean", 0].parts[0].stat().st_mtime_ns == kept
        assert {k: c.fingerprint for k, c in again.items()} == {k: c.fingerprint for k, c in made.items()}
        n = len(rows)
        assert sorted(set(recorder.steps)) == [(k, 3 * n) for k in range(n, 3 * n + 1)]

    def test_a_copy_of_another_cache_is_refused(self, cache, rows, made, tmp_path):
        other = write_cache(tmp_path / "made", [_row(cache, row) for row in rows[:3]])
        manifest = other.manifest.model_copy(
            update={"detector": cache.manifest.detector, "settings": cache.manifest.settings}
        )
        (other.path / "manifest.json").write_text(manifest.model_dump_json())
        with pytest.raises(CacheError, match="kind of source is clean-0 of"):
            make_corrupted(
                LandmarkCache.open(other.path), np.arange(3), made["clean", 0].path.parent, WANTED[:1]
            )

    def test_a_cache_of_no_detector_or_another_model(self, cache, rows, tmp_path):
        other = write_cache(tmp_path / "made", [_row(cache, row) for row in rows[:3]])
        with pytest.raises(CacheError, match="by the detector 'none', which cannot"):
            make_corrupted(other, np.arange(3), tmp_path / "copies", WANTED)
        detector = cache.manifest.detector.model_copy(update={"model_sha256": "0" * 64})
        manifest = other.manifest.model_copy(update={"detector": detector})
        (other.path / "manifest.json").write_text(manifest.model_dump_json())
        with pytest.raises(CacheError, match="by another model of"):
            make_corrupted(LandmarkCache.open(other.path), np.arange(3), tmp_path / "copies", WANTED)


def _row(cache, number):
    known = cache.frame(["id", "label"]).iloc[number]
    return Row(id=known["id"], label=known["label"], status="no_face", faces=0, face=cache.faces([number])[0])


CHOSEN = ("low-light", "occluded-mouth")


@pytest.fixture(scope="module")
def copies(cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("training") / "made-corrupted"
    return make_training_copies(cache, folder, CHOSEN, workers=2)


class TestTrainingCopies:
    """One cache, of all images but the test images, each corrupted in a drawn way."""

    def test_each_image_is_corrupted_before_the_face_is_looked_for(self, cache, copies):
        rows = np.flatnonzero(cache.frame()["split"] != "test")
        columns = ["id", "label", "split", "subset"]
        ours, theirs = copies.cache.frame(columns), cache.frame(columns).iloc[rows].reset_index(drop=True)
        assert ours.equals(theirs) and len(ours)
        ways = [(name, severity) for name in CHOSEN for severity in range(1, 6)]
        drawn = Counter()
        stored = zip(
            ours["id"],
            cache.faces(rows),
            copies.cache.faces(range(len(rows))),
            cache.landmarks(rows),
            strict=True,
        )
        for name, before, after, points in stored:
            fitting = [
                way for way in ways if (corrupt(pixels(before), *way, points, name) == pixels(after)).all()
            ]
            assert len(fitting) == 1
            drawn.update(fitting)
        assert len(drawn) > 4 and {name for name, _ in drawn} == set(CHOSEN)
        assert copies.cache.manifest.settings == cache.manifest.settings

    def test_the_draw_is_the_seeds_and_other_copies_are_not_mixed(self, cache, copies):
        again = make_training_copies(cache, copies.cache.path, CHOSEN)
        assert (again.extracted, again.cache.fingerprint) == (0, copies.cache.fingerprint)
        rows = np.arange(20)
        keys = [
            [entry.key for entry in drawn_source(cache, rows, CHOSEN, seed).entries] for seed in (0, 0, 1)
        ]
        assert keys[0] == keys[1] != keys[2]
        with pytest.raises(CacheError, match=r"drawn with seed 0 of .*drawn with seed 1 of"):
            make_training_copies(cache, copies.cache.path, CHOSEN, seed=1)

    def test_reframed_images_show_the_face_as_the_frame_does(self, cache, tmp_path):
        rows = np.flatnonzero(cache.frame()["split"] != "test")
        frame = training_frame(cache, rows)
        source = drawn_source(cache, rows, ["reframed"], 0)
        assert len({entry.key.split("/")[1] for entry in source.entries}) > 2
        reader = pickle.loads(pickle.dumps(source.reader))
        again = make_training_copies(cache, tmp_path / "copies", ["reframed"], crop=64, workers=1).cache
        assert again.manifest.settings == {**cache.manifest.settings, "crop": 64}
        before, after = [], []
        for entry, points, found in zip(
            source.entries, cache.landmarks(rows), again.landmarks(), strict=True
        ):
            picture = pixels(reader.read(entry.key))
            assert picture.shape == (frame.size, frame.size, 3)
            np.testing.assert_array_equal(picture, pixels(source.reader.read(entry.key)))
            before.append(np.abs(points[:, :2] - frame.array).mean())
            after.append(np.abs(found[:, :2] - frame.array).mean())
        assert np.nanmean(after) < np.nanmean(before)
        assert np.nanmean(after) < 0.05

    def test_without_a_frame_nothing_is_reframed(self, make_pictured_rows, tmp_path):
        crops = write_cache(tmp_path / "crops", make_pictured_rows(), settings={"crop": 24})
        with pytest.raises(CacheError, match="no frame to bring its faces into"):
            drawn_source(crops, np.arange(len(crops)), ["reframed"], 0)

    def test_what_cannot_be_done(self, cache, tmp_path, make_rows):
        with pytest.raises(SettingsError, match="no corruption 'fog'"):
            make_training_copies(cache, tmp_path / "x", ["fog"])
        tests = write_cache(tmp_path / "tests", [row for row in make_rows() if row.split == "test"])
        with pytest.raises(CacheError, match="nothing but test images"):
            make_training_copies(tests, tmp_path / "x")


class TestReader:
    def test_grey_stays_grey_and_what_is_not_there_is_unreadable(self, make_pictured_rows, tmp_path):
        cache = write_cache(tmp_path / "cache", make_pictured_rows())
        rows = np.flatnonzero(cache.frame()["split"] == "test")
        source = corrupted_sources(cache, rows, [("noise", 4)])["noise", 4]
        reader = pickle.loads(pickle.dumps(source.reader))
        frame = cache.frame().iloc[rows]
        for entry, status in zip(source.entries, frame["status"], strict=True):
            if status == "unreadable":
                with pytest.raises(UnreadableImage, match="the cache holds no image of it"):
                    reader.read(entry.key)
                continue
            with Image.open(io.BytesIO(reader.read(entry.key))) as image:
                assert (image.mode, image.size, image.format) == ("L", (24, 24), "PNG")
        assert [entry.id for entry in source.entries] == frame["id"].tolist()
        assert [entry.subset for entry in source.entries] == frame["subset"].tolist()

    def test_in_aligned_crops_the_bar_lies_where_the_mouth_is(self, synthetic_faces, tmp_path):
        face = synthetic_faces[0]
        height, width = face.image.shape[:2]
        landmarks = np.column_stack([face.landmarks / (width, height), np.zeros(478)])
        crop = aligned_crop(face.image, landmarks, 96)
        row = Row("a.png", width=width, height=height, landmarks=landmarks, face=encode(crop))
        cache = write_cache(tmp_path / "crops", [row], settings={"crop": 96})
        source = corrupted_sources(cache, np.arange(1), [("occluded-mouth", 3)])["occluded-mouth", 3]
        found = pixels(source.reader.read(source.entries[0].key))
        mouth = crop_landmarks(landmarks, width, height, 96)[list(OUTER_LIPS_RING), :2]
        hidden = np.argwhere((found != crop).any(axis=-1))[:, ::-1] + 0.5
        np.testing.assert_allclose(hidden.mean(axis=0), (mouth.min(axis=0) + mouth.max(axis=0)) / 2, atol=2)


class TestChoice:
    def test_every_class_has_its_share_and_the_choice_is_fixed(self, cache):
        labels = cache.frame()["label"]
        rows = np.flatnonzero(labels.notna())
        chosen = stratified_rows(labels, rows, 14)
        assert Counter(labels.iloc[chosen]) == dict.fromkeys(cache.manifest.classes, 2)
        assert (np.diff(chosen) > 0).all()
        np.testing.assert_array_equal(chosen, stratified_rows(labels, rows, 14))
        np.testing.assert_array_equal(stratified_rows(labels, rows, 999), rows)
        with pytest.raises(SettingsError, match="3 of 30 images cannot be drawn"):
            stratified_rows(labels, rows, 3)

    def test_variants(self):
        assert variants(["mask"]) == [("clean", 0), *(("mask", k) for k in range(1, 6))]
        assert folder_name(("low-light", 3)) == "low-light-3"
        with pytest.raises(SettingsError, match="no corruption 'fog'; there are blur"):
            variants(["blur", "fog"])
