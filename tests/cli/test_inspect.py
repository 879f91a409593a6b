import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from landmarkfer.cli.inspect import inspect
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.row import Row
from landmarkfer.errors import CacheError


def image(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 48), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    found = {"status": "ok", "landmarks": np.zeros((478, 3))}
    missed = {"status": "no_face"}
    rows = [
        Row(id="train/happy/[1].png", label="happy", split="train", sha256="1", face=image(1), **found),
        Row(id="train/sad/2.png", label="sad", split="train", sha256="2", face=image(2), **missed),
        Row(id="test/sad/3.png", label="sad", split="test", sha256="1", face=image(1), **missed),
        Row(id="test/sad/4.png", label="sad", split="test", status="unreadable", error="the file is empty"),
    ]
    rows[2].subset = "public"
    return write_cache(tmp_path / "cache" / "faces", rows, detector="facemesh").path


def run(*arguments):
    return CliRunner().invoke(inspect, [str(argument) for argument in arguments], catch_exceptions=False)


def lines(output):
    return [" ".join(line.split()) for line in output.splitlines()]


def test_tables_show_what_there_is(cache):
    result = run(cache)
    assert result.exit_code == 0
    shown = lines(result.output)
    assert "happy 1 0 1 100.0 0 0" in shown
    assert "sad 1 2 3 0.0 2 1" in shown
    assert "all 2 2 4 25.0 2 1" in shown
    assert "distinct images 2 of 3, by their pixels" in shown
    assert "... with conflicting labels 1" in shown
    assert "test (public) train 1 0" in shown
    assert "the file is empty 1 test/sad/4.png" in shown
    assert "Conflict (happy, sad): train/happy/[1].png, test/sad/3.png" in shown, "brackets are no markup"


def test_contact_sheet_lies_in_the_cache_or_where_one_says(cache, tmp_path):
    run(cache)
    with Image.open(cache / "contact-sheet.png") as sheet:
        assert sheet.width > 1000
    (cache / "contact-sheet.png").unlink()
    result = run(cache, "--contact-sheet", tmp_path / "pictures" / "mine.jpg")
    assert "mine.jpg" in result.output
    assert (tmp_path / "pictures" / "mine.jpg").exists()
    assert not (cache / "contact-sheet.png").exists()


def near_cache(folder):
    """Twelve images, each beside a slightly darker copy in the other split; the first has another label."""
    rows = []
    for n in range(12):
        noise = Image.fromarray(np.random.default_rng(n).integers(0, 250, (6, 6), dtype=np.uint8))
        picture = noise.resize((48, 48), Image.Resampling.BICUBIC)
        for split, scale in (("train", 1.0), ("test", 0.9)):
            file = io.BytesIO()
            picture.point(lambda value, scale=scale: value * scale).save(file, "PNG")
            label = "happy" if n == 0 and split == "test" else "sad"
            name = f"{split}/{n:02}.png"
            rows.append(
                Row(id=name, label=label, split=split, sha256=name, status="no_face", face=file.getvalue())
            )
    return write_cache(folder, sorted(rows, key=lambda row: row.id)).path


def test_near_duplicates_are_shown_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    cache = near_cache(tmp_path / "near")
    shown = lines(run(cache).output)
    near = [line for line in shown if line.startswith("Near (")]
    assert len(near) == 5
    assert near[0].endswith("test/00.png (happy, test), train/00.png (sad, train)"), (
        "labels that differ first"
    )
    assert "... and 7 more near-duplicate pairs; --json lists everything." in shown
    assert any(line.startswith("near-duplicate pairs 12 12 groups") for line in shown)
    assert "test train 0 12" in shown
    listed = json.loads(run(cache, "--json").stdout)["near"]
    assert len(listed) == 12
    assert listed[0] | {"similarity": None} == {
        "first": "test/00.png",
        "second": "train/00.png",
        "similarity": None,
        "labels": ["happy", "sad"],
        "splits": ["test", "train"],
    }
    assert (cache / "near-duplicates.parquet").exists()


def test_picture_of_pairs_lies_in_the_cache_or_where_one_says(cache, tmp_path):
    assert "near-duplicates.png" in run(cache).output
    with Image.open(cache / "near-duplicates.png") as sheet:
        assert sheet.width > 1000
    (cache / "near-duplicates.png").unlink()
    assert "mine.jpg" in run(cache, "--pair-sheet", tmp_path / "pictures" / "mine.jpg").output
    assert (tmp_path / "pictures" / "mine.jpg").exists()
    assert not (cache / "near-duplicates.png").exists()


