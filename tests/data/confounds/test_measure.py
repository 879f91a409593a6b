import csv
import io
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.confounds.measure import measure_confounds, overlap
from landmarkfer.data.labels import canonical_label
from landmarkfer.data.row import Row


@pytest.fixture
def measured(tmp_path):
    def measure(rows):
        return measure_confounds(write_cache(tmp_path / "c", rows))

    return measure


def of(report, feature):
    return next(one for one in report.found if one.feature == feature)


def test_nothing_is_found_where_nothing_is(measured, make_plain_rows):
    report = measured(make_plain_rows()).report
    assert {one.feature for one in report.found} == {
        *("image size", "aspect ratio", "colour", "brightness", "contrast", "file format"),
        *("face found", "detection view", "detections", "name prefix", "source folder"),
    }
    assert report.strong == report.strongest == []
    assert (report.images, report.groups, report.constant, report.spelt) == (300, None, [], [])


def sized(row, picture):
    row.width = row.height = 99


def coloured(row, picture):
    row.face = picture(int(row.id[-9:-4]), colour=True)


def brightened(row, picture):
    row.face = picture(int(row.id[-9:-4]), brightness=230, spread=20)


def flattened(row, picture):
    row.face = picture(int(row.id[-9:-4]), spread=2)


def reformatted(row, picture):
    row.id = row.id[:-3] + "bmp"


def missed(row, picture):
    row.status, row.landmarks, row.attempts, row.detections = "no_face", None, "frame+25%@0.5=0", 0


def seen_otherwise(row, picture):
    row.attempts = "frame+25%@0.5=0 tiles/2@0.3=1"


def averaged(row, picture):
    row.detections = 7


def renamed(row, picture):
    row.id = row.id.replace("img", "scan").replace("still", "scan")


def moved(row, picture):
    row.id = "archive/" + row.id.partition("/")[2]


def stretched(row, picture):
    row.width, row.height = (60, 20)


PLANTED = {
    "image size": (sized, "have size 99 x 99"),
    "aspect ratio": (stretched, "have aspect ratio"),
    "colour": (coloured, "are in colour"),
    "brightness": (brightened, "have brightness"),
    "contrast": (flattened, "have contrast below"),
    "file format": (reformatted, "are BMP files"),
    "face found": (missed, "are without a face"),
    "detection view": (seen_otherwise, "have the face found in tiles/2"),
    "detections": (averaged, "have 7 detections averaged"),
    "name prefix": (renamed, "have names with 'scan'"),
    "source folder": (moved, "lie in archive"),
}


@pytest.mark.parametrize("feature", PLANTED)
def test_what_is_planted_is_found(measured, make_plain_rows, make_picture, feature):
    plant, words = PLANTED[feature]
    rows, rng = make_plain_rows(160), np.random.default_rng(7)
    for row in rows:
        if row.label == "sad" and row.status == "ok" and rng.random() < 0.95:
            plant(row, make_picture)
    found = of(measured(rows).report, feature)
    assert found.strong
    assert found.share > 0.05
    assert found.fact.text.startswith("sad: ")
    assert words in found.fact.text
    assert found.fact.share > found.fact.others + 0.3


def test_facts_are_shares_of_the_class_and_of_the_others(measured, make_plain_rows):
    rows = make_plain_rows(200)
    for number, row in enumerate(rows):
        row.label, row.width, row.height = ("sad" if number < 50 else "happy"), 350, 350
        if number < 47 or 50 <= number < 59:  # 47 of 50 and 9 of 150, each of a size of its own
            row.width = 30 + number
    found = of(measured(rows).report, "image size")
    assert found.fact.text == "sad: 94 % have another size than 350 x 350 (others: 6 %)"
    assert (found.fact.share, found.fact.others) == pytest.approx((0.94, 0.06))
    assert (found.fact.label, found.fact.value, found.fact.negated) == ("sad", "350 x 350", True)
    assert found.counts == {"350 x 350": {"happy": 141, "sad": 3}, "another": {"happy": 9, "sad": 47}}


def test_shares_that_round_to_all_or_none_have_a_digit(measured, make_plain_rows):
    rows = make_plain_rows(1000)
    for number, row in enumerate(rows):
        row.label = "sad" if number < 500 else "happy"
        row.width = row.height = 10 if number < 499 else 20
    assert of(measured(rows).report, "image size").fact.text == (
        "happy: 100 % have size 20 x 20 (others: 0.2 %)"
    )


