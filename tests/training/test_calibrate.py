from dataclasses import replace

import numpy as np
import pytest
import torch

from landmarkfer.calibration.conformal import class_thresholds
from landmarkfer.config.train import PredictionSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.inference.predict import predict_faces
from landmarkfer.models import build_model
from landmarkfer.training.calibrate import calibrate

PLAIN = PredictionSettings(mirror=False, least_recall=0.0, calibrate=False)


@pytest.fixture
def faces():
    generator = torch.Generator().manual_seed(1)
    yes = torch.ones(90, dtype=torch.bool)
    return FaceBatch(
        torch.tensor(CANONICAL) + 0.2 * torch.randn(90, 478, 3, generator=generator),
        yes,
        image=torch.randint(256, (90, 1, 16, 16), generator=generator, dtype=torch.uint8),
        has_image=yes,
        keypoints=torch.rand(90, 478, 2, generator=generator),
        labels=torch.arange(90) % 3,
    )


@pytest.fixture(params=["late", "gated"])
def fused(request, faces):
    torch.manual_seed(0)
    model = build_model(
        "fusion",
        3,
        fusion=request.param,
        encoder="mlp",
        encoder_settings={"hidden": [8]},
        width=4,
        size=16,
        hidden=0.0,
    )
    model.learn_statistics(faces)
    return model.eval()


def surprise(model, faces):
    with torch.inference_mode():
        return torch.nn.functional.cross_entropy(model(faces), faces.labels).item()


def test_the_second_branch_gets_the_weight_that_makes_the_labels_most_likely(fused, faces):
    # What the second branch adds is in the direction of the labels, and twice as much as is good, with noise.
    with torch.inference_mode():
        joint = fused.embed(faces)[:, fused.image.embedding_size :]
        wanted = 4 * torch.nn.functional.one_hot(faces.labels, 3) + 3 * torch.randn(90, 3)
    fused.head.weight.data = torch.linalg.lstsq(joint, wanted).solution.T.contiguous()
    learned = fused.head.weight.detach().clone()
    calibrate(fused, faces, PLAIN)
    weight = (fused.head.weight / learned).median().item()
    torch.testing.assert_close(fused.head.weight, weight * learned)
    best = surprise(fused, faces)
    for other in (0.8 * weight, 1.25 * weight):
        fused.head.weight.data = other * learned
        assert surprise(fused, faces) > best


def test_a_second_branch_of_noise_is_silenced(fused, faces):
    fused.head.weight.data = 3 * torch.randn(
        fused.head.weight.shape, generator=torch.Generator().manual_seed(2)
    )
    before = fused.head.weight.abs().max().item()
    calibrate(fused, faces, PLAIN)
    assert fused.head.weight.abs().max().item() < 0.2 * before


def test_recalls_are_raised_where_that_is_asked_for(faces):
    torch.manual_seed(0)
    model = build_model("mlp", 3, hidden=[128]).eval()
    model.learn_statistics(faces)
    with torch.inference_mode():
        embedded = model.embed(faces)
        model.head.weight.copy_(torch.linalg.lstsq(embedded, 2.0 * torch.eye(3)[faces.labels]).solution.T)
        model.head.bias.copy_(torch.tensor([0.0, 0.0, -2.3]))  # all of class 2 are just missed
    calibrate(model, faces, PLAIN)
    assert not model.class_offset.any()
    calibrate(model, faces, PLAIN.model_copy(update={"least_recall": 0.45}))
    assert model.class_offset.tolist() == pytest.approx([0, 0, 0.3], abs=0.05)
    with torch.inference_mode():
        assert (model(faces).argmax(dim=1) == faces.labels).double().mean() > 0.8


