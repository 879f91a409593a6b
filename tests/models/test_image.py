from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy

from landmarkfer.data.batch import FaceBatch
from landmarkfer.errors import SettingsError
from landmarkfer.models import build_model, model_keywords
from landmarkfer.models.image import LUMA, ImageModel

TINY = {"backbone": "resnet-fer", "width": 2, "size": 8, "dropout": 0.0}


def tiny(**keywords):
    """A model whose statistics leave pixels as they are."""
    torch.manual_seed(0)
    model = build_model("image", 3, **TINY | keywords)
    model.set_image_statistics(torch.zeros(1), torch.ones(1))
    return model


def make_batch(image, **others):
    n = len(image)
    there = torch.ones(n, dtype=torch.bool)
    return FaceBatch(torch.zeros(n, 478, 3), ~there, **{"image": image, "has_image": there} | others)


def noise(*shape, seed=0):
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


class TestPrepare:
    def test_stored_pixels_are_cut_in_the_middle(self):
        image = noise(2, 1, 12, 12)
        seen = tiny(crop=8 / 12).prepare(image)
        torch.testing.assert_close(seen, image[:, :, 2:10, 2:10] / 255)

    def test_augmented_pixels_are_cut_already(self):
        image = torch.rand(2, 1, 8, 8)
        assert torch.equal(tiny(crop=0.5).prepare(image), image)

    @pytest.mark.parametrize(("crop", "side"), [(44 / 48, 44), (0.9167, 44), (1.0, 48), (0.001, 1)])
    def test_how_much_is_seen(self, crop, side):
        assert tiny(crop=crop).cropped_side(48) == side

    def test_a_larger_image_is_averaged_and_not_sampled(self):
        stripes = torch.zeros(1, 1, 32, 32)
        stripes[..., ::2] = 1
        shrunk = tiny().prepare(stripes)
        assert shrunk.shape == (1, 1, 8, 8)
        torch.testing.assert_close(shrunk[..., 1:-1], torch.full((1, 1, 8, 6), 0.5), atol=0.02, rtol=0)

    def test_a_smaller_image_is_interpolated(self):
        image = torch.tensor([[0.0, 1.0]]).repeat(2, 1)[None, None]  # [1, 1, 2, 2]
        row = tiny(size=4, backbone="resnet-fer").prepare(image)[0, 0, 0]
        torch.testing.assert_close(row, torch.tensor([0.0, 0.25, 0.75, 1.0]))

    def test_colour_becomes_grey_as_pillow_does_it(self):
        image = noise(1, 3, 8, 8)
        grey = np.asarray(Image.fromarray(image[0].permute(1, 2, 0).numpy()).convert("L"))
        seen = tiny().prepare(image)[0, 0] * 255
        assert np.abs(seen.numpy() - grey).max() < 1

    def test_grey_becomes_three_channels_each_with_its_own_statistics(self):
        model = tiny(channels=3)
        mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 1.0, 2.0])
        model.set_image_statistics(mean, std)
        seen = model.prepare(torch.full((2, 1, 8, 8), 0.7))
        assert seen.shape == (2, 3, 8, 8)
        torch.testing.assert_close(seen[1, :, 4, 5], torch.tensor([1.2, 0.5, 0.2]))

    def test_statistics_of_other_channels_are_converted(self):
        colour = tiny(channels=3)
        colour.set_image_statistics(torch.tensor([0.4]), torch.tensor([0.0]))
        torch.testing.assert_close(colour.image_mean, torch.tensor([0.4, 0.4, 0.4]))
        assert (colour.image_std > 0).all(), "images all alike do not divide by zero"
        grey = tiny()
        grey.set_image_statistics(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0]))
        torch.testing.assert_close(grey.image_mean, torch.tensor([LUMA[0]]))
        torch.testing.assert_close(grey.image_std, torch.tensor([LUMA[1]]))


