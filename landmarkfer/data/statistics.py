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


def whitening_matrix(landmarks: Tensor, mean: Tensor, std: Tensor, floor: float) -> Tensor:
    """The matrix that takes the correlations between the coordinates of a face away.

    It is `(R + floor)^(-1/2)`, R being the correlation matrix of the coordinates: of all that whiten, the
    symmetric one, after which a coordinate is still most like itself (Kessy, Lewin and Strimmer, "Optimal
    whitening and decorrelation", 2018). What remains of a coordinate is what the
    others do not predict linearly.

    Args:
        landmarks: `[n, 478, 3]`, normalised.
        mean: `[478, 3]`, as `landmark_statistics` gives it.
        std: `[478, 3]`, likewise.
        floor: Variance, in squares of a coordinate's SD, that is added in all directions: those in which
            faces vary less, by noise above all, are not raised to the level of the others. At least the
            shrinkage of Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance
            matrices", 2004, is added: the fewer faces there are, the less is whitened.

    Returns:
        float32 `[1434, 1434]`, symmetric; to be applied to displacements from the mean, in SDs.
    """
    displacement = ((landmarks - mean) / std.clamp_min(LEAST_SD)).flatten(1).double()  # [n, 1434]
    correlation = displacement.T @ displacement / len(displacement)
    added = max(floor, _shrinkage(displacement, correlation))
    axis = torch.arange(3)
    swap = (3 * torch.from_numpy(MIRROR.copy())[:, None] + axis).flatten()  # [1434]
    sign = MIRROR_SIGN.double().repeat(len(MIRROR))
    correlation = (correlation + (correlation * sign[:, None] * sign)[swap][:, swap]) / 2
    values, vectors = torch.linalg.eigh(correlation)
    return ((vectors * (values.clamp_min(0) + added).rsqrt()) @ vectors.T).float()


def _shrinkage(samples: Tensor, covariance: Tensor) -> float:
    """That of Ledoit and Wolf, towards a multiple of the identity, of centred `samples [n, d]`.

    scikit-learn's goes over the samples once more, which takes many times as long as all the rest.
    """
    size = covariance.square().sum()
    noise = (samples.square().sum(dim=1).square().mean() - size) / len(samples)
    signal = size - covariance.trace().square() / len(covariance)
    return float((noise / signal).clamp(0, 1)) if signal > 0 else 1.0
