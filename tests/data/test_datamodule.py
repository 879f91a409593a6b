import numpy as np
import pytest
import torch

from landmarkfer.config.data import NormalisationSettings, SplitSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.datamodule import BatchLoader, FaceDataModule
from landmarkfer.data.dataset import load_dataset
from landmarkfer.data.splits import make_splits


@pytest.fixture
def dataset(tiny_cache):
    return load_dataset(tiny_cache, NormalisationSettings())


def module_of(dataset, splits, steps=0):
    rows = splits.train[dataset.faces.has_face.numpy()[splits.train]]
    return FaceDataModule(dataset, rows, splits.val, batch_size=16, seed=5, steps=steps)


@pytest.fixture
def splits(dataset):
    return make_splits(dataset.frame, SplitSettings(validation=0.3))


@pytest.fixture
def module(dataset, splits):
    return module_of(dataset, splits)


def numbered(n):
    """Faces whose first coordinate is their row."""
    landmarks = torch.arange(n, dtype=torch.float32)[:, None, None].expand(n, 478, 3).clone()
    return FaceBatch(landmarks, torch.ones(n, dtype=torch.bool), labels=torch.arange(n) % 3)


def order(batches):
    return [batch.landmarks[:, 0, 0].long().tolist() for batch in batches]


class TestLoader:
    def test_every_row_once_in_an_order_of_seed_and_epoch(self):
        faces, rows = numbered(50), np.arange(3, 43)
        loader = BatchLoader(faces, rows, 8, seed=1)
        first, second = order(loader), order(loader)
        assert len(loader) == 5
        assert sorted(np.ravel(first)) == sorted(np.ravel(second)) == rows.tolist()
        assert first != second
        assert np.ravel(first).tolist() != rows.tolist()
        again = BatchLoader(faces, rows, 8, seed=1)
        assert [order(again), order(again)] == [first, second]
        assert order(BatchLoader(faces, rows, 8, seed=2)) != first

    def test_a_short_last_batch_is_dropped_unless_it_is_the_only_one(self):
        faces = numbered(50)
        shuffled = BatchLoader(faces, np.arange(45), 8, seed=1)
        assert [len(batch) for batch in shuffled] == [8] * len(shuffled) == [8] * 5
        only = BatchLoader(faces, np.arange(5), 8, seed=1)
        assert [len(batch) for batch in only] == [5] * len(only)
        plain = BatchLoader(faces, np.arange(45), 8)
        assert [len(batch) for batch in plain] == [8] * 5 + [5]
        assert len(plain) == 6

    def test_without_a_seed_the_order_is_kept_every_time(self):
        loader = BatchLoader(numbered(20), np.array([7, 3, 19, 0]), 3)
        assert order(loader) == order(loader) == [[7, 3, 19], [0]]

    @pytest.mark.parametrize("position", range(11))
    def test_resuming_gives_exactly_the_remaining_batches(self, position):
        whole = BatchLoader(numbered(40), np.arange(40), 8, seed=1)
        unbroken = order(whole) + order(whole)  # 2 epochs of 5 batches
        resumed = BatchLoader(numbered(40), np.arange(40), 8, seed=1, position=position)
        rest = []
        while len(rest) < 10 - position:
            rest += order(resumed)
        assert rest == unbroken[position:]

    @staticmethod
    def survives_writing(faces, loader):
        before = faces.landmarks.clone()
        for batch in loader:
            batch.landmarks.fill_(-1)
            batch.has_face.fill_(False)
            batch.labels.fill_(9)
        return torch.equal(faces.landmarks, before) and bool(faces.has_face.all()) and faces.labels.max() < 3

    @pytest.mark.parametrize("seed", [1, None])
    def test_writing_into_a_batch_changes_no_data(self, seed):
        faces = numbered(40)
        assert self.survives_writing(faces, BatchLoader(faces, np.arange(40), 40, seed))

    def test_batches_that_share_memory_with_the_data_would_be_found(self):
        """The published fault: what is done to a training batch is done to the validation data."""
        faces = numbered(40)
        views = [FaceBatch(faces.landmarks[:8], faces.has_face[:8], labels=faces.labels[:8])]
        assert not self.survives_writing(faces, views)


class TestVersions:
    """Rows `[n, V]`: each draw is two versions of one image."""

    ROWS = np.arange(60).reshape(3, 20).T  # versions of image i are i, 20 + i and 40 + i

    def test_a_batch_holds_two_different_versions_of_each_of_its_images(self):
        loader = BatchLoader(numbered(60), self.ROWS, 8, seed=1)
        assert len(loader) == 2
        seen = set()
        for batch in order(loader) + order(loader):
            first, second = np.reshape(batch, (2, 8))
            assert (first % 20 == second % 20).all()
            assert (first != second).all()
            assert len(set(first % 20)) == 8
            seen |= {(a // 20, b // 20) for a, b in zip(first, second, strict=True)}
        assert len(seen) == 6, "every pair of versions is drawn, either way round"

    def test_an_image_of_one_version_is_given_twice(self):
        (batch,) = order(BatchLoader(numbered(20), np.arange(4)[:, None], 4, seed=1))
        assert batch[:4] == batch[4:] and sorted(batch[:4]) == [0, 1, 2, 3]

    @pytest.mark.parametrize("position", range(4))
    def test_resuming_gives_exactly_the_remaining_batches(self, position):
        whole = BatchLoader(numbered(60), self.ROWS, 8, seed=1)
        unbroken = order(whole) + order(whole)
        resumed = BatchLoader(numbered(60), self.ROWS, 8, seed=1, position=position)
        rest = []
        while len(rest) < 4 - position:
            rest += order(resumed)
        assert rest == unbroken[position:]


class TestModule:
    def test_missing_faces_validate_but_never_train(self, dataset):
        missing = set(np.flatnonzero(~dataset.faces.has_face.numpy()))
        # A split seed that puts a face that was not found on either side.
        seen = set()
        for seed in range(8):
            splits = make_splits(dataset.frame, SplitSettings(validation=0.3, seed=seed))
            module = module_of(dataset, splits)
            assert all(batch.has_face.all() for batch in module.train_dataloader())
            absent = sum(int((~batch.has_face).sum()) for batch in module.val_dataloader())
            assert absent == len(missing & set(splits.val))
            assert sum(map(len, module.val_dataloader())) == len(splits.val)
            seen.add(absent)
        assert max(seen) > 0, "the test must have seen one"

    def test_validation_is_the_same_whatever_training_does(self, dataset, splits, module):
        before = [batch.landmarks.clone() for batch in module.val_dataloader()]
        for batch in module.train_dataloader():
            batch.landmarks.mul_(-3)
        after = [batch.landmarks for batch in module.val_dataloader()]
        assert all(map(torch.equal, before, after))
        expected = dataset.faces.landmarks[torch.from_numpy(splits.val)]
        assert torch.equal(torch.cat(after), expected), "validation sees the normalised landmarks as they are"

    def test_every_label_is_known(self, module):
        for loader in (module.train_dataloader(), module.val_dataloader()):
            assert all((batch.labels >= 0).all() for batch in loader)

    def test_training_resumes_where_it_stood(self, dataset, splits, module):
        whole = module.train_dataloader()
        labels = [batch.labels.tolist() for _ in range(2) for batch in whole]
        rest = module_of(dataset, splits, steps=len(whole) + 1).train_dataloader()
        assert [batch.labels.tolist() for batch in rest] == labels[len(whole) + 1 :]
