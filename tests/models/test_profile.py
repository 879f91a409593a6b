from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import nn

from landmarkfer.data.batch import FaceBatch
from landmarkfer.models import build_model
from landmarkfer.models.base import FaceModel
from landmarkfer.models.profile import count_cost


def make_batch(n, size=8):
    there = torch.ones(n, dtype=torch.bool)
    image = torch.full((n, 1, size, size), 100, dtype=torch.uint8)
    return FaceBatch(torch.zeros(n, 478, 3), there, image=image, has_image=there)


class Tiny(FaceModel):
    """A convolution of two 3 x 3 kernels on 8 x 8 pixels, a norm, and a dense layer of three."""

    inputs: ClassVar = frozenset({"image"})

    def __init__(self):
        super().__init__(3)
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Linear(2 * 8 * 8, 3)

    def has_input(self, batch):
        return batch.has_image

    def embed(self, batch):
        return self.norm(self.conv(batch.image.float())).flatten(1)

    def classify(self, embedding):
        return self.head(embedding)


@pytest.mark.parametrize("n", [1, 5])
def test_by_hand(n):
    model = Tiny()
    macs = 8 * 8 * 2 * 9 + 2 * 8 * 8 * 3
    parameters = (2 * 9 + 2) + 2 * 2 + (2 * 8 * 8 * 3 + 3)
    assert count_cost(model, make_batch(n)) == (parameters, macs)


def test_counting_changes_nothing():
    model = Tiny()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    count_cost(model, make_batch(3))
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    count_cost(model.eval(), make_batch(3))
    assert not model.training


def test_a_perceptron_multiplies_each_weight_once():
    weights = 1434 * 20 + 20 * 10 + 10 * 7
    for features, more in (("displacement", 0), ("whitened", 1434**2)):
        model = build_model("mlp", 7, hidden=[20, 10], features=features)
        assert count_cost(model, make_batch(2))[1] == weights + more


def test_a_residual_network_by_its_stages():
    w, size = 8, 48
    model = build_model("image", 7, backbone="resnet-fer", width=w, size=size)
    expected = size**2 * 9 * w + size**2 * 4 * 9 * w**2 + 8 * w * 7
    for stage in (1, 2, 3):
        pixels, narrow, wide = (size // 2**stage) ** 2, w * 2 ** (stage - 1), w * 2**stage
        expected += pixels * (9 * narrow * wide + 3 * 9 * wide**2 + narrow * wide)
    assert count_cost(model, make_batch(2, size))[1] == expected


@pytest.mark.parametrize("fusion", ["sampled", "cross-attention"])
def test_the_first_pass_of_a_model_costs_what_the_next_ones_do(fusion):
    own = {} if fusion == "sampled" else {"encoder": "mlp"}
    model = build_model("fusion", 7, fusion=fusion, backbone="resnet-fer", width=4, size=44, **own)
    batch = replace(make_batch(2, 48), keypoints=torch.full((2, 478, 2), 0.5))
    first = count_cost(model, batch)
    assert count_cost(model, batch) == first
