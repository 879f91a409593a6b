"""How often the training images of each class, or of each of several caches, are drawn in an epoch.

A sampler says which rows an epoch consists of, and in what order, as positions into the training rows. It
holds no generator: the same generator state, labels and focus give the same order. Within a class the draws
are spread as evenly as whole numbers allow: every image the same number of times, and some at random once
more. Only `adaptive` has a memory, which is its focus.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from landmarkfer.config.train import SamplingSettings
from landmarkfer.errors import SettingsError

Positions = npt.NDArray[np.int64]


class ClassSampler:
    """Every image once an epoch, shuffled; the base of the other samplers.

    Args:
        settings: Which classes are drawn how often.
        labels: int64 `[n]`, class of each training row.
        num_classes: C.

    Raises:
        SettingsError: The sampler draws all classes, and there is one without an image.
    """

    needs_all_classes: ClassVar[bool] = False

    def __init__(self, settings: SamplingSettings, labels: Positions, num_classes: int) -> None:
        self._settings = settings
        self._counts = np.bincount(labels, minlength=num_classes)
        if self.needs_all_classes and not self._counts.all():
            # After `check_sampling`, that is a class whose images are no usable input.
            raise SettingsError(
                f"sampling.name = '{settings.name}' cannot draw class number {self._counts.argmin()}, which "
                "has no training image with usable input; set sampling.name = 'none'."
            )
        # Positions by class: those of class c are `_members[c]`.
        self._members = np.split(np.argsort(labels, kind="stable"), self._counts.cumsum()[:-1])

    def __len__(self) -> int:
        """Draws per epoch, the same in every epoch."""
        return int(self._counts.sum())

    @property
    def focus(self) -> tuple[int, ...]:
        """The classes that are drawn more often now, those of lowest F1, the lowest first."""
        return ()

    def order(self, rng: np.random.Generator) -> Positions:
        """The draws of one epoch, int64 `[len(self)]`."""
        return rng.permutation(len(self))

    def update(self, f1: npt.NDArray[np.floating]) -> None:
        """Adapt to the validation F1 of each class, `[C]`, NaN where validation has none of it."""

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed run restores, as plain data."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    def _draw(self, draws: npt.NDArray[np.int64], rng: np.random.Generator) -> Positions:
        """So many images of each class, `draws [C]`, shuffled."""
        return _drawn(self._members, draws, rng)


class Oversampler(ClassSampler):
    """Every image at least once, and those of rarer classes again until all are as large as the largest."""

    needs_all_classes = True

    def __len__(self) -> int:
        """C times the images of the largest class."""
        return int(self._counts.max()) * len(self._counts)

    def order(self, rng: np.random.Generator) -> Positions:
        """The draws of one epoch, int64 `[len(self)]`."""
        return self._draw(np.full(len(self._counts), self._counts.max()), rng)


class BalancedSampler(ClassSampler):
    """As many draws as there are images, the same number of each class to within one."""

    needs_all_classes = True

    def order(self, rng: np.random.Generator) -> Positions:
        """The draws of one epoch, int64 `[len(self)]`."""
        classes = len(self._counts)
        each, rest = divmod(len(self), classes)
        draws = np.full(classes, each)
        draws[rng.permutation(classes)[:rest]] += 1
        return self._draw(draws, rng)


class AdaptiveSampler(ClassSampler):
    """As many draws as there are images, those of the classes of lowest F1 `factor` times as often as others.

    The k classes of lowest F1 in the last validation are in focus; none before the first one.
    """

    needs_all_classes = True

    def __init__(self, settings: SamplingSettings, labels: Positions, num_classes: int) -> None:
        super().__init__(settings, labels, num_classes)
        self._focus: tuple[int, ...] = ()

    @property
    def focus(self) -> tuple[int, ...]:
        """The classes in focus now, that of lowest F1 first."""
        return self._focus

    def order(self, rng: np.random.Generator) -> Positions:
        """The draws of one epoch, int64 `[len(self)]`."""
        shares = self._counts.astype(np.float64)
        shares[list(self._focus)] *= self._settings.factor
        return self._draw(_apportion(shares, len(self)), rng)

    def update(self, f1: npt.NDArray[np.floating]) -> None:
        """Choose the focus of the next epoch.

        Args:
            f1: `[C]`, of the validation images; a class that is NaN, since there are none of it, stays out of
                focus.
        """
        worst = np.argsort(f1, kind="stable")[: self._settings.k]  # NaN last
        self._focus = tuple(int(c) for c in worst if not np.isnan(f1[c]))

    def state_dict(self) -> dict[str, Any]:
        """The focus, as class numbers."""
        return {"focus": list(self._focus)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set the focus."""
        self._focus = tuple(state["focus"])


