import io

import numpy as np
import pytest
import torch
from PIL import Image

from landmarkfer.config.data import NormalisationSettings
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.data.images import load_images
from landmarkfer.data.preprocess import Preprocess, keypoints_in_image
from landmarkfer.data.row import Row
from landmarkfer.face.geometry import normalise
from landmarkfer.face.landmarks import CANONICAL

HOW = [{"align": a, "scale": s} for a in ("roll", "none") for s in ("rms", "interocular")]


def found(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Landmarks `[n, 478, 3]` as fractions of images of 200 x 100 pixels, the last one missing; and sizes."""
    rng = np.random.default_rng(seed)
    pixels = (CANONICAL + 0.02 * rng.standard_normal((n, 478, 3))) * 25 + [100, 50, 0]
    landmarks = (pixels / [200, 100, 200]).astype(np.float32)
    landmarks[-1] = np.nan
    return torch.from_numpy(landmarks), torch.tensor([[200.0, 100.0]] * n)


@pytest.mark.parametrize("how", HOW)
def test_faces_are_normalised_and_missing_ones_are_zeros(how):
    landmarks, sizes = found(5)
    batch = Preprocess(NormalisationSettings(**how))(landmarks, sizes)
    assert batch.has_face.tolist() == [True] * 4 + [False]
    np.testing.assert_array_equal(batch.landmarks[:4], normalise(landmarks[:4].numpy(), 200, 100, **how))
    assert (batch.landmarks[4] == 0).all()
    assert batch.image is batch.keypoints is batch.blendshapes is None


@pytest.mark.parametrize("how", HOW)
def test_an_exported_model_normalises_as_training_does(how):
    landmarks, sizes = found(5)

    class Exported(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.preprocess = Preprocess(NormalisationSettings(**how))

        def forward(self, landmarks, sizes):
            batch = self.preprocess(landmarks, sizes)
            return batch.landmarks, batch.has_face

    exported = torch.export.export(
        Exported(), (landmarks, sizes), dynamic_shapes=({0: torch.export.Dim("batch")},) * 2
    )
    for n in (2, 5, 9):
        landmarks, sizes = found(n, seed=n)
        expected = Preprocess(NormalisationSettings(**how))(landmarks, sizes)
        normalised, has_face = exported.module()(landmarks, sizes)
        torch.testing.assert_close(normalised, expected.landmarks, rtol=0, atol=1e-5)
        assert torch.equal(has_face, expected.has_face)


def row(name: str, pixels: np.ndarray) -> Row:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    height, width = pixels.shape
    return Row(
        id=name, status="no_face", width=width, height=height, sha256=f"{0:064x}", face=file.getvalue()
    )


def test_points_lie_on_what_they_mark(tmp_path):
    """A bright spot in a wide image, and a landmark on it, are moved to the same place."""
    pixels = np.zeros((60, 120), np.uint8)
    pixels[20:24, 90:94] = 255  # centre (92, 22)
    wide = row("a.png", pixels)
    wide.status, wide.landmarks = "ok", np.full((478, 3), 0.5, np.float32)
    wide.landmarks[7] = (92 / 120, 22 / 60, 0)
    cache = write_cache(tmp_path / "c", [wide, row("b.png", pixels)])
    points = keypoints_in_image(cache.landmarks(), np.array([[120, 60]] * 2, np.float32), None)
    assert np.isnan(points[1]).all()
    image = load_images(cache, 40, 1)[0, 0].astype(float)
    y, x = np.mgrid[:40, :40] + 0.5
    centre = np.array([(x * image).sum(), (y * image).sum()]) / image.sum() / 40
    np.testing.assert_allclose(points[0, 7], centre, atol=0.01)
    np.testing.assert_allclose(points[0, 0], [0.5, 0.5])
