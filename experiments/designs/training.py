"""What the designs share: faces of a cache, folds, features, the training and its out-of-fold predictions."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from landmarkfer.config.data import DataSettings, NormalisationSettings, SplitSettings
from landmarkfer.data.augment import mirror_landmarks
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.dataset import label_images
from landmarkfer.data.preprocess import Preprocess
from landmarkfer.data.splits import Rows, make_splits
from landmarkfer.data.statistics import LEAST_SD, landmark_statistics, whitening_matrix
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.progress import Progress

FOLDS = 3
BATCH = 256
CHUNK = 4096


@dataclass(frozen=True)
class Faces:
    """Normalised landmarks of a cache, float32 `[N, 478, 3]`, zeros where no face was found.

    Attributes:
        mean: The mean of all detections.
        single: The first detection alone; the mean where it is the only one.
        has_face: bool `[N]`.
    """

    mean: Tensor
    single: Tensor
    has_face: Tensor


def read_faces(cache: LandmarkCache) -> Faces:
    """Read and normalise the landmarks of a cache."""
    preprocess = Preprocess(NormalisationSettings())
    sizes = torch.from_numpy(
        cache.frame(["width", "height"]).to_numpy(np.float32, na_value=np.nan, copy=True)
    )
    landmarks = cache.landmarks()
    batch = preprocess(torch.from_numpy(landmarks), sizes)
    first = landmarks + np.nan_to_num(cache.deviations())
    return Faces(batch.landmarks, preprocess(torch.from_numpy(first), sizes).landmarks, batch.has_face)


def averaged(faces: Sequence[Faces]) -> Faces:
    """The mean over detectors, of those that found a face in the image."""
    there = torch.stack([one.has_face for one in faces])  # landmarks are zeros where it is False
    count = there.sum(dim=0).clamp_min(1)[:, None, None]
    mean, single = (
        torch.stack([getattr(one, part) for one in faces]).sum(dim=0) / count for part in ("mean", "single")
    )
    return Faces(mean, single, there.any(dim=0))


def without_pose(faces: Faces) -> Faces:
    """Each face turned in space onto the mean face (Kabsch, 1976), so that yaw and pitch are gone as well."""
    reference = torch.from_numpy(CANONICAL.copy())

    def turned(landmarks: Tensor) -> Tensor:
        left, _, right = torch.linalg.svd(landmarks.transpose(1, 2) @ reference)  # [N, 3, 3] each
        left[:, :, 2] *= torch.linalg.det(left @ right)[:, None]
        return landmarks @ (left @ right)

    return replace(faces, mean=turned(faces.mean), single=turned(faces.single))


def read_labels(path: Path) -> tuple[Tensor, list[tuple[Rows, Rows]]]:
    """Labels of all images, int64 `[N]`, and the training and validation rows of each fold."""
    cache = LandmarkCache.open(path)
    frame, classes = label_images(cache, DataSettings())
    number = {name: index for index, name in enumerate(classes)}
    labels = torch.from_numpy(frame["label"].map(number).fillna(-1).to_numpy(np.int64, copy=True))
    parts = [make_splits(frame, SplitSettings(folds=FOLDS, fold=fold)) for fold in range(FOLDS)]
    return labels, [(part.train, part.val) for part in parts]


@dataclass(frozen=True)
class Whitening:
    """How landmarks become features: see `landmarkfer.data.statistics.whitening_matrix`."""

    floor: float = 1e-5
    noise: float = 10.0

    def fit(self, faces: Faces, train: Rows) -> Callable[[Tensor], Tensor]:
        """A function from normalised landmarks to features, both `[n, 478, 3]`."""
        rows = torch.from_numpy(train)
        rows = rows[faces.has_face[rows]]
        known = faces.mean[rows]
        mean, std = landmark_statistics(known)
        deviations = faces.single[rows] - known
        matrix = whitening_matrix(known, mean, std, self.floor, self.noise, deviations)

        def features(landmarks: Tensor) -> Tensor:
            found = [
                ((part - mean) / std.clamp_min(LEAST_SD)).flatten(1) @ matrix
                for part in landmarks.split(CHUNK)
            ]
            return torch.cat(found).view_as(landmarks)

        return features


@dataclass(frozen=True)
class Plan:
    """How a network is trained; the same for all designs unless a row says otherwise.

    Attributes:
        views: Whether training draws a random point between the first detection and the mean of the others,
            for each image anew, instead of the mean of all.
        shape_jitter: SD of noise with the covariance of the faces; 1 is as much as they differ.
        mirrored: Whether faces are mirrored at random in training and averaged with their mirror images in
            validation; designs that are the same for both do without.
        mixup: Parameter of the beta distribution of blends of two faces and their labels; 0 for none.
        teacher_weight: Share of the teacher's probabilities in the targets, where there is one.
    """

    epochs: int = 12
    lr: float = 2e-3
    weight_decay: float = 1e-2
    smoothing: float = 0.1
    views: bool = False
    shape_jitter: float = 0.0
    mixup: float = 0.0
    mirrored: bool = True
    teacher_weight: float = 0.7


@dataclass(frozen=True)
class Features:
    """Features of all images, `[N, 478, F]`.

    Attributes:
        plain: Of the mean of all detections.
        mirrored: Of its mirror image.
        deviation: What the first detection adds to `plain`, where `Plan.views` is set.
        mirrored_deviation: What it adds to `mirrored`.
    """

    plain: Tensor
    mirrored: Tensor
    deviation: Tensor | None = None
    mirrored_deviation: Tensor | None = None


def prepare(faces: list[Faces], train: Rows, whitening: Whitening, views: bool) -> Features:
    """Features of one detector, or of several side by side; zeros where a detector found no face."""
    found = []
    for one in faces:
        features = whitening.fit(one, train)
        missing = ~one.has_face
        plain, mirrored = features(one.mean), features(mirror_landmarks(one.mean))
        both = [plain, mirrored]
        if views:
            both += [features(one.single) - plain, features(mirror_landmarks(one.single)) - mirrored]
        for tensor in both:
            tensor[missing] = 0
        found.append(both)
    joined = [
        found[0][place] if len(found) == 1 else torch.cat([one[place] for one in found], dim=2)
        for place in range(len(found[0]))
    ]
    return Features(*joined)


def fit(
    model: nn.Module,
    features: Features,
    labels: Tensor,
    rows: Tensor,
    plan: Plan,
    seed: int,
    progress: Progress,
    teacher: Tensor | None = None,
) -> float:
    """Train a network.

    Args:
        model: Fresh, or pre-trained.
        features: Of all images.
        labels: Of all images.
        rows: Those that are trained on.
        plan: How.
        seed: Of order and noise.
        progress: Shows the epochs.
        teacher: Probabilities that are learnt beside the labels, `[N, C]`.

    Returns:
        Training accuracy of the last epoch.
    """
    random = torch.Generator().manual_seed(seed)
    matrices = [each for each in model.parameters() if each.dim() > 1]
    others = [each for each in model.parameters() if each.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": plan.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=plan.lr)
    steps = len(rows) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, plan.lr, total_steps=plan.epochs * steps)
    blends = torch.distributions.Beta(plan.mixup or 1.0, plan.mixup or 1.0)
    classes = int(labels.max()) + 1
    hits = 0.0
    for _ in progress.track(range(plan.epochs), "epochs", plan.epochs):
        model.train()
        hits = 0.0
        order = rows[torch.randperm(len(rows), generator=random)]
        for chosen in order[: steps * BATCH].split(BATCH):
            x = _drawn(features, chosen, plan, random)
            targets = nn.functional.one_hot(labels[chosen], classes).float()
            if plan.mixup:
                share = blends.sample()
                x, targets = (share * one + (1 - share) * one.roll(1, dims=0) for one in (x, targets))
            logits = model(x)
            if logits.dim() == 3:  # of `networks.Pair`
                targets = targets[:, None].expand_as(logits).flatten(0, 1)
                logits = logits.flatten(0, 1)
            loss = nn.functional.cross_entropy(logits, targets, label_smoothing=plan.smoothing)
            if teacher is not None:
                taught = nn.functional.cross_entropy(logits, teacher[chosen])
                loss = (1 - plan.teacher_weight) * loss + plan.teacher_weight * taught
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            hits += float((logits.argmax(dim=1) == targets.argmax(dim=1)).float().mean()) * len(chosen)
    return hits / (steps * BATCH)


def _drawn(features: Features, rows: Tensor, plan: Plan, random: torch.Generator) -> Tensor:
    """Features of a training batch, `[B, 478, F]`."""
    turned = (torch.rand(len(rows), 1, 1, generator=random) < 0.5) & plan.mirrored
    x = torch.where(turned, features.mirrored[rows], features.plain[rows])
    if plan.views:
        assert features.deviation is not None and features.mirrored_deviation is not None
        apart = torch.where(turned, features.mirrored_deviation[rows], features.deviation[rows])
        # From the first of P detections to the mean of the others: 1 to -1 / (P - 1) of its deviation.
        x = x + (1.17 * torch.rand(len(rows), 1, 1, generator=random) - 0.17) * apart
    if plan.shape_jitter:
        # Whitened features are almost uncorrelated: noise like faces is the same in all of them.
        x = x + plan.shape_jitter * torch.randn(x.shape, generator=random)
    return x


@torch.no_grad()
def predict(model: nn.Module, features: Features, rows: Tensor, plan: Plan) -> Tensor:
    """Probabilities of some rows, `[n, C]`."""
    model.eval()
    found = []
    for chosen in rows.split(1024):
        probabilities = model(features.plain[chosen]).softmax(dim=1)
        if plan.mirrored:
            probabilities = (probabilities + model(features.mirrored[chosen]).softmax(dim=1)) / 2
        found.append(probabilities)
    return torch.cat(found)


@dataclass(frozen=True)
class Outcome:
    """Out-of-fold probabilities of the training images `[N, C]` (NaN elsewhere), and what they cost."""

    probabilities: NDArray[np.float32]
    train_accuracy: float
    seconds: float
    parameters: int


Teach = Callable[[int, Features, Tensor], Tensor]
Warm = Callable[[nn.Module, Features, Tensor, Progress], None]


def cross_validate(
    make: Callable[[], nn.Module],
    faces: list[Faces],
    labels: Tensor,
    folds: list[tuple[Rows, Rows]],
    whitening: Whitening,
    plan: Plan,
    seed: int,
    progress: Progress,
    teach: Teach | None = None,
    warm: Warm | None = None,
) -> Outcome:
    """Train a design on each fold and predict the other images of the fold.

    An image in which no detector found a face has the shares of the classes as its probabilities.
    """
    has_face = torch.stack([one.has_face for one in faces]).any(dim=0)
    probabilities = np.full((len(labels), int(labels.max()) + 1), np.nan, np.float32)
    accuracies, seconds, parameters = [], 0.0, 0
    for number, (train, val) in enumerate(folds):
        features = prepare(faces, train, whitening, plan.views)
        rows, others = torch.from_numpy(train), torch.from_numpy(val)
        rows = rows[has_face[rows]]
        torch.manual_seed(seed)
        model = make()
        start = time.perf_counter()
        if warm is not None:
            warm(model, features, rows, progress)
        teacher = None if teach is None else teach(number, features, rows)
        accuracies.append(fit(model, features, labels, rows, plan, seed, progress, teacher))
        seconds += time.perf_counter() - start
        parameters = sum(each.numel() for each in model.parameters())
        shares = torch.bincount(labels[rows]) / len(rows)
        found = predict(model, features, others, plan)
        probabilities[val] = torch.where(has_face[others, None], found, shares).numpy()
    return Outcome(probabilities, float(np.mean(accuracies)), seconds, parameters)
