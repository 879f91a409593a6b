"""Tests the frame: is a test image of FER2013 predicted alike when it is enlarged and lies in a picture?

    python experiments/pasted_faces.py --fer2013 fer2013.zip fusion landmarks

Each of 1,000 test images is enlarged 1.5 to 6 times and pasted at a random place of a plain grey picture of
640 x 480 pixels. Both, the image itself and the picture, go through `predict`; an image without a face counts
as wrong. Writes `experiments/results/pasted-faces.csv` and `pasted-faces.md`.
"""

import argparse
import io
import os
import shlex
import tempfile
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.stats import bootstrap

import landmarkfer as lf
from landmarkfer.progress import show_progress
from landmarkfer.reporting.markdown import Header, markdown_table, package_versions, write_page

RESULTS = Path("experiments/results")
SIZE = (640, 480)
GREY = 127
ENLARGED = (1.5, 6.0)
ORDER = ("as it is", "pasted")


def test_images(archive: Path, count: int, seed: int) -> list[tuple[str, Image.Image]]:
    """Some test images of FER2013, drawn at random, with their labels."""
    with zipfile.ZipFile(archive) as packed:
        names = sorted(
            name for name in packed.namelist() if name.startswith("test/") and name.endswith(".jpg")
        )
        drawn = np.random.default_rng(seed).choice(len(names), min(count, len(names)), replace=False)
        chosen = [names[number] for number in np.sort(drawn)]
        return [(name.split("/")[1], Image.open(io.BytesIO(packed.read(name)))) for name in chosen]


def pasted(image: Image.Image, rng: np.random.Generator) -> tuple[Image.Image, float]:
    """A picture with the image at a random place, and how many times it was enlarged."""
    times = rng.uniform(*ENLARGED)
    side = round(image.width * times)
    picture = Image.new("L", SIZE, GREY)
    left, top = (int(rng.integers(0, room - side + 1)) for room in SIZE)
    picture.paste(image.convert("L").resize((side, side), Image.Resampling.BICUBIC), (left, top))
    return picture, times


def main() -> None:
    """Test the named models."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="models that ship, runs, or exports")
    parser.add_argument("--fer2013", type=Path, default=os.environ.get("LANDMARKFER_FER2013"), metavar="ZIP")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.fer2013 is None:
        parser.error("give the images with --fer2013, or set LANDMARKFER_FER2013.")
    images = test_images(given.fer2013, given.images, given.seed)
    labels = np.array([label for label, _ in images], object)
    rng = np.random.default_rng(given.seed)
    tables = []
    with tempfile.TemporaryDirectory() as folder, show_progress() as progress:
        times = write_pictures(images, Path(folder), rng)
        for name in given.models:
            model = lf.load(name)
            said = {}
            for how in ORDER:
                found = model.predict(
                    Path(folder) / how, faces="largest", workers=os.cpu_count() or 1, progress=progress
                )
                said[how] = np.array([face.label or "" for face in found], object)
            tables.append(figures(model.name, labels, said, times))
    table = pd.concat(tables, ignore_index=True)
    table.to_csv(RESULTS / "pasted-faces.csv", index=False, float_format="%.6f")
    header = Header(
        "Pasted faces",
        [f"python experiments/pasted_faces.py {shlex.join(given.models)}"],
        package_versions(),
        datetime.now(UTC).date().isoformat(),
        introduction=(
            f"{len(images):,} test images of FER2013 (seed {given.seed}) go through `predict`: as they are, "
            f"and each enlarged {ENLARGED[0]:g} to {ENLARGED[1]:g} times and pasted at a random place of a "
            f"grey picture of {SIZE[0]} x {SIZE[1]} pixels. An image without a face counts as wrong. "
            "Percent, with 95 % intervals of a bootstrap over images."
        ),
    )
    write_page(RESULTS / "pasted-faces.md", RESULTS / "pasted-faces.csv", header, [rendered(table)])


def write_pictures(
    images: Sequence[tuple[str, Image.Image]], folder: Path, rng: np.random.Generator
) -> np.ndarray:
    """Write the images and the pictures, in folders of their own; return how many times each was enlarged."""
    for how in ORDER:
        (folder / how).mkdir()
    times = []
    for number, (_, image) in enumerate(images):
        picture, enlarged = pasted(image, rng)
        for how, shown in zip(ORDER, (image, picture), strict=True):
            shown.save(folder / how / f"{number:05d}.png")
        times.append(enlarged)
    return np.array(times)


def figures(model: str, labels: np.ndarray, said: dict[str, np.ndarray], times: np.ndarray) -> pd.DataFrame:
    """Shares of the images, of all and by how many times they were enlarged, with intervals."""
    right = {how: said[how] == labels for how in ORDER}
    shares = {f"accuracy, {how}": right[how].astype(float) for how in ORDER}
    shares["change of accuracy"] = shares["accuracy, pasted"] - shares["accuracy, as it is"]
    shares |= {f"a face is found, {how}": (said[how] != "").astype(float) for how in ORDER}
    shares["same answer"] = (said["pasted"] == said["as it is"]).astype(float)
    middle = float(np.mean(ENLARGED))
    groups = {
        "all": np.full(len(times), True),
        f"enlarged up to {middle:g} times": times < middle,
        f"enlarged more than {middle:g} times": times >= middle,
    }
    rows = []
    for group, chosen in groups.items():
        for share, values in shares.items():
            ends = _interval(values[chosen])
            rows.append((model, group, share, int(chosen.sum()), values[chosen].mean(), *ends))
    return pd.DataFrame(rows, columns=["model", "images_of", "share", "images", "value", "low", "high"])


def _interval(values: np.ndarray) -> tuple[float, float]:
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = bootstrap((values,), np.mean, n_resamples=1000, rng=0, method="percentile").confidence_interval
    return float(found.low), float(found.high)


def rendered(table: pd.DataFrame) -> str:
    """The table of the page."""
    wide = table.assign(
        text=[
            f"{100 * value:.1f} ({100 * low:.1f} to {100 * high:.1f})"
            for value, low, high in zip(table["value"], table["low"], table["high"], strict=True)
        ]
    ).pivot(index=["model", "images_of", "images"], columns="share", values="text")
    shares = list(dict.fromkeys(table["share"]))
    order = dict.fromkeys(table[["model", "images_of", "images"]].itertuples(index=False, name=None))
    cells = [[key[0], key[1], f"{key[2]:,}", *(wide.loc[key, share] for share in shares)] for key in order]
    return markdown_table(["model", "images", "number", *shares], cells, text_columns=2)


if __name__ == "__main__":
    main()
