import numpy as np
import pytest
import torch

from landmarkfer.calibration.fitted import Calibration
from landmarkfer.calibration.scaling import Scaling
from landmarkfer.config.train import PredictionSettings
from landmarkfer.data.augment import mirror_landmarks
from landmarkfer.data.batch import FaceBatch
from landmarkfer.errors import RunError
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.inference.predict import predict_faces, predict_sets
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
        averaged = predict_faces(model, faces, PredictionSettings(mirror=True)).probabilities
        np.testing.assert_allclose(averaged, ((straight + mirrored) / 2).numpy())
        single = predict_faces(model, faces, PredictionSettings(mirror=False)).probabilities
        np.testing.assert_allclose(single, straight.numpy())
        assert not np.allclose(averaged, straight, atol=1e-3)

    def test_a_face_and_its_mirror_image_get_the_same(self, model, faces):
        other = FaceBatch(mirror_landmarks(faces.landmarks), faces.has_face)
        np.testing.assert_allclose(
            predict_faces(model, faces, PredictionSettings(mirror=True)).probabilities,
            predict_faces(model, other, PredictionSettings(mirror=True)).probabilities,
            rtol=1e-5,
        )

    @pytest.mark.parametrize("mirror", [True, False])
    def test_rows_are_distributions_whatever_the_batches(self, model, faces, mirror):
        whole = predict_faces(model, faces, PredictionSettings(mirror=mirror)).probabilities
        np.testing.assert_allclose(whole.sum(axis=1), 1)
        for size in (1, 3, 7):
            part = predict_faces(model, faces, PredictionSettings(mirror=mirror), batch_size=size)
            np.testing.assert_allclose(part.probabilities, whole, rtol=1e-5, atol=1e-6)
        assert whole[2].tolist() == pytest.approx([0.2, 0.5, 0.3]), "the prior, without a face"

    def test_sets_of_labels_hold_what_reaches_the_threshold(self, model, faces):
        given = predict_faces(model, faces, PredictionSettings())
        assert model.calibration.set_thresholds is None
        with pytest.raises(RunError, match="no thresholds of prediction sets"):
            predict_sets(model, given)
        thresholds = np.linspace([0.9, 0.8, 0.7], [0.02, 0.03, 0.04], 99, dtype=np.float32)
        model.set_calibration(Calibration(Scaling.identity(3), thresholds))
        for coverage in (0.9, 0.5):
            sets = predict_sets(model, given, coverage)
            expected = given.probabilities >= thresholds[round(100 * coverage) - 1]
            expected[np.arange(7), given.uncalibrated.argmax(axis=1)] = True
            np.testing.assert_array_equal(sets, expected)
        np.testing.assert_array_equal(predict_sets(model, given), predict_sets(model, given, 0.9))
        with pytest.raises(ValueError, match="whole percent"):
            predict_sets(model, given, 0.999)

    def test_no_faces_at_all(self, model, faces):
        none = faces.rows(torch.tensor([], dtype=torch.int64))
        outputs = predict_faces(model, none, PredictionSettings(mirror=True))
        assert outputs.probabilities.shape == outputs.uncalibrated.shape == (0, 3)