class TestCalibration:
    @pytest.fixture
    def bold(self, faces):
        """A model that is sure of everything, and wrong of every fifth image."""
        torch.manual_seed(0)
        model = build_model("mlp", 3, hidden=[128]).eval()
        model.learn_statistics(faces)
        model.set_prior(torch.tensor([0.2, 0.3, 0.5]))
        said = torch.where(torch.arange(90) % 5 > 0, faces.labels, (faces.labels + 1) % 3)
        with torch.inference_mode():
            embedded = model.embed(faces)
            model.head.weight.copy_(torch.linalg.lstsq(embedded, 8.0 * torch.eye(3)[said]).solution.T)
            model.head.bias.zero_()
        return model

    def test_the_scaling_fits_the_average_over_views(self, bold, faces):
        settings = PLAIN.model_copy(update={"mirror": True})
        raw = predict_faces(bold, faces, settings).probabilities
        calibrate(bold, faces, settings.model_copy(update={"calibrate": True}))
        scaling = bold.calibration.scaling
        temperature = 3 / np.trace(scaling.matrix)
        assert temperature > 2
        found = predict_faces(bold, faces, settings)
        np.testing.assert_allclose(found.probabilities, scaling(raw), rtol=1e-6)
        np.testing.assert_array_equal(found.predicted, raw.argmax(axis=1), "what is predicted stays")
        y = faces.labels.numpy()
        before, after = (-np.log(p[np.arange(90), y]).mean() for p in (raw, found.probabilities))
        assert after < before - 0.1

    def test_of_a_single_view_it_scales_the_logits(self, bold, faces):
        with torch.inference_mode():
            logits = bold(faces).double()
        calibrate(bold, faces, PLAIN.model_copy(update={"calibrate": True}))
        matrix, bias = bold.scale_matrix.double(), bold.scale_bias.double()
        expected = (logits.log_softmax(dim=1) @ matrix.T + bias).softmax(dim=1).numpy()
        found = predict_faces(bold, faces, PLAIN).probabilities
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-9)

    def test_without_usable_input_the_prior_is_not_scaled_but_counts_for_sets(self, bold, faces):
        blind = replace(faces, has_face=torch.arange(90) % 10 > 0)
        calibrate(bold, blind, PLAIN.model_copy(update={"calibrate": True}))
        assert np.trace(bold.calibration.scaling.matrix) < 1.5
        given = predict_faces(bold, blind, PLAIN).probabilities
        assert given[0] == pytest.approx([0.2, 0.3, 0.5])
        calibrate(bold, blind, PLAIN)  # uncalibrated, so that thresholds are of what is predicted
        given, y = predict_faces(bold, blind, PLAIN).probabilities, blind.labels.numpy()
        expected = class_thresholds(given[np.arange(90), y], y, 3)
        torch.testing.assert_close(bold.set_thresholds, torch.from_numpy(expected), rtol=0, atol=1e-6)
        whole = bold.set_thresholds.clone()
        calibrate(bold, blind.rows(blind.has_face.nonzero().flatten()), PLAIN)
        assert not torch.equal(bold.set_thresholds, whole)

    def test_it_can_be_left_out_and_done_again(self, bold, faces):
        calibrate(bold, faces, PLAIN)
        assert torch.equal(bold.scale_matrix, torch.eye(3)) and not bold.scale_bias.any()
        assert bold.set_thresholds.any(), "sets are right whatever the scaling"
        wanted = PLAIN.model_copy(update={"calibrate": True})
        for _ in range(2):
            calibrate(bold, faces, wanted)
            found = bold.scale_matrix.clone()
            calibrate(bold, faces, wanted)
            assert torch.equal(bold.scale_matrix, found) and found.trace() < 1.5
            calibrate(bold, faces, PLAIN)
            assert torch.equal(bold.scale_matrix, torch.eye(3))


def test_no_validation_images_change_nothing(fused, faces):
    none = faces.rows(torch.tensor([], dtype=torch.int64))
    before = fused.head.weight.detach().clone()
    calibrate(fused, none, PredictionSettings())
    assert torch.equal(fused.head.weight, before)
    assert torch.equal(fused.scale_matrix, torch.eye(3))
    assert not fused.set_thresholds.any()
