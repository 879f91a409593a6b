"""Several caches behind the interface of one."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from landmarkfer.config.data import DataSettings, NormalisationSettings
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.dataset import label_images, load_dataset
from landmarkfer.data.framing import training_frame
from landmarkfer.data.images import ImageInfo, load_images, natural_size
from landmarkfer.data.joined import join_caches, open_cache, owners, rows_by_cache
from landmarkfer.errors import CacheError


def png(side, value, mode="L"):
    file = io.BytesIO()
    Image.new(mode, (side, side), value if mode == "L" else (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def caches(rows_of, tmp_path):
    """Two caches whose ids and groups are the same; the second has another class and other images."""
    first, second = rows_of(7), rows_of(5, seed=1)
    for number, row in enumerate(first):
        row.group, row.votes = f"person {number % 3}", (float(number), 1.0)
    for row in second:
        row.group, row.votes = "person 0", (2.0, 3.0)
        row.label = {"happy": "angry"}.get(row.label, row.label)
    return [write_cache(tmp_path / name, rows, part_rows=3) for name, rows in (("a", first), ("b", second))]


def test_rows_are_those_of_each_in_turn(caches):
    joined = join_caches(caches)
    assert len(joined) == 12 and joined.complete
    assert joined.name == "a+b"
    parts = [one.frame() for one in caches]
    whole = joined.frame()
    assert whole["id"].tolist() == [*("a/" + parts[0]["id"]), *("b/" + parts[1]["id"])]
    assert whole["status"].tolist() == [*parts[0]["status"], *parts[1]["status"]]
    np.testing.assert_array_equal(joined.landmarks(), np.concatenate([one.landmarks() for one in caches]))
    rows = np.array([11, 0, 8, 3])
    np.testing.assert_array_equal(joined.landmarks(rows), joined.landmarks()[rows])
    each = [*caches[0].faces(range(7)), *caches[1].faces(range(5))]
    assert joined.faces(rows) == [each[row] for row in rows]
    assert owners(joined).tolist() == [0] * 7 + [1] * 5
    [(_, places, inside), (_, others, within)] = rows_by_cache(joined, rows)
    assert (places.tolist(), inside.tolist()) == ([1, 3], [0, 3])
    assert (others.tolist(), within.tolist()) == ([0, 2], [4, 1])


def test_two_people_of_one_name_are_two(caches):
    groups = join_caches(caches).frame(["group"])["group"]
    assert set(groups) == {"a/person 0", "a/person 1", "a/person 2", "b/person 0"}


def test_classes_are_those_of_both_and_votes_are_in_their_order(caches):
    joined = join_caches(caches)
    assert caches[0].manifest.classes == ["happy", "sad"]
    assert caches[1].manifest.classes == ["angry", "sad"]
    assert joined.manifest.classes == ["angry", "happy", "sad"]
    votes = joined.frame(["votes"])["votes"]
    assert votes[2].tolist() == [0.0, 2.0, 1.0]
    assert votes[7].tolist() == [2.0, 0.0, 3.0]


def test_the_fingerprint_is_of_both_and_their_order(caches, rows_of, tmp_path):
    joined = join_caches(caches)
    again = open_cache([str(one.path) for one in caches])
    assert joined.fingerprint == again.fingerprint
    assert joined.fingerprint != join_caches(caches[::-1]).fingerprint
    changed = write_cache(tmp_path / "other" / "b", rows_of(5, seed=2))
    assert join_caches([caches[0], changed]).fingerprint != joined.fingerprint
    assert joined.store.parent.parent == caches[0].path


def test_one_cache_stays_what_it_is(caches):
    assert join_caches(caches[:1]) is caches[0]
    one = open_cache(caches[0].path)
    assert type(one) is LandmarkCache
    assert one.members == (one,) and one.name == "a" and one.store == one.path


class TestRefused:
    def test_one_cache_twice(self, caches):
        with pytest.raises(CacheError, match="a is named twice; name each cache once"):
            open_cache([caches[0].path, f"{caches[0].path}/../a"])

    def test_two_of_one_name(self, caches, rows_of, tmp_path):
        other = write_cache(tmp_path / "elsewhere" / "a", rows_of(4, seed=3))
        with pytest.raises(CacheError, match=r"are both called 'a'.*rename one of the folders"):
            join_caches([caches[0], other])

    def test_the_same_images_twice(self, caches, rows_of, tmp_path):
        first = write_cache(tmp_path / "c", rows_of(7))
        with pytest.raises(CacheError, match="hold the same images; name one of them"):
            join_caches([first, write_cache(tmp_path / "d", rows_of(7))])

    @pytest.mark.parametrize(
        ("made", "said"),
        [
            ({"detector": "landmarker"}, "the detector is none in a and landmarker in other"),
            ({"settings": {"passes": 3}}, "passes is 1 in a and 3 in other"),
        ],
    )
    def test_landmarks_made_otherwise(self, caches, rows_of, tmp_path, made, said):
        other = write_cache(tmp_path / "other", rows_of(5, seed=1), **made)
        with pytest.raises(CacheError, match=f"other was not extracted as .*a.*: {said}; extract one"):
            join_caches([caches[0], other])

    def test_a_name_that_a_figure_has(self, caches, rows_of, tmp_path):
        other = write_cache(tmp_path / "cache_mean", rows_of(5, seed=1))
        with pytest.raises(CacheError, match="what means over several caches are called; rename"):
            join_caches([caches[0], other])

    def test_crops_beside_whole_images_where_images_are_read(self, rows_of, tmp_path):
        crops = write_cache(tmp_path / "crops", rows_of(5), settings={"crop": 52})
        whole = write_cache(tmp_path / "whole", rows_of(5, seed=1))
        joined = join_caches([whole, crops])
        assert joined.manifest.settings["crop"] is None
        assert len(load_dataset(joined, NormalisationSettings())) == 10, "landmarks alone fit"
        with pytest.raises(CacheError, match=r"crops holds aligned crops.*extract whole with --crop 52"):
            natural_size(joined)


class TestImages:
    @pytest.fixture
    def joined(self, rows_of, tmp_path):
        """Grey squares of 48 pixels, and redder ones of 80."""
        first, second = rows_of(6), rows_of(4, seed=1)
        for rows, side, mode in ((first, 48, "L"), (second, 80, "RGB")):
            for number, row in enumerate(rows):
                row.face, row.width, row.height = png(side, 10 * number, mode), side, side
        return join_caches(
            [write_cache(tmp_path / name, rows) for name, rows in (("small", first), ("large", second))]
        )

    def test_of_two_sizes_are_brought_to_the_larger(self, joined):
        assert natural_size(joined) == 80
        pixels = load_images(joined, 80, 1)
        assert pixels.shape == (10, 1, 80, 80)
        assert [int(one[0, 40, 40]) for one in pixels[:6]] == [0, 10, 20, 30, 40, 50]
        for member in joined.members:
            assert not (member.path / "images").exists(), "stored beside the joint content"
        np.testing.assert_array_equal(load_images(join_caches(joined.members), 80, 1), pixels)

    def test_crops_of_two_sizes(self, rows_of, tmp_path):
        made = [
            write_cache(tmp_path / str(crop), rows_of(5, seed=crop), settings={"crop": crop})
            for crop in (52, 96)
        ]
        joined = join_caches(made)
        assert natural_size(joined) == joined.manifest.settings["crop"] == 96

    def test_a_dataset_knows_whose_image_each_is(self, joined):
        dataset = load_dataset(
            joined,
            NormalisationSettings(),
            label_images(joined, DataSettings()),
            ImageInfo(size=16, channels=1),
        )
        assert dataset.caches == ("small", "large")
        assert dataset.faces.caches.tolist() == [0] * 6 + [1] * 4
        assert dataset.frame["cache"].tolist() == ["small"] * 6 + ["large"] * 4
        assert dataset.faces.image.shape == (10, 1, 16, 16)
        alone = load_dataset(joined.members[1], NormalisationSettings())
        assert alone.caches == () and alone.faces.caches is None
        assert torch.equal(dataset.faces.landmarks[6:], alone.faces.landmarks)

    def test_the_frame_is_that_of_all_training_images(self, joined):
        frame = training_frame(joined, np.arange(10))
        assert (frame.size, frame.grey) == (80, False)
        found = np.flatnonzero(joined.frame(["status"])["status"] == "ok")
        np.testing.assert_allclose(frame.array, joined.landmarks(found)[..., :2].mean(axis=0), atol=1e-5)
        assert training_frame(joined, np.arange(6)).grey
        assert training_frame(joined, np.arange(6)).size == 48

    def test_beside_photographs_it_is_that_of_the_others(self, joined, rows_of, tmp_path):
        oblong = write_cache(tmp_path / "oblong", rows_of(4, seed=5))
        both = training_frame(join_caches([*joined.members, oblong]), np.arange(14))
        alone = training_frame(joined, np.arange(10))
        assert both == alone.model_copy(update={"photographs": True}) and not alone.photographs
        assert training_frame(oblong, np.arange(4)) is None


def test_blendshapes_that_one_cache_has(rows_of, tmp_path):
    rows = rows_of(4)
    with_scores = [replace(row) for row in rows_of(5, seed=1)]
    with_scores[1].blendshapes = np.linspace(0, 1, 52, dtype=np.float32)
    plain, scored = write_cache(tmp_path / "plain", rows), write_cache(tmp_path / "scored", with_scores)
    found = join_caches([plain, scored]).blendshapes()
    assert np.isnan(found[:4]).all()
    np.testing.assert_array_equal(found[5], with_scores[1].blendshapes)
    other = write_cache(tmp_path / "other", rows_of(5, seed=2))
    assert join_caches([plain, other]).blendshapes() is None
