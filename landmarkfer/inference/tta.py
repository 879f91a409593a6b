"""What a network looks at to predict a face once: crops of its image, and its mirror image.

Prediction averages over these views, so whatever is fitted to predictions must see them too.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from landmarkfer.config.train import PredictionSettings
from landmarkfer.data.augment import mirror_faces
from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.image_augment import mirror_images
from landmarkfer.data.images import cropped_side
from landmarkfer.models.base import FaceModel
from landmarkfer.models.classifier import Classifier
from landmarkfer.progress import SILENT, Progress


@torch.inference_mode()
def tta_embeddings(
    model: FaceModel,
    faces: FaceBatch,
    settings: PredictionSettings,
    *,
    batch_size: int = 0,
    progress: Progress = SILENT,
) -> Tensor:
    """What the model makes of each view before it classifies, `[V, B, D]` on the CPU.

    Args:
        model: In evaluation mode; its device is used.
        faces: Normalised landmarks and stored images, as far as the model looks at them.
        settings: Which views there are.
        batch_size: See `batches`.
        progress: Counts the faces.
    """
    return _each_view(lambda view: model.embed(view).float(), model, faces, settings, batch_size, progress)


def _each_view(
    function: Callable[[FaceBatch], Tensor],
    model: Classifier,
    faces: FaceBatch,
    settings: PredictionSettings,
    batch_size: int,
    progress: Progress,
) -> Tensor:
    parts = [
        torch.stack([function(view).cpu() for view in views(batch.to(model.device), model, settings)])
        for batch in batches(faces, model, batch_size, progress)
    ]
    return torch.cat(parts, dim=1)


@torch.inference_mode()
def mean_probabilities(
    model: Classifier,
    faces: FaceBatch,
    settings: PredictionSettings,
    *,
    batch_size: int = 0,
    progress: Progress = SILENT,
) -> Tensor:
    """Probabilities averaged over the views, uncalibrated, float64 `[B, C]` on the CPU.

    Arguments are those of `tta_embeddings`.
    """
    return _each_view(model.probabilities, model, faces, settings, batch_size, progress).mean(dim=0).double()


def batches(
    faces: FaceBatch,
    model: Classifier,
    size: int = 0,
    progress: Progress = SILENT,
    task: str = "predicting",
) -> Iterator[FaceBatch]:
    """The faces in parts, at least one.

    Args:
        faces: All of them.
        model: What will look at them.
        size: Faces of a part; if 0, as many as leave activations in a processor's cache, or fill a GPU.
        progress: See `tta_embeddings`.
        task: What the progress calls it.
    """
    if not size and model.device.type == "cuda":
        size = 1024
    size = size or (64 if "image" in model.inputs else 512)
    for start in range(0, max(1, len(faces)), size):
        end = min(start + size, len(faces))
        yield faces.rows(torch.arange(start, end))
        progress(task, end, len(faces))


def views(batch: FaceBatch, model: object, settings: PredictionSettings) -> Iterator[FaceBatch]:
    """The views of a batch.

    Args:
        batch: As stored.
        model: Says how much of an image it looks at (`crop`).
        settings: Of the run.

    Yields:
        Batches of the same faces; two for a mirrored pass, ten for five crops and their mirror images.
    """
    crop = getattr(model, "crop", 1.0)
    crops: Iterable[FaceBatch] = [batch]
    if settings.crops == "five" and crop < 1 and batch.image is not None:
        crops = five_crops(batch, crop)
    for view in crops:
        yield view
        if settings.mirror:
            every = torch.ones_like(view.has_face)
            mirrored = mirror_faces(view, every)
            yield mirrored if view.image is None else mirror_images(mirrored, every)


def five_crops(batch: FaceBatch, crop: float) -> Iterator[FaceBatch]:
    """The corners and the middle of the images, each a share `crop` of the side; points move along."""
    assert batch.image is not None
    side = batch.image.shape[-1]
    seen = cropped_side(side, crop)
    last = side - seen
    for top, left in ((0, 0), (0, last), (last, 0), (last, last), (last // 2, last // 2)):
        image = batch.image[..., top : top + seen, left : left + seen].float() / 255
        points = batch.keypoints
        if points is not None:
            points = (points * side - points.new_tensor([left, top])) / seen
        yield replace(batch, image=image, keypoints=points)
