r"""Makes the models that ship from trained runs: whitening folded, half precision where it is free.

    landmarkfer benchmark experiments/benchmarks/transfer.toml --seed 0
    landmarkfer benchmark experiments/benchmarks/transfer-landmarker.toml
    python experiments/ship_models.py fusion=transfer-fusion-both-s0 landmarks=transfer-mlp-both-s0
    python experiments/ship_models.py fusion=transfer-landmarker-fusion-both-s0 \
        landmarks=transfer-landmarker-mlp-both-s0

Each becomes `landmarkfer/shipped/NAME-DETECTOR/`: `config.json` and `model.safetensors`, which are a run, and
`model.onnx`, which predicts without torch. Figures go to `experiments/results/shipped-models.csv`, from which
`experiments/model_cards.py` renders the cards. Caches: those of the runs.
"""

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

from landmarkfer import __version__
from landmarkfer.calibration.answers import answer_thresholds
from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.dataset import label_images
from landmarkfer.data.framing import training_frame
from landmarkfer.data.splits import has_duplicate_in
from landmarkfer.evaluation.opened import split_ids
from landmarkfer.face.landmarks import N_LANDMARKS
from landmarkfer.inference.explain.decorrelation import FILE
from landmarkfer.inference.explain.explainer import decorrelation_of
from landmarkfer.inference.export import export_onnx
from landmarkfer.inference.frame import FaceArrays, cache_rows, frame_faces
from landmarkfer.inference.load import shipped_folder
from landmarkfer.inference.network import ModelInfo, Network
from landmarkfer.inference.onnx import METADATA, OnnxNetwork
from landmarkfer.inference.torch_network import TorchNetwork
from landmarkfer.metrics.predictions import Predictions
from landmarkfer.metrics.report import SUBSETS, Evaluation, evaluate_predictions
from landmarkfer.runs.folder import RunFolder, TrainedModel, find_run
from landmarkfer.runs.trained_images import write_trained_images

log = logging.getLogger(__name__)

FIGURES = Path("experiments/results/shipped-models.csv")
COMPARED = 500  # faces on which what is stored is compared with its run
LEAST_HALVED = 1000  # numbers of a tensor that is worth halving


def ship(name: str, run: RunFolder) -> pd.DataFrame:
    """Write a model that ships; return the figures of its export on the validation and test images."""
    original = TorchNetwork.of_run(run, "cpu")
    detector = original.info.extraction["detector"]
    folder = RunFolder(shipped_folder(name, detector))
    folder.path.mkdir(parents=True, exist_ok=True)
    cache = original.trained.config.cache.open()
    trained = with_frame(folded(run), run, cache)
    file = folder.path / "model.onnx"
    export_onnx(TorchNetwork(trained, name), file)
    halve(file)

    images = {split: images_of(run, cache, original, split) for split in ("val", "test")}
    evaluations = {split: evaluate(OnnxNetwork(file), *found) for split, found in images.items()}
    predictions = evaluations["val"][1]
    thresholds = answer_thresholds(predictions.confidence, predictions.correct)
    trained.model.answer_thresholds.copy_(torch.from_numpy(thresholds))
    save_tensors(trained.model.tensors(), folder.weights_file)
    folder.write_config(trained.config)
    write_trained_images(folder.path, hashes_of(run, cache))
    decorrelation_of(run.load().model, None).compact().write(folder.path / FILE)
    set_info(file, TorchNetwork(trained, name).info)
    compare(name, original, TorchNetwork.of_run(folder, "cpu"), OnnxNetwork(file), images["val"][1])
    for path in (folder.weights_file, file):
        log.info("%s: %.2f MB", path, path.stat().st_size / 1e6)
    frames = [figures(found, split) for split, (found, _) in evaluations.items()]
    return pd.concat(frames, ignore_index=True).assign(
        model=f"{name}-{detector}", run=run.name, version=__version__
    )


def hashes_of(run: RunFolder, cache: LandmarkCache) -> list[str]:
    """The hashes of the images that trained or validated a run."""
    frame, ids = cache.frame(["id", "sha256"]), run.read_splits()
    return frame["sha256"][frame["id"].isin({*ids["train"], *ids["val"]})].dropna().tolist()


def compare(
    name: str, run: TorchNetwork, stored: TorchNetwork, exported: OnnxNetwork, arrays: FaceArrays
) -> None:
    """Log how what is stored differs from its run, on some images."""
    some = arrays.rows(np.linspace(0, len(arrays.landmarks) - 1, COMPARED).astype(int))
    before = run.outputs(some)
    for what, network in (("safetensors", stored), ("onnx", exported)):
        after = network.outputs(some)
        log.info(
            "%s, %s: %d labels of %d differ from the run's, probabilities by %.1e at most",
            name,
            what,
            (before.predicted != after.predicted).sum(),
            len(before.predicted),
            np.abs(before.probabilities - after.probabilities).max(),
        )


def folded(run: RunFolder) -> TrainedModel:
    """A run whose whitening is folded into its first linear map."""
    trained = run.load()
    model = trained.config.settings.model
    trained.model.fold_whitening()
    keywords = dict(model.keywords)
    if "encoder_settings" in keywords:
        keywords["encoder_settings"] = {**(keywords["encoder_settings"] or {}), "features": "displacement"}
    else:
        keywords["features"] = "displacement"
    settings = trained.config.settings.model_copy(update={"model": type(model)(name=model.name, **keywords)})
    return TrainedModel(trained.model, trained.config.model_copy(update={"settings": settings}))


