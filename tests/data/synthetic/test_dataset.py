import json

import numpy as np
import pytest
from PIL import Image

from landmarkfer.data.synthetic import CLASSES, write_dataset
from landmarkfer.errors import SourceError
from landmarkfer.progress import Progress


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.jpg"))}


class Steps(Progress):
    def __init__(self):
        self.steps = []

    def __call__(self, task, done, total, note=""):
        self.steps.append((done, total))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "faces"
    recorder = Steps()
    total = write_dataset(folder, per_class=4, seed=2, size=64, progress=recorder)
    seen = recorder.steps
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert total == len(content(folder)) == 4 * 7 + 2
    return folder


def test_layout_is_that_of_an_ordinary_data_set(written):
    names = content(written)
    for label in CLASSES:
        assert sum(name.startswith(f"train/{label}/0") for name in names) == 3
        assert sum(name.startswith(f"test/{label}/0") for name in names) == 1
    assert {"train/neutral/no_face.jpg", "test/neutral/no_face.jpg"} < set(names)
    with Image.open(written / "train/neutral/no_face.jpg") as image:
        assert image.size == (64, 64)
    # No face is in two places.
    faces = [data for name, data in names.items() if "no_face" not in name]
    assert len(set(faces)) == len(faces)


def test_the_source_reader_takes_it_as_it_is(written):
    from landmarkfer.extraction.sources.open import open_source

    source = open_source(written)
    assert source.classes == list(CLASSES) and len(source.entries) == 30 and source.ignored == 0
    assert {entry.split for entry in source.entries} == {"train", "test"}


@pytest.mark.slow
def test_processes_and_repetition_change_no_byte(written, tmp_path):
    other = tmp_path / "faces"
    write_dataset(other, per_class=7, seed=2, size=64, workers=2)
    write_dataset(tmp_path / "alone", per_class=7, seed=2, size=64)
    assert content(other) == content(tmp_path / "alone")


def test_what_is_missing_is_made_again_and_nothing_else(written):
    before = content(written)
    victim, kept = written / "train/sad/00004.jpg", written / "train/sad/00011.jpg"
    victim.unlink()
    stamp = kept.stat().st_mtime_ns
    write_dataset(written, per_class=4, seed=2, size=64)
    assert content(written) == before
    assert kept.stat().st_mtime_ns == stamp


def test_a_folder_of_other_things_is_left_alone(written, tmp_path):
    with pytest.raises(SourceError, match=r"made with other settings .*'seed': 2"):
        write_dataset(written, per_class=4, seed=3, size=64)
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(SourceError, match="not synthetic faces; name another folder"):
        write_dataset(tmp_path, per_class=4)
    (written / ".made-faces.json").rename(tmp_path / "mark")
    (written / ".made-faces.json").write_text("{")
    try:
        with pytest.raises(SourceError, match="other settings"):
            write_dataset(written, per_class=4, seed=2, size=64)
    finally:
        (tmp_path / "mark").replace(written / ".made-faces.json")
    assert json.loads((written / ".made-faces.json").read_text())["seed"] == 2


@pytest.mark.parametrize(("per_class", "share"), [(1, 0.25), (4, 0.0), (4, 1.0)])
def test_numbers_that_make_no_data_set(tmp_path, per_class, share):
    with pytest.raises(ValueError, match="at least 2 images per class and a test share between"):
        write_dataset(tmp_path / "faces", per_class=per_class, test_share=share)


@pytest.mark.parametrize(("per_class", "train", "test"), [(2, 1, 1), (8, 6, 2), (150, 112, 38)])
def test_a_quarter_is_for_testing(per_class, train, test):
    from landmarkfer.data.synthetic.dataset import plan_dataset

    plan = plan_dataset(per_class, seed=0, size=64, test_share=0.25)
    assert (plan.train, plan.test) == (train, test)
    assert len({number for _, _, number in plan.faces}) == 7 * per_class
    np.testing.assert_array_equal([number % 7 for _, label, number in plan.faces if label == "fear"], 2)
