import numpy as np
import pytest
import torch

from landmarkfer.config.train import PredictionSettings
from landmarkfer.face.landmarks import MIRROR, region_points
from landmarkfer.inference.explain.attribution import (
    branch_contributions,
    pixel_contributions,
    point_contributions,
)


@pytest.mark.parametrize("name", ["mlp", "gnn", "fusion"])
def test_integrated_gradients_add_up_to_what_the_face_has_more_than_the_mean_face(make_target, name):
    target = make_target(name)
    with torch.no_grad():
        nothing = float(target.of_parts(torch.zeros(1, 478)))
    assert point_contributions(target).sum() == pytest.approx(target.whole() - nothing, rel=0.05, abs=0.02)


def test_the_gradient_is_what_a_little_less_of_a_part_takes_away(make_target):
    target = make_target("mlp")
    found = point_contributions(target, "gradient")
    for point in (0, 61, 300):
        kept = torch.ones(2, 478)
        kept[0, point] += 0.01
        kept[1, point] -= 0.01
        with torch.no_grad():
            more, less = target.of_parts(kept).double().tolist()
        assert found[point] == pytest.approx((more - less) / 0.02, rel=0.1, abs=2e-3)


@pytest.mark.parametrize("method", ["integrated-gradients", "gradient"])
def test_where_a_network_looks_is_found(make_target, method):
    """All its weights are of the points of the left mouth corner."""
    target = make_target("mlp", settings=PredictionSettings(mirror=False))
    read = np.zeros((478, 3), bool)
    read[region_points("left_mouth_corner")] = True
    with torch.no_grad():
        target.landmarks.layers[0].weight[:, ~torch.from_numpy(read.ravel())] = 0
    found = np.abs(point_contributions(target, method))
    distance = np.linalg.norm(
        target.landmarks.mean.numpy()[:, None] - target.landmarks.mean.numpy()[read.any(axis=1)], axis=2
    ).min(axis=1)
    assert found[distance < np.quantile(distance, 0.2)].sum() > 0.95 * found.sum()
    assert found.argmax() in np.flatnonzero(distance < np.quantile(distance, 0.1))


def test_a_symmetric_face_has_a_symmetric_map(make_target):
    target = make_target("mlp")
    model, face, *rest = target._given
    symmetric = type(target)(model, face.rows(torch.tensor([0])), *rest)
    mirrored = symmetric.views[1].landmarks
    even = symmetric.moved((mirrored - symmetric.views[0].landmarks) / 2)
    found = point_contributions(even)
    np.testing.assert_allclose(found, found[MIRROR], rtol=1e-3, atol=1e-5)


def test_pixels_that_speak_for_the_class(make_target):
    for name in ("image", "fusion"):
        found = pixel_contributions(make_target(name))
        assert found.shape == (24, 24) and (found >= 0).all()


def test_pixels_of_both_views_in_the_order_of_the_face(make_target):
    target = make_target("image")
    image = target.views[0].image
    image[:] = (image.int() + image.flip(3).int()) // 2  # symmetric, in place in both views
    target.views[1].image[:] = image
    found = pixel_contributions(target)
    np.testing.assert_allclose(found, found[:, ::-1], rtol=1e-3, atol=1e-5)


def test_the_branches_share_the_log_odds(make_target):
    target = make_target("fusion")
    with torch.no_grad():
        target.model.head.weight.normal_(0, 0.5)
    target = type(target)(*target._given)
    found = branch_contributions(target)
    assert sum(found.values()) == pytest.approx(target.whole(), abs=1e-3)
    assert abs(found["pixels"]) > 1e-3 and abs(found["landmarks"]) > 1e-3


def test_a_branch_that_adds_nothing_has_no_credit(make_target):
    target = make_target("fusion")
    with torch.no_grad():
        target.model.head.weight.zero_()
    found = branch_contributions(type(target)(*target._given))
    assert found["landmarks"] == pytest.approx(0, abs=1e-5)
