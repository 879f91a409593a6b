"""The script that makes the canonical face: the mean it takes, and the table it writes."""

import csv
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.row import Row
from landmarkfer.face.landmarks import CANONICAL, MIRROR, graphs_dir

SCRIPT = Path(__file__).parents[2] / "experiments" / "data" / "canonical_face.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("canonical_face", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rotation(rng: np.random.Generator, degrees: float) -> np.ndarray:
    """A rotation by up to `degrees` about each axis."""
    product = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(rng.uniform(-degrees, degrees, 3))):
        i, j = [k for k in range(3) if k != axis]
        turn = np.eye(3)
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        product = product @ turn
    return product


def seen(rng: np.random.Generator, face: np.ndarray) -> np.ndarray:
    """The face at another size, in another place, turned by up to 20 degrees."""
    return face @ rotation(rng, 20) * rng.uniform(0.5, 3) + rng.uniform(-5, 5, 3)


def distances(face: np.ndarray) -> np.ndarray:
    return np.linalg.norm(face[::9, None] - face[None, ::9], axis=-1)


def test_the_mean_of_one_face_seen_from_many_sides_is_that_face(script):
    rng = np.random.default_rng(1)
    face = CANONICAL.astype(np.float64) * (1.2, 0.9, 1.1)
    mean = script.procrustes_mean(np.stack([seen(rng, face) for _ in range(40)]), MIRROR)
    assert distances(mean) == pytest.approx(distances(script.standardise(face)), abs=2e-4)


def test_the_mean_of_crooked_faces_is_symmetric_centred_and_scaled(script):
    rng = np.random.default_rng(2)
    faces = [seen(rng, CANONICAL + rng.normal(0, 0.05, (478, 3))) for _ in range(20)]
    mean = script.procrustes_mean(np.stack(faces), MIRROR)
    assert mean[MIRROR] * (-1, 1, 1) == pytest.approx(mean, abs=1e-12)
    assert mean.mean(axis=0) == pytest.approx(0, abs=1e-12)
    assert np.square(mean).sum(axis=1).mean() == pytest.approx(1)
    # Twenty faces of noise 0.05 and their mirror images leave about 0.05 / sqrt(40) of it.
    assert np.sqrt(np.square(distances(mean) - distances(CANONICAL.astype(float))).mean()) < 0.02


def test_a_mirror_image_is_not_turned_into_a_face(script):
    """Only rotations: a face is never matched by reflecting it."""
    turned = script.turn_onto(CANONICAL[None] * (-1, 1, 1), CANONICAL)[0]
    assert np.linalg.det(np.linalg.lstsq(CANONICAL * (-1, 1, 1), turned, rcond=None)[0]) == pytest.approx(1)


def test_only_detected_training_faces_count_in_square_pixels(script, tmp_path):
    def row(name, split, status="ok"):
        points = np.full((478, 3), 0.5, np.float32) if status == "ok" else None
        return Row(id=name, split=split, status=status, width=200, height=100, landmarks=points)

    rows = [row("a", "train"), row("b", "test"), row("c", "train", "no_face"), row("d", "train")]
    faces = script.load_faces(write_cache(tmp_path / "split", rows))
    assert faces.shape == (2, 478, 3)
    assert faces[0, 0].tolist() == [100, 50, 100]
    whole = write_cache(tmp_path / "whole", [row("a", None), row("b", None), row("c", None, "no_face")])
    assert len(script.load_faces(whole)) == 2


def test_the_table_is_rewritten_and_nothing_but_the_coordinates_changes(script, tmp_path):
    table = tmp_path / "landmarks.csv"
    table.write_bytes((graphs_dir() / "landmarks.csv").read_bytes())
    face = np.zeros((478, 3))
    face[0] = (1.234567, -0.000001, 7)
    script.write_coordinates(table, face)
    with table.open(newline="") as new, (graphs_dir() / "landmarks.csv").open(newline="") as old:
        rows = list(zip(csv.DictReader(new), csv.DictReader(old), strict=True))
    assert [rows[0][0][axis] for axis in "xyz"] == ["1.23457", "0.00000", "7.00000"]
    for name in ("index", "region", "side", "mirror"):
        assert all(new[name] == old[name] for new, old in rows)

    script.write_coordinates(table, CANONICAL)
    assert table.read_bytes() == (graphs_dir() / "landmarks.csv").read_bytes()


def test_the_command(script, tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    rows = [
        Row(id=str(i), width=64, height=64, landmarks=seen(rng, CANONICAL).astype(np.float32))
        for i in range(6)
    ]
    write_cache(tmp_path / "cache", rows)
    table = tmp_path / "landmarks.csv"
    table.write_bytes((graphs_dir() / "landmarks.csv").read_bytes())
    monkeypatch.setattr(sys, "argv", ["canonical_face.py", str(tmp_path / "cache"), "--table", str(table)])
    script.main()
    with table.open(newline="") as file:
        made = np.array([[float(row[axis]) for axis in "xyz"] for row in csv.DictReader(file)])
    assert distances(made) == pytest.approx(distances(CANONICAL.astype(float)), abs=1e-3)