class TestModel:
    def test_the_prior_is_where_no_image_is_and_not_where_no_face_is(self):
        model = tiny().eval()
        model.set_prior(torch.tensor([0.2, 0.3, 0.5]))
        batch = make_batch(noise(3, 1, 8, 8), has_image=torch.tensor([True, False, True]))
        assert not batch.has_face.any()
        logits = model(batch)
        torch.testing.assert_close(logits[1].softmax(0), torch.tensor([0.2, 0.3, 0.5]))
        alone = model(make_batch(batch.image))
        assert torch.equal(alone[[0, 2]], logits[[0, 2]])
        assert not torch.allclose(alone[1], logits[1])
        assert torch.equal(model(make_batch(batch.image, has_image=None)), alone)

    def test_a_batch_without_images_is_refused(self):
        with pytest.raises(ValueError, match="needs a batch with images"):
            tiny()(replace(make_batch(noise(1, 1, 8, 8)), image=None))

    def test_every_parameter_is_in_one_group_and_the_head_in_the_last(self):
        model = tiny()
        groups = model.depth_groups()
        assert sorted(chain(*groups)) == sorted(name for name, _ in model.named_parameters())
        assert groups[0][0] == "backbone.stem.0.weight"
        assert groups[-1] == ["head.weight", "head.bias"]
        assert len(groups) == 6

    def test_frozen_stages_keep_their_statistics(self):
        model = tiny()
        model.freeze(2)  # the stem and the first stage
        before = {key: value.clone() for key, value in model.named_buffers()}
        model.train()(make_batch(noise(4, 1, 8, 8)))
        moved = {key for key, value in model.named_buffers() if not torch.equal(value, before[key])}
        assert moved
        assert all(
            key.startswith(("backbone.stages.1", "backbone.stages.2", "backbone.stages.3")) for key in moved
        )

    def test_it_can_learn_images_by_heart(self):
        model = tiny(size=16, width=4)
        labels = torch.arange(48) % 3
        batch = make_batch(noise(48, 1, 16, 16), labels=labels)
        model.set_image_statistics(torch.tensor([0.5]), torch.tensor([0.3]))
        optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
        for step in range(60):
            optimiser.param_groups[0]["lr"] = 0.01 * (1 - step / 60)
            optimiser.zero_grad()
            cross_entropy(model(batch), labels).backward()
            optimiser.step()
        assert (model.eval()(batch).argmax(dim=1) == labels).all()

    def test_weights_and_statistics_come_back_from_a_file(self, tmp_path):
        model = tiny(channels=3)
        model.set_image_statistics(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.5, 1.0, 2.0]))
        batch = make_batch(noise(4, 1, 8, 8))
        model(batch)  # moves the statistics of the norms
        tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        save_file(tensors, tmp_path / "model.safetensors")
        other = build_model("image", 3, **TINY | {"channels": 3})
        other.load_state_dict(load_file(tmp_path / "model.safetensors"))
        assert torch.equal(other.eval()(batch), model.eval()(batch))

    def test_kernels_lie_channels_last_and_stay_so(self):
        model = tiny(width=4)
        model.load_state_dict({k: v.contiguous() for k, v in model.state_dict().items()})
        maps = []
        model.backbone.stem.register_forward_hook(lambda module, inputs, output: maps.append(output))
        model(make_batch(noise(2, 1, 8, 8)))
        assert maps[0].is_contiguous(memory_format=torch.channels_last)
        assert not maps[0].is_contiguous()

    def test_half_precision(self):
        model = tiny()
        batch = make_batch(noise(4, 1, 8, 8), has_image=torch.tensor([True, False, True, True]))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(batch)
        cross_entropy(logits.float(), torch.tensor([0, 1, 2, 0])).backward()
        assert logits.dtype == torch.bfloat16
        assert torch.isfinite(model.head.weight.grad).all()

    def test_the_published_size(self):
        model = build_model("image", 7, backbone="cnn-small")
        assert sum(parameter.numel() for parameter in model.parameters()) == 423_175


class TestSettings:
    def test_keywords(self):
        assert model_keywords("image") == {
            "backbone": "resnet-fer",
            "size": 48,
            "channels": 1,
            "crop": 1.0,
            "weights": "none",
            "width": 64,
            "keep_resolution": False,
            "dropout": 0.3,
            "drop_path": 0.0,
        }

    @pytest.mark.parametrize(
        ("keywords", "reason"),
        [
            (
                {"backbone": "resnet81"},
                "'image' cannot be built so: there is no backbone 'resnet81'; .*resnet18",
            ),
            ({"weights": "pretrained"}, "no pretrained weights of 'resnet-fer', only of timm's"),
            ({"channels": 2}, "'channels' = 2 .*1 or 3"),
            ({"crop": 0.0}, "above 0"),
            ({"crop": 1.5}, "1 or less"),
            ({"size": 0}, "'size' = 0"),
            ({"width": 0}, "'width' = 0"),
            ({"dropout": 1.0}, "below 1"),
            ({"drop_path": -0.1}, "'drop_path'"),
            ({"keep_resolution": "yes"}, "'keep_resolution'"),
            ({"backbone": "vgg16", "width": 16}, "'vgg16' has no width"),
        ],
    )
    def test_values_that_do_not_fit(self, keywords, reason):
        with pytest.raises(SettingsError, match=reason):
            build_model("image", 3, **keywords)

    def test_without_weights_nothing_is_loaded(self):
        model = tiny()
        before = {key: value.clone() for key, value in model.state_dict().items()}
        assert model.load_pretrained() is False
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())

    def test_weights_are_no_matter_of_building(self):
        assert isinstance(build_model("image", 3, **TINY | {"weights": "gone/since.safetensors"}), ImageModel)
