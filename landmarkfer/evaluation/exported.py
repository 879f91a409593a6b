"""Exports of runs, compared with PyTorch on the faces of their cache; and what 8-bit weights cost."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landmarkfer.data.cache import LandmarkCache, find_cache
from landmarkfer.data.dataset import label_images
from landmarkfer.errors import CacheError, RunError
from landmarkfer.evaluation.opened import split_ids
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.files import replacing
from landmarkfer.inference.export import (
    TOLERANCE,
    ExportCheck,
    check_export,
    example_arrays,
    export_onnx,
    quantise,
)
from landmarkfer.inference.frame import FaceArrays, cache_rows, frame_faces
from landmarkfer.inference.onnx import OnnxNetwork
from landmarkfer.inference.torch_network import TorchNetwork
from landmarkfer.progress import counted
from landmarkfer.runs.folder import RunFolder

FACES = 1000
"""Faces on which an export is compared with PyTorch."""
MOST_LOST = 0.005
"""Accuracy on the validation images that 8-bit weights may cost."""


@dataclass(frozen=True)
class Accuracy:
    """Share of images predicted correctly with the weights as they are, and with 8-bit ones."""

    images: int
    before: float
    after: float


@dataclass(frozen=True)
class Exported:
    """What an export is.

    Attributes:
        path: The file.
        check: How it compares with PyTorch; of 8-bit weights, before they were rounded.
        faces_of: Whose faces those were.
        accuracy: Of 8-bit weights, by split (`val`, `test`); None without.
    """

    path: Path
    check: ExportCheck
    faces_of: str
    accuracy: dict[str, Accuracy] | None = None


def export_run(
    run: RunFolder,
    path: Path,
    cache: str | os.PathLike[str] | None = None,
    *,
    int8: bool = False,
    card: str = "",
) -> Exported:
    """Export a run as ONNX, and compare it with PyTorch on faces of its cache.

    Args:
        run: A finished run of a network.
        path: The file.
        cache: A cache of faces; the run's own if None, and where that is not there, variations of the
            canonical face.
        int8: Whether to round the weights of linear maps to 8 bits, but for the first ones.
        card: Its model card.

    Returns:
        What was exported.

    Raises:
        RunError: The run cannot be exported, differs from PyTorch, or loses too much by 8-bit weights; then
            there is no file.
        CacheError: The cache that `int8` needs is not there.
    """
    network = TorchNetwork.of_run(run, "cpu")
    known = _cache_of(run, network, cache)
    with replacing(path) as temporary:
        export_onnx(network, temporary, card)
        exported = OnnxNetwork(temporary)
        arrays = _varied(network) if known is None else compared_faces(known, network)
        check = check_export(network, exported, arrays)
        if not (check.largest <= TOLERANCE and check.same_labels == 1):
            raise RunError(
                f"the export of '{run.name}' differs from PyTorch by up to {check.largest:.1g} in a "
                f"probability on {counted(check.faces, 'face')}, and {TOLERANCE:g} is allowed; nothing was "
                "written."
            )
        accuracy = None
        if int8:
            if known is None:
                raise CacheError(
                    f"8-bit weights are tried on the validation images of '{run.name}', and its cache is not "
                    "there; name it with --cache."
                )
            quantise(temporary)
            accuracy = _accuracies(run, known, network, OnnxNetwork(temporary))
            _check_accuracy(accuracy)
    return Exported(path, check, "the canonical face" if known is None else str(known.path), accuracy)


def _check_accuracy(accuracy: dict[str, Accuracy]) -> None:
    lost = {name: found.before - found.after for name, found in accuracy.items()}
    if lost["val"] > MOST_LOST:
        figures = ", ".join(
            f"{100 * a.before:.2f} to {100 * a.after:.2f} % ({n})" for n, a in accuracy.items()
        )
        raise RunError(
            f"8-bit weights lose {100 * lost['val']:.2f} points of accuracy on the validation images, and "
            f"{100 * MOST_LOST:g} are allowed ({figures}); export without --int8."
        )


def _cache_of(
    run: RunFolder, network: TorchNetwork, cache: str | os.PathLike[str] | None
) -> LandmarkCache | None:
    config = network.trained.config
    if cache is not None:
        return LandmarkCache.open(find_cache(cache))
    try:
        known = config.cache.open()
    except CacheError:
        return None
    return known if known.fingerprint == config.cache.fingerprint else None


def compared_faces(cache: LandmarkCache, network: TorchNetwork) -> FaceArrays:
    """The images on which an export is compared: spread over a cache, also those without a face."""
    rows = np.flatnonzero((cache.frame(["status"])["status"] != "unreadable").to_numpy())
    spread = rows[np.linspace(0, len(rows) - 1, min(FACES, len(rows))).astype(int)]
    return _arrays(cache, spread, network)


def _arrays(cache: LandmarkCache, rows: np.ndarray, network: TorchNetwork) -> FaceArrays:
    found = cache_rows(cache, rows.tolist(), network.info.images is not None)
    return frame_faces(found, network.info.images)


def _varied(network: TorchNetwork) -> FaceArrays:
    arrays = example_arrays(network, FACES)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.003, arrays.landmarks.shape) + rng.normal(0, 0.01, (FACES, 1, 3))
    arrays.landmarks[:] += (noise * np.ptp(CANONICAL, axis=0)).astype(np.float32)
    if arrays.image is not None:
        arrays.image[:] = rng.integers(0, 256, arrays.image.shape, np.uint8)
    return arrays


def _accuracies(
    run: RunFolder, cache: LandmarkCache, before: TorchNetwork, after: OnnxNetwork
) -> dict[str, Accuracy]:
    config = before.trained.config
    frame, classes = label_images(cache, config.settings.data, config.classes)
    ids = split_ids(run, frame)
    found = {}
    for split in ("val", "test"):
        rows = np.flatnonzero(frame["id"].isin(ids[split]).to_numpy())
        arrays = _arrays(cache, rows, before)
        labels = frame["label"].iloc[rows].map({name: n for n, name in enumerate(classes)}).to_numpy()
        right = [(one.outputs(arrays).predicted == labels).mean() for one in (before, after)]
        found[split] = Accuracy(len(rows), float(right[0]), float(right[1]))
    return found
