"""What training needs before its first step: checked settings, statistics of the faces, a fresh model."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from landmarkfer.config import ModelSettings, TrainSettings
from landmarkfer.data.augment import mirror_landmarks
from landmarkfer.data.datamodule import FaceDataset
from landmarkfer.data.splits import Splits
from landmarkfer.errors import CacheError, SettingsError
from landmarkfer.models import build_model, check_keywords, model_keywords
from landmarkfer.models.base import LandmarkModel
from landmarkfer.topology import FaceGraph, build_graph


def resolved(settings: TrainSettings) -> TrainSettings:
    """The settings with every keyword of the model stated, so that a run outlives changed defaults.

    Raises:
        SettingsError: A keyword of the model does not fit, or there is no such device; no data is read first.
    """
    name, keywords = settings.model.name, settings.model.keywords
    check_keywords(name, keywords)
    if isinstance(keywords.get("graph"), FaceGraph):
        raise SettingsError("'model.graph' must be a name or the path of a file, so that it can be saved.")
    accelerator(settings.fit.device)
    return settings.model_copy(update={"model": ModelSettings(name=name, **model_keywords(name) | keywords)})


def accelerator(device: str) -> str:
    """The device that `fit.device` means here: CUDA where there is one, else the CPU, if left to choose.

    MPS has no sparse products, which graph models are made of, so it must be asked for.

    Raises:
        SettingsError: PyTorch finds no such device.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return "cuda" if there["cuda"] else "cpu"
    if not there[device]:
        raise SettingsError(f"'fit.device' = '{device}', but PyTorch finds no such device here.")
    return device


def landmark_statistics(landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Mean face and SD of each coordinate, `[478, 3]` each, over faces and their mirror images.

    Args:
        landmarks: `[n, 478, 3]`, normalised.
    """
    mean = landmarks.mean(dim=0)
    variance = landmarks.var(dim=0, unbiased=False)
    swapped = mirror_landmarks(mean)
    # Over a set and its mirror images together: the mean of the variances plus the spread of the two means.
    mirrored_variance = mirror_landmarks(variance).abs()
    variance = (variance + mirrored_variance) / 2 + ((mean - swapped) / 2).square()
    return (mean + swapped) / 2, variance.sqrt()


def class_counts(dataset: FaceDataset, splits: Splits) -> Tensor:
    """Training images of each class, `[C]`, those without a face included."""
    labels = dataset.frame["label"].to_numpy()[splits.train]
    return torch.tensor([np.count_nonzero(labels == name) for name in dataset.classes])


def new_model(settings: TrainSettings, dataset: FaceDataset, splits: Splits) -> LandmarkModel:
    """A model with fresh weights (by the seed) and the statistics of its training faces.

    Args:
        settings: Resolved ones.
        dataset: The cache in memory.
        splits: Of its rows.

    Raises:
        CacheError: There are too few faces or classes.
        LandmarkferError: The model cannot be built so.
    """
    rows = splits.train[dataset.faces.present.numpy()[splits.train]]
    if len(rows) < 2 or len(dataset.classes) < 2:
        raise CacheError(
            "training needs at least two faces and two classes, and the cache has "
            f"{len(rows)} labelled faces to train on and {len(dataset.classes)} classes."
        )
    mean, std = landmark_statistics(dataset.faces.rows(torch.as_tensor(rows)).landmarks)
    keywords: dict[str, Any] = settings.model.keywords
    if "graph" in keywords:
        keywords["graph"] = build_graph(keywords["graph"], mean_face=mean.numpy(), k=keywords["k"])
    torch.manual_seed(settings.seed)
    model = build_model(settings.model.name, len(dataset.classes), **keywords)
    model.set_statistics(mean, std)
    model.set_prior(class_counts(dataset, splits) / len(splits.train))
    return model
