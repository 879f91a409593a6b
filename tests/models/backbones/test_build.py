import socket
from functools import cache

import pytest
import torch
from torch import nn

from landmarkfer.models.backbones.build import OWN, BasicBlock, Pointwise, ResNetFER, build_backbone

SIZE = 32
# name: width of the features
TESTED = {
    "efficientnet_b0": 1280,
    "resnet18": 512,
    "resnet50": 2048,
    "vgg16": 512,
    "vgg19": 512,
    "mobilenetv2_100": 1280,
    "vit_tiny_patch16_224": 192,
    "resnet-fer": 512,
    "cnn-small": 96,
    "cnn-focal": 128,
}


@cache
def built(name):
    torch.manual_seed(0)
    return build_backbone(name, channels=1, size=SIZE)


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", TESTED)
def test_every_backbone_gives_one_vector_a_face_and_learns(name):
    backbone, width = built(name)
    assert width == TESTED[name]
    assert backbone.training
    features = backbone(torch.rand(2, 1, SIZE, SIZE))
    assert features.shape == (2, width)
    features.square().sum().backward()
    for key, parameter in backbone.named_parameters():
        assert parameter.grad is not None, f"no gradient reaches {key}"
        assert torch.isfinite(parameter.grad).all(), key


class TestOwn:
    def test_resnet_at_64_channels_is_a_resnet18_with_another_stem(self):
        # torchvision's has 11,689,512 parameters: less 513,000 of the classifier, less the 7 x 7 kernels on
        # three channels, plus the 3 x 3 kernels on one.
        assert parameters(built("resnet-fer")[0]) == 11_689_512 - 513_000 - 64 * 3 * 49 + 64 * 9

    def test_resnet_keeps_six_pixels_of_48(self):
        narrow = ResNetFER(1, width=2)
        x = torch.rand(1, 1, 48, 48)
        assert narrow.stem(x).shape == (1, 2, 48, 48)
        assert narrow.stages(narrow.stem(x)).shape == (1, 16, 6, 6)
        assert narrow(x).shape == (1, 16)

    @pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
    def test_a_pointwise_convolution_of_every_second_pixel_is_a_strided_one(self, memory_format):
        strided, own = nn.Conv2d(4, 8, 1, 2, bias=False), Pointwise(4, 8, 2)
        own.load_state_dict(strided.state_dict())
        own.to(memory_format=memory_format)
        x = torch.randn(3, 4, 9, 9)
        # The strided one in the plain order: in channels-last order its gradient ends some processes.
        inputs = [x.clone().requires_grad_(), x.to(memory_format=memory_format).requires_grad_()]
        results = [layer(given) for layer, given in zip((strided, own), inputs, strict=True)]
        for result in results:
            result.square().sum().backward()
        torch.testing.assert_close(*results)
        torch.testing.assert_close(*(given.grad for given in inputs))
        torch.testing.assert_close(strided.weight.grad, own.weight.grad)

    def test_a_residual_block_adds_to_its_shortcut_from_the_start(self):
        block = BasicBlock(3, 3, 1, drop_path=0)
        x = torch.randn(4, 3, 5, 5)
        torch.testing.assert_close(block(x), (x + block.residual(x)).relu())
        assert block.residual(x).std() > 0.5, "the first gradients reach every convolution"
        torch.nn.init.zeros_(block.residual[-1].weight)
        assert torch.equal(block(x), x.relu())

    def test_stochastic_depth_drops_whole_samples_in_training_only(self):
        torch.manual_seed(0)
        block = BasicBlock(2, 2, 1, drop_path=0.5)
        nn.init.ones_(block.residual[-1].weight)
        x = torch.randn(200, 2, 4, 4)
        dropped = (block(x) == x.relu()).flatten(1).all(dim=1)
        assert 60 < dropped.sum() < 140
        assert not (block.eval()(x) == x.relu()).flatten(1).all(dim=1).any()
        rates = [getattr(b.drop_path, "drop_prob", 0) for stage in ResNetFER(1, 2, 0.7).stages for b in stage]
        assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])

    def test_the_small_cnn_has_the_published_size(self):
        assert parameters(built("cnn-small")[0]) + 96 * 7 + 7 == 423_175

    def test_the_focal_cnn_has_dense_layers_on_the_whole_last_map(self):
        backbone, _ = build_backbone("cnn-focal", channels=1, size=48)
        kernels = 9 * (1 * 64 + 64 * 128 + 128 * 256 + 256 * 512)
        dense = 3 * 3 * 512 * 256 + 256 * 128
        norms = 2 * (64 + 128 + 256 + 512 + 256 + 128)
        assert parameters(backbone) == kernels + dense + norms

    @pytest.mark.parametrize("name", ["cnn-small", "cnn-focal"])
    def test_dropout_is_half_after_the_blocks(self, name):
        backbone, _ = build_backbone(name, channels=3, size=SIZE, dropout=0.4)
        rates = [m.p for m in backbone.stages.modules() if isinstance(m, nn.Dropout)]
        assert rates == [0.2] * 4


