r"""How well altered copies are found: `experiments/results/near-duplicates.md`.

    python experiments/bench/near_duplicates.py cache/fer2013 --sheet pairs.png

CACHE holds FER2013 (`landmarkfer extract fer2013.zip --threshold 0.3 --cache fer2013`). 2,000 of its images,
whose pixels occur once, are altered, their landmarks are detected anew, and the altered and all images
are searched together. The threshold is chosen on the altered images of even number and everything else is
stated on those of odd number. The alternative is a perceptual hash of the whole image, in one run.

A pair of an altered image and another one is counted as right

- (precision) if the other one is the original, or identical to it;
- (precision, known) also if the search of FER2013 itself joins it to the original at 0.95 or more, since
  FER2013 holds the same photograph many times;
- (precision by eye) also if a person says so: the share of the same photograph among pairs that are not right
  in the first sense, drawn at random, stands for all of those.

Other work on the machine lengthens the seconds much, and the processor seconds less.

--sheet writes a picture of those pairs (it shows images of FER2013: do not publish it) and asks how many of
them are the same photograph. Linux only (`/proc`).
"""

import io
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import imagehash
import numpy as np
import pandas as pd
from _bench import Rows, memory_mb, write_page
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from landmarkfer.data.cache import LandmarkCache
from landmarkfer.data.duplicates import THRESHOLD, NearPairs, has_near_duplicate_in, pixel_groups
from landmarkfer.data.duplicates.patches import Looked, Patches, look
from landmarkfer.data.duplicates.search import find_near
from landmarkfer.data.splits import has_duplicate_in
from landmarkfer.extraction import extract
from landmarkfer.extraction.settings import ExtractSettings
from landmarkfer.progress import show_progress

RESULTS = Path("experiments/results")
ALTERATIONS = (
    *("mirrored", "turned", "turned, mirrored", "JPEG 40", "rescaled", "rescaled, mirrored"),
    *("cropped", "cropped, mirrored", "brightness and contrast", "cropped, turned, JPEG 40"),
)
"""Turned by 2 to 10 degrees, rescaled by 0.5 to 2, cropped by 5 to 15 % per side, both factors 0.6 to 1.4."""
THRESHOLDS = (0.80, 0.82, 0.84, 0.86, 0.88, 0.90, 0.92, 0.94)
CERTAIN = 0.95
RADIUS = 4  # bits of 64 of the perceptual hash
SHOWN = 60


@dataclass(frozen=True, eq=False)
class Found:
    """Pairs of an altered image `[P]` and another one `[P]`, which is right or not."""

    altered: NDArray[np.int64]
    other: NDArray[np.int64]
    right: NDArray[np.bool_]
    known: NDArray[np.bool_]
    similarity: NDArray[np.float32]

    def at(self, threshold: float) -> "Found":
        """The pairs of a similarity."""
        return self.some(self.similarity >= threshold)

    def some(self, chosen: NDArray[np.bool_]) -> "Found":
        """Some of the pairs."""
        parts = (self.altered, self.other, self.right, self.known, self.similarity)
        return Found(*(part[chosen] for part in parts))


