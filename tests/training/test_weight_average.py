from types import SimpleNamespace

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import WeightAveraging

from landmarkfer.training.fit import train
from landmarkfer.training.weight_average import MovingWeightAverage, newest_share


def test_it_is_lightnings_average_to_the_bit(tiny_settings, tmp_path, monkeypatch):
    settings = tiny_settings(**{"fit.ema": 0.9, "model.hidden": [8]})
    ours = train(settings, runs_root=tmp_path / "ours").load().model.state_dict()

    def corrected(old, new, updates):
        share = (1 - 0.9) / (1 - 0.9 ** (int(updates) + 1))
        return torch.lerp(old, new, share) if old.is_floating_point() else old + share * (new - old)

    monkeypatch.setattr(
        "landmarkfer.training.callbacks.MovingWeightAverage", lambda decay: WeightAveraging(avg_fn=corrected)
    )
    theirs = train(settings, runs_root=tmp_path / "theirs").load().model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_it_lies_where_the_model_is_trained():
    """At the time of `setup`, the model is not there yet."""
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("meta")))
    average = MovingWeightAverage(0.9)
    average.setup(trainer, Linear(), "fit")
    assert {weight.device.type for weight in average._average_model.parameters()} == {"meta"}
    assert average._average_model.n_averaged.device.type == "cpu"


@pytest.mark.parametrize("decay", [0.5, 0.998, 0.9999])
def test_the_first_weights_count_no_more_than_their_share(decay):
    """The average of a ramp 1, 2, ... is that of weights d^(t - i), however few the steps."""
    trainer = SimpleNamespace(strategy=SimpleNamespace(root_device=torch.device("cpu")))
    average, model = MovingWeightAverage(decay), Linear()
    average.setup(trainer, model, "fit")
    for step in range(1, 31):
        torch.nn.init.constant_(model.layer.weight, float(step))
        average._average_model.update_parameters(model)
        values = torch.arange(1, step + 1, dtype=torch.float64)
        shares = decay ** (step - values)
        expected = ((shares * values).sum() / shares.sum()).float()
        torch.testing.assert_close(average._average_model.module.layer.weight[0, 0], expected)


def test_the_share_of_the_newest_weights():
    assert newest_share(0.9, 1) == 1
    assert newest_share(0.9, 2) == pytest.approx(1 / 1.9)
    assert newest_share(0.9, 1000) == pytest.approx(0.1)
    assert newest_share(0.9999, 10) == pytest.approx(0.1, abs=1e-3), "nearly the plain mean"


class Linear(pl.LightningModule):
    """The least that has weights."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)
