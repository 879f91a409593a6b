import numpy as np
import pytest
import torch

from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.geometry import mirror
from landmarkfer.face.landmarks import CANONICAL, MIRROR, REGION, REGIONS, SIDE
from landmarkfer.models.classical import features as handcrafted
from landmarkfer.models.classical.features import (
    ANGLE_NAMES,
    DISTANCE_NAMES,
    FEATURE_MIRROR,
    MIDDLE,
    RIGHT,
    HogFeatures,
    LandmarkFeatures,
    angles,
    distances,
    grey_images,
)


def made_face(**points):
    """A face all of whose points lie at the origin but the named ones, `[1, 478, 3]`."""
    face = np.zeros((1, 478, 3), np.float32)
    for name, place in points.items():
        side, _, rest = name.partition("_")
        index = MIDDLE[name] if name in MIDDLE else RIGHT[rest]
        face[0, MIRROR[index] if side == "left" else index] = place
    return face


def value(face, name):
    numbers = np.concatenate([distances(face), angles(face)], axis=1)[0]
    return float(numbers[(DISTANCE_NAMES + ANGLE_NAMES).index(name)])


def pictures(images):
    images = torch.as_tensor(images)
    return FaceBatch(torch.zeros(len(images), 478, 3), torch.zeros(len(images), dtype=torch.bool), images)


def test_named_points_lie_where_their_names_say():
    assert all(SIDE[point] == 0 for point in MIDDLE.values())
    assert all(CANONICAL[point, 0] < 0 < CANONICAL[MIRROR[point], 0] for point in RIGHT.values())
    region = {name: REGIONS[REGION[point]] for name, point in (MIDDLE | RIGHT).items()}
    assert {name for name in region if region[name] == "right_brow"} == {
        "brow_inner",
        "brow_middle",
        "brow_outer",
    }
    assert {region[name] for name in ("upper_lip", "upper_lip_inside", "upper_lip_side")} == {"upper_lip"}
    assert {region[name] for name in ("lower_lip", "lower_lip_inside", "lower_lip_side")} == {"lower_lip"}
    assert {region["mouth_corner"], region["mouth_corner_inside"]} == {"right_mouth_corner"}
    assert {region["nose_wing"], region["nostril"]} == {"right_nose_wing"}
    assert (region["iris"], region["cheek"]) == ("right_iris", "right_cheek")
    # From the outside in, and from top to bottom (y points down).
    x = {name: CANONICAL[point, 0] for name, point in RIGHT.items()}
    y = {name: CANONICAL[point, 1] for name, point in (MIDDLE | RIGHT).items()}
    assert x["brow_outer"] < x["brow_middle"] < x["brow_inner"]
    assert x["eye_outer"] < x["upper_lid_outer"] < x["upper_lid"] < x["upper_lid_inner"] < x["eye_inner"]
    assert y["brow_middle"] < y["upper_lid"] < y["iris"] < y["lower_lid"] < y["nose_tip"]
    assert y["upper_lip"] < y["upper_lip_inside"] < y["lower_lip_inside"] < y["lower_lip"] < y["chin"]


def test_distances_by_hand():
    face = made_face(right_mouth_corner=(-3, 2, 0), left_mouth_corner=(3, 2, 8), nose_tip=(0, 2, -4))
    assert value(face, "mouth_corner to mouth_corner") == pytest.approx(10)
    assert value(face, "right mouth_corner to nose_tip") == pytest.approx(5)
    assert value(face, "left mouth_corner to nose_tip") == pytest.approx(np.sqrt(9 + 144))
    assert value(face, "nose_tip to chin") == pytest.approx(np.sqrt(4 + 16))
    face = made_face(right_upper_lid=(-1, -0.25, 0.5), right_lower_lid=(-1, 0.25, 0.5))
    assert value(face, "right upper_lid to lower_lid") == pytest.approx(0.5)
    assert value(face, "left upper_lid to lower_lid") == 0


def test_angles_by_hand():
    # A right angle in space, half of one, and two points in one place.
    face = made_face(right_mouth_corner=(-1, 0, 0), upper_lip=(-1, -2, 0), lower_lip=(-1, 0, 3))
    corner = "angle at mouth_corner: {} upper_lip to mouth_corner to lower_lip"
    assert value(face, corner.format("right")) == pytest.approx(np.pi / 2)
    face = made_face(right_mouth_corner=(-1, 0, 0), upper_lip=(1, 0, 0), lower_lip=(1, 2, 0))
    assert value(face, corner.format("right")) == pytest.approx(np.pi / 4)
    face = made_face(upper_lip=(0, 0, 0), lower_lip=(0, 2, 0))
    assert value(face, corner.format("right")) == 0


def test_slopes_climb_outward_on_both_sides():
    # A raised corner lies higher, so at a lower y; outward is to the left of the picture for the right side.
    face = made_face(
        right_mouth_corner=(-2, 1, 5), left_mouth_corner=(2, 5, 0), upper_lip=(0, 3, 0), lower_lip=(0, 3, 0)
    )
    assert value(face, "slope: right upper_lip to mouth_corner") == pytest.approx(np.pi / 4)
    assert value(face, "slope: left upper_lip to mouth_corner") == pytest.approx(-np.pi / 4)


