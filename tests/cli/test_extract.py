import numpy as np
import pytest
from click.testing import CliRunner

from landmarkfer.cli import cli
from landmarkfer.cli.extract_report import print_summary
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.row import Row
from landmarkfer.errors import CacheError, SettingsError, SourceError
from landmarkfer.extraction.pipeline import ExtractionSummary


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def invoke(*arguments):
        return CliRunner().invoke(cli, ["extract", *map(str, arguments)])

    return invoke


@pytest.fixture
def blank(tmp_path):
    """A folder of files that need no detector, and a file that passes for its model."""
    for name in ("train/happy/a.jpg", "train/happy/b.jpg", "test/sad/a.jpg", "test/sad/notes.txt"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("no image")
    (tmp_path / "unused.task").write_bytes(b"")
    return tmp_path / "photos", "--detector", "landmarker", "--landmarker", tmp_path / "unused.task"


def lines(output):
    return [" ".join(line.replace("│", " ").split()) for line in output.splitlines()]


def test_a_source_becomes_a_cache_of_its_name_and_a_table(invoke, blank, tmp_path):
    result = invoke(*blank, "--workers", "1")
    assert result.exit_code == 0, result.output
    shown = lines(result.stdout)
    assert "happy 2 0 0 2 0.0%" in shown
    assert "sad 1 0 0 1 0.0%" in shown
    assert "all 3 0 0 3 0.0%" in shown
    assert any("cache/photos is complete: 3 rows, 3 of them made now in" in line for line in shown)
    assert "1 file that is not an image was ignored." in shown
    assert "photos: 3 of 3" in result.stderr
    assert "0 found, 0 no face, 3 unreadable" in result.stderr
    frame = LandmarkCache.open(tmp_path / "cache" / "photos").frame()
    assert frame["id"].tolist() == ["test/sad/a.jpg", "train/happy/a.jpg", "train/happy/b.jpg"]

    again = invoke(*blank)
    assert again.exit_code == 0
    assert "cache/photos was complete already: 3 rows; nothing was detected." in lines(again.stdout)


def test_settings_reach_the_manifest(invoke, blank, tmp_path):
    options = ["--passes", 2, "--retries", 3, "--threshold", 0.4, "--max-faces", 4, "--keep", "central"]
    result = invoke(*blank, *options, "--crop", 64, "--cache", tmp_path / "elsewhere", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert LandmarkCache.open(tmp_path / "elsewhere").manifest.settings == {
        "passes": 2,
        "retries": 3,
        "threshold": 0.4,
        "max_faces": 4,
        "keep": "central",
        "crop": 64,
    }
    refused = invoke(*blank, "--cache", tmp_path / "elsewhere", "--crop", "none")
    assert isinstance(refused.exception, CacheError)
    assert "crop is 64 there and None now" in str(refused.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "does not exist"),
        (["photos", "--crop", "big"], "'big' is neither `none` nor a number of pixels from 16 to 1024"),
        (["photos", "--crop", "4"], "from 16 to 1024"),
        (["photos", "--keep", "nicest"], "'nicest' is not one of"),
        (["photos", "--workers", "0"], "x>=1"),
        (["photos", "--detector", "dlib"], "'dlib' is not one of"),
    ],
)
def test_wrong_usage_ends_with_two(invoke, blank, arguments, message):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["photos", "--passes", "99"], SettingsError, "passes is 99"),
        (["photos", "--label-column", "x"], SourceError, "--labels FILE"),
        (["photos/test/sad", "--layout", "classes"], SourceError, "no image lies in a class folder"),
    ],
)
def test_what_cannot_be_done_is_a_known_error(invoke, blank, arguments, error, message):
    result = invoke(*arguments)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)


def test_remarks_on_the_source_are_shown(invoke, blank, tmp_path):
    (tmp_path / "photos").rename(tmp_path / "old")
    for album in ("2021", "2022"):
        (tmp_path / "photos" / album).mkdir(parents=True)
        (tmp_path / "photos" / album / "a.jpg").write_text("no image")
    result = invoke(*blank, "--workers", "1")
    assert "The folders 2021, 2022 are not named like expressions" in result.stderr
    assert "(no label) 2 0 0 2 0.0%" in lines(result.stdout)


