"""Renders the cards of the models that ship from `experiments/results/shipped-models.csv`.

    python experiments/model_cards.py

Writes `landmarkfer/shipped/MODEL/card.md`, puts the card into the export's metadata, and writes the page
`experiments/results/shipped-models.md`.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import onnx
import pandas as pd

from landmarkfer.inference.load import SHIPPED
from landmarkfer.inference.network import ModelInfo
from landmarkfer.inference.onnx import METADATA
from landmarkfer.runs.folder import RunFolder

FIGURES = Path("experiments/results/shipped-models.csv")
PHOTOGRAPHS = "experiments/results/photographs*.csv"  # a table for each detector
CORRUPTED = Path("experiments/results/shipped-models-robustness.csv")
PAGE = Path("experiments/results/shipped-models.md")
ROOT = Path("landmarkfer/shipped")
SUBSETS = {
    "test": "all test images",
    "test_detected": "in which a face was found",
    "clean": "without a pixel-identical image in the training split",
    "public": "PublicTest",
    "private": "PrivateTest",
    "val": "validation images",
}
SCORES = ("accuracy", "balanced_accuracy", "macro_f1")
USE = """## What it must not be used for

It recognises which of seven labels people gave to a face, not what a person feels. It is made for research
and for interfaces whose users know of it and agree. It must not decide about people: hiring, grading, credit,
policing, medical diagnosis. In the European Union, inferring emotions of people at work and in education is
prohibited, but for medical and safety reasons (Regulation (EU) 2024/1689, Article 5(1)(f)), and people must
be informed of such systems elsewhere (Article 50(3)). Landmarks and images of faces are biometric data: they
stay on your machine.

## Where it is weak

{data} Fear and disgust are recognised worst. Faces in profile, hidden, dark or blurred faces are harder. How
its accuracy depends on age, sex and skin tone has not been measured: the data do not state them. Contempt is
none of its labels.
"""


class Data(NamedTuple):
    """Data that trained a model: what they are called, what of them trained, and what is weak in them."""

    name: str
    text: str
    weakness: str


DATA = {
    "fer2013": Data(
        "FER2013",
        "FER2013 (Goodfellow et al. 2013), its 28,709 training images",
        "FER2013 has 48-pixel grey images of seven labels, which people confirm in about 65 of 100 cases.",
    ),
    "photos": Data(
        "photographs",
        "photographs of four fifths of the 2,834 people in half of a public set",
        "The photographs are of public figures, most of them neutral or happy; most of those of disgust are "
        "of 11 people; of those that trained nothing, most angry, sad and surprised faces are called "
        "something else.",
    ),
}
"""By the first part of a cache's name."""
FRAMED = "Photographs are brought into the frame of its images, and what those do not show, it does not see."
CHOSEN = "This run was chosen among several on photographs of other people than those below, and on the "
CHOSEN += "validation images."
FINE_TUNED = {
    "tf_efficientnet_lite0": "Its image branch is `tf_efficientnet_lite0` with the ImageNet weights of timm "
    "(Apache License 2.0, see `LICENSE-timm.txt` beside the models), fine-tuned on the data below."
}


