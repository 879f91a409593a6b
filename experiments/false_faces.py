"""How often a picture without a face gets a label: `experiments/results/false-faces.md`.

    python experiments/false_faces.py fer2013.zip
    python experiments/false_faces.py fer2013.zip --landmarker face_landmarker.task

500 pictures, the same with the same seed: standard pictures of scikit-image and cuts of them, textures, tiles
and quarters of FER2013 images, and drawings. What may be called a face, a cat's, heads on coins and drawn
ones, is counted by itself; a quarter of an image of a face may hold much of the face. With the landmarker's
model file, the models that ship for its landmarks are measured too.
"""

import functools
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from landmarkfer.extraction.decode import decode_array, decode_image
from landmarkfer.extraction.sources.open import open_source
from landmarkfer.inference.load import SHIPPED, load_predictor, shipped_file
from landmarkfer.inference.predictor import Predictor
from landmarkfer.progress import show_progress
from landmarkfer.reporting.markdown import Header, markdown_table, package_versions, write_page

RESULTS = Path("experiments/results")
COLUMNS = ("model", "group", "may_be_a_face", "pictures", "labelled", "faces", "confidence")
ALL = "all that hold no face"
SIDE = 256  # pixels of textures and drawings
STANDARD = (
    "brick cell checkerboard clock coffee colorwheel grass gravel horse hubble_deep_field "
    "immunohistochemistry logo microaneurysms moon page retina rocket shepp_logan_phantom text"
).split()
"""Pictures of scikit-image that come with it and show no person."""

Pixels = NDArray[np.uint8]
Maker = Callable[[np.random.Generator, int], Image.Image]


@dataclass(frozen=True)
class Group:
    """Pictures of one kind: how many, how the n-th is made, and whether they may be called faces."""

    name: str
    pictures: int
    make: Maker
    may_be_a_face: bool = False


def standard(rng: np.random.Generator, number: int) -> Image.Image:
    """A standard picture, or a random square of one."""
    image = _standard(STANDARD[number % len(STANDARD)])
    return image if number < len(STANDARD) else _cut(rng, image)


def cat(rng: np.random.Generator, number: int) -> Image.Image:
    """The picture of a cat, or a random square of it."""
    return _cut(rng, _standard("cat")) if number else _standard("cat")


def coins(rng: np.random.Generator, number: int) -> Image.Image:
    """The picture of coins, on which there are heads, or a random square of it."""
    return _cut(rng, _standard("coins")) if number else _standard("coins")


