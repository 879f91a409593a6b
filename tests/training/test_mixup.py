import pytest
import torch
from torchvision.transforms import v2

from landmarkfer.config.train import MixingSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.training import mixup as mixing
from landmarkfer.training.mixup import mix_batch

LANDMARKS, IMAGE, BOTH = frozenset({"landmarks"}), frozenset({"image"}), frozenset({"landmarks", "image"})


def batch_of(size: int = 6, side: int = 8) -> tuple[FaceBatch, torch.Tensor]:
    """A batch with all fields, and targets of four classes."""
    generator = torch.Generator().manual_seed(2)
    labels = torch.arange(size) % 4
    faces = FaceBatch(
        landmarks=torch.randn(size, 478, 3, generator=generator),
        has_face=torch.ones(size, dtype=torch.bool),
        image=torch.rand(size, 3, side, side, generator=generator),
        has_image=torch.ones(size, dtype=torch.bool),
        keypoints=torch.rand(size, 478, 2, generator=generator),
        blendshapes=torch.rand(size, 52, generator=generator),
        labels=labels,
    )
    return faces, torch.nn.functional.one_hot(labels, 4).float()


def tensors(batch: FaceBatch) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in vars(batch).items() if value is not None}


@pytest.fixture
def rolled(monkeypatch):
    """Lambda is 0.3, and the partner of each face the one before it."""
    monkeypatch.setattr(mixing, "_beta", lambda alpha: 0.3)
    monkeypatch.setattr(torch, "randperm", lambda size: torch.arange(size).roll(1))


class TestMixup:
    def test_by_hand(self, rolled):
        batch, targets = batch_of()
        found, mixed = mix_batch(batch, targets, MixingSettings(mixup=0.2), BOTH)
        for name in ("landmarks", "image", "keypoints", "blendshapes"):
            field = getattr(batch, name)
            torch.testing.assert_close(getattr(found, name)[2], 0.3 * field[2] + 0.7 * field[1])
        assert mixed[2].tolist() == pytest.approx([0, 0.7, 0.3, 0])
        assert mixed[0].tolist() == pytest.approx([0.3, 0.7, 0, 0]), "of class 0, before it comes class 1"
        assert torch.equal(found.labels, batch.labels)

    def test_it_is_torchvisions_where_there_is_an_image_alone(self, rolled):
        batch, targets = batch_of()
        theirs = v2.MixUp(alpha=1.0)
        theirs._dist.sample = lambda shape: torch.tensor([0.3])
        image, expected = theirs(batch.image, targets)
        found, mixed = mix_batch(batch, targets, MixingSettings(mixup=1.0), IMAGE)
        torch.testing.assert_close(found.image, image)
        torch.testing.assert_close(mixed, expected)

    def test_only_what_the_model_looks_at_is_mixed(self):
        batch, targets = batch_of()
        found, _ = mix_batch(batch, targets, MixingSettings(mixup=5.0), IMAGE)
        assert not torch.equal(found.image, batch.image)
        assert found.landmarks is batch.landmarks
        found, _ = mix_batch(batch, targets, MixingSettings(mixup=5.0), LANDMARKS)
        assert not torch.equal(found.landmarks, batch.landmarks)
        assert found.image is batch.image

    def test_a_landmark_batch_needs_no_other_field(self):
        batch, targets = batch_of()
        bare = FaceBatch(batch.landmarks, batch.has_face, labels=batch.labels)
        found, mixed = mix_batch(bare, targets, MixingSettings(mixup=5.0), LANDMARKS)
        assert found.image is None
        torch.testing.assert_close(mixed.sum(dim=1), torch.ones(6))

    def test_one_lambda_and_one_permutation_for_all(self):
        batch, _ = batch_of()
        torch.manual_seed(0)
        found, mixed = mix_batch(batch, torch.eye(6), MixingSettings(mixup=5.0), BOTH)
        for name in ("landmarks", "image"):
            field = getattr(batch, name)
            expected = (mixed @ field.flatten(1)).view_as(field)
            torch.testing.assert_close(getattr(found, name), expected)
        assert len({round(share, 5) for share in mixed.flatten().tolist()} - {0.0, 1.0}) <= 2

    def test_lambda_is_drawn_from_the_beta_distribution(self):
        torch.manual_seed(0)
        draws = torch.tensor([mixing._beta(0.2) for _ in range(4000)])
        assert draws.mean().item() == pytest.approx(0.5, abs=0.02)
        # Variance of Beta(a, a): 1 / (4 (2 a + 1)).
        assert draws.var().item() == pytest.approx(1 / 5.6, abs=0.01)

    def test_stored_pixels_are_refused(self):
        batch, targets = batch_of()
        stored = FaceBatch(batch.landmarks, batch.has_face, (255 * batch.image).byte())
        with pytest.raises(ValueError, match="float"):
            mix_batch(stored, targets, MixingSettings(mixup=1.0), IMAGE)
        mix_batch(stored, targets, MixingSettings(mixup=1.0), LANDMARKS)