def card(model: str, figures: pd.DataFrame) -> str:
    """The card of one model."""
    name = model.rpartition("-")[0]
    folder = ROOT / model
    config = RunFolder(folder).read_config()
    caches = config.cache.names
    trained = [DATA[cache.partition("-")[0]] for cache in caches]
    several = len(caches) > 1
    backbone = config.settings.model.keywords.get("backbone")
    known = figures[figures["model"] == model].set_index(["subset", "metric"])
    sizes = {file: (folder / file).stat().st_size / 1e6 for file in ("model.safetensors", "model.onnx")}
    detector_text = (
        f"{config.cache.detector}, {(config.cache.extraction or {}).get('passes', 1)} detections averaged"
    )
    lines = [
        f"# {model}",
        "",
        f"A `{config.settings.model.name}` model of {SHIPPED[name]}; landmarks are of {detector_text}. "
        f"{config.parameters:,} parameters, {sizes['model.safetensors']:.1f} MB as safetensors, "
        f"{sizes['model.onnx']:.1f} MB as ONNX. Made by `{known['run'].iloc[0]}` (version "
        f"{known['version'].iloc[0]}, seed {config.settings.seed}) with `experiments/ship_models.py`."
        + (f" {FINE_TUNED[backbone]}" if backbone in FINE_TUNED else ""),
        "",
        "## Data and protocol",
        "",
        f"{' and '.join(data.text for data in trained)}, of which a tenth validates; pixel-identical images "
        "stay on one side, and so do images of one person where people are known. The epoch, the "
        "temperature, the prediction sets and the thresholds of abstention were chosen on the validation "
        "images. The figures below are of the ONNX file that ships; the test images chose nothing."
        + ("" if several else f" {CHOSEN}"),
        "",
        "## Accuracy",
        "",
        "| images | number | accuracy | balanced accuracy | macro-F1 | ECE |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    of_caches = {name: data.name for name, data in zip(caches, trained, strict=True)}
    of_caches |= {f"val of {cache}": f"{text}, validation" for cache, text in of_caches.items()}
    for subset, text in {**SUBSETS, **(of_caches if several else {})}.items():
        if (subset, "accuracy") in known.index:
            scores = " | ".join(_score(known, subset, one) for one in SCORES)
            images = int(known.loc[(subset, "accuracy"), "images"])
            lines.append(f"| {text} | {images:,} | {scores} | {_score(known, subset, 'ece')} |")
    lines += [
        "",
        f"Percent, with 95 % bootstrap intervals over images{', or people where they are known' * several}; "
        "an image without a face counts. Prediction sets "
        f"of 90 % stated coverage hold the label of {_score(known, 'test', 'set_coverage')} of the test "
        f"images, with {known.loc[('test', 'set_size'), 'value']:.2f} classes on average.",
    ]
    for cache, data in zip(caches, trained, strict=True):
        subset = cache if several else "test"
        lines += [
            "",
            f"| class, {data.name} | recall | precision | test images |",
            "| --- | ---: | ---: | ---: |",
        ]
        for label in config.classes:
            images = int(known.loc[(subset, f"recall_{label}"), "images"])
            recall, precision = (_score(known, subset, f"{one}_{label}") for one in ("recall", "precision"))
            lines.append(f"| {label} | {recall} | {precision} | {images:,} |")
    tested, clean = (int(known.loc[(subset, "accuracy"), "images"]) for subset in ("test", "clean"))
    lines += [
        "",
        f"Of the {tested:,} test images, {tested - clean:,} are pixel-identical to an image of the training "
        "split.",
        "",
        *_photographs(known["run"].iloc[0]),
        *_corrupted(model),
        USE.format(data=" ".join([*(data.weakness for data in trained), *([] if several else [FRAMED])])),
    ]
    return "\n".join(lines)


def _photographs(run: str) -> list[str]:
    """What `experiments/photographs.py` found; nothing where the run is not in it."""
    tables = [pd.read_csv(path).assign(page=path.with_suffix(".md")) for path in Path().glob(PHOTOGRAPHS)]
    if not tables:
        return []
    table = pd.concat(tables)
    framed, whole = (table[table["model"] == f"{run}, {how}"] for how in ("in the frame", "as detected"))
    table = (whole if framed.empty else framed).set_index(["images_of", "metric"])
    if table.empty:
        return []
    lines = [
        "## Photographs",
        "",
        f"On {int(table.loc[('report', 'accuracy'), 'images']):,} photographs of people of whom none trained "
        f"or chose anything{'' if framed.empty else ', each brought into the frame of FER2013'} "
        f"(`{table['page'].iloc[0]}`):",
        "",
        "| photographs | number | accuracy | balanced accuracy | macro-F1 | sets of 90 % hold the label |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    metrics = ("accuracy", "balanced_accuracy", "macro_f1", "set_coverage")
    for group in table.index.get_level_values(0).unique().drop("choose", errors="ignore"):
        text = "all" if group == "report" else f"face of {group}"
        scores = " | ".join(_score(table, group, one, 1) for one in metrics)
        lines.append(f"| {text} | {int(table.loc[(group, 'accuracy'), 'images']):,} | {scores} |")
    lines += ["", "| class | photographs | recall |", "| --- | ---: | ---: |"]
    for metric in table.loc["report"].index:
        if metric.startswith("recall_"):
            images = int(table.loc[("report", metric), "images"])
            label = metric.removeprefix("recall_")
            lines.append(f"| {label} | {images:,} | {_score(table, 'report', metric, 1)} |")
    return [*lines, "", "Percent, with 95 % intervals of a bootstrap over people.", ""]


def _corrupted(model: str) -> list[str]:
    """What `landmarkfer robustness` found, from its table; nothing where the model is not in it."""
    if not CORRUPTED.exists():
        return []
    table = pd.read_csv(CORRUPTED)
    table = table[table["experiment"] == model]
    if table.empty:
        return []
    known = table.pivot_table("value", "subset", "metric", aggfunc="mean")
    images = int(known.loc["clean-0", "n"])
    lines = [
        "## Corrupted images",
        "",
        f"Accuracy on {images:,} test images, corrupted before a face is looked for; means over five "
        f"severities. As they are: {100 * known.loc['clean-0', 'accuracy']:.1f}.",
        "",
        "| corruption | accuracy | a face is found |",
        "| --- | ---: | ---: |",
    ]
    for name in known["corruption_accuracy"].dropna().index:
        accuracy, found = (100 * known.loc[name, one] for one in ("corruption_accuracy", "found"))
        lines.append(f"| {name} | {accuracy:.1f} | {found:.1f} |")
    return [*lines, ""]


def _score(known: pd.DataFrame, subset: str, metric: str, digits: int = 2) -> str:
    row = known.loc[(subset, metric)]
    text = f"{100 * row['value']:.{digits}f}"
    return text if pd.isna(row["low"]) else f"{text} ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def main() -> None:
    """Render all cards."""
    figures = pd.read_csv(FIGURES)
    cards = {model: card(model, figures) for model in sorted(figures["model"].unique())}
    for model, text in cards.items():
        (ROOT / model / "card.md").write_text(text, encoding="utf-8")
        path = ROOT / model / "model.onnx"
        stored = onnx.load(path)
        known = {one.key: one.value for one in stored.metadata_props}
        info = ModelInfo.model_validate(json.loads(known[METADATA]) | {"card": text})
        onnx.helper.set_model_props(stored, {METADATA: info.model_dump_json(exclude_none=True)})
        onnx.save(stored, path)
    date = datetime.now(UTC).date().isoformat()
    header = (
        "# The models that ship\n\n"
        f"Made by `experiments/ship_models.py` and `experiments/model_cards.py`, {date}. `landmarkfer "
        "predict` uses `fusion` unless `--run` names another model, of the detector that is installed.\n\n"
    )
    below = "\n".join(text.replace("\n## ", "\n### ").replace("# ", "## ", 1) for text in cards.values())
    PAGE.write_text(header + below, encoding="utf-8")


if __name__ == "__main__":
    main()
