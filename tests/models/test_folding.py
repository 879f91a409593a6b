"""Whitening folded into the first linear map: the same predictions with fewer numbers."""

import pytest
import torch

from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.models import build_model


@pytest.fixture
def faces():
    generator = torch.Generator().manual_seed(0)
    landmarks = torch.from_numpy(CANONICAL.copy()) + 0.05 * torch.randn(40, 478, 3, generator=generator)
    there = torch.ones(40, dtype=torch.bool)
    return FaceBatch(
        landmarks, there, image=torch.randint(0, 255, (40, 1, 16, 16), dtype=torch.uint8, generator=generator)
    )


@pytest.mark.parametrize(
    ("model", "keywords"),
    [
        ("mlp", {"hidden": [8]}),
        pytest.param(
            "fusion",
            {"fusion": "concat", "encoder": "mlp", "encoder_settings": {"hidden": [8]}, "width": 4}
            | {"size": 16},
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_it_predicts_the_same(faces, model, keywords):
    torch.manual_seed(0)
    network = build_model(model, 3, **keywords).eval()
    network.learn_statistics(faces)
    before, size = network(faces), sum(t.numel() for t in network.state_dict().values())
    network.fold_whitening()
    torch.testing.assert_close(network(faces), before, rtol=1e-3, atol=1e-3)
    assert before.std() > 1e-3
    assert sum(t.numel() for t in network.state_dict().values()) == size - 1434**2
    network.fold_whitening()  # once more changes nothing


def test_a_graph_network_does_not_fold():
    with pytest.raises(ValueError, match="does not fold into its first map"):
        build_model("gnn", 3, widths=[4], hidden=[4]).fold_whitening()
