"""The LightningModule: one step for every stage, its metrics, its optimiser.

Each training step seeds torch's global generators from the seed and the step's number alone. Dropout and
augmentation are then functions of the step, so a resumed run draws what an unbroken one would have drawn,
wherever it was cut, without any generator state being stored.
"""

import math
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from landmarkfer.config import OptimiserSettings, TrainSettings
from landmarkfer.data.augment import augment_landmarks
from landmarkfer.data.datamodule import FaceBatch
from landmarkfer.errors import RunError
from landmarkfer.models.base import LandmarkModel


class ExpressionTask(pl.LightningModule):
    """Train one model to tell expressions.

    Args:
        model: The model, with its statistics set.
        loss: From logits `[B, C]` and labels `[B]` to a scalar.
        settings: Of the run.
        total_steps: Optimiser steps of the whole training, for the schedule.
    """

    def __init__(
        self, model: LandmarkModel, loss: nn.Module, settings: TrainSettings, total_steps: int
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self._settings = settings
        self._total_steps = total_steps
        classes = model.num_classes
        metrics = MetricCollection(
            {
                "accuracy": MulticlassAccuracy(classes, average="micro"),
                "macro_f1": MulticlassF1Score(classes, average="macro"),
            },
            compute_groups=False,
        )
        # A loss that is no number makes the mean none; "disable" would do so too, but forgets the weights.
        self.train_loss, self.val_loss = (MeanMetric(nan_strategy=math.nan) for _ in range(2))
        self.train_metrics = metrics.clone("train_")
        self.val_metrics = metrics.clone("val_")
        # Part of every checkpoint, so that an epoch cut in two has the figures of a whole one.
        self.train_loss.persistent(True)
        self.train_metrics.persistent(True)

    def on_train_epoch_start(self) -> None:
        """Begin to count anew; Lightning does so too, but only after the epoch's checkpoint."""
        self.train_loss.reset()
        self.train_metrics.reset()

    def training_step(self, batch: FaceBatch, batch_idx: int) -> Tensor:
        """Augment, predict, and return the loss."""
        _seed_step(self._settings.seed, self.global_step)
        landmarks = augment_landmarks(
            batch.landmarks, self.model.mean, self.model.std, self._settings.augment
        )
        return self._step(FaceBatch(landmarks, batch.present, labels=batch.labels), "train")

    def validation_step(self, batch: FaceBatch, batch_idx: int) -> None:
        """Predict as it is."""
        self._step(batch, "val")

    def on_validation_epoch_end(self) -> None:
        """Give up when the weights are no numbers any more.

        Raises:
            RunError: The validation loss is not finite.
        """
        if not torch.isfinite(self.val_loss.compute()):
            rate = self._settings.optimiser.lr
            raise RunError(
                f"training diverged in epoch {self.current_epoch + 1}: the validation loss is not finite; "
                f"lower optimiser.lr (it is {rate:g}) or set optimiser.clip, and train anew."
            )

    def _step(self, batch: FaceBatch, stage: Literal["train", "val"]) -> Tensor:
        logits = self.model(batch).float()
        loss = self.loss(logits, batch.labels)
        train = stage == "train"
        mean_loss = self.train_loss if train else self.val_loss
        metrics = self.train_metrics if train else self.val_metrics
        mean_loss.update(loss.detach(), len(batch))
        metrics.update(logits, batch.labels)
        self.log(f"{stage}_loss", mean_loss, on_step=False, on_epoch=True, batch_size=len(batch))
        self.log_dict(metrics, on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW on two groups of parameters, and a schedule stepped with it."""
        settings = self._settings.optimiser
        optimiser = torch.optim.AdamW(parameter_groups(self.model, settings.weight_decay), lr=settings.lr)
        schedule = build_schedule(optimiser, settings, self._total_steps)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases, norms and embeddings do not."""
    embeddings = {"identity"}
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        is_matrix = parameter.ndim > 1 and name.rpartition(".")[2] not in embeddings
        (matrices if is_matrix else others).append(parameter)
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def build_schedule(
    optimiser: torch.optim.Optimizer, settings: OptimiserSettings, total_steps: int
) -> LRScheduler:
    """The learning rate over the steps of the whole training."""
    if settings.schedule == "onecycle":
        return OneCycleLR(optimiser, settings.lr, total_steps=max(total_steps, 1))
    warmup = math.ceil(settings.warmup * total_steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if settings.schedule == "constant":
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total_steps - warmup)))

    return LambdaLR(optimiser, factor)


def _seed_step(seed: int, step: int) -> None:
    torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))
