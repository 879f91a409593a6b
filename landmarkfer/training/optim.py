"""The optimiser, its groups of parameters, and the learning rate over the steps of a training.

A schedule is a factor of the peak learning rate as a function of the step, so that stages with peaks of their
own are one function too and a resumed run needs no state. One-cycle also moves the momentum: it is PyTorch's.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

from landmarkfer.config.train import OptimiserSettings, ResolvedSettings, StageSettings
from landmarkfer.models.base import FaceModel

MOMENTUM = 0.9
_NO_DECAY = frozenset({"bias", "identity", "cls_token", "class_token", "pos_embed"})


def build_optimiser(model: FaceModel, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """The optimiser over `parameter_groups`."""
    groups = parameter_groups(model, settings)
    if settings.name == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=MOMENTUM, nesterov=True)
    kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.lr)


def parameter_groups(model: FaceModel, settings: OptimiserSettings) -> list[dict[str, Any]]:
    """Groups of parameters for an optimiser.

    Matrices decay; biases, norms and embeddings do not. With `layer_decay` below 1, each group of layers
    learns that much slower than the next one towards the head (Clark et al., "ELECTRA", ICLR 2020).
    """
    parameters = dict(model.named_parameters())
    depths = model.depth_groups() if settings.layer_decay < 1 else [list(parameters)]
    groups = []
    for above, names in enumerate(reversed(depths)):
        matrices = [n for n in names if parameters[n].ndim > 1 and n.rpartition(".")[2] not in _NO_DECAY]
        others = [name for name in names if name not in matrices]
        lr = settings.lr * settings.layer_decay**above
        for chosen, decay in ((matrices, settings.weight_decay), (others, 0.0)):
            groups.append({"params": [parameters[name] for name in chosen], "weight_decay": decay, "lr": lr})
    return groups


def build_schedule(
    optimiser: torch.optim.Optimizer, settings: ResolvedSettings, steps_per_epoch: int
) -> OptimizerLRScheduler:
    """The optimiser with its schedule, as Lightning takes them.

    Args:
        optimiser: Over groups that have their peak learning rates.
        settings: Of the run.
        steps_per_epoch: Optimiser steps of an epoch.
    """
    if settings.optimiser.schedule == "onecycle":
        peaks = [group["lr"] for group in optimiser.param_groups]
        total = max(settings.epochs * steps_per_epoch, 1)
        schedule: Any = OneCycleLR(optimiser, peaks, total_steps=total)
    else:
        factor = LearningRateFactor(settings, steps_per_epoch)
        # A plain function: of any other callable, LambdaLR puts the attributes into the checkpoint.
        schedule = LambdaLR(optimiser, lambda step: factor(step))
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class LearningRateFactor:
    """The factor of the peak learning rate at each step; restarts with each stage."""

    def __init__(self, settings: ResolvedSettings, steps_per_epoch: int) -> None:
        self._settings = settings.optimiser
        stages = settings.stages or [StageSettings(train="full", epochs=settings.epochs)]
        self._peaks = [(stage.lr or settings.optimiser.lr) / settings.optimiser.lr for stage in stages]
        self._ends = list(itertools.accumulate(stage.epochs * steps_per_epoch for stage in stages))

    def __call__(self, step: int) -> float:
        """The factor at a step, counted from 0 over the whole training."""
        stage = next((n for n, end in enumerate(self._ends) if step < end), len(self._ends) - 1)
        begin = self._ends[stage - 1] if stage else 0
        return self._peaks[stage] * self._shape(step - begin, self._ends[stage] - begin)

    def _shape(self, step: int, steps: int) -> float:
        warmup = math.ceil(self._settings.warmup * steps)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if self._settings.schedule == "constant":
            return 1.0
        share = (step - warmup) / max(1, steps - warmup)
        return 0.5 * (1 + math.cos(math.pi * share))


def current_stage(stages: Sequence[StageSettings], epoch: int) -> StageSettings:
    """The stage that an epoch, counted from 0, belongs to."""
    ends = itertools.accumulate(stage.epochs for stage in stages)
    return next((stage for stage, end in zip(stages, ends, strict=True) if epoch < end), stages[-1])


def frozen_groups(model: FaceModel, stage: StageSettings) -> int:
    """How many groups of layers, from the input on, a stage freezes."""
    depths = len(model.depth_groups())
    trained = {"head": 1, "partial": 1 + stage.layers, "full": depths}[stage.train]
    return max(depths - trained, 0)
