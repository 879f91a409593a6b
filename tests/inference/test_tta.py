import torch

from landmarkfer.config.train import PredictionSettings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.face.landmarks import CANONICAL
from landmarkfer.inference.tta import batches, mean_probabilities, view_logits, views
from landmarkfer.models import build_model


def make_batch(n):
    landmarks = torch.tensor(CANONICAL) + 0.2 * torch.randn(n, 478, 3)
    return FaceBatch(landmarks, torch.ones(n, dtype=torch.bool), blendshapes=torch.rand(n, 52))


def test_logits_of_the_face_and_of_its_mirror_image():
    torch.manual_seed(0)
    model = build_model("mlp", 4, hidden=[8], blendshapes=True).eval()
    faces = make_batch(5)
    logits = view_logits(model, faces, PredictionSettings(), batch_size=2)
    assert logits.shape == (2, 5, 4)
    torch.testing.assert_close(logits[0], model(faces))
    straight, mirrored = views(faces, model, PredictionSettings())
    assert straight is faces
    torch.testing.assert_close(logits[1], model(mirrored))
    assert not torch.allclose(logits[0], logits[1])
    assert view_logits(model, faces, PredictionSettings(mirror=False)).shape == (1, 5, 4)


def test_probabilities_are_averaged_over_views():
    torch.manual_seed(0)
    model = build_model("mlp", 4, hidden=[8], blendshapes=True).eval()
    faces = make_batch(5)
    expected = view_logits(model, faces, PredictionSettings()).double().softmax(dim=2).mean(dim=0)
    model.set_calibration(3.0, torch.zeros(99))
    found = mean_probabilities(model, faces, PredictionSettings(), batch_size=2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6, msg="and are not tempered")


def test_progress_wraps_the_loop_over_parts():
    lengths = []

    def progress(loop, length):
        lengths.append(length)
        return loop

    model = build_model("mlp", 4, hidden=[8])
    for size in (2, 5):
        assert sum(len(part) for part in batches(make_batch(5), model, size, progress)) == 5
    assert lengths == [3, 1]


def test_parts_hold_every_face_once():
    faces = make_batch(5)
    model = build_model("mlp", 4, hidden=[8])
    assert [len(part) for part in batches(faces, model, 2)] == [2, 2, 1]
    assert [len(part) for part in batches(faces.rows(torch.tensor([], dtype=torch.int64)), model)] == [0]