@click.command()
@click.argument("cache", type=click.Path(exists=True, path_type=Path))
@click.option("--images", default=2000, show_default=True, help="Images that are altered.")
@click.option("--seed", default=0, show_default=True)
@click.option("--sheet", type=click.Path(dir_okay=False, path_type=Path), help="Picture of pairs to look at.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=RESULTS, show_default=True)
def main(cache: Path, images: int, seed: int, sheet: Path | None, out: Path) -> None:
    """Measure, print, and write the CSV and the report."""
    opened = LandmarkCache.open(cache)
    frame = opened.frame(["id", "sha256", "split", "subset"])
    _, first = pixel_groups(frame["sha256"])
    rng = np.random.default_rng(seed)
    once = np.flatnonzero(~frame["sha256"].duplicated(keep=False) & frame["sha256"].notna())
    chosen = rng.permutation(once)[:images]
    originals = np.searchsorted(first, chosen)  # row -> number among the distinct images
    with tempfile.TemporaryDirectory() as folder:
        kinds = alter(opened, chosen, Path(folder) / "altered", rng)
        settings = ExtractSettings.model_validate(opened.manifest.settings)
        copies = extract(Path(folder) / "altered", Path(folder) / "cache", settings).cache
        rows: Rows = [("data", "altered images", "cpu", 1, "images", images)]
        detected = float((copies.frame(["status"])["status"] == "ok").mean())
        rows.append(("data", "altered images", "cpu", 1, "with_a_face", detected))
        near = search(opened, first, copies, rows)
        hashed = search_hashes(opened, first, copies, rows)
        found = cross(near, originals, len(first), known=near)
        if sheet is not None:
            shown = draw(sheet, halved(found.at(THRESHOLD), 1), opened, first, copies, rng)
    for threshold in THRESHOLDS:
        rows += score("threshold, first half", f"{threshold:.2f}", halved(found.at(threshold), 0), kinds, 0)
    stated = halved(found.at(THRESHOLD), 1)
    alternative = halved(cross(hashed, originals, len(first), known=near), 1)
    names = (f"near-duplicates, {THRESHOLD:g}", f"phash within {RADIUS} bits")
    for name, one in zip(names, (stated, alternative), strict=True):
        rows += score("second half", name, one, kinds, 1)
    for kind in ALTERATIONS:
        for metric, one in (("recall", stated), ("phash_recall", alternative)):
            value = recall(one, kinds, 1, kind)
            rows.append(("recall by alteration, second half", kind, "cpu", 1, metric, value))
    if sheet is not None:
        same = click.prompt(f"How many of the {shown} pairs in {sheet} are the same photograph?", type=int)
        rows.append(("by eye, second half", "pairs that are not right", "cpu", 1, "pairs", shown))
        rows.append(("by eye, second half", "pairs that are not right", "cpu", 1, "same_photograph", same))
        by_eye = float(stated.right.mean() + (1 - stated.right.mean()) * same / max(shown, 1))
        rows.append(("second half", names[0], "cpu", 1, "precision_by_eye", by_eye))
    rows += own_duplicates(names[0], NearPairs(near.pairs, near.similarity), THRESHOLD, frame, first)
    rows += own_duplicates(names[1], hashed, -RADIUS, frame, first)
    for bench, variant, _, _, metric, value in rows:
        click.echo(f"{bench}, {variant}: {metric} {value:,.4g}")
    write_page(
        out / "near-duplicates.csv",
        rows,
        title="Near-duplicates: altered copies among FER2013",
        introduction=__doc__.split("\n\n", 2)[2].split("--sheet")[0].strip(),
        packages=("numpy", "scipy", "imagehash", "pillow", "mediapipe"),
        arguments=[Path(sys.argv[1]).name, *sys.argv[2:]],
    )


def alter(
    cache: LandmarkCache, chosen: NDArray[np.int64], folder: Path, rng: np.random.Generator
) -> list[str]:
    """Write altered copies of some images, and return how each was altered, in the order of their names."""
    folder.mkdir()
    kinds = [ALTERATIONS[number // 2 % len(ALTERATIONS)] for number in range(len(chosen))]
    for number, (row, kind) in enumerate(zip(chosen, kinds, strict=True)):
        (data,) = cache.faces([int(row)])
        with Image.open(io.BytesIO(data or b"")) as image:
            picture = image.convert("L")
        keywords: dict[str, int] = {}
        for step in kind.split(", "):
            if step == "mirrored":
                picture = ImageOps.mirror(picture)
            elif step == "turned":
                picture = picture.rotate(rng.uniform(2, 10) * rng.choice([-1, 1]), Image.Resampling.BICUBIC)
            elif step == "JPEG 40":
                keywords = {"quality": 40}
            elif step == "rescaled":
                size = [round(side * 2 ** rng.uniform(-1, 1)) for side in picture.size[:1]] * 2
                picture = picture.resize((size[0], size[1]), Image.Resampling.BICUBIC)
            elif step == "cropped":
                cut = rng.uniform(0.05, 0.15, 4) * picture.width
                box = (cut[0], cut[1], picture.width - cut[2], picture.height - cut[3])
                picture = picture.crop(tuple(round(float(side)) for side in box))
            else:
                picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.6, 1.4))
                picture = ImageEnhance.Contrast(picture).enhance(rng.uniform(0.6, 1.4))
        picture.save(folder / f"{number:05}.{'jpg' if keywords else 'png'}", **keywords)
    return kinds


def search(cache: LandmarkCache, first: NDArray[np.int64], copies: LandmarkCache, rows: Rows) -> NearPairs:
    """Near-duplicates among the distinct images and the altered ones, which have the numbers after them."""
    start, processor = time.perf_counter(), time.process_time()
    with show_progress() as progress:
        one, two = look(cache, first, progress), look(copies, np.arange(len(copies)))
        both = Looked(_joined(one.face, two.face), _joined(one.whole, two.whole))
        middle = time.perf_counter(), time.process_time()
        near = find_near(both, min(THRESHOLDS), progress)
    name = f"near-duplicates of {len(both.face):,} distinct images"
    for metric, value in (
        ("reading_seconds", middle[0] - start),
        ("search_seconds", time.perf_counter() - middle[0]),
        ("search_cpu_seconds", time.process_time() - middle[1]),
        ("reading_cpu_seconds", middle[1] - processor),
        ("peak_mb", memory_mb(os.getpid(), "VmHWM")),
    ):
        rows.append(("time and memory", name, "cpu", 1, metric, value))
    return near


def search_hashes(
    cache: LandmarkCache, first: NDArray[np.int64], copies: LandmarkCache, rows: Rows
) -> NearPairs:
    """The same by perceptual hashes of the whole images; the similarity is the distance in bits, negated."""
    start, processor = time.perf_counter(), time.process_time()
    files = [file for some in np.array_split(first, 64) for file in cache.faces(some)]
    files += copies.faces(np.arange(len(copies)))
    signs = np.ones((len(files), 64), np.float32)
    for number, data in enumerate(files):
        with Image.open(io.BytesIO(data or b"")) as image:
            signs[number] -= 2 * imagehash.phash(image, hash_size=8).hash.reshape(-1)
    constant = np.array(
        [len(set(Image.open(io.BytesIO(data or b"")).convert("L").getextrema())) == 1 for data in files]
    )
    pairs, distances = [], []
    for begin in range(0, len(signs), 512):
        products = signs[begin : begin + 512] @ signs.T
        left, right = np.nonzero(products >= 64 - 2 * RADIUS)
        kept = (left + begin < right) & ~constant[left + begin] & ~constant[right]
        pairs.append(np.stack([left[kept] + begin, right[kept]], axis=1))
        distances.append((64 - products[left[kept], right[kept]]) / 2)
    name = f"phash of {len(files):,} distinct images"
    rows.append(("time and memory", name, "cpu", 1, "search_seconds", time.perf_counter() - start))
    rows.append(("time and memory", name, "cpu", 1, "search_cpu_seconds", time.process_time() - processor))
    return NearPairs(np.concatenate(pairs), -np.concatenate(distances).astype(np.float32))


def cross(near: NearPairs, originals: NDArray[np.int64], distinct: int, known: NearPairs) -> Found:
    """The pairs of an altered image and one that is not."""
    mixed = (near.pairs[:, 0] < distinct) & (near.pairs[:, 1] >= distinct)
    other, altered = near.pairs[mixed].T
    altered = altered - distinct
    certain = known.pairs[(known.similarity >= CERTAIN) & (known.pairs[:, 1] < distinct)]
    joined = {(a, b) for pair in certain.tolist() for a, b in (pair, pair[::-1])}
    right = originals[altered] == other
    sure = [pair in joined for pair in zip(originals[altered].tolist(), other.tolist(), strict=True)]
    return Found(altered, other, right, right | np.array(sure, bool), near.similarity[mixed])


def halved(found: Found, half: int) -> Found:
    """The pairs of altered images of even (0) or odd (1) number."""
    return found.some(found.altered % 2 == half)


def recall(found: Found, kinds: list[str], half: int, kind: str | None = None) -> float:
    """Share of the altered images of one half, and of one kind, whose original is found."""
    wanted = [n for n, name in enumerate(kinds) if n % 2 == half and kind in (None, name)]
    return float(np.isin(wanted, found.altered[found.right]).mean())


def score(bench: str, variant: str, found: Found, kinds: list[str], half: int) -> Rows:
    """Recall, precision in both senses, and the number of pairs."""
    figures = {
        "recall": recall(found, kinds, half),
        "precision": float(found.right.mean()),
        "precision_known": float(found.known.mean()),
        "pairs": len(found.right),
    }
    return [(bench, variant, "cpu", 1, metric, value) for metric, value in figures.items()]


def own_duplicates(
    name: str, near: NearPairs, least: float, frame: pd.DataFrame, first: NDArray[np.int64]
) -> Rows:
    """FER2013's own near-duplicates, and its test images with one in train."""
    own = (near.pairs < len(first)).all(axis=1) & (near.similarity >= least)
    pairs = NearPairs(first[near.pairs[own]], near.similarity[own])
    test, train = (np.flatnonzero(frame["split"] == split) for split in ("test", "train"))
    identical = has_duplicate_in(frame, test, train)
    either = has_near_duplicate_in(frame, pairs, test, train)
    figures = {
        "pairs": len(pairs),
        "test_images_identical_in_train": int(identical.sum()),
        "test_images_near_in_train": int((either & ~identical).sum()),
        "test_images": len(test),
    }
    return [("FER2013 itself", name, "cpu", 1, metric, value) for metric, value in figures.items()]


def draw(
    path: Path,
    found: Found,
    cache: LandmarkCache,
    first: NDArray[np.int64],
    copies: LandmarkCache,
    rng: np.random.Generator,
) -> int:
    """Draw pairs that are not right, the altered image above the other one, and return how many."""
    wrong = np.flatnonzero(~found.right)
    wrong = np.sort(rng.permutation(wrong)[:SHOWN])
    side, columns = 110, 15
    size = (columns * (side + 6), -(-len(wrong) // columns) * (2 * side + 30))
    sheet = Image.new("L", size, 255)
    pen = ImageDraw.Draw(sheet)
    for place, number in enumerate(wrong):
        left, top = place % columns * (side + 6), place // columns * (2 * side + 30)
        files = (*copies.faces(found.altered[[number]]), *cache.faces(first[found.other[[number]]]))
        for row, data in enumerate(files):
            with Image.open(io.BytesIO(data or b"")) as image:
                sheet.paste(image.convert("L").resize((side, side)), (left, top + row * side))
        text = f"{place + 1}: {found.similarity[number]:.2f}"
        pen.text((left, top + 2 * side + 4), text, 0, font=ImageFont.load_default(13))
    sheet.save(path)
    return len(wrong)


def _joined(one: Patches, two: Patches) -> Patches:
    parts = (np.concatenate(pair) for pair in zip(_parts(one), _parts(two), strict=True))
    return Patches(*parts)


def _parts(patches: Patches) -> tuple[NDArray, ...]:
    return patches.values, patches.inside, patches.valid


if __name__ == "__main__":
    main()
