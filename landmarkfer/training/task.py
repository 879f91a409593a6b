"""The LightningModule: one step for every stage, its metrics, its optimiser.

Each training step seeds torch's global generators from the seed and the step's number alone. Dropout and
augmentation are then functions of the step, so a resumed run draws what an uninterrupted one would have
drawn, without any generator state being stored.
"""

import math
from collections.abc import Sequence
from typing import Literal

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix, MulticlassF1Score

from landmarkfer.config.train import ResolvedSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.errors import DivergedError
from landmarkfer.metrics.classification import scores_from_confusion
from landmarkfer.models.base import FaceModel
from landmarkfer.training.augmentation import augment_batch
from landmarkfer.training.cache_figures import CacheFigures
from landmarkfer.training.losses import divergence
from landmarkfer.training.mixup import mix_batch
from landmarkfer.training.optim import build_optimiser, build_schedule, current_stage, frozen_groups


class ExpressionTask(pl.LightningModule):
    """Train one model to classify expressions.

    Args:
        model: The model, with its statistics set.
        loss: From logits `[B, C]` and labels, `[B]` or soft `[B, C]`, to a scalar.
        settings: Of the run. With `loss.consistency`, a training batch's second half is its first half again,
            in other versions.
        steps_per_epoch: Optimiser steps of an epoch, for the schedule.
        caches: Names of the caches, where there are several: they are validated one by one, too.
    """

    def __init__(
        self,
        model: FaceModel,
        loss: nn.Module,
        settings: ResolvedSettings,
        steps_per_epoch: int,
        caches: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self._settings = settings
        self._steps_per_epoch = steps_per_epoch
        classes = model.num_classes
        metrics = MetricCollection(
            {
                "accuracy": MulticlassAccuracy(classes, average="micro"),
                "balanced_accuracy": MulticlassAccuracy(classes, average="macro"),
                "macro_f1": MulticlassF1Score(classes, average="macro"),
            },
            compute_groups=False,
        )
        # A non-finite loss makes the mean NaN; "disable" would do so too, but forgets the weights.
        self.train_loss, self.val_loss = (MeanMetric(nan_strategy=math.nan) for _ in range(2))
        self.train_metrics = metrics.clone("train_")
        self.val_metrics = metrics.clone("val_")
        self.val_confusion = MulticlassConfusionMatrix(classes)
        self._by_cache = CacheFigures(caches, classes) if caches else None
        # Part of every checkpoint, so that an interrupted epoch has the figures of a whole one.
        self.train_loss.persistent(True)
        self.train_metrics.persistent(True)

    def on_train_start(self) -> None:
        """Freeze what the stage freezes; a run may be resumed in the middle of an epoch."""
        self._enter_stage()

    def on_train_epoch_start(self) -> None:
        """Reset the metrics; Lightning does so too, but only after the epoch's checkpoint."""
        self.train_loss.reset()
        self.train_metrics.reset()
        self._enter_stage()

    def _enter_stage(self) -> None:
        if self._settings.stages:
            stage = current_stage(self._settings.stages, self.current_epoch)
            self.model.freeze(frozen_groups(self.model, stage))

    def training_step(self, batch: FaceBatch, batch_idx: int) -> Tensor:
        """Augment, mix, predict, and return the loss."""
        _seed_step(self._settings.seed, self.global_step)
        batch = augment_batch(batch, self.model, self._settings.augment)
        targets = batch.targets
        if self._settings.mixing.mixup:
            if targets is None:
                assert batch.labels is not None
                targets = nn.functional.one_hot(batch.labels, self.model.num_classes).float()
            batch, targets = mix_batch(batch, targets, self._settings.mixing, self.model.inputs)
        return self._step(batch, "train", targets)

    def validation_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Predict without augmentation."""
        self._step(batch, "val")

    def on_validation_epoch_end(self) -> None:
        """Stop where the weights are non-finite, and log the figures of each cache.

        Raises:
            DivergedError: The validation loss is not finite.
        """
        if not torch.isfinite(self.val_loss.compute()):
            rate = self._settings.optimiser.lr
            raise DivergedError(
                f"training diverged in epoch {self.current_epoch + 1}: the validation loss is not finite; "
                f"lower optimiser.lr (it is {rate:g}) or set optimiser.clip, and train a new run."
            )

        if self._by_cache is not None:
            self.log_dict(self._by_cache.compute())

    def on_validation_epoch_start(self) -> None:
        """Reset the confusion matrix, and what is counted by cache."""
        self.val_confusion.reset()
        if self._by_cache is not None:
            self._by_cache.reset()

    def class_f1(self) -> NDArray[np.float64]:
        """F1 of each class in the last validation, `[C]`; NaN where there was none of it."""
        counts = self.val_confusion.compute().cpu().numpy()
        absent = counts.sum(axis=1) == 0
        return np.where(absent, np.nan, scores_from_confusion(counts)["f1"])

    def _step(
        self, batch: FaceBatch, stage: Literal["train", "val"], targets: Tensor | None = None
    ) -> Tensor:
        logits = self.model(batch).float()
        loss = self.loss(logits, batch.labels if targets is None else targets)
        train = stage == "train"
        if train and self._settings.loss.consistency:
            loss = loss + self._settings.loss.consistency * divergence(*logits.chunk(2))
        mean_loss = self.train_loss if train else self.val_loss
        metrics = self.train_metrics if train else self.val_metrics
        mean_loss.update(loss.detach(), len(batch))
        metrics.update(logits, batch.labels)
        if not train and batch.labels is not None:
            self.val_confusion.update(logits, batch.labels)
            if self._by_cache is not None:
                assert batch.caches is not None
                self._by_cache.update(batch.caches, batch.labels, logits, self.loss)
        self.log(f"{stage}_loss", mean_loss, on_step=False, on_epoch=True, batch_size=len(batch))
        self.log_dict(metrics, on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser and its schedule."""
        optimiser = build_optimiser(self.model, self._settings.optimiser)
        return build_schedule(optimiser, self._settings, self._steps_per_epoch)


def _seed_step(seed: int, step: int) -> None:
    torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))
