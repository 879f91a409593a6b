"""Whether a map of contributions says what the model goes by: checked against the model, and against chance.

Deletion removes what is said to speak for the class, the most first, and watches its probability fall;
insertion starts with nothing and adds it (Petsiuk et al., "RISE: randomized input sampling for explanation of
black-box models", 2018). Of points, their parts of the face's shape are removed (`target`); of an image,
patches are painted in its mean. A map is better than chance where the area under the deletion curve is
smaller, and that under the insertion curve larger, than for all but one in twenty random orders.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from landmarkfer.inference.explain.attribution import Method, point_contributions
from landmarkfer.inference.explain.target import Target

Curve = NDArray[np.float64]

STEPS = 20
"""Steps of a curve; the first is the whole face (or nothing of it), the last the other."""
ORDERS = 20
"""Random orders that a map is compared with."""
_CHANCE = 0.05


@dataclass(frozen=True, eq=False)
class Check:
    """Curves of the probability of the class over the share of what is deleted, or inserted.

    Attributes:
        deletion: `[STEPS + 1]`, the most supporting first.
        insertion: Likewise.
        random_deletion: `[ORDERS, STEPS + 1]`, in random orders.
        random_insertion: Likewise.
    """

    deletion: Curve
    insertion: Curve
    random_deletion: Curve
    random_insertion: Curve

    @property
    def areas(self) -> dict[str, float]:
        """The area under each curve, 0 to 1; of random orders the mean."""
        return {
            "deletion": area(self.deletion),
            "insertion": area(self.insertion),
            "random_deletion": float(np.mean([area(one) for one in self.random_deletion])),
            "random_insertion": float(np.mean([area(one) for one in self.random_insertion])),
        }

    @property
    def beats_chance(self) -> tuple[bool, bool]:
        """Whether deletion and insertion are each better than all but one in twenty random orders."""
        less = np.mean([area(one) <= area(self.deletion) for one in self.random_deletion])
        more = np.mean([area(one) >= area(self.insertion) for one in self.random_insertion])
        return bool(less <= _CHANCE), bool(more <= _CHANCE)

    @property
    def sentence(self) -> str:
        """What the check found, in words."""
        deleted, inserted = self.beats_chance
        if deleted and inserted:
            return "faithful: deleting and inserting by this map beat random orders"
        if deleted or inserted:
            which, other = ("deleting", "inserting") if deleted else ("inserting", "deleting")
            return f"doubtful: {which} by this map beats random orders, {other} does not"
        return "not faithful: this map does no better than random orders"


def area(curve: NDArray[np.float64]) -> float:
    """The area under a curve of equal steps from 0 to 1."""
    return float(np.trapezoid(curve) if hasattr(np, "trapezoid") else np.trapz(curve)) / (len(curve) - 1)


def check_points(target: Target, contributions: NDArray, seed: int = 0) -> Check:
    """Check the contributions of points `[478]`.

    Args:
        target: That they are of.
        contributions: Signed; the highest count as supporting the class the most.
        seed: Of the random orders.
    """

    @torch.no_grad()
    def probability(kept: Tensor) -> Curve:
        return target.of_parts(kept).double().sigmoid().cpu().numpy()

    return _checked(probability, contributions, seed, target.model.device)


def check_pixels(target: Target, contributions: NDArray, seed: int = 0, patches: int = 8) -> Check:
    """Check the contributions of pixels `[h, w]`, in patches, that are removed by painting them in the mean.

    Args:
        target: That they are of.
        contributions: At least 0.
        seed: Of the random orders.
        patches: Of a side.
    """
    image = target.image(0)
    side = image.shape[-1]
    number = np.minimum(np.arange(side) * patches // side, patches - 1)
    patch = torch.from_numpy(number[:, None] * patches + number[None])
    sums = np.bincount(patch.numpy().ravel(), contributions.ravel(), minlength=patches**2)
    mean = image.mean(dim=(2, 3), keepdim=True)

    @torch.no_grad()
    def probability(kept: Tensor) -> Curve:
        shown = kept[:, patch.to(kept.device)][:, None]
        parts = [target.of_image(image * some + mean * (1 - some), 0) for some in shown.split(64)]
        return torch.cat(parts).double().sigmoid().cpu().numpy()

    return _checked(probability, sums, seed, target.model.device, steps=10, orders=ORDERS)


def _checked(
    probability: Callable[[Tensor], Curve],
    contributions: NDArray,
    seed: int,
    device: torch.device,
    steps: int = STEPS,
    orders: int = ORDERS,
) -> Check:
    count = len(contributions)
    rng = np.random.default_rng(seed)
    own = np.argsort(-contributions, kind="stable")
    every = [own, *(rng.permutation(count) for _ in range(orders))]
    taken = np.round(np.linspace(0, count, steps + 1)).astype(int)
    rank = np.empty((len(every), count), int)
    for number, order in enumerate(every):
        rank[number, order] = np.arange(count)
    first = torch.from_numpy(rank[:, None, :] < taken[None, :, None]).to(device)  # [orders, steps, count]
    curves = [
        probability(kept.flatten(0, 1).float()).reshape(len(every), steps + 1) for kept in (~first, first)
    ]
    deletion, insertion = curves
    return Check(deletion[0], insertion[0], deletion[1:], insertion[1:])


def stability(
    target: Target, contributions: NDArray, deviation: Tensor | None, method: Method
) -> float | None:
    """Spearman's rank correlation of maps of points under the detector's own noise; 1 for equal ones.

    The face is detected several times, and how far the first detection lies from the mean of all is what the
    detector adds by itself: the map is made again there, and as far on the other side.

    Args:
        target: Of the mean of the detections.
        contributions: Its map, `[478]`.
        deviation: Normalised, `[1, 478, 3]`; None where the face was detected once.
        method: Of the map.
    """
    if deviation is None or target.landmarks is None or not deviation.any():
        return None
    noisy = [point_contributions(target.moved(sign * deviation), method) for sign in (1, -1)]
    return float(np.mean([spearmanr(contributions, one).statistic for one in noisy]))
