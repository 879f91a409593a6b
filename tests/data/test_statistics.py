import pytest
import torch
from sklearn.covariance import ledoit_wolf_shrinkage

from landmarkfer.data.augment import mirror_landmarks
from landmarkfer.data.statistics import LEAST_SD, landmark_statistics, whitening_matrix
from landmarkfer.face.landmarks import CANONICAL


def related_faces(n, seed=0):
    """Faces whose 1434 coordinates move in 12 ways only, not symmetric, with a little noise of their own."""
    generator = torch.Generator().manual_seed(seed)
    ways = torch.randn(12, 478, 3, generator=torch.Generator().manual_seed(99))
    weights = torch.randn(n, 12, generator=generator) * torch.logspace(0, -1, 12)
    noise = 0.01 * torch.randn(n, 478, 3, generator=generator)
    return torch.tensor(CANONICAL) + 0.1 * torch.einsum("nk,kpd->npd", weights, ways) + noise


def whiten(faces, known, floor):
    mean, std = landmark_statistics(known)
    matrix = whitening_matrix(known, mean, std, floor)
    return (((faces - mean) / std).flatten(1) @ matrix).view_as(faces)


def test_statistics_are_those_of_the_faces_and_their_mirror_images():
    faces = torch.tensor(CANONICAL) + 0.2 * torch.randn(50, 478, 3) + torch.tensor([0.3, 0.0, 0.1])
    mean, std = landmark_statistics(faces)
    both = torch.cat([faces, mirror_landmarks(faces)])
    torch.testing.assert_close(mean, both.mean(dim=0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(std, both.std(dim=0, unbiased=False), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(mirror_landmarks(mean), mean)


@pytest.mark.parametrize("n", [20, pytest.param(3000, marks=pytest.mark.slow)])
def test_whitening_is_the_inverse_root_of_correlations_and_a_floor(n):
    """The fewer faces there are, the less is whitened."""
    faces = related_faces(n)
    both = torch.cat([faces, mirror_landmarks(faces)])
    mean, std = both.mean(dim=0), both.std(dim=0, unbiased=False)
    displacement = ((both - mean) / std).flatten(1).double()
    shrinkage = ledoit_wolf_shrinkage(displacement[:n].numpy(), assume_centered=True)
    assert shrinkage > 0.05 if n == 20 else shrinkage < 0.01
    shrunk = displacement.T @ displacement / (2 * n)
    shrunk.diagonal().add_(shrinkage if n == 20 else 0.01)
    matrix = whitening_matrix(faces, mean, std, floor=0.01).double()
    product = matrix @ shrunk @ matrix
    torch.testing.assert_close(product, torch.eye(1434, dtype=torch.float64), rtol=0, atol=1e-3)


def test_the_floor_keeps_what_varies_little_from_being_raised():
    faces = related_faces(4000)
    mean, std = landmark_statistics(faces)
    displacement = ((faces - mean) / std).flatten(1).double()
    values = torch.linalg.eigvalsh(displacement.T @ displacement / len(displacement))
    raised = torch.linalg.eigvalsh(whitening_matrix(faces, mean, std, floor=0.1).double())
    assert raised.max() <= 0.1**-0.5 + 1e-6
    assert values.min() < 1e-2, "else the floor has nothing to do"


def test_detection_noise_is_added_to_the_correlations():
    """Directions in which detections of one face differ are raised less; the others are as before."""
    faces = related_faces(3000)
    mean, std = landmark_statistics(faces)
    direction = torch.zeros(478, 3)
    direction[10, 1] = 1.0  # in the middle of the face, its own partner in the mirror
    deviations = 0.3 * torch.randn(500, 1, 1, generator=torch.Generator().manual_seed(0)) * direction * std
    found = [
        whitening_matrix(faces, mean, std, 1e-3, noise, deviations).double() for noise in (0.0, 1.0, 4.0)
    ]
    assert torch.equal(found[0], whitening_matrix(faces, mean, std, 1e-3).double())
    of_direction = 3 * 10 + 1
    error = (deviations / std).flatten(1).double()
    for times, matrix in zip((1.0, 4.0), found[1:], strict=True):
        # (R + floor) = found[0]^-2, so the new matrix is the inverse root of that plus the noise.
        base = torch.linalg.inv(found[0] @ found[0])
        noisy = base + times * (error.T @ error) / len(error)
        product = matrix @ noisy @ matrix
        torch.testing.assert_close(product, torch.eye(1434, dtype=torch.float64), rtol=0, atol=2e-3)
    raised = [float(matrix[of_direction, of_direction]) for matrix in found]
    assert raised[0] > raised[1] > raised[2]


def test_a_mirrored_face_is_the_mirror_image_when_whitened():
    faces, known = related_faces(5, seed=1), related_faces(300)
    mirrored = whiten(mirror_landmarks(faces), known, floor=1e-3)
    torch.testing.assert_close(
        mirrored, mirror_landmarks(whiten(faces, known, floor=1e-3)), atol=1e-4, rtol=1e-3
    )


@pytest.mark.parametrize("n", [2, 40])
def test_few_faces_and_coordinates_that_never_move_stay_finite(n):
    faces = related_faces(n)
    faces[:, 1, 2] = 0.5  # of the tip of the nose, its own partner in the mirror
    mean, std = landmark_statistics(faces)
    assert std[1, 2] < LEAST_SD
    matrix = whitening_matrix(faces, mean, std, floor=1e-3)
    assert torch.isfinite(matrix).all()
    torch.testing.assert_close(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix.double()).max() <= 1e-3**-0.5 + 1e-3