class CacheSampler(ClassSampler):
    """As many draws as there are images, of each cache its share; within a cache, each image as often.

    Args:
        settings: With the share of each cache.
        labels: int64 `[n]`, class of each training row.
        num_classes: C.
        caches: int64 `[n]`, number of the cache of each training row.
        names: Of the caches, in the order of their numbers.

    Raises:
        SettingsError: There is no training image of a cache.
    """

    def __init__(
        self,
        settings: SamplingSettings,
        labels: Positions,
        num_classes: int,
        caches: Positions,
        names: Sequence[str],
    ) -> None:
        super().__init__(settings, labels, num_classes)
        counts = np.bincount(caches, minlength=len(names))
        if not counts.all():
            raise SettingsError(
                f"'sampling.shares' cannot draw '{names[int(counts.argmin())]}', which has no training image "
                "with usable input; leave that cache out."
            )
        self._of_cache = np.split(np.argsort(caches, kind="stable"), counts.cumsum()[:-1])
        self._draws = _apportion(np.array([settings.shares[name] for name in names]), len(self))

    def order(self, rng: np.random.Generator) -> Positions:
        """The draws of one epoch, int64 `[len(self)]`."""
        return _drawn(self._of_cache, self._draws, rng)


SAMPLERS: dict[str, type[ClassSampler]] = {
    "none": ClassSampler,
    "oversample": Oversampler,
    "balanced": BalancedSampler,
    "adaptive": AdaptiveSampler,
}


def build_sampler(
    settings: SamplingSettings,
    labels: Positions,
    num_classes: int,
    caches: Positions | None = None,
    names: Sequence[str] = (),
) -> ClassSampler:
    """The sampler of a training.

    Args:
        settings: Checked with `check_sampling` and `check_shares`.
        labels: int64 `[n]`, class of each training row, all of them known.
        num_classes: C.
        caches: int64 `[n]`, number of the cache of each training row; None where there is one.
        names: Of the caches, in the order of their numbers.
    """
    if settings.shares:
        assert caches is not None
        return CacheSampler(settings, labels, num_classes, caches, names)
    return SAMPLERS[settings.name](settings, labels, num_classes)


def check_sampling(
    settings: SamplingSettings, class_names: Sequence[str], counts: npt.ArrayLike | None = None
) -> None:
    """Refuse a sampling that does not fit the data.

    Args:
        settings: Which classes are drawn how often.
        class_names: The classes, C of them.
        counts: `[C]`, training images of each; None while that is not known.

    Raises:
        SettingsError: Every class would be in focus, or a class that should be drawn has no training image.
    """
    if settings.name == "adaptive" and settings.k >= len(class_names):
        raise SettingsError(
            f"sampling.k = {settings.k} puts every class in focus, as there are {len(class_names)}; "
            f"give at most {len(class_names) - 1}."
        )
    if counts is None or not SAMPLERS[settings.name].needs_all_classes:
        return
    if empty := [name for name, count in zip(class_names, np.asarray(counts), strict=True) if not count]:
        raise SettingsError(
            f"sampling.name = '{settings.name}' cannot draw class '{empty[0]}', which has no training image; "
            "leave it out with data.classes, or set sampling.name = 'none'."
        )


def check_shares(settings: SamplingSettings, names: Sequence[str]) -> None:
    """Refuse shares of other caches than there are.

    Args:
        settings: With the shares, if any.
        names: Of the caches.

    Raises:
        SettingsError: A name is unknown, a cache has no share, or there is one cache alone.
    """
    if not settings.shares:
        return
    if len(names) == 1:
        raise SettingsError(
            f"'sampling.shares' says how often each of several caches is drawn, and '{names[0]}' is the only "
            "one; leave it out, or name more caches."
        )
    if set(settings.shares) != set(names):
        raise SettingsError(
            f"'sampling.shares' must give a share for each of {', '.join(names)}; it has "
            f"{', '.join(settings.shares)}."
        )


def _drawn(members: Sequence[Positions], draws: Positions, rng: np.random.Generator) -> Positions:
    """So many of each group of positions, shuffled: within it each as often as any other, or once more."""
    # `resize` repeats the shuffled members in turn.
    parts = [np.resize(rng.permutation(some), count) for some, count in zip(members, draws, strict=True)]
    return rng.permutation(np.concatenate(parts))


def _apportion(shares: npt.NDArray[np.float64], total: int) -> npt.NDArray[np.int64]:
    """Whole numbers, `[C]`, in proportion to `shares`, which add up to `total` (largest remainders)."""
    quotas = shares * (total / shares.sum())
    numbers = np.floor(quotas).astype(np.int64)
    remainders = quotas - numbers
    numbers[np.argsort(-remainders, kind="stable")[: total - numbers.sum()]] += 1
    return numbers