def test_the_mirrored_face_has_left_and_right_exchanged():
    names = DISTANCE_NAMES + ANGLE_NAMES
    assert len(set(names)) == len(names)
    assert np.array_equal(FEATURE_MIRROR[FEATURE_MIRROR], np.arange(len(names)))
    partner = names.index("left brow_inner to eye_inner")
    assert FEATURE_MIRROR[names.index("right brow_inner to eye_inner")] == partner
    assert FEATURE_MIRROR[names.index("jaw to jaw")] == names.index("jaw to jaw")
    rng = np.random.default_rng(0)
    faces = (CANONICAL + 0.1 * rng.standard_normal((5, 478, 3))).astype(np.float32)
    before = np.concatenate([distances(faces), angles(faces)], axis=1)
    after = np.concatenate([distances(mirror(faces)), angles(mirror(faces))], axis=1)
    np.testing.assert_allclose(after, before[:, FEATURE_MIRROR], rtol=1e-4, atol=1e-5)
    assert np.abs(after - before).max() > 0.1


def test_landmark_features_are_what_their_kind_says():
    rng = np.random.default_rng(1)
    landmarks = torch.from_numpy(rng.standard_normal((3, 478, 3)).astype(np.float32))
    batch = FaceBatch(landmarks, torch.tensor([True, False, True]))
    found = {kind: LandmarkFeatures(kind).describe(batch) for kind in ("landmarks", "geometry", "both")}
    for kind, features in found.items():
        assert features.dtype == np.float32
        assert features.shape == (3, len(LandmarkFeatures(kind)))
    assert np.array_equal(found["landmarks"][1, 3:6], landmarks[1, 1].numpy())
    assert np.array_equal(found["both"], np.concatenate([found["landmarks"], found["geometry"]], axis=1))
    assert LandmarkFeatures("both").has_input(batch).tolist() == [True, False, True]


@pytest.mark.parametrize(("turned", "expected"), [(False, 0), (True, 2)])
def test_an_edge_has_its_energy_in_the_bin_of_its_gradient(turned, expected):
    # An upright edge has a level gradient: bin 0 of 0 to 180 degrees in four; a level edge has the bin of 90.
    image = np.zeros((1, 1, 16, 16), np.uint8)
    image[..., 8:] = 200
    image = image.swapaxes(-1, -2).copy() if turned else image
    features = HogFeatures(size=16, cell=16, orientations=4, block=1).describe(pictures(image))
    assert features.shape == (1, 4)
    assert features[0].argmax() == expected
    assert features[0, expected] > 0.99 * np.linalg.norm(features[0])


def test_hog_sees_light_relative_to_its_surroundings():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 100, (2, 1, 24, 24))
    hog = HogFeatures(size=24, cell=8, orientations=6, block=2)
    dim, bright = (hog.describe(pictures(factor * image.astype(np.uint8))) for factor in (1, 2))
    assert dim.shape == (2, len(hog)) == (2, 2 * 2 * 2 * 2 * 6)
    np.testing.assert_allclose(dim, bright, atol=1e-3)
    assert np.abs(dim[0] - dim[1]).max() > 0.01


def test_images_become_grey_of_one_size():
    colour = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    colour[:, 1] = 255
    assert grey_images(colour, 4) == pytest.approx(0.587)
    assert grey_images(colour.float() / 255, 4) == pytest.approx(0.587)
    halves = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    halves[..., 2:] = 255
    small = grey_images(halves, 2)
    assert small.shape == (1, 2, 2)
    assert (small[0, :, 0] < 0.3).all() and (small[0, :, 1] > 0.7).all()


def test_images_are_seen_where_there_are_any():
    hog = HogFeatures(size=8, cell=4, orientations=2, block=2)
    batch = pictures(np.zeros((2, 1, 8, 8), np.uint8))
    assert hog.has_input(batch).tolist() == [True, True]
    some = FaceBatch(batch.landmarks, batch.has_face, batch.image, torch.tensor([False, True]))
    assert hog.has_input(some).tolist() == [False, True]
    none = FaceBatch(batch.landmarks, batch.has_face)
    assert hog.has_input(none).tolist() == [False, False]
    assert hog.describe(none).shape == (2, len(hog))


def test_long_work_tells_how_far_it_is(monkeypatch, recorder):
    monkeypatch.setattr(handcrafted, "_CHUNK", 2)
    batch = pictures(np.zeros((3, 1, 8, 8), np.uint8))
    HogFeatures(size=8, cell=4, orientations=2, block=2).describe(batch, recorder, "HOG of images")
    assert recorder.calls == [("HOG of images", done, 3) for done in (0, 2, 3)]


def test_a_block_must_fit_into_the_image():
    with pytest.raises(ValueError, match="block of 3 cells of 8 pixels does not fit into 16 pixels"):
        HogFeatures(size=16, cell=8, orientations=9, block=3)
