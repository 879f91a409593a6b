"""The result type of predictions, on faces written by hand."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmarkfer.errors import SourceError
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.inference.face import Face, Pictures
from landmarkfer.inference.faces import Faces


@pytest.fixture
def faces():
    """A face, an image without one, a face of low confidence, and a file that cannot be read."""
    points = (CANONICAL * 25 + [100, 50, 0]) / [200, 100, 200]
    landmarks = np.full((4, 478, 3), np.nan, np.float32)
    landmarks[[0, 2]] = points
    probabilities = np.full((4, 3), np.nan)
    probabilities[[0, 2]] = [[0.1, 0.7, 0.2], [0.4, 0.3, 0.3]]
    sets = np.array([[False, True, False], [True, True, True], [True, True, False], [True, True, True]])
    pixels = np.full((100, 200, 3), 200, np.uint8)
    return Faces(
        classes=("angry", "happy", "sad"),
        sources=("a/one.jpg", "two.png", "three.png", "four.jpg"),
        statuses=("ok", "no_face", "ok", "unreadable"),
        errors=(None, None, None, "the file is empty"),
        landmarks=landmarks,
        sizes=np.array([[200, 100], [200, 100], [200, 100], [np.nan, np.nan]], np.float32),
        scores=np.array([0.9, np.nan, 0.6, np.nan]),
        probabilities=probabilities,
        sets=sets,
        least_confidence=0.5,
        pictures=Pictures(lambda number: None if number == 3 else pixels),
        numbers=np.arange(4),
    )


def listed(column):
    return [None if pd.isna(value) else value for value in column]


def without(faces, **changes):
    from dataclasses import replace

    return replace(faces, **changes)


def test_rows_of_the_table(faces):
    table = faces.to_frame()
    boxes, angles = ["x0", "y0", "x1", "y1"], ["yaw", "pitch", "roll"]
    assert list(table) == [
        *("source", "face", *boxes, "detector_score", *angles, "status", "error", "label", "confidence"),
        *("p_angry", "p_happy", "p_sad", "set", "abstained"),
    ]
    assert table["source"].tolist() == ["a/one.jpg", "two.png", "three.png", "four.jpg"]
    assert table["status"].tolist() == ["ok", "no_face", "ok", "unreadable"]
    assert listed(table["label"]) == ["happy", None, None, None]
    assert table["abstained"].tolist() == [False, False, True, False]
    assert listed(table["set"]) == ["happy", None, "angry|happy", None]
    assert table.loc[[0, 2], "confidence"].tolist() == [0.7, 0.4]
    low, high = (
        (CANONICAL[:, :2] * 25 + [100, 50]).min(axis=0),
        (CANONICAL[:, :2] * 25 + [100, 50]).max(axis=0),
    )
    np.testing.assert_allclose(table.loc[0, boxes].astype(float), [*low, *high], rtol=1e-4)
    np.testing.assert_allclose(table.loc[0, angles].astype(float), 0, atol=1e-2)
    nothing = ["face", *boxes, "detector_score", *angles, "label", "confidence", "p_sad", "set"]
    assert table.loc[[1, 3], nothing].isna().all(axis=None)
    assert table.loc[3, "error"] == "the file is empty"


def test_columns_that_do_not_apply_are_left_out(faces):
    table = without(faces, sets=None, least_confidence=None, scores=np.full(4, np.nan)).to_frame()
    assert not {"set", "abstained", "detector_score"} & set(table)
    assert listed(table["label"]) == ["happy", None, "angry", None]


def test_one_face(faces):
    face = faces[0]
    assert isinstance(face, Face)
    assert (face.label, face.confidence, face.status, face.error) == ("happy", 0.7, "ok", None)
    assert face.probabilities == {"angry": 0.1, "happy": 0.7, "sad": 0.2}
    assert face.prediction_set == ("happy",) and not face.abstained and face.detector_score == 0.9
    assert face.size == (200, 100) and face.landmarks.shape == (478, 3) and len(face.box) == 4
    assert repr(face) == "<Face a/one.jpg: happy 70 %>"
    abstained, missing, broken = faces[2], faces[1], faces[-1]
    assert abstained.abstained and abstained.label is None and abstained.confidence == 0.4
    assert repr(missing) == "<Face two.png: no face>" and missing.size == (200, 100)
    assert (missing.label, missing.confidence, missing.landmarks, missing.box) == (None, None, None, None)
    assert repr(broken) == "<Face four.jpg: the file is empty>" and broken.probabilities == {}
    with pytest.raises(IndexError, match="there are 4 rows, and no row 4"):
        faces[4]
    for wrong in ([0, 2], "a", np.array([True])):
        with pytest.raises(TypeError, match="by a number or a slice, not by"):
            faces[wrong]


def test_a_sequence(faces):
    assert len(faces) == 4 and [face.source for face in faces] == list(faces.sources)
    part = faces[1:3]
    assert isinstance(part, Faces) and part.sources == ("two.png", "three.png")
    pd.testing.assert_frame_equal(part.to_frame(), faces.to_frame().iloc[1:3].reset_index(drop=True))
    none = faces[:0]
    assert len(none) == 0 and list(none) == [] and none.to_frame().empty and none.labels == []
    assert repr(faces) == "<Faces: 2 faces in 4 images, 1 without a face, 1 unreadable; happy 1>"
    assert repr(none) == "<Faces: 0 faces in 0 images>"
    assert repr(faces[:1]).startswith("<Faces: 1 face in 1 image")
    assert "one.jpg" in faces._repr_html_()
    again = Faces.joined([faces[:2], faces[2:]])
    pd.testing.assert_frame_equal(again.to_frame(), faces.to_frame())


def test_files(faces, tmp_path, recorder):
    folder = faces.save(tmp_path / "new" / "out", progress=recorder)
    table = faces.to_frame()
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "predictions.parquet"), table)
    read = pd.read_csv(folder / "predictions.csv")
    assert list(read) == list(table) and read["label"].isna().tolist() == [False, True, True, True]
    assert sorted(path.name for path in (folder / "images").iterdir()) == [
        *("00000-one.jpg", "00001-two.jpg", "00002-three.jpg"),
    ]
    assert recorder.ends == {"writing images": (4, 4)}
    with Image.open(folder / "images" / "00000-one.jpg") as image:
        drawn = np.asarray(image).astype(int)
    assert drawn.shape == (120, 240, 3), "small images are enlarged"
    assert (abs(drawn - 200) > 30).any(axis=2).mean() > 0.02, "there are points, a box and a caption on it"
    assert not (faces[:1].save(tmp_path / "table", images=False) / "images").exists()
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="cannot write to"):
        faces.save(tmp_path / "file" / "below")


def test_images_of_an_earlier_save_are_removed(faces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = faces.save("out").resolve() / "images"
    others = ["notes.txt", "1-a.jpg", "00007-a.png", "holiday.jpg", "00009-own.jpg"]
    for name in others:
        (images / name).touch()
    (images / "12345-below.jpg").mkdir()
    own = without(faces[1:3], sources=("out/images/00009-own.jpg", "new.png"))
    own.save("out")
    expected = {*others, "12345-below.jpg", "00001-00009-own.jpg", "00002-new.jpg"}
    assert {path.name for path in images.iterdir()} == expected
    without(own, sources=("images/00009-own.jpg", "new.png")).save("out", images=False)
    assert {path.name for path in images.iterdir()} == {*others, "12345-below.jpg"}


def test_a_figure(faces):
    figure = faces.plot(columns=3)
    shown = [axis for axis in figure.axes if axis.get_title()]
    assert [axis.get_title().split("\n")[1] for axis in shown] == [
        *("happy 70 %", "no face", "abstained 40 %", "the file is empty"),
    ]
    assert len(faces.plot(limit=1).axes) == 1
    faces[:0].plot()


def test_points_on_an_aligned_crop_lie_in_the_crop(faces):
    crop = np.zeros((64, 64, 3), np.uint8)
    cropped = without(faces, pictures=Pictures(lambda number: crop, crop=64))
    points = cropped.points(0, crop)
    assert (points[:, :2] > 0).all() and (points[:, :2] < 64).all()
    assert np.ptp(points[:, 1]) > 40, "the face fills it"
