import pytest
import torch

from landmarkfer.models.class_rows import rows_by_class


def test_rows_follow_their_classes():
    own, other = torch.zeros(3, 2), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    mixed = rows_by_class("head.weight", own, {"head.weight": other}, [1, -1, 0])
    assert mixed.tolist() == [[3, 4], [0, 0], [1, 2]]
    assert not own.any(), "the given tensor stays"
    bias = rows_by_class("head.bias", torch.zeros(2), {"head.bias": torch.tensor([5.0, 6.0, 7.0])}, [2, 2])
    assert bias.tolist() == [7, 7]


def test_another_head_is_refused():
    for weights in ({}, {"head.weight": torch.zeros(2, 3)}):
        with pytest.raises(ValueError, match=r"'head\.weight' differs"):
            rows_by_class("head.weight", torch.zeros(3, 2), weights, [0, 1, -1])
