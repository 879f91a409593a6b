"""What the image data path costs beside the training step, and beside the usual way of feeding images.

    python experiments/bench/images.py

measures, with the recipes for the CPU and synthetic images of 48 pixels,

- step: the share that cutting a batch, augmenting it, and forward, backward and optimiser have of a step;
- feeding: images per second of the same changes (turn, scale, shift, crop, mirror, erase) on the whole batch
  against one image at a time with torchvision, the usual `Dataset` of PIL images, in the same process;
- decoding: the stored faces decoded once into one array against opening them again in each epoch.

One thread, processor time, which is hardly disturbed by other work on the machine.
"""

import io
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import click
import numpy as np
import torch
from _bench import Rows, write_page
from PIL import Image

from landmarkfer.config.recipes import load_settings
from landmarkfer.config.train import TrainSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.datamodule import BatchLoader
from landmarkfer.data.images import to_square
from landmarkfer.inference.device import precision
from landmarkfer.models import build_model
from landmarkfer.training.augmentation import augment_batch
from landmarkfer.training.optim import build_optimiser

RECIPES = Path("experiments/recipes")
RESULTS = Path("experiments/results")
SIDE = 48


@click.command()
@click.option("--batches", default=8, show_default=True, help="Timed batches, after two more.")
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    default=("fer2013-cnn-small", "fer2013-resnet-fer-16"),
    show_default=True,
    help="Name of a recipe; may be repeated.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=RESULTS, show_default=True)
def main(batches: int, recipes: tuple[str, ...], out: Path) -> None:
    """Measure, print, and write the CSV and the report."""
    torch.set_num_threads(1)
    rows: Rows = []
    for recipe in recipes:
        settings = load_settings(RECIPES / f"{recipe}.toml")
        rows += measure_step(recipe, settings, batches)
        rows += measure_feeding(recipe, settings, batches)
    rows += measure_decoding()
    for bench, variant, _, _, metric, value in rows:
        click.echo(f"{bench}, {variant}: {metric} {value:,.3g}")
    write_page(
        out / "bench-images.csv",
        rows,
        title="Images: what feeding them costs",
        introduction="Processor time. `share` is of the whole step; `ratio` is to the line above it.",
        packages=("torch", "kornia", "torchvision", "numpy"),
        threads="one thread",
    )


def synthetic_faces(count: int) -> FaceBatch:
    """Random images and landmarks."""
    generator = torch.Generator().manual_seed(0)
    yes = torch.ones(count, dtype=torch.bool)
    image = torch.randint(0, 256, (count, 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    return FaceBatch(
        torch.zeros(count, 478, 3), yes, image=image, has_image=yes, labels=torch.arange(count) % 7
    )


def measure_step(recipe: str, settings: TrainSettings, batches: int) -> Rows:
    """The parts of a training step, medians over batches."""
    size = settings.fit.batch_size
    faces = synthetic_faces(4 * size)
    model = build_model("image", 7, **settings.model.keywords).train()
    optimiser = build_optimiser(model, settings.optimiser)
    half = precision(settings.fit) == "bf16-mixed"
    parts: dict[str, list[float]] = {"cut": [], "augment": [], "train": []}
    loader = iter(BatchLoader(faces, np.arange(len(faces)), size, seed=0))
    for _ in range(batches + 2):
        start = time.process_time()
        batch = next(loader, None)
        if batch is None:
            loader = iter(BatchLoader(faces, np.arange(len(faces)), size, seed=0))
            batch = next(loader)
        cut = time.process_time()
        batch = augment_batch(batch, model, settings.augment)
        augmented = time.process_time()
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            logits = model(batch)
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits.float(), batch.labels).backward()
        optimiser.step()
        trained = time.process_time()
        for name, seconds in zip(parts, (cut - start, augmented - cut, trained - augmented), strict=True):
            parts[name].append(seconds)
    medians = {name: statistics.median(seconds[2:]) for name, seconds in parts.items()}
    whole = sum(medians.values())
    rows: Rows = []
    for name, seconds in medians.items():
        rows.append(("step", f"{recipe}: {name}", "cpu", size, "cpu_ms_per_step", 1000 * seconds))
        rows.append(("step", f"{recipe}: {name}", "cpu", size, "share", seconds / whole))
    return rows


def measure_feeding(recipe: str, settings: TrainSettings, batches: int) -> Rows:
    """The whole batch at once against one image at a time."""
    import torchvision.transforms as T

    size, image = settings.fit.batch_size, settings.augment.image
    faces = synthetic_faces(size)
    model = build_model("image", 7, **settings.model.keywords)
    one = T.Compose(
        [
            T.RandomAffine(image.rotation, (image.shift, image.shift), (1 - image.scale, 1 + image.scale)),
            T.RandomCrop(model.cropped_side(SIDE)),
            T.RandomHorizontalFlip(settings.augment.mirror),
            T.ToTensor(),
            T.RandomErasing(image.erasing),
        ]
    )
    pictures = [Image.fromarray(pixels[0].numpy()) for pixels in faces.image]
    ways: dict[str, Callable[[], object]] = {
        "one image at a time (torchvision)": lambda: torch.stack([one(picture) for picture in pictures]),
        "whole batch": lambda: augment_batch(faces, model, settings.augment),
    }
    rates = {}
    for name, way in ways.items():
        seconds = []
        for _ in range(batches + 2):
            start = time.process_time()
            way()
            seconds.append(time.process_time() - start)
        rates[name] = size / statistics.median(seconds[2:])
    rows: Rows = [
        ("feeding", f"{recipe}: {name}", "cpu", size, "images_per_cpu_second", rate)
        for name, rate in rates.items()
    ]
    slow, fast = rates.values()
    return [*rows, ("feeding", f"{recipe}: whole batch", "cpu", size, "ratio", fast / slow)]


def measure_decoding(count: int = 2000) -> Rows:
    """Decoding stored files against cutting rows from the array."""
    faces = synthetic_faces(count)
    files = []
    for pixels in faces.image:
        file = io.BytesIO()
        Image.fromarray(pixels[0].numpy()).save(file, "JPEG", quality=95)
        files.append(file.getvalue())
    start = time.process_time()
    for data in files:
        with Image.open(io.BytesIO(data)) as image:
            to_square(image, SIDE, 1)
    decoding = count / (time.process_time() - start)
    rows = torch.randperm(count)
    start = time.process_time()
    for _ in range(20):
        faces.image.index_select(0, rows)
    cutting = 20 * count / (time.process_time() - start)
    return [
        ("decoding", "opened again each epoch", "cpu", 1, "images_per_cpu_second", decoding),
        ("decoding", "cut from the array", "cpu", 1, "images_per_cpu_second", cutting),
        ("decoding", "cut from the array", "cpu", 1, "ratio", cutting / decoding),
    ]


if __name__ == "__main__":
    main()
