import hashlib
import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from landmarkfer.data.audit import audit, audit_groups, sorted_splits
from landmarkfer.data.audit_report import Audit, Leak
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.cache_writer import CacheWriter, write_cache
from landmarkfer.data.duplicates import THRESHOLD
from landmarkfer.data.row import Row
from landmarkfer.extraction.decode import decode_image


def encode(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def picture(seed, change=0):
    """A smooth random picture, `change` grey values brighter in the first pixel: near, yet not identical."""
    noise = np.random.default_rng(seed).integers(0, 250, (6, 6), dtype=np.uint8)
    pixels = np.array(Image.fromarray(noise).resize((48, 48), Image.Resampling.BICUBIC))
    pixels[0, 0] = pixels[0, 0] // 2 + change
    return pixels


def row(name, pixels, label, split, subset=None, status="ok"):
    return Row(
        id=name,
        label=label,
        split=split,
        subset=subset,
        status=status,
        width=48,
        height=48,
        sha256=hashlib.sha256(pixels.tobytes()).hexdigest(),
        landmarks=np.zeros((478, 3)) if status == "ok" else None,
        face=encode(pixels),
    )


@pytest.fixture
def rows():
    flat = np.full((48, 48), 7, np.uint8)
    return [
        row("a", picture(1), "happy", "train"),
        row("b", picture(1), "happy", "train"),
        row("c", picture(1), "sad", "test", "public"),
        row("d", picture(2), "sad", "train", status="no_face"),
        row("e", picture(2, change=1), "sad", "test", "private"),
        row("f", picture(3), "happy", "test", "private", status="no_face"),
        row("g", flat, "angry", "train", status="no_face"),
        row("h", flat, "angry", "test", "public", status="no_face"),
        Row(id="i", label="angry", split="train", status="unreadable", error="the file is empty"),
        row("j", picture(4), None, None),
    ]


@pytest.fixture
def found(rows, tmp_path):
    return audit(write_cache(tmp_path / "c", rows, detector="facemesh", part_rows=4))


def test_counts_by_class_split_and_outcome(found):
    counts = {(c.label, c.split): (c.ok, c.no_face, c.unreadable) for c in found.counts}
    assert counts == {
        ("angry", "train"): (0, 1, 1),
        ("angry", "test"): (0, 1, 0),
        ("happy", "train"): (2, 0, 0),
        ("happy", "test"): (0, 1, 0),
        ("sad", "train"): (0, 1, 0),
        ("sad", "test"): (2, 0, 0),
        (None, None): (1, 0, 0),
    }
    assert [c.label for c in found.counts][::2] == ["angry", "happy", "sad", None], "in the canonical order"
    assert found.detection_rate == pytest.approx({"angry": 0, "happy": 2 / 3, "sad": 2 / 3, "": 1})


def test_identical_images_and_their_conflicts(found):
    assert found.distinct == 6
    assert [group.ids for group in found.identical] == [["a", "b", "c"], ["g", "h"]]
    assert [group.labels for group in found.conflicting] == [["happy", "sad"]]
    assert found.identical[0].splits == ["test", "train"]


def test_near_images_are_those_that_look_alike_and_differ(found):
    assert [(pair.first, pair.second) for pair in found.near] == [("d", "e")]
    assert found.near_groups == 1
    assert found.near[0].similarity > THRESHOLD
    assert (found.near[0].labels, found.near[0].splits) == (["sad", "sad"], ["train", "test"])


def test_pairs_of_most_interest_come_first(rows, tmp_path):
    rows += [row("k", picture(2, change=2), "happy", "test"), row("l", picture(3, change=1), "happy", "test")]
    rows += [row("m", picture(5), "sad", "test"), row("n", picture(5, change=1), "angry", "test")]
    found = audit(write_cache(tmp_path / "c", rows))
    assert [(pair.first, pair.second) for pair in found.near_by_interest] == [
        *(("d", "k"), ("m", "n")),  # of different labels
        ("e", "k"),  # of which k was shown
        ("d", "e"),  # in different splits
        ("f", "l"),
    ]
    assert found.summary["near_conflicting_pairs"] == 3


def test_images_in_two_splits_are_counted_where_they_are(found):
    assert found.leaks == [
        Leak(split="test", subset="private", other="train", identical=0, near=1),
        Leak(split="test", subset="public", other="train", identical=2, near=0),
        Leak(split="train", subset=None, other="test", identical=3, near=1),
    ]
    assert found.leaked("test", "train") == 2


def test_an_image_with_both_a_twin_and_a_near_one_counts_once(rows, tmp_path):
    rows.append(row("k", picture(1, change=1), "happy", "train"))
    found = audit(write_cache(tmp_path / "c", rows))
    (leak,) = [leak for leak in found.leaks if leak.subset == "public"]
    assert (leak.identical, leak.near) == (2, 0)
    (leak,) = [leak for leak in found.leaks if leak.split == "train"]
    assert (leak.identical, leak.near) == (3, 2), "k is near c, d is near e"


def test_constant_and_unreadable_images(found):
    assert found.constant == ["g", "h"], "both, although only one of two identical images is decoded"
    assert [(item.id, item.reason) for item in found.unreadable] == [("i", "the file is empty")]


def test_constant_means_every_colour(tmp_path):
    flat = np.zeros((20, 30, 3), np.uint8)
    flat[..., 1] = 200
    stripe = flat.copy()
    stripe[:, 5, 2] = 1
    rows = [row("flat", flat, "sad", "train"), row("stripe", stripe, "sad", "train")]
    assert audit(write_cache(tmp_path / "c", rows)).constant == ["flat"]


def test_near_duplicates_can_be_left_out(rows, tmp_path):
    found = audit(write_cache(tmp_path / "c", rows), near=False)
    assert (found.near, found.near_groups, found.near_threshold) == ([], 0, None)
    assert [leak.near for leak in found.leaks] == [None, None]
    assert found.distinct == 6


def test_summary_and_json(found):
    assert found.summary == {
        "images": 10,
        "ok": 5,
        "no_face": 4,
        "unreadable": 1,
        "distinct": 6,
        "identical_groups": 2,
        "conflicting_groups": 1,
        "near_pairs": 1,
        "near_groups": 1,
        "near_conflicting_pairs": 0,
        "constant": 2,
    }
    printed = json.loads(found.model_dump_json())
    assert printed["summary"] == found.summary
    assert printed["identical"][0]["ids"] == ["a", "b", "c"]


def test_audit_of_an_unfinished_cache_says_so(rows, tmp_path):
    whole = write_cache(tmp_path / "whole", rows, part_rows=4)
    manifest = whole.manifest.model_copy(update={"complete": False, "counts": None})
    with CacheWriter(tmp_path / "half", manifest, [r.id for r in rows]) as writer:
        writer.write_part(1, rows[4:8])
    found = audit(LandmarkCache.open(tmp_path / "half"))
    assert not found.complete
    assert found.rows == 4
    assert found.constant == ["g", "h"]


def test_an_empty_cache_has_nothing_to_find(tmp_path):
    found = audit(write_cache(tmp_path / "c", []))
    assert (found.rows, found.distinct, found.counts, found.leaks, found.near) == (0, 0, [], [], [])


def test_a_cache_of_unreadable_images_only(tmp_path):
    rows = [Row(id=name, label="sad", split="train", status="unreadable", error="damaged") for name in "ab"]
    found = audit(write_cache(tmp_path / "c", rows))
    assert (found.distinct, found.identical, found.constant) == (0, [], [])
    assert found.detection_rate == {"sad": 0}


def test_an_image_on_which_the_detector_failed_still_has_pixels(tmp_path):
    rows = [row("a", picture(1), "sad", "train"), row("b", picture(1), "sad", "test")]
    rows[1].status, rows[1].error, rows[1].landmarks = "unreadable", "the detector failed", None
    found = audit(write_cache(tmp_path / "c", rows))
    assert (found.decoded, found.distinct, found.leaked("test", "train")) == (2, 1, 1)
    assert [item.reason for item in found.unreadable] == ["the detector failed"]


def test_the_crop_size_is_told(rows, tmp_path):
    assert audit(write_cache(tmp_path / "c", rows, settings={"crop": 96})).crop == 96


def test_progress_reaches_the_end_of_each_kind_of_work(rows, tmp_path, recorder):
    audit(write_cache(tmp_path / "c", rows, part_rows=4), progress=recorder)
    ends = recorder.ends
    assert ends["looking at images"] == ends["cutting faces"] == (6, 6)
    assert ends["comparing images"][0] == ends["comparing images"][1] > 0
    assert ends["verifying pairs"][0] == ends["verifying pairs"][1] > 0


def test_splits_in_their_usual_order():
    assert sorted_splits(["test", None, "x", "train", "val", "test"]) == ["train", "val", "test", "x", None]
    assert sorted_splits([]) == []


SUBSETS = {"Training": "train", "PublicTest": "public", "PrivateTest": "private"}


@pytest.mark.fer2013
@pytest.mark.slow
def test_known_figures_of_fer2013(fer2013_zip, tmp_path):
    rows = []
    with zipfile.ZipFile(fer2013_zip) as archive:
        for name in sorted(archive.namelist()):
            data = archive.read(name)
            image = decode_image(data)
            split, label, file = name.split("/")
            rows.append(
                Row(
                    id=name,
                    label=label,
                    split=split,
                    subset=SUBSETS[file.split("_")[0]],
                    status="no_face",
                    width=image.pixels.shape[1],
                    height=image.pixels.shape[0],
                    sha256=image.sha256,
                    face=data,
                )
            )
    found: Audit = audit(write_cache(tmp_path / "fer2013", rows), near=False)
    assert found.rows == 35_887
    assert found.distinct == 34_034
    assert found.leaked("test", "train") == 568
    assert {leak.subset: leak.identical for leak in found.leaks if leak.split == "test"} == {
        "public": 280,
        "private": 288,
    }
    assert len(found.conflicting) == 57
    assert len(found.constant) == 12


def people(*rows):
    frame = pd.DataFrame(rows, columns=["id", "split", "group"])
    return audit_groups(frame.astype(object).where(frame.notna(), None))


def test_people_in_two_splits_are_counted():
    found = people(
        ("1.jpg", "train", "Ada"),
        ("2.jpg", "test", "Ada"),
        ("3.jpg", "test", "Ada"),
        ("4.jpg", "test", "Bo"),
        ("5.jpg", "train", "Cy"),
        ("6.jpg", "val", "Cy"),
        ("7.jpg", "train", None),
        ("8.jpg", None, "Bo"),
    )
    assert (found.groups, found.without, found.rule) == (3, 1, None)
    assert [(leak.split, leak.other, leak.groups, leak.images) for leak in found.leaks] == [
        ("test", "train", ["Ada"], 2),
        ("val", "train", ["Cy"], 1),
        ("train", "val", ["Cy"], 1),
        ("train", "test", ["Ada"], 1),
    ]


def test_people_whom_the_file_names_state_are_reported_though_nobody_asked():
    names = [f"joy/S{person:03d}_001_{frame:08d}.png" for person in (1, 2) for frame in (1, 2)]
    found = people(*((name, split, None) for name, split in zip(names, ["train", "test"] * 2, strict=True)))
    assert (found.rule, found.groups) == ("CK+", 2)
    assert found.leaks[0].groups == ["S001", "S002"]
    assert people(*((name, None, None) for name in names)).leaks == []
    assert people(("a.jpg", "train", None), ("b.jpg", "test", None)) is None
