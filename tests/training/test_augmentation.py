from dataclasses import replace

import pytest
import torch

from landmarkfer.config.data import AugmentSettings
from landmarkfer.data.augment import mirror_landmarks
from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.landmarks import CANONICAL, MIRROR
from landmarkfer.models import build_model
from landmarkfer.models.base import FaceModel
from landmarkfer.training.augmentation import augment_batch


class Both(FaceModel):
    """Looks at pixels and landmarks, as a fused model does."""

    inputs = frozenset({"image", "landmarks", "keypoints"})
    crop = 1.0
    mean, std = torch.tensor(CANONICAL), torch.ones(478, 3)

    def has_input(self, batch):
        return batch.has_image

    def embed(self, batch):
        return batch.landmarks

    def classify(self, embedding):
        return embedding


@pytest.fixture
def faces():
    generator = torch.Generator().manual_seed(1)
    landmarks = torch.tensor(CANONICAL) + 0.1 * torch.randn(64, 478, 3, generator=generator)
    yes = torch.ones(64, dtype=torch.bool)
    image = torch.randint(0, 256, (64, 1, 20, 20), generator=generator, dtype=torch.uint8)
    points = torch.rand(64, 478, 2, generator=generator)
    return FaceBatch(landmarks, yes, image=image, has_image=yes, keypoints=points)


def augment(batch, model, seed=0, **settings):
    torch.manual_seed(seed)
    return augment_batch(batch, model, AugmentSettings(**{"shape_jitter": 0.0} | settings))


def test_mirroring_happens_to_about_the_given_share(faces):
    model = build_model("mlp", 3, hidden=[4])
    many = faces.rows(torch.arange(64).repeat(20))
    result = augment(many, model, mirror=0.25)
    assert result.image is None, "what the model does not look at is left out"
    mirrored = (result.landmarks == mirror_landmarks(many.landmarks)).all(dim=(1, 2))
    kept = (result.landmarks == many.landmarks).all(dim=(1, 2))
    assert (mirrored ^ kept).all(), "a face is mirrored as a whole or not at all"
    # 1280 draws: the SD of the share is 0.012.
    assert mirrored.float().mean().item() == pytest.approx(0.25, abs=0.05)
    assert torch.equal(augment(faces, model, mirror=1.0).landmarks, mirror_landmarks(faces.landmarks))


def test_faces_lie_between_their_mean_and_their_first_detection(faces):
    model = build_model("mlp", 3, hidden=[4])
    deviation = torch.zeros_like(faces.landmarks)
    deviation[:32] = 0.1 * torch.randn(32, 478, 3, generator=torch.Generator().manual_seed(3))
    twice = replace(faces, deviation=deviation)
    result = augment(twice, model, mirror=0.0, detection=0.5)
    assert result.deviation is None
    moved = result.landmarks - faces.landmarks
    share = (moved / deviation)[:32].flatten(1)
    torch.testing.assert_close(share, share[:, :1].expand_as(share), rtol=1e-2, atol=1e-2)
    assert (share[:, 0] >= 0).all() and (share[:, 0] < 0.51).all()
    assert share[:, 0].std() > 0.1, "each face is drawn anew"
    assert torch.equal(result.landmarks[32:], faces.landmarks[32:])
    # Mirrored after that, the first detection with its mean.
    mirrored = augment(twice, model, mirror=1.0, detection=0.5).landmarks
    share = ((mirror_landmarks(mirrored) - faces.landmarks) / deviation)[:32].flatten(1)
    torch.testing.assert_close(share, share[:, :1].expand_as(share), rtol=1e-2, atol=1e-2)
    assert torch.equal(augment(twice, model, mirror=0.0, detection=0.0).landmarks, faces.landmarks)


def test_pixels_points_and_landmarks_are_mirrored_together(faces):
    result = augment(faces, Both(3), mirror=0.5)
    mirrored = (result.landmarks == mirror_landmarks(faces.landmarks)).all(dim=(1, 2))
    assert 10 < mirrored.sum() < 54
    image = faces.image.float() / 255
    assert torch.equal(result.image[mirrored], image[mirrored].flip(-1))
    assert torch.equal(result.image[~mirrored], image[~mirrored])
    assert torch.equal(result.keypoints[~mirrored], faces.keypoints[~mirrored])
    left, right = 263, 33
    assert MIRROR[left] == right
    torch.testing.assert_close(
        result.keypoints[mirrored][:, left, 0], 1 - faces.keypoints[mirrored][:, right, 0]
    )
    torch.testing.assert_close(result.keypoints[mirrored][:, left, 1], faces.keypoints[mirrored][:, right, 1])


def test_the_batch_is_not_changed(faces):
    before = faces.rows(torch.arange(64))
    settings = {"mirror": 0.5, "jitter": 0.1, "image": {"rotation": 10.0, "erasing": 1.0}}
    result = augment(faces, Both(3), **settings)
    for name in ("landmarks", "image", "keypoints"):
        assert torch.equal(getattr(faces, name), getattr(before, name)), name
        assert not torch.equal(getattr(result, name), getattr(before, name)), name


def test_the_generator_decides_everything(faces):
    settings = {"mirror": 0.5, "jitter": 0.1, "image": {"rotation": 10.0, "erasing": 0.5}}
    first, again, other = (augment(faces, Both(3), seed=seed, **settings) for seed in (3, 3, 4))
    for name in ("landmarks", "image", "keypoints"):
        assert torch.equal(getattr(first, name), getattr(again, name)), name
        assert not torch.equal(getattr(first, name), getattr(other, name)), name
