import math

import numpy as np
import pytest
import torch

from landmarkfer.config import LossSettings, OptimiserSettings, TrainSettings, load_settings
from landmarkfer.data.datamodule import FaceBatch
from landmarkfer.landmarks import CANONICAL
from landmarkfer.models import build_model
from landmarkfer.training.losses import build_loss
from landmarkfer.training.task import ExpressionTask, build_schedule, parameter_groups


def rates(steps, **settings):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=settings["lr"])
    schedule = build_schedule(optimiser, OptimiserSettings(**settings), steps)
    found = []
    for _ in range(steps):
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
        assert rates(3, lr=0.2, schedule="constant", warmup=0) == [0.2] * 3

    @pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
    def test_a_single_step(self, schedule):
        assert 0 < rates(1, lr=0.2, schedule=schedule)[0] <= 0.2


@pytest.mark.parametrize("name", ["mlp", "gnn"])
def test_only_matrices_decay(name):
    keywords = {"hidden": [4]} if name == "mlp" else {"hidden": [4], "widths": [4], "readout": "attention"}
    model = build_model(name, 3, **keywords)
    decaying, others = parameter_groups(model, 0.3)
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    names = {id(parameter): key for key, parameter in model.named_parameters()}
    assert {names[id(p)] for p in decaying["params"] + others["params"]} == set(names.values())
    assert len(decaying["params"]) + len(others["params"]) == len(names)
    assert all(names[id(p)].endswith("weight") and p.ndim == 2 for p in decaying["params"])
    plain = {names[id(p)] for p in others["params"]}
    assert {"layers.1.weight", "layers.1.bias", "head.bias"} <= plain, "norms and biases"
    assert ("identity" in plain) == (name == "gnn"), "embeddings"


@pytest.fixture
def task():
    settings = load_settings(overrides={"augment.mirror": 0, "augment.jitter": 0, "seed": 1})
    model = build_model("mlp", 3, hidden=[8], dropout=0.5)
    task = ExpressionTask(model, build_loss(LossSettings(smoothing=0), torch.ones(3)), settings, 10)
    task.log = task.log_dict = lambda *args, **keywords: None
    return task


def batch(n=12):
    landmarks = torch.tensor(CANONICAL) + torch.randn(n, 478, 3, generator=torch.Generator().manual_seed(1))
    present = torch.ones(n, dtype=torch.bool)
    present[-2:] = False
    return FaceBatch(landmarks, present, labels=torch.arange(n) % 3)


class TestTask:
    def test_a_step_is_a_function_of_seed_and_number(self, task, monkeypatch):
        """Dropout too: whatever was drawn before, the same step gives the same loss."""
        step = 4
        monkeypatch.setattr(ExpressionTask, "global_step", property(lambda self: step))
        torch.manual_seed(0)
        first = task.training_step(batch(), 0)
        torch.rand(100)
        assert torch.equal(task.training_step(batch(), 0), first)
        step = 5
        assert not torch.equal(task.training_step(batch(), 0), first)
        step, task._settings = 4, task._settings.model_copy(update={"seed": 2})
        assert not torch.equal(task.training_step(batch(), 0), first)

    def test_training_augments_and_validation_does_not(self, task, monkeypatch):
        monkeypatch.setattr(ExpressionTask, "global_step", 0)
        task._settings = load_settings(overrides={"augment.jitter": 3.0, "augment.mirror": 1.0})
        seen = []
        task.model.register_forward_pre_hook(lambda module, args: seen.append(args[0].landmarks))
        given = batch()
        task.training_step(given, 0)
        task.validation_step(given, 0)
        assert not torch.allclose(seen[0], given.landmarks)
        assert torch.equal(seen[1], given.landmarks)
        assert torch.equal(given.landmarks, batch().landmarks), "the batch itself is left alone"

    def test_the_figures_of_validation_by_hand(self, task):
        task.eval()
        task.model.set_statistics(torch.tensor(CANONICAL), torch.ones(478, 3))
        task.model.set_prior(torch.tensor([0.2, 0.5, 0.3]))
        faces = batch()
        with torch.inference_mode():
            logits = task.model(faces)
            for rows in (range(0, 8), range(8, 12)):  # batches of different sizes count by their faces
                task.validation_step(faces.rows(torch.tensor(rows)), 0)
        predicted = logits.argmax(dim=1)
        assert predicted[-2:].tolist() == [1, 1], "a face that was not found gets the most frequent class"
        loss = torch.nn.functional.cross_entropy(logits, faces.labels)
        assert task.val_loss.compute().item() == pytest.approx(loss.item(), rel=1e-5)
        figures = task.val_metrics.compute()
        right = predicted == faces.labels
        assert figures["val_accuracy"].item() == pytest.approx(right.float().mean().item())
        f1 = [
            2
            * int(((predicted == c) & right).sum())
            / int((predicted == c).sum() + (faces.labels == c).sum())
            for c in range(3)
        ]
        assert figures["val_macro_f1"].item() == pytest.approx(sum(f1) / 3)

    def test_the_optimiser_is_stepped_with_its_schedule(self, task):
        configured = task.configure_optimizers()
        assert isinstance(configured["optimizer"], torch.optim.AdamW)
        assert configured["lr_scheduler"]["interval"] == "step"
        assert configured["lr_scheduler"]["scheduler"].total_steps == 10
        assert (
            configured["optimizer"].param_groups[0]["weight_decay"] == TrainSettings().optimiser.weight_decay
        )

    def test_a_loss_that_is_no_number_is_seen(self, task):
        task.eval()
        faces = batch()
        faces.landmarks[0] = torch.nan
        task.validation_step(faces, 0)
        assert task.val_loss.compute().isnan()
