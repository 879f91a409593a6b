import math

import numpy as np
import pytest
import torch

from landmarkfer.config.recipes import load_settings
from landmarkfer.config.train import OptimiserSettings, StageSettings
from landmarkfer.models import build_model
from landmarkfer.training.optim import (
    build_optimiser,
    build_schedule,
    current_stage,
    frozen_groups,
    parameter_groups,
)


def rates(steps, epochs=1, **overrides):
    """The learning rate at each of `steps` steps of each epoch."""
    stages = overrides.pop("stages", [])
    given = {f"optimiser.{key}": value for key, value in overrides.items()}
    given |= {"stages": stages} if stages else {"fit.epochs": epochs}
    settings = load_settings(overrides=given)
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=settings.optimiser.lr)
    schedule = build_schedule(optimiser, settings, steps)["lr_scheduler"]["scheduler"]
    found = []
    for _ in range(steps * settings.epochs):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


class TestSchedules:
    def test_onecycle_rises_to_the_peak_and_falls_to_nothing(self):
        found = rates(100, lr=0.1, schedule="onecycle")
        peak = int(np.argmax(found))
        assert max(found) == pytest.approx(0.1, rel=0.01)
        assert 25 <= peak <= 32
        assert found[0] == pytest.approx(0.1 / 25)
        assert found[-1] < 1e-4
        assert found[:peak] == sorted(found[:peak])
        assert found[peak:] == sorted(found[peak:], reverse=True)

    def test_cosine_by_hand(self):
        found = rates(10, lr=0.2, schedule="cosine", warmup=0.2)
        # Two steps of warm-up at 1/3 and 2/3, then half a cosine over the other eight.
        expected = [0.2 / 3, 0.4 / 3] + [0.1 * (1 + math.cos(math.pi * step / 8)) for step in range(8)]
        assert found == pytest.approx(expected)

    def test_constant_by_hand(self):
        found = rates(6, lr=0.2, schedule="constant", warmup=0.3)
        assert found == pytest.approx([0.2 / 3, 0.4 / 3, 0.2, 0.2, 0.2, 0.2])
        assert rates(3, lr=0.2, schedule="constant", warmup=0.0) == [0.2] * 3

    @pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
    def test_a_single_step(self, schedule):
        assert 0 < rates(1, lr=0.2, schedule=schedule)[0] <= 0.2

    def test_each_stage_has_a_schedule_of_its_own(self):
        stages = [{"train": "head", "epochs": 1, "lr": 0.4}, {"train": "full", "epochs": 2}]
        found = rates(3, lr=0.1, schedule="cosine", warmup=0.0, stages=stages)
        shape = [0.5 * (1 + math.cos(math.pi * step / n)) for n in (3, 6) for step in range(n)]
        assert found == pytest.approx([0.4 * x for x in shape[:3]] + [0.1 * x for x in shape[3:]])


@pytest.mark.parametrize("name", ["mlp", "gnn"])
def test_only_matrices_decay(name):
    keywords = {"hidden": [4]} if name == "mlp" else {"hidden": [4], "widths": [4], "readout": "attention"}
    model = build_model(name, 3, **keywords)
    decaying, others = parameter_groups(model, OptimiserSettings(weight_decay=0.3))
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    names = {id(parameter): key for key, parameter in model.named_parameters()}
    assert {names[id(p)] for p in decaying["params"] + others["params"]} == set(names.values())
    assert len(decaying["params"]) + len(others["params"]) == len(names)
    assert all(names[id(p)].endswith("weight") and p.ndim == 2 for p in decaying["params"])
    plain = {names[id(p)] for p in others["params"]}
    assert {"layers.1.weight", "layers.1.bias", "head.bias"} <= plain, "norms and biases"
    assert ("identity" in plain) == (name == "gnn"), "embeddings"


@pytest.mark.parametrize("name", ["gnn", "image"])
def test_layers_learn_the_slower_the_further_from_the_head(name):
    keywords = {"hidden": [4], "widths": [4, 4]} if name == "gnn" else {"backbone": "resnet18", "size": 32}
    model = build_model(name, 3, **keywords)
    groups = parameter_groups(model, OptimiserSettings(lr=0.8, layer_decay=0.5, weight_decay=0.3))
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    parameters = dict(model.named_parameters())
    assert sum(len(group["params"]) for group in groups) == len(rate) == len(parameters)
    for above, names in enumerate(reversed(model.depth_groups())):
        assert {rate[id(parameters[key])] for key in names} == {0.8 * 0.5**above}
    assert {decay[id(p)] for p in parameters.values() if p.ndim == 1} == {0.0}
    assert decay[id(model.head.weight)] == 0.3 and rate[id(model.head.weight)] == 0.8


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_rates_of_layers_keep_their_ratio(schedule):
    given = {"optimiser.layer_decay": 0.5, "optimiser.schedule": schedule, "fit.epochs": 2}
    settings = load_settings(overrides=given)
    model = build_model("mlp", 3, hidden=[4])
    optimiser = build_optimiser(model, settings.optimiser)
    step = build_schedule(optimiser, settings, 5)["lr_scheduler"]["scheduler"]
    for _ in range(10):
        head, below = optimiser.param_groups[0]["lr"], optimiser.param_groups[2]["lr"]
        assert below == pytest.approx(head / 2)
        optimiser.step()
        step.step()


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_optimisers_by_name(name, kind):
    model = build_model("mlp", 3, hidden=[4])
    optimiser = build_optimiser(model, OptimiserSettings(name=name, lr=0.3))
    assert type(optimiser) is kind
    assert {group["lr"] for group in optimiser.param_groups} == {0.3}
    if name == "sgd":
        assert all(group["nesterov"] and group["momentum"] == 0.9 for group in optimiser.param_groups)


class TestStages:
    STAGES = (
        StageSettings(train="head", epochs=2),
        StageSettings(train="partial", epochs=1, layers=2),
        StageSettings(train="full", epochs=3),
    )

    def test_which_stage_an_epoch_belongs_to(self):
        found = [current_stage(self.STAGES, epoch).train for epoch in range(6)]
        assert found == ["head", "head", "partial", "full", "full", "full"]

    def test_how_much_is_frozen(self):
        model = build_model("gnn", 3, graph="anatomical", widths=[4, 4], hidden=[4])
        groups = len(model.depth_groups())
        assert [frozen_groups(model, stage) for stage in self.STAGES] == [groups - 1, groups - 3, 0]
