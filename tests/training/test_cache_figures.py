"""Validation figures of each of several caches, against the metrics of their images."""

import numpy as np
import pytest
import torch

from landmarkfer.metrics.classification import accuracy, balanced_accuracy, macro_f1
from landmarkfer.training.cache_figures import CacheFigures, cache_columns
from landmarkfer.training.losses import CrossEntropy


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    caches = torch.tensor([0, 1, 0, 0, 1, 0, 1, 0])
    labels = torch.tensor([0, 1, 2, 1, 0, 0, 1, 2])  # the second cache has none of class 2
    return caches, labels, torch.randn(8, 3, generator=generator)


def test_they_are_those_of_the_images_of_each(batch):
    caches, labels, logits = batch
    figures = CacheFigures(["a", "b"], 3)
    for part in (slice(0, 5), slice(5, 8)):
        figures.update(caches[part], labels[part], logits[part], CrossEntropy())
    found = figures.compute()
    assert list(found) == cache_columns(["a", "b"])
    scores = {}
    for number, name in enumerate("ab"):
        own = (caches == number).numpy()
        true, predicted = labels.numpy()[own], logits.argmax(dim=1).numpy()[own]
        scores[name] = {
            "accuracy": accuracy(true, predicted),
            "balanced_accuracy": balanced_accuracy(true, predicted, range(3)),
            "macro_f1": macro_f1(true, predicted, range(3)),
            "loss": float(CrossEntropy()(logits[own], labels[own])),
        }
        for figure, value in scores[name].items():
            assert found[f"val_{figure}_{name}"] == pytest.approx(value, rel=1e-6)
    for figure in scores["a"]:
        mean = (scores["a"][figure] + scores["b"][figure]) / 2
        assert found[f"val_{figure}_cache_mean"] == pytest.approx(mean, rel=1e-6)


def test_an_epoch_starts_anew(batch):
    figures = CacheFigures(["a", "b"], 3)
    figures.update(*batch, CrossEntropy())
    before = figures.compute()
    figures.reset()
    figures.update(*batch, CrossEntropy())
    assert figures.compute() == before


def test_a_cache_without_validation_images_has_no_figures(batch):
    caches, labels, logits = batch
    figures = CacheFigures(["a", "b", "c"], 3)
    figures.update(caches, labels, logits, CrossEntropy())
    found = figures.compute()
    assert np.isnan(found["val_accuracy_c"]) and np.isnan(found["val_loss_c"])
    mean = (found["val_accuracy_a"] + found["val_accuracy_b"]) / 2
    assert found["val_accuracy_cache_mean"] == pytest.approx(mean)


def test_one_cache_has_no_columns_of_its_own():
    assert cache_columns([]) == []
