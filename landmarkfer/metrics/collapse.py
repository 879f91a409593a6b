"""What accuracy alone hides: one class for every image, some or all classes at chance, a bad average.

Each function returns `ModelWarning`s, whose sentences say what was found and what to try. Classes without an
image are left out, so that another data set with fewer classes is no fault of the model.

Chance is what predictions reach that do not depend on the label: as recall of a class, the share of all
images for which the class is predicted; as balanced accuracy, the mean of these shares over the classes that
have images, which is 1 / C where all C classes have some.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict
from scipy import stats
from scipy.special import gammaln

from landmarkfer.metrics.classification import scores_from_confusion
from landmarkfer.metrics.significance import mcnemar
from landmarkfer.progress import counted

Kind = Literal[
    "one_class", "class_at_chance", "at_chance", "averaged_below_plain", "young_average", "few_images"
]
Advice = Literal["network", "classical", "other_data", "prior"]
"""What can be done about a model: of another data set than its own, one looks at the data first."""

FEW = 10
"""Images of a class up to which one of them is ten points of recall or more."""
P_CHANCE = 0.025
"""One-sided: below it, the 95 % interval of the balanced accuracy lies above chance."""
P_AVERAGE = 0.01
LEAST_GAP = 0.03
"""By how much of the images averaged weights must be worse than plain ones to be called so."""
PERMUTATIONS = 9999
_BATCH = 1000
_NAMED = 12

_LOOK = (
    "compare its labels and faces with those of the training images (`landmarkfer inspect`, --label-names, "
    "--merge)"
)
_TRY: Mapping[Advice, Mapping[Kind, str]] = {
    "network": {
        "one_class": (
            "try another optimiser.lr, more epochs, or a higher step of loss.class_weights (none, "
            "sqrt_inverse, inverse)"
        ),
        "class_at_chance": (
            "raise loss.class_weights (none, sqrt_inverse, inverse) or set sampling.name=balanced, add "
            "images of them, or leave them out with data.classes"
        ),
        "at_chance": "check the labels (`landmarkfer inspect`), and try another optimiser.lr or more epochs",
    },
    "classical": {
        "one_class": "try model.class_weight=balanced, or another model",
        "class_at_chance": "try model.class_weight=balanced, or add images of them",
        "at_chance": "check the labels (`landmarkfer inspect`), and try another model",
    },
    "other_data": dict.fromkeys(("one_class", "class_at_chance", "at_chance"), _LOOK),
    "prior": dict.fromkeys(
        ("one_class", "class_at_chance", "at_chance"), "compare with the figures without --prior"
    ),
}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WarnedClass(_Frozen):
    """A class at chance: its images, how many are predicted as it, and how many images are in all."""

    name: str
    images: int
    correct: int
    predicted: int


class ModelWarning(_Frozen):
    """What is wrong with a model: a sentence for its user, and the classes and numbers that it states."""

    kind: Kind
    sentence: str
    classes: tuple[WarnedClass, ...] = ()
    numbers: dict[str, float] = {}


def collapse_warnings(
    confusion: ArrayLike, classes: Sequence[str], images: str = "validation image", advice: Advice = "network"
) -> list[ModelWarning]:
    """Whether a model predicts one class, or some or all classes no better than chance.

    Args:
        confusion: Counts `[C, C]`, true classes by predicted ones.
        classes: `C` names.
        images: What an image is called in the sentences.
        advice: What the sentences advise.
    """
    counts = np.asarray(confusion, np.int64)
    there = counts.sum(axis=1) > 0
    if there.sum() < 2:  # nothing to distinguish
        return []
    if one := _one_class(counts, classes, images, _TRY[advice]["one_class"]):
        return [one]
    found = (  # the most serious first
        _at_chance(counts, images, _TRY[advice]["at_chance"]),
        _class_at_chance(counts, classes, images, _TRY[advice]["class_at_chance"]),
    )
    return [warning for warning in found if warning is not None]


def chance(counts: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
    """Chance recall of each class, `[C]`, and chance balanced accuracy, from counts `[C, C]`."""
    shares = counts.sum(axis=0) / counts.sum()
    return shares, float(shares[counts.sum(axis=1) > 0].mean())


def permutation_p(counts: NDArray[np.int64], seed: int = 0) -> float:
    """How often shuffled predictions reach the balanced accuracy of counts `[C, C]`.

    Drawn are tables with the same numbers of images and of predictions by class, which is what shuffling
    leaves; images count as independent.

    Args:
        counts: True classes by predicted ones.
        seed: Of the shuffling.

    Returns:
        The one-sided p-value of a permutation test, at least 1 / (`PERMUTATIONS` + 1).
    """
    observed = scores_from_confusion(counts)["balanced_accuracy"]
    tables = stats.random_table(counts.sum(axis=1), counts.sum(axis=0))
    rng = np.random.default_rng(seed)
    reached = 0
    for start in range(0, PERMUTATIONS, _BATCH):
        drawn = tables.rvs(min(_BATCH, PERMUTATIONS - start), random_state=rng)
        reached += int(np.sum(scores_from_confusion(drawn)["balanced_accuracy"] >= observed - 1e-12))
    return (reached + 1) / (PERMUTATIONS + 1)


def averaging_warnings(
    labels: ArrayLike, plain: ArrayLike, averaged: ArrayLike, decay: float, steps: int
) -> list[ModelWarning]:
    """Whether averaged weights are far worse than the plain ones, or younger than their decay.

    Args:
        labels: True classes `[N]` of validation images.
        plain: Predictions `[N]` of the plain weights.
        averaged: Predictions `[N]` of the averaged weights, without calibration either.
        decay: Of the bias-corrected exponential moving average.
        steps: How many weights were averaged.
    """
    labels, plain, averaged = np.asarray(labels), np.asarray(plain), np.asarray(averaged)
    shares = np.array([np.mean(plain == labels), np.mean(averaged == labels)])
    test = mcnemar(labels, plain, averaged)
    numbers = {
        "decay": decay,
        "steps": steps,
        "plain_accuracy": float(shares[0]),
        "averaged_accuracy": float(shares[1]),
        "p": test.exact_p,
    }
    span = 1 / (1 - decay)
    young = steps < span
    accuracies = (
        f"after the last epoch the averaged weights predict {shares[1]:.1%} of the validation images "
        f"correctly, the plain ones {shares[0]:.1%}"
    )
    better = fitting_decay(steps)
    if young and not 0 < better < decay and shares[1] >= shares[0]:
        return []  # no average is younger, and this one is no worse than the plain weights
    fits = f"fit.ema={better:g} fits {counted(steps, 'step')}"
    if not 0 < better < decay:
        fits = "train with fit.ema=0"
    mean = "the average is nearly the plain mean over all of them, the first ones included"
    if shares[0] - shares[1] >= LEAST_GAP and test.exact_p < P_AVERAGE:
        why = f"of {counted(steps, 'step')}, {mean}" if young else "the average trails the weights"
        sentence = f"{accuracies} (fit.ema={decay:g}, McNemar's exact p = {test.exact_p:.1g}): {why}; {fits}."
        return [ModelWarning(kind="averaged_below_plain", sentence=sentence, numbers=numbers)]
    if young:
        sentence = (
            f"fit.ema={decay:g} averages over about {counted(round(span), 'step')}, and the training had "
            f"{steps:,}: {mean}; {accuracies}; {fits}."
        )
        return [ModelWarning(kind="young_average", sentence=sentence, numbers=numbers)]
    return []


def fitting_decay(steps: int) -> float:
    """The decay whose average reaches back over the last tenth of a number of steps; 0 if that is none.

    1 - decay has one significant digit.
    """
    rest = 10 / max(steps, 1)
    return 0.0 if rest >= 1 else round(1 - float(f"{rest:.0e}"), 9)


def _one_class(
    counts: NDArray[np.int64], classes: Sequence[str], images: str, advice: str
) -> ModelWarning | None:
    predicted = np.flatnonzero(counts.sum(axis=0))
    if len(predicted) > 1:
        return None
    number = int(predicted[0])
    actual = counts.sum(axis=1)
    why = "the model does not distinguish the classes"
    if actual[number] == actual.max() and (actual == actual.max()).sum() == 1:
        why = "the model has learnt which class is most common, nothing else"
    return ModelWarning(
        kind="one_class",
        sentence=f"every {images} was predicted as '{classes[number]}': {why}; {advice}.",
        classes=(_warned(counts, classes, number),),
        numbers={"images": int(actual.sum())},
    )


def _class_at_chance(
    counts: NDArray[np.int64], classes: Sequence[str], images: str, advice: str
) -> ModelWarning | None:
    actual, predicted, total = counts.sum(axis=1), counts.sum(axis=0), int(counts.sum())
    at_chance = (actual > 0) & (np.diagonal(counts) * total <= predicted * actual)
    warned = [_warned(counts, classes, int(number)) for number in np.flatnonzero(at_chance)]
    if not warned:
        return None
    texts = list(_class_texts(warned[:_NAMED], total))
    if len(warned) > _NAMED:
        texts.append(f"and {counted(len(warned) - _NAMED, 'more class')}")
    sentence = (
        f"recall at or below chance (the share of all images predicted as the class) on the "
        f"{counted(total, images)}: {', '.join(texts)}; {advice}."
    )
    return ModelWarning(
        kind="class_at_chance", sentence=sentence, classes=tuple(warned), numbers={"images": total}
    )


def _class_texts(warned: Sequence[WarnedClass], total: int) -> Iterator[str]:
    """What is said of each class: `fear 0 of 3 (never predicted; too few images to tell)`."""
    for one in warned:
        note = f"chance {one.predicted / total:.1%}" if one.predicted else "never predicted"
        few = "; too few images to tell" if one.images <= FEW else ""
        yield f"{one.name} {one.correct:,} of {one.images:,} ({note}{few})"


def _at_chance(counts: NDArray[np.int64], images: str, advice: str) -> ModelWarning | None:
    if _p_of_perfect(counts.sum(axis=1)) >= P_CHANCE:
        return None  # so few images that no prediction of them could show more
    p = permutation_p(counts)
    if p < P_CHANCE:
        return None
    balanced, (_, expected) = float(scores_from_confusion(counts)["balanced_accuracy"]), chance(counts)
    total = int(counts.sum())
    few = " on so few images" if total <= FEW * np.sum(counts.sum(axis=1) > 0) else ""
    sentence = (
        f"balanced accuracy on the {counted(total, images)} is {balanced:.1%}, which shuffled predictions "
        f"reach too (chance {expected:.1%}, p = {p:.2g}): the model cannot be distinguished from "
        f"guessing{few}; {advice}."
    )
    numbers = {"images": total, "balanced_accuracy": balanced, "chance": expected, "p": p}
    return ModelWarning(kind="at_chance", sentence=sentence, numbers=numbers)


def _p_of_perfect(actual: NDArray[np.int64]) -> float:
    """How probable shuffling makes the predictions that are all correct: prod n_c! / N!."""
    return float(np.exp(gammaln(actual + 1).sum() - gammaln(actual.sum() + 1)))


def _warned(counts: NDArray[np.int64], classes: Sequence[str], number: int) -> WarnedClass:
    return WarnedClass(
        name=classes[number],
        images=int(counts[number].sum()),
        correct=int(counts[number, number]),
        predicted=int(counts[:, number].sum()),
    )
