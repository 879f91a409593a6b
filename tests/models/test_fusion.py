"""What fused models promise beyond what all models do."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from landmarkfer.calibration.fitted import Calibration
from landmarkfer.calibration.scaling import Scaling
from landmarkfer.data.batch import FaceBatch
from landmarkfer.errors import SettingsError
from landmarkfer.face.landmarks import CANONICAL, N_LANDMARKS
from landmarkfer.models import build_model
from landmarkfer.models.fusion import sample_map
from landmarkfer.models.fusion_heads import FUSIONS

CLASSES = 3
IMAGE = {"backbone": "resnet-fer", "width": 4, "size": 24, "dropout": 0.0}
ENCODER = {"widths": [4], "hidden": [6], "identity": 2, "node_width": 2}
KEYWORDS = IMAGE | {
    "graph": "anatomical",
    "encoder_settings": ENCODER,
    "fusion_width": 8,
    "fusion_dropout": 0.0,
}


def fused(**keywords):
    torch.manual_seed(0)
    model = build_model("fusion", CLASSES, **KEYWORDS | keywords)
    batch = make_batch(20)
    if keywords.get("encoder") != "image":
        model.learn_statistics(batch)
    return model


def make_batch(n=6):
    generator = torch.Generator().manual_seed(1)
    yes = torch.ones(n, dtype=torch.bool)
    return FaceBatch(
        torch.tensor(CANONICAL) + 0.2 * torch.randn(n, N_LANDMARKS, 3, generator=generator),
        yes,
        image=torch.randint(256, (n, 1, 24, 24), generator=generator, dtype=torch.uint8),
        has_image=yes,
        keypoints=torch.rand(n, N_LANDMARKS, 2, generator=generator),
        labels=torch.arange(n) % CLASSES,
    )


@pytest.mark.parametrize("fusion", FUSIONS)
class TestWithoutAFace:
    def test_it_is_its_image_branch(self, fusion):
        model = fused(fusion=fusion).eval()
        batch = make_batch()
        has_face = torch.tensor([True, False, True, False, False, True])
        landmarks = torch.where(has_face[:, None, None], batch.landmarks, torch.nan)
        points = torch.where(has_face[:, None, None], batch.keypoints, torch.nan)
        with torch.inference_mode():
            logits = model(replace(batch, has_face=has_face, landmarks=landmarks, keypoints=points))
            pixels = model.image(batch)
            whole = model(batch)
        torch.testing.assert_close(logits[~has_face], pixels[~has_face])
        torch.testing.assert_close(logits[has_face], whole[has_face])
        assert (whole - pixels).abs().max() > 1e-3, "the second branch has something to say"

    def test_hidden_in_training_it_is_its_image_branch_too(self, fusion):
        model = fused(fusion=fusion, hidden=0.5)
        model.train()
        batch = make_batch(64)
        told = model(batch)
        torch.manual_seed(3)
        image = model.image.embed(batch)
        torch.testing.assert_close(model.embed(batch)[:, : image.shape[1]], image, rtol=1e-3, atol=1e-3)
        joint = model.embed(batch)[:, image.shape[1] :]
        hidden = (joint == 0).all(dim=1)
        assert 15 < hidden.sum() < 49, "half of 64, give or take four SDs"
        assert torch.isfinite(told).all()
        assert not (model.eval().embed(batch)[:, image.shape[1] :] == 0).all(dim=1).any()


def test_late_adds_logits():
    model = fused(fusion="late").eval()
    batch = make_batch()
    with torch.inference_mode():
        whole, pixels = model(batch), model.image(batch)
        model.scale_second_branch(0.5)
        torch.testing.assert_close(model(batch), pixels + (whole - pixels) / 2)
        model.scale_second_branch(0.0)
        torch.testing.assert_close(model(batch), pixels)


class TestSampling:
    def test_a_map_is_read_where_the_points_lie(self):
        # Places of a 4 x 4 map are centred at 1/8, 3/8, 5/8 and 7/8 of the side.
        map_ = torch.arange(16.0).view(1, 1, 4, 4)
        points = torch.tensor([[[0.125, 0.125], [0.875, 0.125], [0.375, 0.625], [0.5, 0.125], [-1.0, 2.0]]])
        assert sample_map(map_, points)[0, :, 0].tolist() == pytest.approx([0, 3, 9, 1.5, 12])

    def test_what_lies_at_a_landmark_reaches_its_node(self):
        model = fused(fusion="sampled").eval()
        batch = make_batch(2)
        channels = model.sample.in_channels
        # The map tells x and y; both come through to the first two features of the pixels.
        places = (torch.arange(6) + 0.5) / 6
        map_ = torch.zeros(2, channels, 6, 6)
        map_[:, 0], map_[:, 1] = places, places[:, None]
        torch.nn.init.zeros_(model.sample.weight)
        torch.nn.init.zeros_(model.sample.bias)
        model.sample.weight.data[[0, 1], [0, 1]] = 1
        read = []
        model.encoder.embed_nodes = lambda described, batch: read.append(described)
        with torch.inference_mode():
            model._encode(batch, map_)
        (described,) = read
        assert torch.equal(described[..., :3], model.encoder.describe(batch.landmarks))
        inside = batch.keypoints.clamp(1 / 12, 11 / 12)  # beyond the outer places lies what is there
        torch.testing.assert_close(described[..., 3:5], inside)
        assert (described[..., 5:] == 0).all()

    def test_points_follow_the_crop_of_the_stored_image(self):
        model = fused(fusion="sampled", crop=0.75, size=18)
        batch = make_batch(2)
        stored = replace(batch, keypoints=torch.full_like(batch.keypoints, 0.5))
        torch.testing.assert_close(model.image.cropped_keypoints(stored), stored.keypoints)
        corner = replace(batch, keypoints=torch.full_like(batch.keypoints, 3 / 24))
        assert model.image.cropped_keypoints(corner).abs().max() == 0, "three pixels are cropped"
        cut = replace(batch, image=batch.image[..., 3:21, 3:21].float() / 255)
        assert torch.equal(model.image.cropped_keypoints(cut), cut.keypoints), "cropped once, not twice"


class TestBranches:
    def test_weights_of_both_models_make_the_sum_of_their_logits(self):
        torch.manual_seed(5)
        image = build_model("image", CLASSES, **IMAGE).eval()
        encoder = build_model("gnn", CLASSES, graph="anatomical", **ENCODER).eval()
        encoder.learn_statistics(make_batch(20))
        model = fused(fusion="late").eval()
        model.initialise_branch("image", image.state_dict())
        model.initialise_branch("encoder", encoder.state_dict())
        batch = make_batch()
        with torch.inference_mode():
            torch.testing.assert_close(model(batch), image(batch) + encoder(batch), rtol=1e-4, atol=1e-5)

    def test_what_was_fitted_to_the_images_of_a_branch_alone_is_not_taken(self):
        image = build_model("image", CLASSES, **IMAGE)
        image.set_offset(torch.ones(CLASSES))
        image.set_calibration(
            Calibration(Scaling.of_temperature(3.0, CLASSES), np.full((99, CLASSES), 0.5, np.float32))
        )
        model = fused()
        model.initialise_branch("image", image.state_dict())
        assert torch.equal(model.image.head.weight, image.head.weight)
        for part in (model, model.image):
            assert torch.equal(part.scale_matrix, torch.eye(CLASSES))
            assert not part.class_offset.any()
            assert not part.set_thresholds.any()

    def test_a_sampled_encoder_begins_without_pixels(self):
        encoder = build_model("gnn", CLASSES, graph="anatomical", **ENCODER).eval()
        encoder.learn_statistics(make_batch(20))
        model = fused(fusion="sampled").eval()
        model.initialise_branch("encoder", encoder.state_dict())
        batch = make_batch()
        with torch.inference_mode():
            map_ = model.image.embed_with_map(batch, 4)[1]
            torch.testing.assert_close(model._encode(batch, map_), encoder.embed(batch))

    def test_another_model_is_refused(self):
        other = build_model("image", CLASSES, **IMAGE | {"width": 8})
        with pytest.raises(ValueError, match=r"backbone.*differs"):
            fused().initialise_branch("image", other.state_dict())

    def test_a_frozen_branch_stays_and_the_rest_learns(self):
        model = fused(fusion="gated")
        model.freeze_branch("image")
        before = {name: value.clone() for name, value in model.state_dict().items()}
        optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
        batch = make_batch()
        model.train()
        torch.nn.functional.cross_entropy(model(batch), batch.labels).backward()
        optimiser.step()
        changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        assert not [name for name in changed if name.startswith("image.")], "its norms keep their statistics"
        assert {"head.weight", "encoder.layers.0.weight", "joint.gate.weight"} <= changed
        with pytest.raises(ValueError, match="trained"):
            fused(fusion="sampled").freeze_branch("encoder")


class TestErrors:
    @pytest.mark.parametrize(
        ("keywords", "message"),
        [
            ({"fusion": "sampled", "encoder": "mlp", "encoder_settings": {}}, "encoder is 'mlp'"),
            (
                {"fusion": "cross-attention", "encoder": "image", "encoder_settings": {}},
                "asks with landmarks",
            ),
            ({"fusion": "cross-attention", "fusion_width": 6}, "multiple of 4"),
            ({"encoder": "image"}, "no settings of its own"),
            ({"encoder_settings": {"wdiths": [3]}}, "'wdiths' is no setting of model 'gnn'"),
            ({"backbone": "vit_tiny_patch16_224", "size": 32, "width": 64}, "no map"),
        ],
    )
    def test_what_does_not_fit(self, keywords, message):
        with pytest.raises(SettingsError, match=message):
            build_model("fusion", CLASSES, **KEYWORDS | {"fusion": "sampled"} | keywords)
