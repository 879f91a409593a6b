"""What `landmarkfer predict` shows, of faces written by hand."""

from dataclasses import replace

import numpy as np
import pytest

from landmarkfer.cli.predict_report import print_faces
from landmarkfer.inference.faces import Faces


@pytest.fixture
def faces():
    """Two faces of which the second is labelled with a class that is not the most probable."""
    return Faces(
        classes=("happy", "fear", "neutral"),
        sources=("one.jpg", "two.jpg", "three.jpg"),
        statuses=("ok", "ok", "no_face"),
        errors=(None, None, None),
        landmarks=np.full((3, 478, 3), np.nan, np.float32),
        sizes=np.full((3, 2), 200, np.float32),
        scores=np.full(3, np.nan),
        probabilities=np.array([[0.8, 0.1, 0.1], [0.1, 0.2, 0.7], [np.nan] * 3]),
        predicted=np.array([0, 1, -1]),
    )


def lines(faces, capsys):
    print_faces(faces)
    return capsys.readouterr().out.splitlines()


def test_a_label_that_is_not_the_most_probable_class_is_marked(faces, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    shown = lines(faces, capsys)
    marked = [line for line in shown if "*" in line]
    assert len(marked) == 2 and "two.jpg" in marked[0] and "20 %*" in marked[0], shown
    assert marked[1].startswith("* another class is more probable (1 face)")
    assert "--prior train" in marked[1]


@pytest.mark.parametrize("change", [{"predicted": np.array([0, 2, -1])}, {"least_confidence": 0.5}])
def test_no_mark_without_such_a_label(faces, capsys, change):
    assert not any("*" in line for line in lines(replace(faces, **change), capsys))


def test_labels_are_counted_from_the_most_frequent(faces, capsys):
    several = faces.joined([faces, faces[1:2]])
    assert lines(several, capsys)[-1] == "3 faces; 2 fear, 1 happy, 1 image without a face"
