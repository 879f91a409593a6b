import math

import pytest
import torch
from kornia.losses import focal_loss
from torch import nn
from torch.nn.functional import kl_div
from torchvision.ops import sigmoid_focal_loss

from landmarkfer.config.train import LossSettings
from landmarkfer.training.losses import build_loss, class_weights, divergence, log_prior

COUNTS = torch.tensor([60, 30, 10])
NAMES = ["cross_entropy", "focal"]


def drawn(size: int = 12, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, labels and soft targets."""
    generator = torch.Generator().manual_seed(5)
    logits = 3 * torch.randn(size, classes, generator=generator)
    labels = torch.randint(classes, (size,), generator=generator)
    soft = torch.rand(size, classes, generator=generator)
    return logits, labels, soft / soft.sum(dim=1, keepdim=True)


class TestClassWeights:
    def test_by_hand(self):
        assert class_weights(COUNTS, "none") is None
        # 1/60 : 1/30 : 1/10 = 1 : 2 : 6, times 100 images over 60 + 60 + 60.
        inverse = torch.tensor([1.0, 2.0, 6.0]) * 100 / 180
        torch.testing.assert_close(class_weights(COUNTS, "inverse"), inverse)
        roots = torch.tensor([1.0, math.sqrt(2), math.sqrt(6)])
        total = 60 + 30 * math.sqrt(2) + 10 * math.sqrt(6)
        torch.testing.assert_close(class_weights(COUNTS, "sqrt_inverse"), roots * 100 / total)

    def test_effective_number_by_hand(self):
        # With beta 1/2, one image counts 1, two 1.5 and three 1.75: weights 1 : 2/3 : 4/7 = 21 : 14 : 12,
        # times 6 images over 21 + 28 + 36.
        found = class_weights(torch.tensor([1, 2, 3]), "effective", beta=0.5)
        torch.testing.assert_close(found, torch.tensor([21.0, 14.0, 12.0]) * 6 / 85)

    def test_effective_number_lies_between_equal_and_inverse(self):
        torch.testing.assert_close(class_weights(COUNTS, "effective", beta=0.0), torch.ones(3))
        near = class_weights(COUNTS, "effective", beta=1 - 1e-9)
        torch.testing.assert_close(near, class_weights(COUNTS, "inverse"), rtol=1e-5, atol=0)

    @pytest.mark.parametrize("scheme", ["inverse", "sqrt_inverse", "effective"])
    def test_the_mean_weight_of_a_training_image_is_one(self, scheme):
        counts = torch.tensor([7215, 4965, 0, 4830, 4097, 3995, 436])
        weights = class_weights(counts, scheme)
        assert (weights * counts).sum().item() == pytest.approx(counts.sum().item())
        assert weights[2] == 0, "a class without an image weighs nothing"
        assert torch.isfinite(weights).all()


class TestCrossEntropy:
    def test_by_hand(self):
        logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        labels = torch.tensor([0, 2])
        log_sums = [math.log(math.exp(2) + 2), math.log(math.e + 2)]
        plain = [log_sums[0] - 2, log_sums[1] - 0]
        loss = build_loss(LossSettings(smoothing=0), torch.ones(3))
        assert loss(logits, labels).item() == pytest.approx(sum(plain) / 2)
        # Smoothing by 0.3 puts 0.1 on every class and 0.7 more on the right one.
        uniform = [log_sums[0] - 2 / 3, log_sums[1] - 1 / 3]
        smooth = [0.7 * p + 0.3 * u for p, u in zip(plain, uniform, strict=True)]
        loss = build_loss(LossSettings(smoothing=0.3), torch.ones(3))
        assert loss(logits, labels).item() == pytest.approx(sum(smooth) / 2)

    def test_weighted_by_hand(self):
        logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
        labels = torch.tensor([0, 0])
        losses = [math.log(1 + math.exp(-2)), math.log(1 + math.e)]
        loss = build_loss(LossSettings(smoothing=0, class_weights="inverse"), torch.tensor([30, 10]))
        # Weights cancel within one class, as PyTorch divides by their sum.
        assert loss(logits, labels).item() == pytest.approx(sum(losses) / 2)
        mixed = loss(logits, torch.tensor([0, 1])).item()
        assert mixed == pytest.approx((1 * losses[0] + 3 * math.log(1 + math.exp(-1))) / 4)

    @pytest.mark.parametrize("scheme", ["none", "inverse"])
    def test_labels_give_exactly_what_pytorch_gives(self, scheme):
        logits, labels, _ = drawn()
        weight = class_weights(COUNTS, scheme)
        theirs = nn.CrossEntropyLoss(weight=weight, label_smoothing=0.1)
        ours = build_loss(LossSettings(smoothing=0.1, class_weights=scheme), COUNTS)
        assert torch.equal(ours(logits, labels), theirs(logits, labels))
        # Checkpoints hold the weights by this name.
        assert ours.state_dict().keys() == theirs.state_dict().keys()

    def test_soft_targets_without_weights_give_what_pytorch_gives(self):
        logits, _, soft = drawn()
        ours = build_loss(LossSettings(smoothing=0.2), COUNTS)
        torch.testing.assert_close(ours(logits, soft), nn.CrossEntropyLoss(label_smoothing=0.2)(logits, soft))

    def test_soft_targets_with_weights_by_hand(self):
        loss = build_loss(LossSettings(smoothing=0, class_weights="inverse"), torch.tensor([30, 10]))
        # Weights 1 : 3. Half and half at equal logits: 0.5 ln 2 + 1.5 ln 2, over 0.5 + 1.5.
        # Beside it a face of class 0 alone at logits 0 and 1: weight 1, loss ln(1 + e).
        targets = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
        found = loss(torch.tensor([[0.0, 0.0], [0.0, 1.0]]), targets).item()
        assert found == pytest.approx((2 * math.log(2) + math.log(1 + math.e)) / 3)


@pytest.mark.parametrize("name", NAMES)
class TestEveryLoss:
    @pytest.mark.parametrize(("scheme", "adjustment"), [("none", 0.0), ("inverse", 0.0), ("none", 1.0)])
    def test_targets_of_0_and_1_give_what_labels_give(self, name, scheme, adjustment):
        logits, labels, _ = drawn()
        loss = build_loss(LossSettings(name=name, class_weights=scheme, logit_adjustment=adjustment), COUNTS)
        hard = nn.functional.one_hot(labels, 3).float()
        torch.testing.assert_close(loss(logits, hard), loss(logits, labels))

    def test_the_weights_of_a_batch_of_one_class_cancel(self, name):
        logits, _, _ = drawn()
        labels = torch.full((len(logits),), 2)
        plain = build_loss(LossSettings(name=name, smoothing=0), COUNTS)(logits, labels)
        weighted = build_loss(LossSettings(name=name, smoothing=0, class_weights="inverse"), COUNTS)
        torch.testing.assert_close(weighted(logits, labels), plain)

    def test_a_rare_class_counts_more_with_weights(self, name):
        # Both wrong in the same way; the second, of class 2, gets better.
        logits = torch.tensor([[0.0, 3.0, 0.0], [0.0, 3.0, 0.0]])
        better = torch.tensor([[0.0, 3.0, 0.0], [0.0, 3.0, 2.0]])
        labels = torch.tensor([0, 2])
        losses = [build_loss(LossSettings(name=name, class_weights=s), COUNTS) for s in ("none", "inverse")]
        gains = [loss(logits, labels) - loss(better, labels) for loss in losses]
        assert gains[1] > 1.3 * gains[0] > 0

    @pytest.mark.parametrize("given", ["labels", "targets"])
    def test_gradients_stay_finite_when_the_model_is_certain(self, name, given):
        logits = torch.tensor([[200.0, 0.0, 0.0], [200.0, 0.0, 0.0]], requires_grad=True)
        labels = torch.tensor([0, 1])
        targets = labels if given == "labels" else nn.functional.one_hot(labels, 3).float()
        loss = build_loss(LossSettings(name=name, gamma=0.5, smoothing=0), COUNTS)
        value = loss(logits, targets)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(logits.grad).all()

    def test_descent_on_it_finds_the_labels(self, name):
        _, labels, _ = drawn()
        logits = torch.zeros(len(labels), 3, requires_grad=True)
        loss = build_loss(LossSettings(name=name), COUNTS)
        optimiser = torch.optim.SGD([logits], lr=5.0)
        for _ in range(60):
            optimiser.zero_grad()
            loss(logits, labels).backward()
            optimiser.step()
        assert torch.equal(logits.argmax(dim=1), labels)


class TestFocal:
    def test_by_hand(self):
        # p = 3/4 and 1/5 for the right classes.
        logits = torch.tensor([[math.log(3), 0.0], [math.log(4), 0.0]])
        labels = torch.tensor([0, 1])
        loss = build_loss(LossSettings(name="focal", smoothing=0, gamma=2, alpha=0.25), torch.ones(2))
        expected = 0.25 * ((1 / 4) ** 2 * math.log(4 / 3) + (4 / 5) ** 2 * math.log(5)) / 2
        assert loss(logits, labels).item() == pytest.approx(expected)

    def test_soft_targets_by_hand(self):
        logits = torch.tensor([[math.log(3), 0.0]])
        loss = build_loss(LossSettings(name="focal", smoothing=0.2, gamma=2, alpha=1), torch.ones(2))
        # 0.6 and 0.4, smoothed by 0.2: 0.58 and 0.42.
        expected = 0.58 * (1 / 4) ** 2 * math.log(4 / 3) + 0.42 * (3 / 4) ** 2 * math.log(4)
        assert loss(logits, torch.tensor([[0.6, 0.4]])).item() == pytest.approx(expected)

    @pytest.mark.parametrize("scheme", ["none", "sqrt_inverse"])
    def test_without_gamma_it_is_cross_entropy(self, scheme):
        logits, labels, soft = drawn()
        focal, plain = (
            build_loss(LossSettings(name=name, gamma=0, alpha=1, class_weights=scheme), COUNTS)
            for name in ("focal", "cross_entropy")
        )
        torch.testing.assert_close(focal(logits, labels), plain(logits, labels))
        torch.testing.assert_close(focal(logits, soft), plain(logits, soft))

    @pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
    def test_two_classes_are_torchvisions_sigmoid_loss(self, gamma):
        logits, labels, _ = drawn(classes=2)
        ours = build_loss(LossSettings(name="focal", smoothing=0, gamma=gamma, alpha=1), torch.ones(2))
        margin = logits[:, 1] - logits[:, 0]
        theirs = sigmoid_focal_loss(margin, labels.float(), alpha=-1, gamma=gamma, reduction="mean")
        torch.testing.assert_close(ours(logits, labels), theirs)

    def test_many_classes_are_kornias_loss(self):
        logits, labels, _ = drawn()
        ours = build_loss(LossSettings(name="focal", smoothing=0, gamma=2, alpha=1), COUNTS)
        theirs = focal_loss(logits, labels, alpha=None, gamma=2.0, reduction="sum") / len(labels)
        torch.testing.assert_close(ours(logits, labels), theirs)


class TestLogitAdjustment:
    def test_by_hand(self):
        # Shares 3/4 and 1/4 at equal logits are the probabilities.
        loss = build_loss(LossSettings(smoothing=0, logit_adjustment=1), torch.tensor([30, 10]))
        logits = torch.zeros(1, 2)
        assert loss(logits, torch.tensor([0])).item() == pytest.approx(math.log(4 / 3))
        assert loss(logits, torch.tensor([1])).item() == pytest.approx(math.log(4))
        # Tau 2: 9/10 and 1/10.
        loss = build_loss(LossSettings(smoothing=0, logit_adjustment=2), torch.tensor([30, 10]))
        assert loss(logits, torch.tensor([1])).item() == pytest.approx(math.log(10))

    @pytest.mark.parametrize("name", NAMES)
    def test_it_is_the_loss_of_the_moved_logits(self, name):
        logits, labels, soft = drawn()
        adjusted = build_loss(LossSettings(name=name, logit_adjustment=1), COUNTS)
        plain = build_loss(LossSettings(name=name), COUNTS)
        moved = logits + torch.tensor([0.6, 0.3, 0.1]).log()
        torch.testing.assert_close(adjusted(logits, labels), plain(moved, labels))
        torch.testing.assert_close(adjusted(logits, soft), plain(moved, soft))
        assert torch.equal(adjusted.eval()(logits, labels), adjusted.train()(logits, labels))

    def test_the_best_logits_are_those_of_balanced_classes(self):
        # Nothing but the prior to learn: with the adjustment, the model itself prefers no class.
        labels = torch.tensor([0] * 6 + [1] * 3 + [2])
        logits = torch.zeros(3, requires_grad=True)
        loss = build_loss(LossSettings(smoothing=0, logit_adjustment=1), COUNTS)
        (slope,) = torch.autograd.grad(loss(logits.expand(10, 3), labels), logits)
        torch.testing.assert_close(slope, torch.zeros(3), atol=1e-6, rtol=0)

    def test_an_absent_class_stays_finite_and_is_learned_not_to_be_said(self):
        counts = torch.tensor([60, 0, 10])
        prior = log_prior(counts)
        torch.testing.assert_close(prior, torch.tensor([math.log(6 / 7), 0.0, math.log(1 / 7)]))
        logits = torch.zeros(2, 3, requires_grad=True)
        adjusted, plain = (
            build_loss(LossSettings(smoothing=0, logit_adjustment=tau), counts) for tau in (1.0, 0.0)
        )
        slopes = [
            torch.autograd.grad(loss(logits, torch.tensor([0, 2])), logits)[0] for loss in (adjusted, plain)
        ]
        assert (slopes[0][:, 1] >= slopes[1][:, 1]).all()
        assert torch.isfinite(adjusted(logits, torch.tensor([1, 1]))), "where only validation has the class"

    def test_the_offset_moves_with_the_module(self):
        loss = build_loss(LossSettings(logit_adjustment=1), COUNTS)
        assert "offset" in loss.state_dict()
        assert loss.double().offset.dtype == torch.float64


class TestDivergence:
    def test_it_is_the_mean_of_both_divergences(self):
        first, second = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1))
        p, q = first.softmax(dim=1), second.softmax(dim=1)
        both = (kl_div(p.log(), q, reduction="batchmean") + kl_div(q.log(), p, reduction="batchmean")) / 2
        torch.testing.assert_close(divergence(first, second), both)
        assert divergence(first, first + 3).item() == pytest.approx(0, abs=1e-6), (
            "logits of the same prediction"
        )
