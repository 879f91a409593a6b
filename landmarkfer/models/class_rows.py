"""The head of a model that is initialised from one of other classes: a row of its weights for each class."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def rows_by_class(name: str, own: Tensor, weights: Mapping[str, Tensor], classes: Sequence[int]) -> Tensor:
    """A tensor of a head with the rows of the classes that the other model has, too.

    Args:
        name: Of the tensor.
        own: `[C, ...]`; rows of other classes stay as they are.
        weights: All tensors of the other model.
        classes: The number that each class has in the other model, -1 for one that it lacks, `[C]`.

    Raises:
        ValueError: The other model has no such tensor, or one of another width.
    """
    if name not in weights or weights[name].shape[1:] != own.shape[1:]:
        raise ValueError(f"'{name}' differs")
    numbers = torch.as_tensor(classes)
    known = numbers >= 0
    mixed = own.clone()
    mixed[known] = weights[name].to(own)[numbers[known]]
    return mixed
