"""Trained runs on new images: the same as on a cache of them, whatever the images are handed over as."""

import functools
import io
import json
import logging
import pickle
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import landmarkfer as lf
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.dataset import label_images, load_dataset
from landmarkfer.data.synthetic import make_face
from landmarkfer.errors import CacheError, RunError, SettingsError, SourceError
from landmarkfer.inference.predict import predict_rows
from landmarkfer.inference.predictor import Predictor
from landmarkfer.metrics.predictions import Predictions

SMALL = {
    "mlp": {"model.hidden": [16]},
    "gnn": {"model.widths": [8], "model.node_width": 4, "model.identity": 2},
    "image": {"model.width": 4, "model.size": 32},
    "fusion": {
        "model.width": 4,
        "model.size": 32,
        "model.fusion_width": 8,
        "model.encoder_settings": {"widths": [8], "hidden": [16], "node_width": 2, "identity": 2},
    },
    "landmark-svm": {"model.pca": 8},
}


@pytest.fixture(scope="module")
def photos(synthetic_dataset, tmp_path_factory):
    """Faces as `train/<class>/*.jpg`, two images without a face, a large one, and a file that is no image."""
    folder = tmp_path_factory.mktemp("photos") / "photos"
    shutil.copytree(synthetic_dataset, folder)
    (folder / "train" / "happy" / "broken.jpg").write_bytes(b"no image at all")
    first = next((folder / "train" / "sad").glob("0*.jpg"))
    with Image.open(first) as image:
        image.resize((1300, 1300)).save(folder / "train" / "sad" / "large.png")
    return folder


@pytest.fixture(scope="module")
def caches(photos, detector, tmp_path_factory):
    """The photos extracted twice: with whole images, and with aligned crops of 64 pixels."""
    out = tmp_path_factory.mktemp("caches")
    return {crop: lf.extract(photos, out / f"{crop}", crop=crop, passes=2, workers=1) for crop in (None, 64)}


@pytest.fixture(scope="module")
def cache(caches):
    return caches[None]


@pytest.fixture(scope="module")
def run_of(caches, tmp_path_factory):
    """`run_of("mlp")`, `run_of("image", crop=64)`: tiny runs, each trained when it is first asked for."""
    out = tmp_path_factory.mktemp("runs")

    @functools.cache
    def trained(model, crop):
        fit = {"fit.epochs": 1, "fit.batch_size": 8, "fit.device": "cpu"}
        settings = SMALL[model] | {"split.validation": 0.4} | (fit if model != "landmark-svm" else {})
        return lf.train(model, caches[crop], name=model, settings=settings, out=out / f"{crop}")

    return lambda model, crop=None: trained(model, crop)


def rows_of_run(run: lf.RunFolder, cache: lf.LandmarkCache) -> Predictions:
    """The predictions of a cache's rows, as an evaluation makes them."""
    trained = run.load()
    config = trained.config
    labels = label_images(cache, config.settings.data, config.classes)
    dataset = load_dataset(cache, config.settings.normalisation, labels, config.images)
    return predict_rows(trained, dataset, np.arange(len(cache)))


@pytest.mark.parametrize(
    ("model", "crop"),
    [*((model, None) for model in SMALL), ("image", 64), pytest.param("fusion", 64, marks=pytest.mark.slow)],
)
def test_a_folder_is_predicted_as_a_cache_of_it_is(run_of, caches, photos, model, crop):
    run, cache = run_of(model, crop), caches[crop]
    expected = rows_of_run(run, cache)
    found = expected.status == "ok"
    assert found.sum() >= 25 and (~found).sum() >= 3
    columns = [f"p_{name}" for name in expected.classes]
    for faces in (lf.load(run).predict(photos), lf.load(run).predict(cache)):
        table = faces.to_frame()
        assert list(faces.statuses) == list(expected.status)
        np.testing.assert_array_equal(faces.probabilities[found], expected.probabilities[found])
        assert np.ptp(faces.probabilities[found], axis=0).max() > 1e-3, "faces differ"
        labels = np.array(expected.classes, object)[expected.predicted[found]]
        assert table.loc[found, "label"].tolist() == list(labels)
        assert table.loc[~found, [*columns, "label", "confidence", "x0", "yaw"]].isna().all(axis=None)
        if expected.sets is not None:
            np.testing.assert_array_equal(faces.sets[found], expected.sets[found])
    assert expected.sets is not None
    assert list(faces.sources) == list(expected.ids)