def confounded_cache(folder):
    """Forty images, of which those of sad faces are larger, half of them without a face."""
    found, missed = {"status": "ok", "landmarks": np.zeros((478, 3))}, {"status": "no_face"}
    rows = []
    for n in range(40):
        label, side = ("sad", 350) if n % 2 else ("happy", 48)
        facts = found if n % 4 < 2 else missed
        rows.append(
            Row(id=f"{n:02}.png", label=label, sha256=f"{n}", face=image(n), width=side, height=side, **facts)
        )
    return write_cache(folder, rows).path


def test_confounds_are_stated_drawn_and_listed(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    cache = confounded_cache(tmp_path / "confounded")
    result = run(cache)
    text = " ".join(result.output.split())
    assert "what besides the face is associated with the class" in text
    assert "sad: 100 % have size 350 x 350 (others: 0 %)" in text
    assert "confounds.png" in result.output
    with Image.open(cache / "confounds.png") as picture:
        assert picture.width > 800
    assert (cache / "confounds.parquet").exists()
    size, *others = json.loads(run(cache, "--json").stdout)["confounds"]["found"]
    assert (size["feature"], size["strong"], size["same_as"]) == ("image size", True, None)
    assert size["share"] == pytest.approx(1, abs=0.05)
    assert size["counts"] == {"350 x 350": {"happy": 0, "sad": 20}, "48 x 48": {"happy": 20, "sad": 0}}
    assert "face found" in [one["feature"] for one in others if not one["strong"]]


def test_picture_of_confounds_lies_where_one_says(tmp_path):
    cache = confounded_cache(tmp_path / "confounded")
    assert "mine.jpg" in run(cache, "--confounds", tmp_path / "pictures" / "mine.jpg").output
    assert (tmp_path / "pictures" / "mine.jpg").exists()
    assert not (cache / "confounds.png").exists()


def test_without_labels_the_confounds_are_a_sentence(tmp_path):
    rows = [Row(id=f"{n}.png", status="no_face", sha256=f"{n}", face=image(n)) for n in range(3)]
    cache = write_cache(tmp_path / "plain", rows).path
    output = run(cache).output
    assert "Confounds were not looked for: no image has a label." in output
    assert "confounds.png" not in output
    assert not (cache / "confounds.png").exists()


def test_with_ten_images_there_are_too_few_for_confounds(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows = [
        Row(id=f"{n}.png", label=("sad", "happy")[n % 2], status="no_face", sha256=f"{n}", face=image(n))
        for n in range(10)
    ]
    cache = write_cache(tmp_path / "few", rows).path
    text = " ".join(run(cache, "--confounds", tmp_path / "mine.png").output.split())
    assert "Confounds were not looked for: 10 labelled images are too few" in text
    assert "No feature of the images varies" not in text
    assert "mine.png" not in text
    assert not (tmp_path / "mine.png").exists()


@pytest.mark.parametrize("name", [[], ["faces"]])
def test_cache_is_found_by_name_or_because_it_is_the_only_one(cache, name):
    assert "4 images, detector facemesh" in run(*name).output


def test_json_is_all_that_is_printed(cache):
    result = run(cache, "--json")
    found = json.loads(result.stdout)
    assert found["summary"]["distinct"] == 2
    assert found["unreadable"] == [{"id": "test/sad/4.png", "reason": "the file is empty"}]


def test_near_duplicates_are_optional(cache):
    assert "near-duplicate pairs" in run(cache).output
    without = run(cache, "--no-near-duplicates")
    assert "near-duplicate pairs" not in without.output
    assert "not looked for" in without.output


def test_what_is_no_cache_is_one_clear_error(cache):
    with pytest.raises(CacheError, match="elsewhere is no landmark cache"):
        run("elsewhere")


def test_help_has_examples(cache):
    assert "landmarkfer inspect fer2013 --json" in run("--help").output
    assert run("--no-such-option").exit_code == 2


def test_people_in_two_splits_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    rows = [
        Row(
            id=f"{split}/{number}.png",
            label="sad",
            split=split,
            group=who,
            sha256=f"{split}{number}",
            face=image(n),
        )
        for n, (split, number, who) in enumerate(
            [("train", 1, "[b]Ada"), ("test", 1, "[b]Ada"), ("test", 2, "[b]Ada"), ("train", 2, None)]
        )
    ]
    for row in rows:
        row.status = "no_face"
    write_cache(tmp_path / "cache/faces", rows)
    shown = run().output
    assert "Groups (people, sequences): 1, as the cache states them; 1 image of none." in shown
    assert "1 of test are in train too, with 2 images of test: [b]Ada" in shown
    assert "extract again" not in shown
    assert json.loads(run("--json").stdout)["groups"]["leaks"][0]["groups"] == ["[b]Ada"]