def noise(rng: np.random.Generator, number: int) -> Image.Image:
    """Noise whose amplitude falls with a power of the frequency, 0 (white) to 2.5; grey or coloured."""
    power = 0.5 * (number % 6)
    channels = 1 if number % 2 else 3
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE))
    frequency[0, 0] = 1
    planes = []
    for _ in range(channels):
        spectrum = np.fft.rfft2(rng.normal(size=(SIDE, SIDE))) / frequency**power
        spectrum[0, 0] = 0
        planes.append(np.fft.irfft2(spectrum, (SIDE, SIDE)))
    plane = np.stack([128 + 50 * one / one.std() for one in planes], axis=2)
    return _image(np.repeat(plane, 3 // channels, axis=2))


def gradient(rng: np.random.Generator, number: int) -> Image.Image:
    """A linear or a round gradient between two colours."""
    x, y = _grid()
    angle = rng.uniform(0, math.tau)
    centre = rng.uniform(-0.5, 0.5, 2)
    along = (
        np.hypot(x - centre[0], y - centre[1]) if number % 2 else x * math.cos(angle) + y * math.sin(angle)
    )
    share = ((along - along.min()) / np.ptp(along))[..., None]
    return _image((1 - share) * rng.uniform(0, 255, 3) + share * rng.uniform(0, 255, 3))


def checkerboard(rng: np.random.Generator, number: int) -> Image.Image:
    """A turned checkerboard of two colours."""
    x, y = _turned(rng)
    fields = rng.uniform(2, 12)
    odd = (np.floor(x * fields) + np.floor(y * fields)) % 2
    return _two_colours(rng, odd)


def stripes(rng: np.random.Generator, number: int) -> Image.Image:
    """Turned stripes, sharp or soft."""
    wave = 0.5 + 0.5 * np.sin(_turned(rng)[0] * math.pi * rng.uniform(2, 20))
    return _two_colours(rng, wave if number % 2 else wave.round())


def drawing(rng: np.random.Generator, number: int) -> Image.Image:
    """Circles, lines or letters at random places, or all of these."""
    picture, pen, ink = _canvas(rng)
    kinds = [_circle, _line, _letter]
    chosen = kinds if number % 4 == 3 else [kinds[number % 4]]
    for _ in range(int(rng.integers(4, 20))):
        chosen[int(rng.integers(len(chosen)))](rng, pen, ink)
    return picture


def drawn_face(rng: np.random.Generator, number: int) -> Image.Image:
    """A round face with two eyes and a mouth that smiles, is flat, droops or is open; some with a nose."""
    picture, pen, ink = _canvas(rng)
    radius = rng.uniform(0.25, 0.45) * SIDE
    x, y = rng.uniform(radius, SIDE - radius, 2)
    width = int(rng.integers(2, 7))
    skin = (255, 204, 77) if number % 2 else None
    pen.ellipse(_around(x, y, radius), fill=skin, outline=ink, width=width)
    for side in (-1, 1):
        pen.ellipse(_around(x + side * 0.38 * radius, y - 0.25 * radius, 0.13 * radius), fill=ink)
        if number % 3 == 0:  # brows
            left = x + side * 0.38 * radius - 0.2 * radius
            pen.line((left, y - 0.55 * radius, left + 0.4 * radius, y - 0.55 * radius), fill=ink, width=width)
    if number % 3 != 1:
        pen.line((x, y - 0.1 * radius, x, y + 0.15 * radius), fill=ink, width=width)
    mouth = (x - 0.45 * radius, y - 0.1 * radius, x + 0.45 * radius, y + 0.65 * radius)
    match number % 4:
        case 0:
            pen.arc(mouth, 20, 160, fill=ink, width=width)
        case 1:
            pen.arc(tuple(np.add(mouth, (0, 0.4 * radius, 0, 0.4 * radius))), 200, 340, fill=ink, width=width)
        case 2:
            pen.line((mouth[0], y + 0.45 * radius, mouth[2], y + 0.45 * radius), fill=ink, width=width)
        case 3:
            pen.ellipse(_around(x, y + 0.45 * radius, 0.2 * radius), fill=ink)
    return picture


def groups(fer2013: Path, seed: int) -> list[Group]:
    """The groups; those of FER2013 images take each image once."""
    source = open_source(fer2013)
    needed = 160
    chosen = np.random.default_rng(seed).choice(len(source.entries), needed, replace=False)

    def face(number: int) -> Image.Image:
        content = source.reader.read(source.entries[int(chosen[number])].key)  # type: ignore[arg-type]
        decoded = decode_image(content) if isinstance(content, bytes) else decode_array(content)
        return Image.fromarray(decoded.pixels)

    def quarter(rng: np.random.Generator, number: int, first: int, turned: bool) -> Image.Image:
        image = face(first + number)
        half = np.array(image.size) // 2
        x, y = half * ((number % 2), (number // 2) % 2)
        cut = image.crop((x, y, x + half[0], y + half[1])).resize((96, 96), Image.Resampling.BICUBIC)
        return cut.transpose(Image.Transpose.ROTATE_180) if turned else cut

    def shuffled(rng: np.random.Generator, number: int) -> Image.Image:
        pixels = np.asarray(face(100 + number).resize((96, 96), Image.Resampling.BICUBIC))
        tiles = pixels.reshape(4, 24, 4, 24, 3).swapaxes(1, 2).reshape(16, 24, 24, 3)  # [16, 24, 24, 3]
        mixed = rng.permutation(tiles).reshape(4, 4, 24, 24, 3).swapaxes(1, 2)  # [4, 24, 4, 24, 3]
        return Image.fromarray(mixed.reshape(96, 96, 3))

    return [
        Group("standard pictures", 90, standard),
        Group("noise", 60, noise),
        Group("gradients", 20, gradient),
        Group("checkerboards", 20, checkerboard),
        Group("stripes", 20, stripes),
        Group("quarters of faces", 60, functools.partial(quarter, first=0, turned=False)),
        Group("quarters of faces, upside down", 40, functools.partial(quarter, first=60, turned=True)),
        Group("faces in 16 shuffled tiles", 60, shuffled),
        Group("circles, lines and letters", 80, drawing),
        Group("a cat", 5, cat, may_be_a_face=True),
        Group("coins with heads", 5, coins, may_be_a_face=True),
        Group("drawn faces", 40, drawn_face, may_be_a_face=True),
    ]


def pictures(group: Group, seed: int) -> Iterator[Image.Image]:
    """The pictures of a group."""
    for number in range(group.pictures):
        yield group.make(np.random.default_rng([seed, *group.name.encode(), number]), number)


def measure(name: str, predictor: Predictor, wanted: list[Group], seed: int) -> pd.DataFrame:
    """How many pictures of each group get a label, and how confident the model is there."""
    every = [(group, picture) for group in wanted for picture in pictures(group, seed)]
    with show_progress() as progress:
        faces = predictor.predict([picture for _, picture in every], progress=progress)
    frame = faces.to_frame()[["label", "confidence"]]
    frame["picture"] = faces.numbers
    frame["group"] = [every[number][0].name for number in frame["picture"]]
    rows: list[tuple[Any, ...]] = []
    known = {ALL: [group.name for group in wanted if not group.may_be_a_face]}
    for key, names in (known | {group.name: [group.name] for group in wanted}).items():
        found = frame[frame["group"].isin(names) & frame["label"].notna()]
        total = sum(group.pictures for group in wanted if group.name in names)
        may_be = any(group.may_be_a_face for group in wanted if group.name in names)
        confidence = found["confidence"].mean()
        rows.append((name, key, may_be, total, found["picture"].nunique(), len(found), confidence))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def render(csv: Path, header: Header) -> None:
    """Write the report beside its CSV."""
    table = pd.read_csv(csv)
    parts = []
    for model, rows in table.groupby("model", sort=False):
        cells = [
            [
                row["group"] + (" (may be called faces)" if row["may_be_a_face"] else ""),
                str(row["pictures"]),
                str(row["labelled"]),
                f"{100 * row['labelled'] / row['pictures']:.1f}",
                "" if math.isnan(row["confidence"]) else f"{100 * row['confidence']:.1f}",
            ]
            for row in rows.to_dict("records")
        ]
        headings = ["pictures", "number", "with a label", "with a label, %", "mean confidence, %"]
        parts += [f"## {model}", markdown_table(headings, cells, text_columns=1)]
    write_page(csv.with_suffix(".md"), csv, header, parts)


@click.command()
@click.argument("fer2013", type=click.Path(exists=True, path_type=Path))
@click.option("--landmarker", type=click.Path(exists=True, path_type=Path), help="The landmarker's model.")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=RESULTS, show_default=True)
def main(fer2013: Path, landmarker: Path | None, seed: int, out: Path) -> None:
    """Measure all models that ship, and write the CSV and the report."""
    wanted = groups(fer2013, seed)
    detectors = ("facemesh", "landmarker") if landmarker else ("facemesh",)
    known = [(name, detector) for detector in detectors for name in SHIPPED]
    files = {path.parent.name: path for path in _shipped(known)}
    tables = []
    for name, path in files.items():
        model = load_predictor(path, landmarker=landmarker if name.endswith("landmarker") else None)
        tables.append(measure(name, model, wanted, seed))
        click.echo(f"{name}\n{tables[-1].drop(columns='model').to_string(index=False)}")
    out.mkdir(parents=True, exist_ok=True)
    csv = out / "false-faces.csv"
    pd.concat(tables).to_csv(csv, index=False, float_format="%.6g")
    options = "" if landmarker is None else f" --landmarker {landmarker.name}"
    header = Header(
        title="Pictures without a face that get a label",
        commands=[
            f"python experiments/false_faces.py {fer2013.name}{options}" + f" --seed {seed}" * (seed > 0)
        ],
        versions=package_versions(("landmarkfer", "mediapipe", "numpy", "pillow", "scikit-image")),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=f"{os.cpu_count()} CPU cores",
        introduction=(
            f"{sum(group.pictures for group in wanted)} pictures, each given to `landmarkfer predict` with "
            "its default options. A picture has a label where a face was found in it; the confidence is the "
            "mean over those faces."
        ),
    )
    render(csv, header)
    click.echo(f"{csv} and {csv.with_suffix('.md')} are written.")


def _shipped(known: list[tuple[str, str]]) -> Iterator[Path]:
    from landmarkfer.errors import RunError

    for name, detector in known:
        try:
            yield shipped_file(name, detector)
        except RunError:
            continue


@functools.cache
def _standard(name: str) -> Image.Image:
    values = np.asarray(getattr(data, name)())
    if values.dtype != np.uint8:
        values = np.clip(255 * values.astype(float) / values.max(), 0, 255).astype(np.uint8)
    return Image.fromarray(values).convert("RGB")


def _cut(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    side = rng.uniform(0.4, 0.9) * min(image.size)
    x, y = (rng.uniform(0, whole - side) for whole in image.size)
    return image.crop((round(x), round(y), round(x + side), round(y + side)))


def _image(values: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    return x, y


def _turned(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = _grid()
    angle = rng.uniform(0, math.tau)
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)


def _two_colours(rng: np.random.Generator, share: NDArray[np.float64]) -> Image.Image:
    one, other = rng.uniform(0, 255, (2, 3))
    return _image((1 - share[..., None]) * one + share[..., None] * other)


def _canvas(rng: np.random.Generator) -> tuple[Image.Image, ImageDraw.ImageDraw, tuple[int, ...]]:
    paper = tuple(int(value) for value in rng.integers(190, 256, 3))
    picture = Image.new("RGB", (SIDE, SIDE), paper)
    return picture, ImageDraw.Draw(picture), tuple(int(value) for value in rng.integers(0, 90, 3))


def _around(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return x - radius, y - radius, x + radius, y + radius


def _circle(rng: np.random.Generator, pen: ImageDraw.ImageDraw, ink: tuple[int, ...]) -> None:
    x, y = rng.uniform(0, SIDE, 2)
    fill = ink if rng.random() < 0.3 else None
    pen.ellipse(_around(x, y, rng.uniform(6, 70)), fill=fill, outline=ink, width=int(rng.integers(1, 6)))


def _line(rng: np.random.Generator, pen: ImageDraw.ImageDraw, ink: tuple[int, ...]) -> None:
    pen.line(tuple(rng.uniform(0, SIDE, 4)), fill=ink, width=int(rng.integers(1, 8)))


def _letter(rng: np.random.Generator, pen: ImageDraw.ImageDraw, ink: tuple[int, ...]) -> None:
    text = "".join(map(chr, rng.integers(ord("A"), ord("Z") + 1, int(rng.integers(1, 6)))))
    font = ImageFont.load_default(float(rng.uniform(12, 60)))
    pen.text(tuple(rng.uniform(0, 0.8 * SIDE, 2)), text, fill=ink, font=font)


if __name__ == "__main__":
    main()