def with_frame(trained: TrainedModel, run: RunFolder, cache: LandmarkCache) -> TrainedModel:
    """A trained model whose configuration states the frame of its training images."""
    frame, _ = label_images(cache, trained.config.settings.data, trained.config.classes)
    train = np.flatnonzero(frame["id"].isin(split_ids(run, frame)["train"]).to_numpy())
    return TrainedModel(
        trained.model, trained.config.model_copy(update={"frame": training_frame(cache, train)})
    )


def set_info(path: Path, info: ModelInfo) -> None:
    """Replace what an export says of its model."""
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {METADATA: info.model_dump_json(exclude_none=True)})
    onnx.save(model, path)


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors, those of linear maps and convolutions in half precision; not points of a face."""
    stored = {}
    for key, tensor in tensors.items():
        can = tensor.dim() > 1 and tensor.is_floating_point() and tensor.numel() >= LEAST_HALVED
        can = can and tuple(tensor.shape) != (N_LANDMARKS, 3)
        stored[key] = (tensor.half() if can else tensor).contiguous()
    save_file(stored, path, metadata={"landmarkfer": __version__})


def halve(path: Path) -> None:
    """Store weights of an export in half precision, as `save_tensors` does; they are cast on loading."""
    model = onnx.load(path)
    graph = model.graph
    casts = []
    for tensor in list(graph.initializer):
        values = onnx.numpy_helper.to_array(tensor)
        points = values.shape == (N_LANDMARKS, 3)
        if values.dtype != np.float32 or values.ndim < 2 or points or values.size < LEAST_HALVED:
            continue
        graph.initializer.remove(tensor)
        graph.initializer.append(
            onnx.numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}.half")
        )
        to = onnx.TensorProto.FLOAT
        casts.append(onnx.helper.make_node("Cast", [f"{tensor.name}.half"], [tensor.name], to=to))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def images_of(
    run: RunFolder, cache: LandmarkCache, network: TorchNetwork, split: str
) -> tuple[pd.DataFrame, FaceArrays]:
    """The images of a split, and what the model is given of them."""
    config = network.trained.config
    frame, _ = label_images(cache, config.settings.data, config.classes)
    ids = split_ids(run, frame)
    rows = np.flatnonzero(frame["id"].isin(ids[split]).to_numpy())
    others = np.flatnonzero(frame["id"].isin([*ids["train"], *ids["val"]]).to_numpy())
    table = frame.iloc[rows].assign(clean=~has_duplicate_in(frame, rows, others))
    found = cache_rows(cache, rows.tolist(), network.info.images is not None)
    return table, frame_faces(found, network.info.images)


def evaluate(network: Network, table: pd.DataFrame, arrays: FaceArrays) -> tuple[Evaluation, Predictions]:
    """Evaluate a model on images."""
    classes = network.info.classes
    outputs = network.outputs(arrays)
    subset, group = (table[name].astype(object) for name in ("subset", "group"))
    predictions = Predictions(
        ids=table["id"].to_numpy(object),
        labels=pd.Categorical(table["label"], categories=list(classes)).codes.astype(np.int64),
        predicted=outputs.predicted,
        probabilities=outputs.probabilities,
        classes=classes,
        status=table["status"].to_numpy(object),
        uncalibrated=outputs.uncalibrated,
        sets=network.sets(outputs, 0.9),
        subset=subset.where(subset.notna(), None).to_numpy(object),
        clean=table["clean"].to_numpy(object),
        groups=group.where(group.notna(), None).to_numpy(object) if group.notna().any() else None,
        caches=table["cache"].to_numpy(object) if table["cache"].notna().any() else None,
    )
    return evaluate_predictions(predictions), predictions


def figures(evaluation: Evaluation, split: str) -> pd.DataFrame:
    """The figures of an evaluation, a row each, with their intervals.

    Of validation images, they are those of all, `val`, and of each of several caches, `val of <cache>`.
    """
    rows = []
    for subset, report in evaluation.subsets.items():
        if split == "val":
            if subset in SUBSETS and subset != "test":
                continue
            subset = "val" if subset == "test" else f"val of {subset}"
        for metric in ("accuracy", "balanced_accuracy", "macro_f1", "ece", "nll", "brier"):
            low, high = report.intervals.get(metric, (None, None))
            rows.append((subset, metric, getattr(report, metric), low, high, report.n))
        for label, scores in report.per_class.items():
            for metric in ("precision", "recall", "f1"):
                low, high = scores.intervals.get(metric, (None, None))
                value = getattr(scores, metric)
                rows.append((subset, f"{metric}_{label}", value, low, high, scores.support))
        if report.sets is not None:
            low, high = report.sets.interval
            rows.append((subset, "set_coverage", report.sets.coverage, low, high, report.n))
            rows.append((subset, "set_size", report.sets.size, None, None, report.n))
    return pd.DataFrame(rows, columns=["subset", "metric", "value", "low", "high", "images"])


def main() -> None:
    """Ship the named runs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", metavar="NAME=RUN", help="fusion=RUN or landmarks=RUN")
    given = parser.parse_args().models
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    made = [ship(name, find_run(run)) for name, _, run in (text.partition("=") for text in given)]
    known = pd.read_csv(FIGURES) if FIGURES.exists() else pd.DataFrame()
    fresh = pd.concat(made, ignore_index=True)
    kept = known[~known["model"].isin(fresh["model"])] if len(known) else known
    pd.concat([kept, fresh], ignore_index=True).to_csv(FIGURES, index=False, float_format="%.6f")


if __name__ == "__main__":
    main()
