"""Which images trained a model that ships: the beginnings of the hashes of their pixels, beside its weights.

So a data set that contains some of them, in whatever format, is found out, though the images are not shipped.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landmarkfer.errors import RunError
from landmarkfer.files import replacing

FILE = "trained-images.npy"
_DIGITS = 8
"""Of a hash, in hexadecimal: another image has those of one of 40,000 once in 100,000."""


def write_trained_images(folder: Path, hashes: Iterable[str]) -> None:
    """Write the file of a run.

    Args:
        folder: Of the run.
        hashes: SHA-256 of the pixels of each image that trained or validated it, in hexadecimal.
    """
    with replacing(folder / FILE) as path, path.open("wb") as file:
        np.save(file, np.unique(_beginnings(hashes)))


def trained_it(folder: Path, hashes: Iterable[str | None]) -> NDArray[np.bool_] | None:
    """Whether each image trained or validated a run, by its pixels, `[n]`; None where the run does not say.

    Args:
        folder: Of the run.
        hashes: SHA-256 of the pixels of each image; None of one that could not be read.

    Raises:
        RunError: The file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        known = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise RunError(f"{path} is damaged: {error}; install the package again.") from error
    given = list(hashes)
    there = np.array([isinstance(one, str) for one in given], dtype=bool)
    found = np.zeros(len(given), bool)
    found[there] = np.isin(_beginnings(one for one in given if isinstance(one, str)), known)
    return found


def _beginnings(hashes: Iterable[str]) -> NDArray[np.uint32]:
    return np.array([int(one[:_DIGITS], 16) for one in hashes], dtype=np.uint32)
