import torch

from landmarkfer.calibration.fitted import Calibration
from landmarkfer.calibration.scaling import Scaling
from landmarkfer.config.train import PredictionSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.inference.tta import batches, mean_probabilities, tta_embeddings, views
from landmarkfer.models import build_model
from landmarkfer.progress import Progress


def make_batch(n):
    landmarks = torch.tensor(CANONICAL) + 0.2 * torch.randn(n, 478, 3)
    return FaceBatch(landmarks, torch.ones(n, dtype=torch.bool), blendshapes=torch.rand(n, 52))


def small_model():
    torch.manual_seed(0)
    return build_model("mlp", 4, hidden=[8], blendshapes=True).eval()


def test_features_of_the_face_and_of_its_mirror_image():
    model, faces = small_model(), make_batch(5)
    features = tta_embeddings(model, faces, PredictionSettings(), batch_size=2)
    assert features.shape == (2, 5, 8)
    torch.testing.assert_close(features[0], model.embed(faces))
    straight, mirrored = views(faces, model, PredictionSettings())
    assert straight is faces
    torch.testing.assert_close(features[1], model.embed(mirrored))
    assert not torch.allclose(features[0], features[1])
    assert tta_embeddings(model, faces, PredictionSettings(mirror=False)).shape == (1, 5, 8)


def test_probabilities_are_averaged_over_views():
    model, faces = small_model(), make_batch(5)
    with torch.inference_mode():
        logits = torch.stack([model(view) for view in views(faces, model, PredictionSettings())])
    expected = logits.double().softmax(dim=2).mean(dim=0)
    model.set_calibration(Calibration(Scaling.of_temperature(3.0, model.num_classes)))
    found = mean_probabilities(model, faces, PredictionSettings(), batch_size=2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6, msg="and are uncalibrated")


def test_progress_counts_the_faces_done():
    calls = []

    class Recording(Progress):
        def __call__(self, task, done, total, note=""):
            calls.append((done, total))

    model = build_model("mlp", 4, hidden=[8])
    for size in (2, 5):
        assert sum(len(part) for part in batches(make_batch(5), model, size, Recording())) == 5
    assert calls == [(2, 5), (4, 5), (5, 5), (5, 5)]


def test_parts_hold_every_face_once():
    faces = make_batch(5)
    model = build_model("mlp", 4, hidden=[8])
    assert [len(part) for part in batches(faces, model, 2)] == [2, 2, 1]
    assert [len(part) for part in batches(faces.rows(torch.tensor([], dtype=torch.int64)), model)] == [0]
