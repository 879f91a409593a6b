import hashlib

import numpy as np
import pytest

from landmarkfer.errors import RunError
from landmarkfer.runs.trained_images import FILE, trained_it, write_trained_images


def digest(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


def test_images_are_known_again_by_their_pixels(tmp_path):
    write_trained_images(tmp_path, [digest(number) for number in range(1000)])
    assert (tmp_path / FILE).stat().st_size < 5000
    found = trained_it(tmp_path, [digest(3), None, digest(5000), digest(999)])
    assert found.tolist() == [True, False, False, True]
    assert trained_it(tmp_path, [digest(number) for number in range(2000, 4000)]).sum() == 0


def test_a_run_without_the_file_does_not_say(tmp_path):
    assert trained_it(tmp_path, [digest(1)]) is None


def test_a_damaged_file_is_refused(tmp_path):
    write_trained_images(tmp_path, [digest(1)])
    (tmp_path / FILE).write_bytes(b"no array")
    with pytest.raises(RunError, match=r"trained-images\.npy is damaged"):
        trained_it(tmp_path, [digest(1)])
    with (tmp_path / FILE).open("wb") as file:
        np.save(file, np.array([{}], dtype=object))
    with pytest.raises(RunError, match="is damaged"):
        trained_it(tmp_path, [digest(1)])