def test_images_without_a_label_are_left_out(measured, make_plain_rows):
    rows = make_plain_rows(200)
    for row in rows[100:]:
        row.label, row.width = None, 999
    report = measured(rows).report
    assert report.images == 100
    assert sum(sum(counts.values()) for counts in of(report, "image size").counts.values()) == 100
    assert not any("999" in value for value in of(report, "image size").counts)


@pytest.mark.parametrize(
    ("label", "reason"), [(None, "no image has a label"), ("sad", "all labelled images are 'sad'")]
)
def test_without_two_classes_there_is_a_reason(measured, make_plain_rows, label, reason):
    rows = make_plain_rows(20)
    for row in rows:
        row.label = label
    found = measured(rows)
    assert found.report.found == []
    assert found.report.reason == f"Confounds were not looked for: {reason}."


def test_features_that_are_constant_or_rare_are_left_out(measured, make_plain_rows):
    rows = make_plain_rows(60)
    for number, row in enumerate(rows):
        row.width, row.height, row.detections = 48 + number, 48, 1
        row.id = f"{number:04}.png"
    report = measured(rows).report
    assert {"image size", "detections", "name prefix", "source folder", "file format"} == set(report.constant)
    assert not {one.feature for one in report.found} & set(report.constant)


def test_one_cache_without_anything_that_varies(measured):
    rows = [Row(id=f"{n}.png", label="sad" if n % 2 else "happy", status="no_face") for n in range(30)]
    report = measured(rows).report
    assert report.found == []
    assert report.reason == "No feature of the images varies, so that none can be a confound."


@pytest.mark.parametrize(
    ("count", "reason"),
    [
        (
            10,
            "Confounds were not looked for: 10 labelled images are too few; a feature needs one value of 10",
        ),
        (14, "Too few images to look for confounds: no value of image size has 10 or more labelled images"),
    ],
)
def test_too_few_images_are_the_reason(measured, count, reason):
    rows = [
        Row(f"{n:02}.png", "sad" if n % 3 else "happy", status="no_face", width=40 + n % 2, height=40 + n % 2)
        for n in range(count)
    ]
    report = measured(rows).report
    assert (report.images, report.found) == (count, [])
    assert report.reason.startswith(reason)


def prefixed(rows, person_of):
    """Rows whose names begin with a word for each person, of whom the first six are sad."""
    for number, row in enumerate(rows):
        person = person_of(number)
        row.group, row.label = f"p{person}", "sad" if person < 6 else "happy"
        row.id = f"{'abcdefghijklmnopqrstuvwxyz'[person]}x{number:04}.png"
    return sorted(rows, key=lambda row: row.id)