def test_labels_come_from_a_table(invoke, blank, tmp_path):
    table = tmp_path / "photos/t.csv"
    table.write_text("user.id,image,emotion\n1,test/sad/a.jpg,ANGER\n2,gone.jpg,fear\n")
    options = ["--labels", table, "--path-column", "image", "--label-column", "emotion"]
    result = invoke(*blank, *options, "--workers", "1")
    assert result.exit_code == 0, result.output
    assert "1 file that is not an image was ignored." in lines(result.stdout), "notes.txt, and not the table"
    frame = LandmarkCache.open(tmp_path / "cache/photos").frame()
    assert frame[["id", "label"]].to_numpy().tolist() == [["gone.jpg", "fear"], ["test/sad/a.jpg", "angry"]]


def test_what_is_interrupted_before_the_first_part_leaves_no_cache(invoke, blank, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("landmarkfer.extraction.pipeline.start_workers", interrupt)
    result = invoke(*blank)
    assert result.exit_code == 130
    assert result.stderr.endswith("cache/photos holds 0 of 3 rows; the same command does the rest.\n")
    assert not (tmp_path / "cache/photos").exists()


def test_a_dry_run_prints_how_the_source_is_read_and_no_more(invoke, blank, tmp_path):
    (tmp_path / "photos/test/sad/more.zip").write_bytes(b"PK")
    result = invoke(*blank, "--dry-run", "--group-pattern", r"(\w)\.jpg")
    assert result.exit_code == 0, result.output
    shown = lines(result.stdout)
    assert "photos: 3 images (folder)" in shown
    assert "happy 2 0 2" in shown
    assert "sad 0 1 1" in shown
    assert "all 2 1 3" in shown
    assert any(
        "Groups (people, sequences): 2, from the pattern (\\w)\\.jpg; 1 of them in more than one split (a)."
        in line
        for line in shown
    )
    assert "1 archive inside (test/sad/more.zip) is not opened" in result.stderr
    assert not (tmp_path / "cache").exists()


def test_what_is_understood_is_printed_before_detection(invoke, blank):
    result = invoke(*blank, "--workers", "1")
    assert result.stdout.index("photos: 3 images (folder)") < result.stdout.index("cache/photos is complete")


def test_two_readings_stop_before_detection(invoke, blank, tmp_path):
    (tmp_path / "photos/train/misc").mkdir()
    (tmp_path / "photos/train/misc/x.jpg").write_text("no image")
    result = invoke(*blank)
    assert isinstance(result.exception, SourceError)
    assert "the folder misc beside class folders" in str(result.exception)
    assert not (tmp_path / "cache").exists()
    decided = invoke(*blank, "--label-names", "misc=contempt", "--dry-run")
    assert "contempt 1 0 1" in lines(decided.stdout)
    assert "Labels read: misc as contempt." in lines(decided.stdout)


def test_groups_and_splits_by_hand_reach_the_cache(invoke, blank, tmp_path):
    options = ["--split-names", "test=val", "--group-pattern", r"/(\w)\.jpg", "--workers", "1"]
    assert invoke(*blank, *options).exit_code == 0
    frame = LandmarkCache.open(tmp_path / "cache/photos").frame()
    assert frame[["split", "group"]].to_numpy().tolist() == [["val", "a"], ["train", "a"], ["train", "b"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--split-names", "fold1"], "is no NAME=SPLIT"),
        (["--split-names", "fold1=middle"], "names no split; a split is train, val or test"),
        (["--label-names", "nowhere.csv"], "gives no names of labels"),
    ],
)
def test_names_that_name_nothing_are_refused(invoke, blank, arguments, message):
    result = invoke(*blank, *arguments)
    assert isinstance(result.exception, SettingsError)
    assert message in str(result.exception)


def test_a_class_without_a_face_to_train_on_is_said(tmp_path, capsys):
    rows = [
        Row("a", "happy", "train", landmarks=np.zeros((478, 3), np.float32)),
        Row("b", "sad", "train", status="no_face"),
        Row("c", "sad", "test", landmarks=np.zeros((478, 3), np.float32)),
        Row("d", "fear", None, status="unreadable", error="damaged"),
    ]
    summary = ExtractionSummary(write_cache(tmp_path / "faces", rows), {"ok": 2}, {}, 4, 0, 1.0)
    print_summary(summary)
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "No face was found in any training image of fear, sad: a model cannot learn these classes." in shown
    )
