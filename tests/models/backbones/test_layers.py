from functools import cache
from itertools import chain

import pytest
import torch

from landmarkfer.models.backbones.build import OWN, build_backbone
from landmarkfer.models.backbones.layers import MapInfo, depth_groups, find_map

SIZE = 32
# name: groups of layers
GROUPS = {
    "efficientnet_b0": 8,
    "resnet18": 5,
    "resnet50": 5,
    "vgg16": 5,
    "vgg19": 5,
    "mobilenetv2_100": 8,
    "vit_tiny_patch16_224": 13,
    "resnet-fer": 5,
    "cnn-small": 5,
    "cnn-focal": 5,
}


@cache
def built(name):
    torch.manual_seed(0)
    return build_backbone(name, channels=1, size=SIZE)[0]


class TestFindMap:
    @pytest.mark.parametrize(
        ("name", "stride", "expected"),
        [
            # Strides 1, 2, 2 and 2: maps of 32, 16, 8 and 4 pixels.
            ("resnet-fer", 1, MapInfo("stages.0", 64, 32)),
            ("resnet-fer", 7, MapInfo("stages.2", 256, 8)),
            ("resnet-fer", 8, MapInfo("stages.3", 512, 4)),
            # Each block ends with a pooling.
            ("cnn-small", 2, MapInfo("stages.0", 32, 16)),
            ("cnn-small", 100, MapInfo("stages.3", 160, 2)),
            # The stem halves twice, then every stage but the first.
            ("resnet18", 8, MapInfo("layer2", 128, 4)),
        ],
    )
    def test_the_deepest_that_is_fine_enough(self, name, stride, expected):
        assert find_map(built(name), name, 1, SIZE, stride) == expected

    @pytest.mark.parametrize(("name", "stride"), [("vit_tiny_patch16_224", 4), ("cnn-small", 1)])
    def test_where_there_is_none(self, name, stride):
        with pytest.raises(ValueError, match=rf"'{name}' has no map of every {stride}th pixel"):
            find_map(built(name), name, 1, SIZE, stride)

    def test_the_backbone_stays_as_it_was(self):
        backbone = build_backbone("cnn-small", channels=1, size=SIZE)[0]
        before = {key: value.clone() for key, value in backbone.state_dict().items()}
        for mode in (True, False):
            find_map(backbone.train(mode), "cnn-small", 1, SIZE, 2)
            assert all(module.training is mode for module in backbone.modules())
        assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())
        assert not any(module._forward_hooks for module in backbone.modules())


@pytest.mark.parametrize("name", GROUPS)
def test_every_parameter_is_in_one_group(name):
    backbone = built(name)
    groups = depth_groups(backbone)
    assert len(groups) == GROUPS[name]
    names = [name for name, _ in backbone.named_parameters()]
    assert sorted(chain(*groups)) == sorted(names)
    assert names[0] in groups[0]
    assert names[-1] in groups[-1]
    for group in groups:
        assert any(backbone.get_parameter(key).ndim > 1 for key in group), f"{group} holds no weights"


def test_groups_of_known_layers():
    groups = depth_groups(built("resnet-fer"))
    assert groups[0] == ["stem.0.weight", "stem.1.weight", "stem.1.bias"]
    assert [{key.rpartition("stages.")[2][0] for key in group} for group in groups[1:]] == [*map(set, "0123")]
    vit = depth_groups(built("vit_tiny_patch16_224"))
    assert {"pos_embed", "cls_token", "patch_embed.proj.weight"} <= set(vit[0])
    assert {"norm.weight", "blocks.11.mlp.fc2.weight"} <= set(vit[-1])
    # VGG16: 2, 2, 3, 3 and 3 convolutions before the five poolings, each a weight and a bias.
    assert [len(group) for group in depth_groups(built("vgg16"))] == [4, 4, 6, 6, 6]


def test_the_own_ones_are_tested():
    assert set(OWN) < set(GROUPS)
