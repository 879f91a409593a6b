import numpy as np
import pytest
import torch

from landmarkfer.config.data import ImageAugmentSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.image_augment import augment_images, mirror_images

SIDE = 64


def spots(n=24, seed=0):
    """Images of one bright spot each, with a point that lies on it."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0.4, 0.6, (n, 2)) * SIDE  # x, y of the spot's centre, in pixels from the corner
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    distance = (x - places[:, 0, None, None]) ** 2 + (y - places[:, 1, None, None]) ** 2
    image = torch.from_numpy((255 * np.exp(-distance / 8)).astype(np.uint8))[:, None]
    points = torch.from_numpy(places.astype(np.float32) / SIDE)[:, None].expand(-1, 478, -1)
    yes = torch.ones(n, dtype=torch.bool)
    return FaceBatch(torch.zeros(n, 478, 3), yes, image=image, has_image=yes, keypoints=points.contiguous())


def brightest(image):
    """Where the weight of each picture lies, as fractions of its side: `[B, 2]`, x and y."""
    image = image.float()[:, 0]
    size = image.shape[-1]
    centres = (torch.arange(size) + 0.5) / size
    weight = image.sum(dim=(1, 2))
    x = (image.sum(dim=1) * centres).sum(dim=1) / weight
    y = (image.sum(dim=2) * centres).sum(dim=1) / weight
    return torch.stack([x, y], dim=1)


@pytest.mark.parametrize(
    ("settings", "crop"),
    [
        ({"rotation": 30.0}, 1.0),
        ({"scale": 0.3}, 1.0),
        ({"shift": 0.2}, 1.0),
        ({}, 0.75),
        ({"rotation": 20.0, "scale": 0.2, "shift": 0.1}, 0.8),
    ],
)
def test_points_move_with_the_pixels(settings, crop):
    faces = spots()
    torch.manual_seed(0)
    result = augment_images(faces, ImageAugmentSettings(**settings), crop)
    size = round(SIDE * crop)
    assert result.image.shape == (24, 1, size, size)
    moved = (result.keypoints[:, 0] - faces.keypoints[:, 0]).norm(dim=1)
    assert moved.median() > 0.005, "something happens"
    torch.testing.assert_close(brightest(result.image), result.keypoints[:, 0], rtol=0, atol=0.012)


def test_points_move_with_the_mirror():
    faces = spots()
    chosen = torch.arange(24) % 2 == 0
    result = mirror_images(faces, chosen)
    torch.testing.assert_close(brightest(result.image), result.keypoints[:, 0], rtol=0, atol=0.005)
    assert torch.equal(result.image[~chosen], faces.image[~chosen])
    torch.testing.assert_close(result.keypoints[chosen, 0, 0], 1 - faces.keypoints[chosen, 0, 0])


def test_nothing_set_changes_nothing_but_the_type():
    faces = spots()
    result = augment_images(faces, ImageAugmentSettings(), 1.0)
    assert result.image.dtype == torch.float32
    assert torch.equal(result.image, faces.image.float() / 255)
    assert torch.equal(result.keypoints, faces.keypoints)


@pytest.mark.parametrize("settings", [{"brightness": 0.4}, {"contrast": 0.4}, {"erasing": 1.0}])
def test_disturbances_differ_between_faces_and_stay_in_range(settings):
    grey = torch.full((32, 1, 20, 20), 128, dtype=torch.uint8)
    grey[..., :10] = 100
    yes = torch.ones(32, dtype=torch.bool)
    torch.manual_seed(0)
    result = augment_images(
        FaceBatch(torch.zeros(32, 478, 3), yes, image=grey, has_image=yes),
        ImageAugmentSettings(**settings),
        1.0,
    )
    assert result.image.min() >= 0 and result.image.max() <= 1
    assert result.image.flatten(1).std(dim=0).max() > 0.02, "no two faces alike"
    assert result.keypoints is None