class TestPartnersThatCannotBeSeen:
    """Of faces 0 to 3, the partner is the one before: 3, 0, 1 and 2."""

    def faces(self, **missing: list[int]) -> tuple[FaceBatch, torch.Tensor]:
        batch, targets = batch_of(4)
        for name, rows in missing.items():
            getattr(batch, name)[rows] = False
            (batch.landmarks if name == "has_face" else batch.image)[rows] = 0
        return batch, targets

    def unmixed(self, faces: tuple[FaceBatch, torch.Tensor], inputs: frozenset[str]) -> list[int]:
        batch, targets = faces
        found, mixed = mix_batch(batch, targets, MixingSettings(mixup=1.0), inputs)
        same = [row for row in range(4) if torch.equal(mixed[row], targets[row])]
        for name in inputs:
            field = "landmarks" if name == "landmarks" else "image"
            for row in same:
                assert torch.equal(getattr(found, field)[row], getattr(batch, field)[row])
        return same

    def test_all_found(self, rolled):
        assert self.unmixed(self.faces(), BOTH) == []

    def test_a_missing_face_leaves_itself_and_its_partner_as_they_are(self, rolled):
        assert self.unmixed(self.faces(has_face=[1]), LANDMARKS) == [1, 2]
        assert self.unmixed(self.faces(has_face=[1]), IMAGE) == []
        assert self.unmixed(self.faces(has_image=[1]), IMAGE) == [1, 2]

    def test_two_without_a_face_are_mixed_in_their_pixels(self, rolled):
        batch, targets = self.faces(has_face=[1, 2])
        assert self.unmixed((batch, targets), BOTH) == [1, 3]
        found, _ = mix_batch(batch, targets, MixingSettings(mixup=1.0), BOTH)
        torch.testing.assert_close(found.image[2], 0.3 * batch.image[2] + 0.7 * batch.image[1])
        assert not found.landmarks[2].any()


class TestChance:
    def test_nothing_set_changes_nothing_and_draws_nothing(self):
        batch, targets = batch_of()
        state = torch.get_rng_state()
        found, mixed = mix_batch(batch, targets, MixingSettings(), BOTH)
        assert found is batch
        assert mixed is targets
        assert torch.equal(torch.get_rng_state(), state)

    def test_probability_is_the_share_of_batches(self):
        batch, targets = batch_of(4)
        bare = FaceBatch(batch.landmarks, batch.has_face)
        torch.manual_seed(0)
        for probability, expected in ((0.0, 0.0), (0.3, 0.3), (1.0, 1.0)):
            settings = MixingSettings(mixup=1.0, probability=probability)
            mixed = [mix_batch(bare, targets, settings, LANDMARKS)[0] is not bare for _ in range(500)]
            assert sum(mixed) / 500 == pytest.approx(expected, abs=0.05 if 0 < expected < 1 else 0)

    def test_the_global_generator_decides_and_the_batch_is_not_changed(self):
        batch, targets = batch_of()
        before, targets_before = tensors(batch), targets.clone()
        results = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            results.append(mix_batch(batch, targets, MixingSettings(mixup=0.4), IMAGE))
        assert torch.equal(results[0][0].image, results[1][0].image)
        assert torch.equal(results[0][1], results[1][1])
        assert not torch.equal(results[0][0].image, results[2][0].image)
        assert torch.equal(targets, targets_before)
        for name, value in before.items():
            assert torch.equal(getattr(batch, name), value)
