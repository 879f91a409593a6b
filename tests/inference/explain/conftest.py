import pytest
import torch

from landmarkfer.config.train import PredictionSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.inference.explain.decorrelation import Decorrelation
from landmarkfer.inference.explain.target import Target
from landmarkfer.models import build_model

SMALL = {
    "mlp": {"hidden": [16], "features": "displacement"},
    "gnn": {"widths": [8], "hidden": [16], "node_width": 2, "identity": 2, "features": "displacement"},
    "image": {"width": 4, "size": 24},
    "fusion": {
        **{"width": 4, "size": 24, "fusion": "late", "encoder": "mlp"},
        "encoder_settings": {"hidden": [16], "features": "displacement"},
    },
}


@pytest.fixture
def make_target():
    """A target of a small model with random weights: `make_target("gnn", conv="gcn")`."""

    def make(name, label=1, settings=None, decorrelation=None, **keywords):
        torch.manual_seed(0)
        model = build_model(name, 3, **SMALL[name] | keywords).eval()
        generator = torch.Generator().manual_seed(1)
        landmarks = torch.tensor(CANONICAL)[None] + 0.3 * torch.randn(1, 478, 3, generator=generator)
        yes = torch.ones(1, dtype=torch.bool)
        image = torch.randint(256, (1, 1, 24, 24), generator=generator, dtype=torch.uint8)
        face = FaceBatch(landmarks, yes, image=image, has_image=yes)
        known = Decorrelation.none() if decorrelation is None else decorrelation
        return Target(model, face, label, settings or PredictionSettings(), known)

    return make
