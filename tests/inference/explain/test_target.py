import pytest
import torch

from landmarkfer.config.train import PredictionSettings
from landmarkfer.face.landmarks import MIRROR
from landmarkfer.inference.explain.decorrelation import Decorrelation
from landmarkfer.inference.explain.target import reach

LANDMARKS = ["mlp", "gnn", "fusion"]


def log_odds(logits, label):
    others = [number for number in range(logits.shape[1]) if number != label]
    return float(logits[0, label] - logits[0, others].logsumexp(dim=0))


@pytest.mark.parametrize("name", LANDMARKS)
def test_all_parts_make_the_face_and_none_the_mean_face(make_target, name):
    target = make_target(name)
    with torch.no_grad():
        kept = torch.stack([torch.ones(478), torch.zeros(478)])
        whole, nothing = target.of_parts(kept).tolist()
        each = [log_odds(target.model(view), 1) for view in target.views]
    assert whole == pytest.approx(target.whole(), abs=1e-4)
    assert target.whole() == pytest.approx(sum(each) / len(each), abs=1e-5)
    network = target.landmarks
    target.views = [view.rows(torch.tensor([0])) for view in target.views]
    mean = target.moved(network.mean[None] - target.views[0].landmarks)
    assert nothing == pytest.approx(mean.whole(), abs=1e-4)


def test_the_explanation_is_of_both_views_where_the_prediction_is(make_target):
    assert len(make_target("mlp").views) == 2
    alone = make_target("mlp", settings=PredictionSettings(mirror=False))
    assert len(alone.views) == 1
    assert alone.whole() != pytest.approx(make_target("mlp").whole(), abs=1e-3)


@pytest.mark.parametrize(("view", "point"), [(0, 61), (1, int(MIRROR[61]))])
def test_a_part_of_a_point_is_that_of_its_partner_in_the_mirror_image(make_target, monkeypatch, view, point):
    target = make_target("mlp")
    given = []
    monkeypatch.setattr(target, "_of_landmarks", lambda landmarks, _: given.append(landmarks) or landmarks)
    kept = torch.zeros(1, 478, dtype=torch.float64)
    kept[0, 61] = 1  # the right corner of the mouth
    target._of_shares(kept @ reach().T, view)
    mean = target.landmarks.mean
    moved, whole = (one[0] - mean for one in (given[0], target.views[view].landmarks))
    share = (moved.norm(dim=1) / whole.norm(dim=1)).double()
    assert float(share[point]) == pytest.approx(float(reach()[61, 61]), rel=1e-3)
    far = int(MIRROR[point])
    assert float(share[far]) < 0.01 * float(share[point])


def test_what_is_left_of_a_displacement_reaches_into_neighbours_alone():
    shares = reach()
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(478, dtype=torch.float64))
    assert shares[61, 61] == shares[61].max()
    assert shares[61, 263] < 1e-6, "an eye corner is far from a mouth corner"


def test_parts_are_found_after_whitening(make_target):
    vectors = torch.linalg.qr(torch.randn(1434, 5, dtype=torch.float64))[0]
    known = Decorrelation(vectors, torch.linspace(0.1, 1, 5, dtype=torch.float64), 3.0)
    plain, whitened = make_target("mlp"), make_target("mlp", decorrelation=known)
    kept = (torch.arange(478) % 2).float()[None]
    with torch.no_grad():
        assert float(plain.of_parts(kept)) != pytest.approx(float(whitened.of_parts(kept)), abs=1e-3)
        for share in (torch.ones(1, 478), torch.zeros(1, 478)):
            assert float(plain.of_parts(share)) == pytest.approx(float(whitened.of_parts(share)), abs=1e-4)


def test_a_fusion_looks_at_its_image_once(make_target, monkeypatch):
    target = make_target("fusion")
    monkeypatch.setattr(target.fusion.image, "embed", None)
    with torch.no_grad():
        assert target.of_parts(torch.rand(5, 478)).shape == (5,)


def test_without_a_face_there_is_no_shape(make_target):
    target = make_target("fusion")
    model, face, *rest = target._given
    face.has_face[:] = False
    assert type(target)(model, face, *rest).landmarks is None


def test_a_model_of_pixels_has_no_shape_and_one_of_landmarks_no_pixels(make_target):
    assert make_target("image").landmarks is None
    assert make_target("mlp").pixels is None
    assert make_target("image").image(0).shape == (1, 1, 24, 24)
