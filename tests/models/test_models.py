"""One tester for every model: each read-out, each graph convolution and each graph, at tiny sizes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch_geometric.nn import GCNConv

from landmarkfer.calibration.fitted import Calibration
from landmarkfer.calibration.scaling import Scaling
from landmarkfer.calibration.temperature import temper
from landmarkfer.data.batch import FaceBatch
from landmarkfer.data.statistics import whitening_matrix
from landmarkfer.errors import CacheError, GraphError, SettingsError
from landmarkfer.face.blendshapes import BLENDSHAPE_MIRROR, N_BLENDSHAPES
from landmarkfer.face.graph import GRAPHS
from landmarkfer.face.landmarks import CANONICAL, N_LANDMARKS
from landmarkfer.models import MODELS, build_model, model_class, model_keywords
from landmarkfer.models.base import CALIBRATION, FaceModel
from landmarkfer.models.convs import PYG_LAYERS
from landmarkfer.models.fusion_heads import FUSIONS
from landmarkfer.models.landmark import LandmarkModel
from landmarkfer.models.readout import READOUTS
from landmarkfer.models.transformer import TOKENISERS

CLASSES = 4
GNN = {"graph": "anatomical", "widths": [4, 6], "hidden": [10], "identity": 3, "node_width": 2}
TRANSFORMER = {"width": 8, "depth": 2, "heads": 2, "expansion": 2}
IMAGE = {"backbone": "resnet-fer", "width": 4, "size": 48}
# Without dropout of the second branch, of which a gradient would then miss some parameters by chance.
FUSION = IMAGE | {"encoder": "gnn", "graph": "anatomical", "hidden": 0.0, "fusion_width": 8}
FUSION |= {"encoder_settings": {name: GNN[name] for name in GNN if name != "graph"}}
VARIANTS = {
    "mlp": ("mlp", {"hidden": [12, 10]}),
    "mlp-displacement": ("mlp", {"hidden": [10], "features": "displacement"}),
    "mlp-blendshapes": ("mlp", {"hidden": [10], "blendshapes": True}),
    "mlp-coordinates": ("mlp", {"hidden": [10], "features": "coordinates"}),
    **{f"gnn-{name}": ("gnn", GNN | {"readout": name}) for name in READOUTS},
    **{f"gnn-{name}": ("gnn", GNN | {"conv": name}) for name in PYG_LAYERS},
    **{f"gnn-{name}": ("gnn", GNN | {"graph": name}) for name in GRAPHS},
    **{f"gnn-regions-{name}": ("gnn", GNN | {"graph": "regions", "readout": name}) for name in READOUTS},
    "gnn-regions-gat": ("gnn", GNN | {"graph": "regions", "conv": "gat"}),
    "gnn-plain": ("gnn", GNN | {"identity": 0, "residual": False, "features": "coordinates"}),
    "gnn-one-block": ("gnn", GNN | {"features": "displacement", "widths": [6]}),
    "gnn-blendshapes": ("gnn", GNN | {"blendshapes": True}),
    "gnn-dynamic": ("gnn", GNN | {"dynamic_k": 4}),
    "gnn-dynamic-sage": ("gnn", GNN | {"dynamic_k": 4, "conv": "sage"}),
    "gnn-projection": ("gnn", GNN | {"projection": True, "lift": False}),
    **{f"transformer-{name}": ("transformer", TRANSFORMER | {"tokens": name}) for name in TOKENISERS},
    "transformer-mean": ("transformer", TRANSFORMER | {"pooling": "mean", "features": "coordinates"}),
    "transformer-graph": ("transformer", TRANSFORMER | {"graph": "knn", "tokens": "landmarks"}),
    "transformer-hubs": ("transformer", TRANSFORMER | {"graph": "regions", "features": "displacement"}),
    **{f"fusion-{name}": ("fusion", FUSION | {"fusion": name}) for name in FUSIONS},
    "fusion-mlp": (
        "fusion",
        FUSION | {"fusion": "gated", "encoder": "mlp", "encoder_settings": {"hidden": [8]}},
    ),
    "fusion-images": ("fusion", FUSION | {"fusion": "late", "encoder": "image", "encoder_settings": {}}),
    "image-resnet-fer": ("image", IMAGE),
    "image-resnet-fer-cropped": ("image", IMAGE | {"crop": 0.75, "size": 36, "drop_path": 0.1}),
    "image-cnn-small": ("image", {"backbone": "cnn-small", "size": 32}),
    "image-cnn-focal": ("image", {"backbone": "cnn-focal", "size": 32, "channels": 3}),
    "image-timm": ("image", {"backbone": "mobilenetv2_050", "size": 32, "keep_resolution": True}),
}


def calibration_of(temperature, classes, threshold=0.25):
    return Calibration(
        Scaling.of_temperature(temperature, classes), np.full((99, classes), threshold, np.float32)
    )


def make_batch(n=6, seed=0):
    """Faces and 48-pixel images of blotches, of which no two are alike."""
    generator = torch.Generator().manual_seed(seed)
    landmarks = torch.tensor(CANONICAL) + 0.2 * torch.randn(n, N_LANDMARKS, 3, generator=generator)
    blotches = torch.randint(256, (n, 1, 8, 8), generator=generator, dtype=torch.uint8)
    there = torch.ones(n, dtype=torch.bool)
    return FaceBatch(
        landmarks,
        has_face=there,
        image=blotches.repeat_interleave(6, dim=2).repeat_interleave(6, dim=3),
        has_image=there,
        keypoints=torch.rand(n, N_LANDMARKS, 2, generator=generator),
        blendshapes=torch.rand(n, N_BLENDSHAPES, generator=generator),
        labels=torch.arange(n) % CLASSES,
    )


@pytest.fixture(params=VARIANTS)
def model(request):
    name, keywords = VARIANTS[request.param]
    torch.manual_seed(0)
    model = build_model(name, CLASSES, **keywords)
    prior = torch.tensor([0.1, 0.2, 0.3, 0.4])
    if isinstance(model, LandmarkModel):
        model.set_statistics(torch.tensor(CANONICAL), torch.full((N_LANDMARKS, 3), 0.2))
    model.set_prior(prior)
    return model


def test_every_model_is_tried():
    neural = {name for name in MODELS if issubclass(model_class(name), FaceModel)}
    assert {name for name, _ in VARIANTS.values()} == neural


def test_every_model_keeps_the_contract(model):
    batch = make_batch()
    # Forward and backward.
    logits = model(batch)
    assert logits.shape == (6, CLASSES)
    torch.nn.functional.cross_entropy(logits, batch.labels).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"no gradient reaches {name}"
        assert torch.isfinite(parameter.grad).all(), name

    # In evaluation, a face's logits do not depend on what else is in the batch, nor on the call.
    model.eval()
    with torch.inference_mode():
        logits = model(batch)
        assert torch.isfinite(logits).all()
        assert logits.std(dim=0).min() > 1e-4, "the logits depend on the face"
        for rows in ([2], [5, 2, 0]):
            part = model(batch.rows(torch.tensor(rows)))
            torch.testing.assert_close(part, logits[rows], rtol=1e-4, atol=1e-5)
        embedding = model.embed(batch)
        assert embedding.shape == (6, model.embedding_size)
        torch.testing.assert_close(model.classify(embedding), logits, rtol=1e-4, atol=1e-5)

        # Where there is nothing to see there is exactly the log prior, whatever the batch holds. What a model
        # does not look at may be missing.
        landmarks, image = batch.landmarks.clone(), batch.image.clone()
        landmarks[1], landmarks[4] = torch.nan, 0
        image[1], image[4] = 255, 0
        seen = torch.tensor([True, False, True, True, False, True])
        if "image" not in model.inputs:
            changed = FaceBatch(landmarks, has_face=seen, blendshapes=batch.blendshapes)
        elif "landmarks" not in model.inputs:
            changed = replace(batch, image=image, has_image=seen, landmarks=landmarks * torch.nan)
        else:
            changed = replace(batch, image=image, has_image=seen)
        missing = model(changed)
        assert torch.equal(missing[~seen], model.log_prior.expand(2, -1))
        torch.testing.assert_close(missing[seen], logits[seen], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(missing[1].softmax(0), torch.tensor([0.1, 0.2, 0.3, 0.4]))


@pytest.mark.parametrize("name", ["mlp", *[f"gnn-{readout}" for readout in READOUTS]])
def test_every_model_can_learn_64_faces_by_heart(name):
    name, keywords = VARIANTS[name]
    wider = {"hidden": [32], "dropout": 0.0} | ({"widths": [16], "conv": "sage"} if name == "gnn" else {})
    torch.manual_seed(0)
    model = build_model(name, CLASSES, **keywords | wider)
    batch = make_batch(64)
    model.set_statistics(batch.landmarks.mean(0), batch.landmarks.std(0))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.02)
    for step in range(80):
        optimiser.param_groups[0]["lr"] = 0.02 * (1 - step / 80)
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(batch), batch.labels)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.05
    with torch.inference_mode():
        assert (model.eval()(batch).argmax(dim=1) == batch.labels).all()


def test_the_published_perceptron_has_its_size():
    published = build_model("mlp", 7, hidden=[512, 256])
    parameters = sum(parameter.numel() for parameter in published.parameters())
    assert parameters == pytest.approx(850_000, rel=0.03)


class TestFeatures:
    def test_displacement_is_counted_in_sds_of_each_coordinate(self):
        model = build_model("mlp", 2, hidden=[4], features="displacement")
        mean = torch.tensor(CANONICAL) + 1
        std = torch.full((N_LANDMARKS, 3), 0.5)
        std[7] = 2
        model.set_statistics(mean, std)
        landmarks = mean.expand(1, -1, -1).clone()
        landmarks[0, 3, 1] += 1
        landmarks[0, 7, 2] -= 1
        described = model.describe(landmarks)
        expected = torch.zeros(1, N_LANDMARKS, 3)
        expected[0, 3, 1], expected[0, 7, 2] = 2, -0.5
        torch.testing.assert_close(described, expected)

    def test_coordinates_are_the_normalised_landmarks_whatever_the_statistics(self):
        model = build_model("mlp", 2, features="coordinates", hidden=[4])
        batch = make_batch(40)
        model.learn_statistics(batch)
        assert torch.equal(model.describe(batch.landmarks), batch.landmarks)

    def test_whitened_is_the_displacement_without_what_other_coordinates_foretell(self):
        faces = make_batch(40).landmarks
        faces[:, 3] = faces[:, 4] + 0.01 * faces[:, 5]  # the one point foretells the other, almost
        models = [build_model("mlp", 2, features=f, hidden=[4]) for f in ("whitened", "displacement")]
        for model in models:
            model.learn_statistics(FaceBatch(faces, torch.ones(40, dtype=torch.bool)))
        whitened, plain = (model.describe(faces) for model in models)
        matrix = whitening_matrix(faces, models[0].mean, models[0].std, models[0].floor)
        torch.testing.assert_close(whitened.flatten(1), plain.flatten(1) @ matrix)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(models[0].describe(faces), whitened), "not in half precision"

    def test_blendshapes_are_counted_in_sds_and_missed_where_there_are_none(self):
        model = build_model("mlp", 2, hidden=[4], blendshapes=True)
        batch = make_batch(30)
        model.learn_statistics(batch)
        x = model.with_blendshapes(torch.zeros(30, 2), batch)[:, 2:]
        both = torch.cat([x, x[:, torch.from_numpy(BLENDSHAPE_MIRROR.copy())]])
        torch.testing.assert_close(both.mean(dim=0), torch.zeros(N_BLENDSHAPES), atol=1e-5, rtol=0)
        torch.testing.assert_close(both.std(dim=0, unbiased=False), torch.ones(N_BLENDSHAPES))
        with pytest.raises(CacheError, match="--detector landmarker"):
            model(replace(batch, blendshapes=None))

    def test_the_offset_is_added_to_the_logits_of_faces_alone(self):
        model = build_model("mlp", CLASSES, hidden=[4]).eval()
        batch = replace(make_batch(2), has_face=torch.tensor([True, False]))
        before = model(batch)
        model.set_offset(torch.arange(float(CLASSES)))
        torch.testing.assert_close(model(batch)[0], before[0] + torch.arange(CLASSES))
        assert torch.equal(model(batch)[1], before[1])

    def test_a_model_is_calibrated_where_it_has_usable_input_and_not_at_first(self):
        model = build_model("mlp", CLASSES, hidden=[4]).eval()
        batch = replace(make_batch(2), has_face=torch.tensor([True, False]))
        with torch.inference_mode():
            before = model(batch)
            given = before.double().softmax(dim=1).numpy()
        usable = model.has_input(batch).numpy()
        np.testing.assert_allclose(model.calibration.calibrated(given, usable), given)
        assert not model.set_thresholds.any()
        model.set_calibration(calibration_of(2.5, CLASSES))
        found = model.calibration.calibrated(given, usable)
        np.testing.assert_allclose(found[0], temper(given, 2.5)[0], rtol=1e-6)
        np.testing.assert_array_equal(found[1], given[1])
        assert not np.allclose(found[0], given[0], atol=1e-3)
        assert torch.equal(model(batch), before), "it is the average over views that is calibrated"

    def test_weights_of_before_there_was_calibration_are_not_calibrated(self):
        model = build_model("mlp", CLASSES, hidden=[4])
        weights = {k: v for k, v in model.state_dict().items() if k not in CALIBRATION}
        model.set_calibration(calibration_of(2.5, CLASSES))
        model.load_state_dict(dict(weights))
        assert torch.equal(model.scale_matrix, torch.eye(CLASSES)) and not model.scale_bias.any()
        assert not model.set_thresholds.any()
        with pytest.raises(RuntimeError, match=r"head\.bias"):
            model.load_state_dict({k: v for k, v in weights.items() if k != "head.bias"})

    def test_the_temperature_of_version_0_1_is_a_scaling_and_its_thresholds_those_of_all_classes(self):
        model = build_model("mlp", CLASSES, hidden=[4])
        weights = {k: v for k, v in model.state_dict().items() if k not in CALIBRATION}
        thresholds = torch.linspace(0.9, 0.02, 99)
        old = {
            "temperature": torch.tensor(2.5),
            "set_thresholds": thresholds,
            "answer_thresholds": thresholds,
        }
        model.load_state_dict(weights | old)
        torch.testing.assert_close(model.scale_matrix, torch.eye(CLASSES) / 2.5)
        assert not model.scale_bias.any()
        for column in model.set_thresholds.T:
            assert torch.equal(column, thresholds)
        assert torch.equal(model.answer_thresholds, thresholds)

    def test_a_coordinate_that_never_varied_and_an_absent_class_stay_finite(self):
        model = build_model("mlp", 3, hidden=[4]).eval()
        std = torch.zeros(N_LANDMARKS, 3)
        model.set_statistics(torch.tensor(CANONICAL), std)
        model.set_prior(torch.tensor([0.0, 0.4, 0.6]))
        logits = model(FaceBatch(torch.tensor(CANONICAL)[None], torch.tensor([True])))
        assert torch.isfinite(logits).all()
        assert torch.isfinite(model.log_prior).all()
        assert model.log_prior.argmin() == 0


class TestGraphs:
    def test_hubs_are_described_by_the_mean_of_their_region(self):
        model = build_model("gnn", 2, **GNN | {"graph": "regions", "identity": 0})
        batch = make_batch()
        nodes = model.nodes(model.describe(batch.landmarks))
        described = model.describe(batch.landmarks)
        points = torch.from_numpy(model.face_graph.node_region[:N_LANDMARKS] == 4)
        torch.testing.assert_close(nodes[N_LANDMARKS + 4], model.input(described[:, points].mean(dim=1)))

    def test_blocks_whose_widths_differ_add_a_map_of_their_input(self):
        for projection, shortcut in ((False, None), (True, (4, 6))):
            model = build_model("gnn", 2, **GNN | {"projection": projection}).eval()
            same, wider = model.blocks
            x = torch.randn(N_LANDMARKS, 2, 4, generator=torch.Generator().manual_seed(0))
            block_only = [block.norm(block.conv(x).flatten(0, 1)).relu() for block in (same, wider)]
            torch.testing.assert_close(same(x, None), x + block_only[0].view_as(x))
            added = (wider(x, None) - block_only[1].view(N_LANDMARKS, 2, 6)).detach()
            if shortcut is None:
                assert wider.shortcut is None
                assert not added.any()
            else:
                assert (wider.shortcut.in_features, wider.shortcut.out_features) == shortcut
                torch.testing.assert_close(added, x @ wider.shortcut.weight.T, rtol=1e-4, atol=1e-5)

    def test_without_a_lift_the_first_convolution_reads_the_features(self):
        model = build_model("gnn", 2, **GNN | {"lift": False, "identity": 0})
        batch = make_batch(2)
        described = model.describe(batch.landmarks).transpose(0, 1)
        assert torch.equal(model.nodes(model.describe(batch.landmarks)), described)
        assert model.blocks[0].conv(described).shape == (N_LANDMARKS, 2, 4)

    def test_own_neighbours_without_limit_are_the_full_graph(self):
        torch.manual_seed(0)
        own = build_model("gnn", 3, **GNN | {"dynamic_k": N_LANDMARKS - 1})
        full = build_model("gnn", 3, **GNN | {"graph": "full"})
        # PyTorch Geometric's layer lies one attribute deeper than the package's own.
        weights = {k.replace(".conv.layer.", ".conv."): v for k, v in own.state_dict().items()}
        full.load_state_dict(full.state_dict() | {k: v for k, v in weights.items() if "graph." not in k})
        batch = make_batch(2)
        torch.testing.assert_close(own.eval()(batch), full.eval()(batch), rtol=1e-4, atol=1e-5)

    def test_own_neighbours_are_those_of_each_face(self):
        """One convolution on faces of one batch, against the directed edges of each, found one by one."""
        torch.manual_seed(0)
        model = build_model("gnn", 3, **GNN | {"dynamic_k": 4})
        landmarks = make_batch(3).landmarks
        landmarks[2] = landmarks[0]
        x = model.nodes(model.describe(landmarks))
        conv = model.blocks[0].conv
        result = conv(x, model._own_edges(landmarks))
        layer: GCNConv = conv.layer
        for sample in range(3):
            distance = torch.cdist(landmarks[sample].double(), landmarks[sample].double()).fill_diagonal_(9)
            nearest = distance.argsort(dim=1)[:, :4]  # [478, 4]
            edges = torch.stack([nearest.flatten(), torch.arange(N_LANDMARKS).repeat_interleave(4)])
            torch.testing.assert_close(result[:, sample], layer(x[:, sample], edges), rtol=1e-4, atol=1e-5)
        assert torch.equal(result[:, 0], result[:, 2])
        # Edges found on another face give another result, so the check above is one.
        assert not torch.allclose(result[:, 1], layer(x[:, 1], edges), atol=1e-3)

    def test_identity_tells_nodes_apart(self):
        plain = build_model("gnn", 2, **GNN | {"identity": 0})
        known = build_model("gnn", 2, **GNN)
        same = torch.zeros(1, N_LANDMARKS, 3) + torch.tensor(CANONICAL)  # no displacement anywhere
        assert plain.nodes(plain.describe(same)).std(dim=0).max() < 1e-6
        assert known.nodes(known.describe(same)).std(dim=0).min() > 1e-3


class TestErrors:
    def test_unknown_models_are_refused_and_the_known_ones_listed(self):
        for function in (model_class, model_keywords):
            with pytest.raises(SettingsError, match=r"no model 'cnn'; the models are mlp, gnn"):
                function("cnn")

    @pytest.mark.parametrize(
        ("name", "known"), [("mlp", "hidden"), ("gnn", "readout"), ("transformer", "tokens")]
    )
    def test_unknown_keywords_are_refused_and_the_known_ones_listed(self, name, known):
        with pytest.raises(SettingsError, match=rf"'kernel' is no setting of model '{name}'; .*{known}"):
            build_model(name, 3, kernel=3)

    @pytest.mark.parametrize(
        ("keywords", "reason"),
        [
            ({"features": "pixels"}, "'whitened', 'displacement' or 'coordinates'"),
            ({"hidden": []}, "1 or more entries"),
            ({"hidden": 5}, "hidden"),
            ({"hidden": ["a"]}, "hidden"),
            ({"hidden": [-3]}, "hidden"),
            ({"dropout": 2.0}, "'dropout' = 2.0 .*below 1"),
            ({"dropout": "much"}, "'dropout'.*number"),
        ],
    )
    @pytest.mark.parametrize("name", ["mlp", "gnn"])
    def test_values_that_do_not_fit(self, name, keywords, reason):
        with pytest.raises(SettingsError, match=reason):
            build_model(name, 3, **keywords)

    @pytest.mark.parametrize(
        ("keywords", "reason"),
        [
            ({"widths": []}, "1 or more entries"),
            ({"widths": 8}, "'widths' = 8 .*list in brackets"),
            ({"widths": [0]}, "widths"),
            ({"readout": "sum"}, "mean, max, attention, region, nodewise"),
            ({"conv": "mlp"}, "gcn, sage, gin"),
            ({"identity": -1}, "identity"),
            ({"node_width": 0}, "node_width"),
            ({"dynamic_k": -2}, "dynamic_k"),
            ({"k": 0}, "'k' = 0"),
            ({"k": True}, "'k' = True"),
            ({"graph": 5}, "'graph' = 5"),
            ({"dynamic_k": 4, "graph": "regions"}, "hubs of 'regions'"),
            ({"projection": True, "residual": False}, "projection is of residual blocks"),
        ],
    )
    def test_values_that_do_not_fit_a_graph_network(self, keywords, reason):
        with pytest.raises(SettingsError, match=reason):
            build_model("gnn", 3, **keywords)

    def test_unknown_graphs_are_refused_and_the_known_ones_listed(self):
        with pytest.raises(GraphError, match=r"'mesh'.*anatomical.*tesselation"):
            build_model("gnn", 3, graph="mesh")

    def test_keywords_are_the_constructors(self):
        expected = {"hidden": (2048, 256), "dropout": 0.4, "features": "whitened", "floor": 1e-4}
        assert model_keywords("mlp") == expected | {"noise": 10.0, "blendshapes": False}
        assert {"graph", "k", "conv", "widths", "readout"} <= set(model_keywords("gnn"))
