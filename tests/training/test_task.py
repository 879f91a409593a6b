import pytest
import torch

from landmarkfer.config.recipes import load_settings
from landmarkfer.config.train import LossSettings, TrainSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.models import build_model
from landmarkfer.training.losses import build_loss, divergence
from landmarkfer.training.task import ExpressionTask


@pytest.fixture
def task():
    settings = load_settings(overrides={"augment.mirror": 0, "augment.shape_jitter": 0, "seed": 1})
    model = build_model("mlp", 3, hidden=[8], dropout=0.5)
    task = ExpressionTask(model, build_loss(LossSettings(smoothing=0), torch.ones(3)), settings, 10)
    task.log = task.log_dict = lambda *args, **keywords: None
    return task


def batch(n=12):
    landmarks = torch.tensor(CANONICAL) + torch.randn(n, 478, 3, generator=torch.Generator().manual_seed(1))
    has_face = torch.ones(n, dtype=torch.bool)
    has_face[-2:] = False
    return FaceBatch(landmarks, has_face, labels=torch.arange(n) % 3)


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

    def test_consistency_adds_the_divergence_of_the_halves_in_training_alone(self, task, monkeypatch):
        monkeypatch.setattr(ExpressionTask, "global_step", 0)
        halves = batch().rows(torch.tensor([*range(6), *range(6, 12)]))
        plain, valid = task.training_step(halves, 0), task._step(halves, "val")
        logits = []
        task.model.register_forward_hook(lambda module, args, output: logits.append(output))
        task._settings = load_settings(
            overrides={"augment.mirror": 0, "augment.shape_jitter": 0, "seed": 1, "loss.consistency": 2.0}
        )
        more = task.training_step(halves, 0)
        torch.testing.assert_close(more - plain, 2 * divergence(logits[0][:6], logits[0][6:]))
        assert (more - plain) > 0.01
        task.eval()
        assert torch.equal(task._step(halves, "val"), task._step(halves, "val"))
        assert valid.isfinite()

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
        assert configured["lr_scheduler"]["scheduler"].total_steps == 10 * task._settings.epochs
        assert (
            configured["optimizer"].param_groups[0]["weight_decay"] == TrainSettings().optimiser.weight_decay
        )

    def test_a_loss_that_is_no_number_is_seen(self, task):
        task.eval()
        faces = batch()
        faces.landmarks[0] = torch.nan
        task.validation_step(faces, 0)
        assert task.val_loss.compute().isnan()
