"""The bias-corrected exponential moving average of the weights, and which decay fits a number of steps."""

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class MovingWeightAverage(WeightAveraging):
    """The exponential moving average of the weights and of the statistics of norm layers, bias-corrected.

    After step t with weights w_t and decay d:

        avg_t = avg_{t-1} + (1 - d) / (1 - d^t) * (w_t - avg_{t-1}),   avg_1 = w_1

    which is the mean of w_1 ... w_t with weights proportional to d^(t - i) that sum to 1: the correction of
    Adam (Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, section 3). Without it,
    avg_t gives w_1 the weight d^(t-1), and a short training ends near its first weights.

    What Lightning's own callback computes with an `avg_fn` of this formula, bit by bit; but that one keeps
    the average on the CPU while a GPU trains the model, and takes several kernels for each tensor.

    Args:
        decay: d, below 1.
    """

    def __init__(self, decay: float) -> None:
        self._decay = decay
        super().__init__(multi_avg_fn=self._average)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Average where the model will lie, and count on the CPU, where the number is read."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None:
            self._average_model.n_averaged = torch.tensor(0)

    def _average(self, old: tuple[Tensor, ...], new: tuple[Tensor, ...], _updates: Tensor | int) -> None:
        # The number that is passed lies on the device, and reading it would wait for what is queued there.
        assert self._average_model is not None
        share = newest_share(self._decay, int(self._average_model.n_averaged) + 1)
        if old[0].is_floating_point():
            torch._foreach_lerp_(old, new, share)
            return
        for one, other in zip(old, new, strict=True):
            if one.ndim == 0:  # counters of norm layers; a graph stays as it is
                one.copy_(one + share * (other - one))


def newest_share(decay: float, step: int) -> float:
    """The weight of the newest weights in the average after `step` steps, counted from 1."""
    return (1 - decay) / (1 - decay**step)