def test_of_small_crops_and_photographs_each_is_predicted_as_its_cache_is(tmp_path):
    folders, caches = [tmp_path / "small", tmp_path / "large"], []
    for folder, crop, side, place in zip(folders, (52, 112), (48, 220), (0, 40), strict=True):
        for number in range(24):
            label = ("happy", "sad", "surprise")[number % 3]
            face = Image.fromarray(make_face(label, number, side).image).convert("L")
            photo = Image.new("L", (side + 2 * place, side + place), 127)
            photo.paste(face, (place, place // 2))
            path = folder / label / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            photo.save(path)
        caches.append(lf.extract(folder, tmp_path / f"{folder.name}-{crop}", crop=crop, workers=1))
    fit = {"fit.epochs": 1, "fit.batch_size": 8, "fit.device": "cpu"}
    settings = SMALL["image"] | {"split.validation": 0.4, "split.test": 0.3} | fit
    run = lf.train("image", cache=[one.path for one in caches], settings=settings, out=tmp_path / "runs")
    model = lf.load(run)
    assert model.info.crops == (52, 112) and model.info.frame.photographs and model.info.frame.grey
    expected = rows_of_run(run, run.read_config().cache.open())
    found = expected.status == "ok"
    probabilities = np.concatenate([model.predict(folder).probabilities for folder in folders])
    assert found[:24].sum() > 12 and found[24:].sum() > 12
    np.testing.assert_array_equal(probabilities[found], expected.probabilities[found])


def test_detection_and_pose_are_those_of_the_cache(run_of, cache, photos):
    faces = lf.load(run_of("mlp")).predict(photos)
    np.testing.assert_array_equal(faces.landmarks, cache.landmarks())
    frame = cache.frame()
    found = frame["status"] == "ok"
    boxes = np.stack(frame.loc[found, "box"]) * frame.loc[found, ["width", "height"] * 2].to_numpy()
    np.testing.assert_allclose(faces.boxes[found], boxes, rtol=1e-5)
    np.testing.assert_array_equal(np.float32(faces.scores), frame["confidence"].to_numpy(np.float32))
    broken = next(face for face in faces if face.source.endswith("broken.jpg"))
    assert broken.status == "unreadable" and "not an image" in broken.error and broken.label is None


def test_every_form_of_input_gives_the_same(run_of, photos, tmp_path, monkeypatch):
    model = lf.load(run_of("fusion"))
    path = sorted((photos / "train" / "happy").glob("0*.jpg"))[0]
    with Image.open(path) as image:
        pixels = np.asarray(image)
        picture = image.copy()
    png = io.BytesIO()
    picture.save(png, "PNG")
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("inner/face.png", png.getvalue())
    shutil.copy(path, tmp_path / "one.jpg")
    monkeypatch.chdir(tmp_path)
    expected = model.predict(path)[0].probabilities
    given = {
        "text": (str(path), str(path)),
        "pattern": ("*.jpg", "one.jpg"),
        "zip": ("one.zip", "one.zip/inner/face.png"),
        "bytes": (png.getvalue(), "image-0"),
        "picture": (picture, "image-0"),
        "array": (pixels, "image-0"),
        "arrays": (np.stack([pixels, pixels[:, ::-1]]), "image-0"),
    }
    for name, (value, source) in given.items():
        faces = model.predict(value)
        assert faces.sources[0] == source, name
        # What is no file is stored as pixels, so it may be stored in another way, but without loss.
        assert faces[0].probabilities == pytest.approx(expected, abs=1e-6), name
    assert len(model.predict(given["arrays"][0])) == 2


def test_the_order_of_a_list_is_kept(run_of, photos):
    model = lf.load(run_of("mlp"))
    paths = sorted((photos / "test").rglob("0*.jpg"))[:3]
    blank = np.full((80, 60), 127, np.uint8)
    faces = model.predict([paths[2], blank, "gone.jpg", paths[0], b"nothing"])
    assert faces.statuses == ("ok", "no_face", "unreadable", "ok", "unreadable")
    assert faces.sources == (paths[2].as_posix(), "image-1", "gone.jpg", paths[0].as_posix(), "image-4")
    assert faces[2].error == "no such file or directory"
    assert faces[0].probabilities == pytest.approx(model.predict(paths[2])[0].probabilities)
    assert [face.label is None for face in faces] == [False, True, True, False, True]


def test_predictions_can_be_pickled(run_of, cache, photos, tmp_path):
    model = lf.load(run_of("mlp"))
    paths = sorted((photos / "test").rglob("0*.jpg"))[:2]
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.write(paths[0], "face.jpg")
    with Image.open(paths[0]) as image:
        picture = image.copy()
    arrays = np.asarray(picture)[None]
    for given in (paths[0].parent, arrays, picture, paths[0].read_bytes(), tmp_path / "one.zip", cache):
        faces = model.predict(given)
        drawn = faces.pictures.read(0)  # also opens the archive
        again = pickle.loads(pickle.dumps(faces))
        pd.testing.assert_frame_equal(again.to_frame(), faces.to_frame())
        np.testing.assert_array_equal(again.pictures.read(0), drawn)


@pytest.mark.slow
def test_chunks_and_progress(run_of, photos, monkeypatch, recorder):
    from landmarkfer.inference import predictor

    model = lf.load(run_of("fusion"))
    whole = model.predict(photos)
    monkeypatch.setattr(predictor.Predictor, "_at_once", 5)
    monkeypatch.setattr(predictor, "_AT_ONCE", 3)
    parts = model.predict(photos, progress=recorder)
    assert parts.sources == whole.sources
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, rtol=1e-4, atol=1e-6)
    assert recorder.steps[0] == (0, len(whole)) and recorder.steps[-1] == (len(whole), len(whole))
    assert {task for task, _, _ in recorder.calls} == {"predicting"}


def test_what_is_below_a_confidence_gets_no_label(run_of, photos):
    model = lf.load(run_of("mlp"))
    plain = model.predict(photos)
    least = float(np.nanmedian(plain.confidences))
    faces = model.predict(photos, least_confidence=least)
    table = faces.to_frame()
    assert "abstained" not in plain.to_frame()
    below = plain.confidences < least
    assert table["abstained"].tolist() == below.tolist() and below.any()
    assert table.loc[below, "label"].isna().all() and table.loc[below, "confidence"].notna().all()
    assert table.loc[~below & (table["status"] == "ok"), "label"].notna().all()


@pytest.mark.parametrize("least", [1.5, -0.1, float("nan"), "0.5", [0.5]])
def test_a_confidence_that_is_no_probability(run_of, least):
    model = lf.load(run_of("mlp"))
    for predict, given in ((model.predict, []), (model.predict_landmarks, np.zeros((0, 478, 3)))):
        with pytest.raises(SettingsError, match="least_confidence must be a probability from 0 to 1, not "):
            predict(given, least_confidence=least)


def test_landmarks_that_are_known(run_of, cache):
    model = lf.load(run_of("gnn"))
    landmarks = cache.landmarks()
    sizes = cache.frame(["width", "height"]).to_numpy(np.float32)
    faces = model.predict_landmarks(landmarks, sizes)
    expected = model.predict(cache)
    assert faces.statuses.count("ok") == expected.statuses.count("ok")
    np.testing.assert_array_equal(faces.probabilities, expected.probabilities)
    # Every image is a square here: then fractions are enough, and so are pixels.
    known = np.isfinite(landmarks).all(axis=(1, 2))
    for same in (landmarks, landmarks * 192):
        np.testing.assert_allclose(
            model.predict_landmarks(same).probabilities[known], expected.probabilities[known], atol=1e-3
        )
    assert len(model.predict_landmarks(landmarks[:0])) == 0
    none = model.predict_landmarks(np.stack([np.zeros((478, 3)), np.full((478, 3), np.nan)]))
    assert none.statuses == ("no_face", "no_face") and none.labels == [None, None]
    with pytest.raises(SourceError, match=r"must be \[N, 478, 3\], not \[478, 3\]"):
        model.predict_landmarks(landmarks[0])
    with pytest.raises(SourceError, match="sizes must be"):
        model.predict_landmarks(landmarks, sizes[:3])
    for sides in ((0, 0), (-5, 5), (np.nan, 9)):
        with pytest.raises(SourceError, match="sizes must be above 0"):
            model.predict_landmarks(landmarks, sides)
    with pytest.raises(RunError, match="looks at pixels"):
        lf.load(run_of("fusion")).predict_landmarks(landmarks)


def test_points_that_form_no_face(run_of, cache):
    model = lf.load(run_of("mlp"))
    face = cache.landmarks([0])[0]
    random = np.random.default_rng(0).uniform(0, 1, (478, 3))
    others = [face * [1, -1, 1], face * [1, 1, 0], face * [1, 1, -1], face[:, [1, 0, 2]], face[::-1], random]
    faces = model.predict_landmarks(np.stack([face, *others]))
    assert faces.statuses == ("ok", *["no_face"] * len(others))
    assert all(error.startswith("the points do not form a face") for error in faces.errors[1:])


def test_mistakes_are_told(run_of, tmp_path):
    model = lf.load(run_of("mlp"))
    for given, message in (
        (tmp_path / "gone", "does not exist"),
        (str(tmp_path / "*.jpg"), "no file matches"),
        (tmp_path, "holds no images"),
        (3, "is of type int"),
        ([3.5], "is of type float"),
        (None, "is of type NoneType"),
        (np.zeros((4, 478, 3), np.float32), "landmarks go to predict_landmarks"),
        (np.zeros((8, 8, 4), np.uint8), "is no image"),
    ):
        with pytest.raises(SourceError, match=message):
            model.predict(given)
    assert len(model.predict([])) == 0
    for options, message in (
        ({"faces": "first"}, "faces must be 'all' or 'largest', not 'first'"),
        ({"boxes": [[0, 0, 9, 9]]}, "boxes must be lists of x0, y0, x1, y1 by the source"),
        ({"boxes": {"image-0": (0, 0, 9, 9)}}, "those of 'image-0' are"),
        (
            {"boxes": {"other": [(0, 0, 9, 9)]}},
            "boxes name none of the images: their first source",
        ),
        ({"workers": 0}, "workers must be a whole number from 1 on"),
    ):
        with pytest.raises(SettingsError, match=message):
            model.predict(np.zeros((8, 8, 3), np.uint8), **options)


class TestExtractionOfRun:
    def test_it_is_stated_in_the_run(self, run_of, cache):
        config = run_of("mlp").read_config()
        assert config.cache.extraction == {
            "detector": cache.manifest.detector.name,
            **cache.manifest.settings,
        }
        model = lf.load(run_of("mlp"))
        assert (model.extraction.passes, model.extraction.crop) == (2, None)
        assert model.extraction.detector == cache.manifest.detector.name

    def old_run(self, run, folder, **changes):
        """A copy of a run as version 0.1 wrote it."""
        shutil.copytree(run.path, folder)
        content = json.loads((folder / "config.json").read_text())
        del content["cache"]["extraction"]
        content["cache"] |= changes
        (folder / "config.json").write_text(json.dumps(content))
        return lf.RunFolder(folder)

    def test_an_old_run_reads_its_cache(self, run_of, tmp_path, caplog):
        old = self.old_run(run_of("mlp"), tmp_path / "old")
        assert lf.load(old).extraction == lf.load(run_of("mlp")).extraction
        assert not caplog.records

    @pytest.mark.parametrize("changes", [{"path": "gone"}, {"fingerprint": "other"}])
    def test_an_old_run_without_its_cache_warns(self, run_of, tmp_path, caplog, changes):
        old = self.old_run(run_of("mlp"), tmp_path / "old", **changes)
        with caplog.at_level(logging.WARNING):
            found = lf.load(old).extraction
        assert "does not state how its faces were extracted" in caplog.text
        assert (found.passes, found.crop) == (1, None)
        assert found.detector == run_of("mlp").read_config().cache.detector.split()[0]

    def test_landmarks_of_no_known_detector(self, tiny_settings, tmp_path, caplog):
        from landmarkfer.training.fit import train

        run = train(tiny_settings("mlp", **{"fit.epochs": 1}), runs_root=tmp_path)
        with caplog.at_level(logging.WARNING):
            assert lf.load(run).extraction.detector is None
        assert "of 'none', which is no detector of this package" in caplog.text


def test_a_damaged_image_of_a_cache_is_named(run_of, tmp_path, make_pictured_rows, image_settings):
    from landmarkfer.training.fit import train

    run = train(image_settings("image", **{"fit.epochs": 1}), runs_root=tmp_path / "runs")
    rows = make_pictured_rows(4, 3)
    rows[3].face = b"damaged"
    cache = write_cache(tmp_path / "cache", rows)
    with pytest.raises(CacheError, match=f"stored image of {rows[3].id} is damaged"):
        lf.load(run).predict(cache)


def test_a_predictor_says_what_it_is(run_of, cache):
    model = lf.load(run_of("gnn"))
    assert isinstance(model, Predictor) and model.classes == tuple(cache.manifest.classes)
    assert repr(model) == f"<Predictor gnn: gnn on graph 'tesselation'; {', '.join(model.classes)}>"
    assert next(model.network.trained.model.parameters()).device.type == (
        "cuda" if torch.cuda.is_available() else "cpu"
    )
    with pytest.raises(RunError, match="'nowhere' is no run"):
        lf.load("nowhere")
