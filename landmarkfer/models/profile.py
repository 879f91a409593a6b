"""What a model costs: how many numbers it has learned, and how many it multiplies for each face."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from landmarkfer.data.batch import FaceBatch
from landmarkfer.models.base import FaceModel


def count_cost(model: FaceModel, batch: FaceBatch) -> tuple[int, int]:
    """Parameters, and multiply-accumulates per face of one prediction.

    Convolutions, matrix products and attention count. Norms, activations, poolings, gathers and sparse
    products do not, so the figure says little of a graph model on sparse edges.

    Args:
        model: Any model.
        batch: Faces to count on, at least one; the count is per face.

    Returns:
        The number of parameters and the number of multiply-accumulates (half of the FLOPs).
    """
    training = model.training
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            model.eval()(batch)
    finally:
        model.train(training)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return parameters, counter.get_total_flops() // (2 * len(batch))
