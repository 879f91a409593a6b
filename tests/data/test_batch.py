import pytest
import torch

from landmarkfer.data.batch import FaceBatch


@pytest.fixture
def batch():
    """Six faces whose first coordinate is their row."""
    landmarks = torch.arange(6, dtype=torch.float32)[:, None, None].expand(6, 478, 3).clone()
    return FaceBatch(landmarks, torch.ones(6, dtype=torch.bool), labels=torch.arange(6) % 3)


def test_rows_and_device_keep_every_field(batch):
    picked = batch.rows(torch.tensor([4, 1]))
    assert len(picked) == 2
    assert picked.landmarks[:, 0, 0].tolist() == [4, 1]
    assert picked.labels.tolist() == [1, 1]
    assert picked.image is None
    moved = batch.to("meta")
    assert {moved.landmarks.device.type, moved.has_face.device.type, moved.labels.device.type} == {"meta"}
    assert moved.blendshapes is None


def test_batches_are_joined_field_by_field(batch):
    both = batch.rows(torch.tensor([5])).joined(batch)
    assert both.landmarks[:, 0, 0].tolist() == [5, 0, 1, 2, 3, 4, 5]
    assert both.labels.tolist() == [2, 0, 1, 2, 0, 1, 2]
    with pytest.raises(ValueError, match="there are no labels"):
        batch.joined(FaceBatch(batch.landmarks, batch.has_face))
