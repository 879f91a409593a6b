"""What the workers share: a list of image files in, a table of labels out.

    python WORKER.py images.txt labels.csv

A worker runs in the environment of its package, so nothing here imports landmarkfer. Besides the table
(`image,label`, in the package's own words, empty where it gives none) it prints lines that
`peers.py` reads: `DONE n`, then `SECONDS s` for all images, one at a time, and `BYTES b` of the weights.
"""

import csv
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

WARM_UP = 5  # images predicted before the clock starts
SECONDS_BETWEEN_LINES = 0.5

Classify = Callable[[str], str]
"""The label of an image file; empty where the package gives none."""


def work(load: Callable[[], tuple[Classify, Iterable[Path]]]) -> None:
    """Label the images that the command line lists.

    Args:
        load: Gives what classifies one file, and the files of its weights.
    """
    listed, table = map(Path, sys.argv[1:3])
    paths = listed.read_text(encoding="utf-8").split("\n")
    classify, weights = load()
    for path in paths[:WARM_UP]:
        classify(path)
    labels = []
    start = said = time.perf_counter()
    for path in paths:
        labels.append(classify(path))
        if time.perf_counter() - said > SECONDS_BETWEEN_LINES:
            said = time.perf_counter()
            print("DONE", len(labels), flush=True)
    seconds = time.perf_counter() - start
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "label"])
        writer.writerows(zip(paths, labels, strict=True))
    print("DONE", len(labels), flush=True)
    print("SECONDS", seconds, flush=True)
    print("BYTES", sum(file.stat().st_size for file in weights), flush=True)


def highest(scores: dict[str, float]) -> str:
    """The label of the highest score."""
    return max(scores, key=lambda name: scores[name])
