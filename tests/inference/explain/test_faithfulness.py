import numpy as np
import pytest
import torch

from landmarkfer.inference.explain.attribution import point_contributions
from landmarkfer.inference.explain.faithfulness import (
    ORDERS,
    STEPS,
    Check,
    area,
    check_pixels,
    check_points,
    stability,
)


def test_the_area_of_a_curve():
    assert area(np.ones(5)) == 1
    assert area(np.linspace(0, 1, 11)) == pytest.approx(0.5)


def test_a_map_of_the_model_beats_random_orders_and_its_opposite_does_not(make_target):
    target = make_target("mlp")
    found = point_contributions(target)
    check = check_points(target, found)
    assert check.beats_chance == (True, True)
    assert check.sentence.startswith("faithful: ")
    areas = check.areas
    assert areas["deletion"] < areas["random_deletion"] and areas["insertion"] > areas["random_insertion"]
    assert check_points(target, -found).sentence.startswith("not faithful: ")


def test_a_map_of_noise_is_no_better_than_noise(make_target):
    target = make_target("mlp")
    verdicts = [
        check_points(target, np.random.default_rng(100 + seed).normal(size=478)).beats_chance
        for seed in range(8)
    ]
    assert np.mean(verdicts) < 0.3


def test_curves_begin_and_end_with_the_whole_and_the_mean_face(make_target):
    target = make_target("gnn")
    check = check_points(target, point_contributions(target))
    whole = 1 / (1 + np.exp(-target.whole()))
    with torch.no_grad():
        nothing = float(target.of_parts(torch.zeros(1, 478)).sigmoid())
    for curve, first, last in (
        (check.deletion, whole, nothing),
        (check.insertion, nothing, whole),
        (check.random_deletion[3], whole, nothing),
    ):
        assert len(curve) == STEPS + 1
        assert (curve[0], curve[-1]) == pytest.approx((first, last), abs=1e-4)
    assert check.random_insertion.shape == (ORDERS, STEPS + 1)


def test_patches_that_the_network_reads_are_found_out(make_target):
    """Of pixels, a map of the patches that change the probability the most beats one of the others."""
    target = make_target("image")
    image = target.image(0)
    effect = np.zeros((24, 24))
    with torch.no_grad():
        whole = float(target.of_image(image, 0).sigmoid())
        for row in range(8):
            for column in range(8):
                part = np.s_[3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
                without = image.clone()
                without[0, 0][part] = image.mean()
                effect[part] = whole - float(target.of_image(without, 0).sigmoid())
    good, bad = check_pixels(target, effect), check_pixels(target, -effect)
    assert good.areas["deletion"] < bad.areas["deletion"]
    assert good.beats_chance[0] and not any(bad.beats_chance)


def test_half_a_success_is_called_doubtful():
    steps = np.linspace(1, 0, 5)
    random = np.tile(steps, (20, 1))
    check = Check(steps**3, steps[::-1] ** 3, random, random[:, ::-1])
    assert check.beats_chance == (True, False)
    assert check.sentence == "doubtful: deleting by this map beats random orders, inserting does not"


def test_stability_under_the_detectors_noise(make_target):
    target = make_target("mlp")
    found = point_contributions(target)
    noise = torch.randn(1, 478, 3, generator=torch.Generator().manual_seed(2))
    little, much = (stability(target, found, scale * noise, "integrated-gradients") for scale in (0.001, 0.5))
    assert little > 0.99 > much
    assert stability(target, found, None, "gradient") is None
    assert stability(target, found, torch.zeros(1, 478, 3), "gradient") is None
