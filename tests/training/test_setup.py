from dataclasses import replace

import numpy as np
import pytest
import torch

from landmarkfer.data.cache_writer import write_cache
from landmarkfer.errors import RunError
from landmarkfer.progress import SILENT
from landmarkfer.training.resolve import resolve
from landmarkfer.training.setup import open_caches, set_up


def test_a_resumed_training_is_set_up_as_it_was(tiny_settings):
    settings = resolve(tiny_settings())
    first = set_up(settings, open_caches(settings), SILENT)
    ids = first.splits.as_ids(first.dataset.frame["id"])
    again = set_up(settings, open_caches(settings), SILENT, ids)
    for part in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(again.splits, part), getattr(first.splits, part))
    np.testing.assert_array_equal(again.train_rows, first.train_rows)
    for name, value in first.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name


def test_images_that_the_cache_does_not_have(tiny_settings):
    settings = resolve(tiny_settings())
    with pytest.raises(RunError, match=r"splits\.json does not fit the cache.*nobody"):
        set_up(settings, open_caches(settings), SILENT, {"train": ["nobody"], "val": [], "test": []})


def test_offline_augmentation_is_trained_on_but_in_no_split(tiny_settings, make_rows, tmp_path):
    rows = make_rows()
    for row in rows:
        if row.landmarks is not None:
            row.landmarks = row.landmarks + 0.001
    cache = write_cache(tmp_path / "more", rows)
    settings = resolve(tiny_settings(**{"data.also": [str(cache.path)]}))
    training = set_up(settings, open_caches(settings), SILENT)
    added = len(training.dataset) - len(rows)
    assert added == len(training.splits.train)
    assert len(training.train_rows) == 2 * added
    assert max(training.splits.train) < len(rows) <= max(training.train_rows)
    assert training.class_counts.sum() == 2 * added
    assert len(training.usable_rows) == training.dataset.faces.has_face[training.train_rows].sum()
    assert training.caches[1].path == cache.path


def test_the_prior_is_that_of_the_images_without_their_augmentation(tiny_settings, make_rows, tmp_path):
    happy = [replace(row) for row in make_rows() if row.label == "happy"]
    cache = write_cache(tmp_path / "happy", happy)
    plain, more = (resolve(tiny_settings(**{"data.also": also})) for also in ([], [str(cache.path)]))
    priors = [set_up(one, open_caches(one), SILENT).model.log_prior for one in (plain, more)]
    assert torch.equal(*priors)
