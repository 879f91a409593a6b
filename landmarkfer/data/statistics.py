"""Statistics of the training faces: their mean, and the variances and covariances of the coordinates.

Landmarks are normalised (`geometry.normalise`). Every figure is over the faces and their mirror images
together, so that a face and its mirror image are described alike.
"""

import torch
from torch import Tensor

from landmarkfer.data.augment import MIRROR_SIGN, mirror_landmarks
from landmarkfer.face.blendshapes import BLENDSHAPE_MIRROR
from landmarkfer.face.landmarks import MIRROR

# Below this SD a coordinate does not vary; what it is divided by.
LEAST_SD = 1e-6


def landmark_statistics(landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Mean face and SD of each coordinate, `[478, 3]` each, over faces and their mirror images.

    Args:
        landmarks: `[n, 478, 3]`, normalised.
    """
    mean = landmarks.mean(dim=0)
    variance = landmarks.var(dim=0, unbiased=False)
    swapped = mirror_landmarks(mean)
    # Over a set and its mirror images together: the mean of the variances plus the spread of the two means.
    mirrored_variance = mirror_landmarks(variance).abs()
    variance = (variance + mirrored_variance) / 2 + ((mean - swapped) / 2).square()
    return (mean + swapped) / 2, variance.sqrt()


def blendshape_statistics(blendshapes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and SD of each blendshape, `[52]` each, over faces and their mirror images, `[n, 52]`."""
    both = torch.cat([blendshapes, blendshapes[:, torch.from_numpy(BLENDSHAPE_MIRROR.copy())]])
    return both.mean(dim=0), both.std(dim=0, unbiased=False)


def whitening_matrix(
    landmarks: Tensor,
    mean: Tensor,
    std: Tensor,
    floor: float,
    noise: float = 0.0,
    deviations: Tensor | None = None,
) -> Tensor:
    """The matrix that takes the correlations between the coordinates of a face away.

    It is `(R + noise N + floor)^(-1/2)`, R being the correlation matrix of the coordinates and N the
    covariance of their detection errors, in the same units: of all that whiten, the symmetric one, after
    which a coordinate is still most like itself (Kessy, Lewin and Strimmer, "Optimal whitening and
    decorrelation", 2018). What remains of a coordinate is what the others do not predict linearly. Directions
    in which faces differ less than detections of one face do are raised less than the others.

    Args:
        landmarks: `[n, 478, 3]`, normalised.
        mean: `[478, 3]`, as `landmark_statistics` gives it.
        std: `[478, 3]`, likewise.
        floor: Variance, in squares of a coordinate's SD, that is added in all directions. At least a share of
            the shrinkage of Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance
            matrices", 2004, is added: all of it where there are fewer faces than coordinates, and less the
            more there are, since small variances are then as well known as large ones.
        noise: Times the covariance of detection errors.
        deviations: `[m, 478, 3]`, normalised: how far single detections of a face lie from their mean. N is
            zero if None.

    Returns:
        float32 `[1434, 1434]`, symmetric; to be applied to displacements from the mean, in SDs.
    """
    scale = std.clamp_min(LEAST_SD)
    displacement = ((landmarks - mean) / scale).flatten(1).double()  # [n, 1434]
    correlation = displacement.T @ displacement / len(displacement)
    few = min(1.0, displacement.shape[1] / len(displacement))
    added = max(floor, few * _shrinkage(displacement, correlation))
    if noise and deviations is not None and len(deviations):
        error = (deviations / scale).flatten(1).double()
        correlation += noise * (error.T @ error / len(error))
    values, vectors = torch.linalg.eigh(_alike_mirrored(correlation))
    return ((vectors * (values.clamp_min(0) + added).rsqrt()) @ vectors.T).float()


def _alike_mirrored(covariance: Tensor) -> Tensor:
    """The mean of a covariance of faces, `[1434, 1434]`, and that of their mirror images."""
    swap = (3 * torch.from_numpy(MIRROR.copy())[:, None] + torch.arange(3)).flatten()
    sign = MIRROR_SIGN.double().repeat(len(MIRROR))
    return (covariance + (covariance * sign[:, None] * sign)[swap][:, swap]) / 2


def _shrinkage(samples: Tensor, covariance: Tensor) -> float:
    """That of Ledoit and Wolf, towards a multiple of the identity, of centred `samples [n, d]`.

    scikit-learn's goes over the samples once more, which takes many times as long as all the rest.
    """
    size = covariance.square().sum()
    noise = (samples.square().sum(dim=1).square().mean() - size) / len(samples)
    signal = size - covariance.trace().square() / len(covariance)
    return float((noise / signal).clamp(0, 1)) if signal > 0 else 1.0
