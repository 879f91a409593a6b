import numpy as np
import pytest
import torch

from landmarkfer.config.data import AugmentSettings
from landmarkfer.data.augment import augment_landmarks, mirror_faces, mirror_landmarks
from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.blendshapes import BLENDSHAPES
from landmarkfer.face.geometry import mirror
from landmarkfer.face.landmarks import CANONICAL, MIRROR

NOTHING = {"jitter": 0.0, "shape_jitter": 0.0}
MEAN = torch.from_numpy(CANONICAL + 0.01)
STD = torch.rand(478, 3, generator=torch.Generator().manual_seed(9)) + 0.5


@pytest.fixture
def faces():
    noise = torch.randn(64, 478, 3, generator=torch.Generator().manual_seed(1))
    return torch.from_numpy(CANONICAL.copy()) + 0.1 * noise


def augment(landmarks, seed=0, has_face=None, **settings):
    torch.manual_seed(seed)
    has_face = torch.ones(len(landmarks), dtype=torch.bool) if has_face is None else has_face
    return augment_landmarks(landmarks, has_face, MEAN, STD, AugmentSettings(**NOTHING | settings))


def test_mirror_is_that_of_geometry(faces):
    np.testing.assert_array_equal(mirror_landmarks(faces).numpy(), mirror(faces.numpy()))


def test_mirror_is_an_involution_that_keeps_every_point(faces):
    torch.testing.assert_close(mirror_landmarks(mirror_landmarks(faces)), faces, rtol=0, atol=0)
    kept = mirror_landmarks(faces)[0, :, 1].sort().values
    torch.testing.assert_close(kept, faces[0, :, 1].sort().values, rtol=0, atol=0)


def test_a_table_that_is_no_permutation_loses_points(faces, monkeypatch):
    """The fault of a published system: the checks above must see it."""
    faulty = MIRROR.copy()
    faulty[[33, 61, 130]] = 263
    monkeypatch.setattr("landmarkfer.data.augment._SWAP", torch.from_numpy(faulty))
    assert (mirror_landmarks(mirror_landmarks(faces)) != faces).any()
    assert len(mirror_landmarks(faces)[0, :, 1].unique()) < 478


def test_chosen_faces_are_mirrored_with_their_blendshapes(faces):
    scores = torch.zeros(64, 52)
    scores[:, BLENDSHAPES.index("mouthSmileLeft")] = 0.7
    scores[:, BLENDSHAPES.index("jawOpen")] = 0.2
    batch = FaceBatch(faces, torch.ones(64, dtype=torch.bool), blendshapes=scores)
    chosen = torch.arange(64) < 3
    result = mirror_faces(batch, chosen)
    assert torch.equal(result.landmarks[:3], mirror_landmarks(faces)[:3])
    assert torch.equal(result.landmarks[3:], faces[3:])
    assert torch.equal(result.blendshapes[3:], scores[3:])
    smile = [BLENDSHAPES.index(f"mouthSmile{side}") for side in ("Left", "Right")]
    assert result.blendshapes[0, smile].tolist() == pytest.approx([0, 0.7])
    assert torch.equal(result.blendshapes[:, BLENDSHAPES.index("jawOpen")], torch.full((64,), 0.2))
    assert mirror_faces(FaceBatch(faces, chosen), chosen).blendshapes is None


def test_nothing_set_changes_nothing(faces):
    assert augment(faces) is faces


def test_jitter_is_measured_in_each_coordinates_own_sd(faces):
    many = faces.repeat(40, 1, 1)
    moved = (augment(many, jitter=0.1) - many) / STD
    assert moved.std().item() == pytest.approx(0.1, rel=0.01)
    # Over 2560 faces the SD of one coordinate's noise is known to 1.4 %.
    assert (moved.std(dim=0) / 0.1 - 1).abs().max() < 0.1
    assert abs(moved.mean().item()) < 1e-3


class TestShapeJitter:
    def test_it_has_the_covariance_of_the_faces(self):
        generator = torch.Generator().manual_seed(3)
        ways = torch.randn(2, 478, 3, generator=generator)
        weights = torch.randn(4000, 2, generator=generator) * torch.tensor([1.0, 0.1])
        faces = MEAN + torch.einsum("nk,kpd->npd", weights, ways)
        noise = (augment(faces, shape_jitter=0.5) - faces).flatten(1)
        moved = torch.linalg.lstsq(ways.flatten(1).T, noise.T).solution  # [2, 4000]
        expected = 0.25 * torch.cov(weights.T)
        scale = torch.tensor([1.0, 0.1])
        error = (torch.cov(moved) - expected) / (scale[:, None] * scale)
        assert error.abs().max() < 0.03
        rest = noise - moved.T @ ways.flatten(1)
        assert rest.abs().max() < 1e-4, "nothing moves as no face does"

    def test_faces_that_are_not_there_move_no_other(self, faces):
        has_face = torch.arange(64) % 2 == 0
        other = faces.clone()
        other[~has_face] = 1e6
        results = [augment(some, has_face=has_face, shape_jitter=0.3)[has_face] for some in (faces, other)]
        assert torch.equal(*results)
        assert torch.isfinite(augment(faces, has_face=has_face & False, shape_jitter=0.3)).all()


EVERYTHING = {
    "jitter": 0.1,
    "shape_jitter": 0.1,
}


@pytest.mark.parametrize("name", [*EVERYTHING, "all"])
def test_the_input_is_not_changed(faces, name):
    before = faces.clone()
    result = augment(faces, **(EVERYTHING if name == "all" else {name: EVERYTHING[name]}))
    assert torch.equal(faces, before)
    assert not torch.equal(result, before)
    assert result.shape == before.shape
    assert torch.isfinite(result).all()


def test_the_generator_decides_everything(faces):
    assert torch.equal(augment(faces, seed=3, **EVERYTHING), augment(faces, seed=3, **EVERYTHING))
    assert not torch.equal(augment(faces, seed=3, **EVERYTHING), augment(faces, seed=4, **EVERYTHING))