class TestTimm:
    def test_vgg_comes_without_its_dense_layers(self):
        # The convolutions of VGG16 on three channels have 14,714,688 parameters.
        assert parameters(built("vgg16")[0]) == 14_714_688 - 2 * 9 * 64

    def test_transformers_are_built_for_the_size(self):
        assert built("vit_tiny_patch16_224")[0].pos_embed.shape == (1, 1 + 4, 192)

    @pytest.mark.parametrize(
        ("name", "before", "after"), [("resnet18", 8, 32), ("mobilenetv2_100", 16, 32), ("resnet10t", 8, 32)]
    )
    def test_keep_resolution(self, name, before, after):
        def side(**keywords):
            backbone, _ = build_backbone(name, channels=1, size=SIZE, **keywords)
            seen = []
            first = backbone.layer1 if hasattr(backbone, "layer1") else backbone.blocks
            first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[-1]))
            backbone(torch.rand(2, 1, SIZE, SIZE))
            return seen[0], {key: value.shape for key, value in backbone.state_dict().items()}

        (reduced, shapes), (kept, same) = side(), side(keep_resolution=True)
        assert (reduced, kept) == (before, after)
        assert shapes == same, "weights trained at the reduced resolution fit"

    def test_drop_path_is_handed_on(self):
        backbone, _ = build_backbone("efficientnet_b0", channels=1, size=SIZE, drop_path=0.2)
        rates = [m.drop_prob for m in backbone.modules() if type(m).__name__ == "DropPath"]
        assert 0.15 < max(rates) <= 0.2

    def test_a_set_of_weights_can_be_named(self):
        build_backbone("mobilenetv3_small_050.lamb_in1k", channels=1, size=SIZE)

    def test_building_needs_no_network(self, monkeypatch):
        def refuse(*args, **kwargs):
            raise AssertionError("the network was asked")

        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        monkeypatch.setattr(socket.socket, "connect", refuse)
        build_backbone("mobilenetv2_035", channels=1, size=SIZE)
        with pytest.raises(ValueError, match="no backbone 'hf-hub:timm/resnet18'"):
            build_backbone("hf-hub:timm/resnet18", channels=1, size=SIZE)


@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        (
            {"name": "resnet81"},
            r"no backbone 'resnet81'; close to it are .*resnet18.*own are resnet-fer, cnn",
        ),
        ({"name": "resnet-fern"}, "close to it are resnet-fer,"),
        ({"name": "qqqqqqqq"}, r"see timm.list_models\(\)"),
        ({"name": "resnet18.tv"}, "close to it are .*resnet18.tv_in1k"),
        ({"name": "resnet18", "width": 32}, "'resnet18' has no width"),
        ({"name": "cnn-small", "width": 32}, "'cnn-small' has no width"),
        ({"name": "cnn-small", "drop_path": 0.1}, "no residual blocks"),
        ({"name": "vgg16", "drop_path": 0.1}, "no residual blocks"),
        ({"name": "resnet-fer", "keep_resolution": True}, "'resnet-fer' has a stem that keeps"),
        ({"name": "vgg16", "keep_resolution": True}, "'vgg16' has none"),
        ({"name": "vit_tiny_patch16_224", "keep_resolution": True}, "has none"),
        ({"name": "vit_tiny_patch16_224", "size": 44}, "patches of 16 pixels, and 44"),
        ({"name": "vgg16", "size": 16}, "'vgg16' cannot see images of 16 pixels"),
        ({"name": "cnn-small", "size": 8}, "'cnn-small' cannot see images of 8 pixels"),
        ({"name": "cnn-focal", "size": 8}, "halves images four times"),
    ],
)
def test_what_cannot_be_built_is_refused_with_the_reason(keywords, reason):
    with pytest.raises(ValueError, match=reason):
        build_backbone(**{"channels": 1, "size": SIZE} | keywords)


def test_the_own_ones_are_tested():
    assert set(OWN) < set(TESTED)