def test_a_fact_of_one_person_says_so(measured, make_plain_rows):
    rows = make_plain_rows(360)
    people = prefixed(rows, lambda number: number // 20 if number < 120 else 6 + (number - 120) // 20)
    found = of(measured(people).report, "name prefix").fact
    assert found.groups == 1
    assert found.text.endswith(" %), one group")
    assert "have names with" in found.text


@pytest.mark.parametrize("grouped", [True, False])
def test_a_fact_of_several_people_counts_them(measured, make_plain_rows, grouped):
    rows = make_plain_rows(240)
    for number, row in enumerate(rows):
        person = number // 20
        row.group, row.label = f"p{person}" if grouped else None, "sad" if person < 4 else "happy"
        row.width = row.height = 99 if person < 3 or person == 11 else 48
    found = of(measured(rows).report, "image size").fact
    assert found.text == ("sad: 75 % have size 99 x 99 (others: 12 %)")
    assert found.groups == (3 if grouped else None)


def test_a_fact_of_what_one_person_of_the_others_has(measured, make_plain_rows):
    rows = make_plain_rows(240)
    for number, row in enumerate(rows):
        person = number // 20
        row.group, row.label = f"p{person}", "sad" if person < 6 else "happy"
        row.width = row.height = 99 if person < 6 else 48 if person == 6 else 99
    found = of(measured(rows).report, "image size").fact
    assert found.groups == 1
    assert found.text == "sad: 100 % have size 99 x 99 (others: 83 %), one group"


def test_names_that_spell_the_label_are_no_confound(measured, make_plain_rows):
    codes = {"angry": "AN", "happy": "HA", "sad": "SA"}
    folders = {"angry": "1", "happy": "2", "sad": "3"}
    rows = make_plain_rows(120)
    for number, row in enumerate(rows):
        row.id = f"{folders[row.label]}/{codes[row.label]}{number:04}.png"
    report = measured(rows).report
    assert set(report.spelt) == {"name prefix", "source folder"}
    assert not {one.feature for one in report.found} & set(report.spelt)


def test_folders_of_classes_and_splits_are_no_source(measured, make_plain_rows):
    rows = make_plain_rows(120)
    for number, row in enumerate(rows):
        row.id = f"{row.split}/{row.label}/{row.label}_{number:04}.png"
    assert {"name prefix", "source folder"} <= set(measured(rows).report.constant)


def grouped(rows, sizes):
    """Rows whose labels and sizes are constant for each person, and independent of each other."""
    rng = np.random.default_rng(3)
    people = np.repeat(np.arange(len(sizes)), sizes)
    label, width = rng.choice(["happy", "sad"], len(sizes)), rng.choice([48, 64], len(sizes))
    for row, person in zip(rows, people, strict=True):
        row.group, row.label, row.width, row.height = f"p{person}", label[person], int(width[person]), 48
    return rows


def test_people_count_as_one_each(measured, make_plain_rows):
    report = measured(grouped(make_plain_rows(300), [30] * 10)).report
    assert report.groups == 10
    assert of(report, "image size").p > 0.05


def test_people_whom_only_file_names_state_count_too(measured, make_plain_rows):
    rows = grouped(make_plain_rows(300), [30] * 10)
    for number, row in enumerate(rows):
        row.id, row.group = f"S{int(row.group[1:]):03}/001/S{int(row.group[1:]):03}_001_{number:08}.png", None
    assert measured(rows).report.groups == 10


def test_identical_images_count_as_one(measured, make_plain_rows):
    rows = make_plain_rows(40)
    for row in rows:
        row.sha256 = f"{int(row.id[-9:-4]) // 2:064x}"
    assert measured(rows).report.groups == 20


def test_what_nearly_coincides_is_marked(measured, make_plain_rows, make_picture):
    rows = make_plain_rows(300)
    for row in rows:
        row.width = row.height = 64
        if row.label == "sad":
            row.width = row.height = 99
            coloured(row, make_picture)
        else:
            row.face = make_picture(int(row.id[-9:-4]))
    report = measured(rows).report
    assert [one.feature for one in report.strong][:2] == ["image size", "colour"]
    assert of(report, "image size").same_as is None
    assert of(report, "colour").same_as == "image size"
    assert "colour" not in [one.feature for one in report.strongest]
    assert len(report.strongest) <= 3


def test_overlap_is_between_nothing_and_all():
    first = np.array(["a", "a", "b", "b"], dtype=object)
    assert overlap(first, np.array(["x", "x", "y", "y"], dtype=object)) == pytest.approx(1)
    assert overlap(first, np.array(["x", "y", "x", "y"], dtype=object)) == pytest.approx(0)
    assert overlap(first, np.array(["x"] * 4, dtype=object)) == 0
    assert overlap(first, np.array([None] * 4, dtype=object)) == 0


def test_values_are_of_all_rows(measured, make_plain_rows):
    rows = make_plain_rows(50)
    rows[3].label = None
    values = measured(rows).values
    frame = pd.DataFrame(values)
    assert len(frame) == 50
    assert frame["file format"].tolist() == [{"png": "PNG", "jpg": "JPEG"}[row.id[-3:]] for row in rows]


def test_tests_report_progress(tmp_path, make_plain_rows, recorder):
    cache = write_cache(tmp_path / "c", make_plain_rows(40))
    measure_confounds(cache, recorder)
    assert recorder.calls[0] == ("measuring pictures", 40, 40)
    assert recorder.calls[-1][0] == "testing confounds"
    again = type(recorder)()
    measure_confounds(cache, again)
    assert {task for task, *_ in again.calls} == {"testing confounds"}, "the pictures are measured once"


def test_disgust_is_of_another_size_in_the_photographs(photos_zip, tmp_path):
    """Most images of disgust are film stills, the others press photographs of 350 x 350 pixels."""
    rows, frequent = [], {"happy": 0, "neutral": 0}
    with zipfile.ZipFile(photos_zip) as photos:
        table = csv.DictReader(io.TextIOWrapper(photos.open("labels.csv"), "utf-8"))
        for number, line in enumerate(table):
            label = canonical_label(line["emotion"])
            if label in frequent and number % 10:
                continue
            with photos.open(line["image"]) as file, Image.open(file) as image:
                width, height = image.size
            rows.append(
                Row(line["image"], label, group=line["person"], status="no_face", width=width, height=height)
            )
    report = measure_confounds(write_cache(tmp_path / "photos", sorted(rows, key=lambda row: row.id))).report
    size = of(report, "image size")
    assert size.strong
    assert (size.fact.label, size.fact.value, size.fact.negated) == ("disgust", "350 x 350", True)
    assert size.fact.share > 0.94
    assert size.fact.others < 0.2
    assert "% have another size than 350 x 350 (others: " in size.fact.text
