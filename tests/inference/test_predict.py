import numpy as np
import pytest
import torch

from landmarkfer.config.train import PredictionSettings
from landmarkfer.data.augment import mirror_landmarks
from landmarkfer.data.batch import FaceBatch
from landmarkfer.errors import RunError
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.inference.predict import has_sets, predict_probabilities, predict_sets
from landmarkfer.models import build_model


class TestProbabilities:
    @pytest.fixture
    def model(self):
        torch.manual_seed(0)
        model = build_model("mlp", 3, hidden=[8])
        model.set_statistics(torch.tensor(CANONICAL), torch.full((478, 3), 0.3))
        model.set_prior(torch.tensor([0.2, 0.5, 0.3]))
        return model.eval()

    @pytest.fixture
    def faces(self):
        landmarks = torch.tensor(CANONICAL) + 0.3 * torch.randn(7, 478, 3)
        has_face = torch.tensor([True, True, False, True, True, True, True])
        return FaceBatch(landmarks, has_face)

    def test_mirror_averages_the_two_passes(self, model, faces):
        with torch.inference_mode():
            straight = model(faces).double().softmax(dim=1)
            mirrored = FaceBatch(mirror_landmarks(faces.landmarks), faces.has_face)
            mirrored = model(mirrored).double().softmax(dim=1)
        averaged = predict_probabilities(model, faces, PredictionSettings(mirror=True))
        torch.testing.assert_close(averaged, (straight + mirrored) / 2)
        torch.testing.assert_close(
            predict_probabilities(model, faces, PredictionSettings(mirror=False)), straight
        )
        assert not torch.allclose(averaged, straight, atol=1e-3)

    def test_a_face_and_its_mirror_image_get_the_same(self, model, faces):
        other = FaceBatch(mirror_landmarks(faces.landmarks), faces.has_face)
        torch.testing.assert_close(
            predict_probabilities(model, faces, PredictionSettings(mirror=True)),
            predict_probabilities(model, other, PredictionSettings(mirror=True)),
        )

    @pytest.mark.parametrize("mirror", [True, False])
    def test_rows_are_distributions_whatever_the_batches(self, model, faces, mirror):
        whole = predict_probabilities(model, faces, PredictionSettings(mirror=mirror))
        torch.testing.assert_close(whole.sum(dim=1), torch.ones(7).double())
        for size in (1, 3, 7):
            part = predict_probabilities(model, faces, PredictionSettings(mirror=mirror), batch_size=size)
            torch.testing.assert_close(part, whole, rtol=1e-5, atol=1e-6)
        assert whole[2].tolist() == pytest.approx([0.2, 0.5, 0.3]), "the prior, without a face"

    def test_sets_of_labels_hold_what_reaches_the_threshold(self, model, faces):
        given = predict_probabilities(model, faces, PredictionSettings())
        assert not has_sets(model)
        with pytest.raises(RunError, match="no thresholds of prediction sets"):
            predict_sets(model, given)
        thresholds = torch.linspace(0.9, 0.02, 99)
        model.set_calibration(1.0, thresholds)
        for coverage in (0.9, 0.5):
            sets = predict_sets(model, given, coverage)
            expected = given.numpy() >= thresholds[round(100 * coverage) - 1].item()
            expected[np.arange(7), given.argmax(dim=1)] = True
            np.testing.assert_array_equal(sets, expected)
        np.testing.assert_array_equal(predict_sets(model, given), predict_sets(model, given, 0.9))
        with pytest.raises(ValueError, match="whole percent"):
            predict_sets(model, given, 0.999)

    def test_no_faces_at_all(self, model, faces):
        none = faces.rows(torch.tensor([], dtype=torch.int64))
        assert predict_probabilities(model, none, PredictionSettings(mirror=True)).shape == (0, 3)
