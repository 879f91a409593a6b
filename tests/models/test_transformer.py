"""The transformer, and how a graph biases its attention; the shared tester is in test_models.py."""

from pathlib import Path

import numpy as np
import pytest
import torch

from landmarkfer.config.recipes import load_settings
from landmarkfer.data.batch import FaceBatch
from landmarkfer.errors import GraphError, SettingsError
from landmarkfer.face.graph import FaceGraph, build_graph
from landmarkfer.face.landmarks import CANONICAL, N_LANDMARKS, REGION, REGIONS, region_points
from landmarkfer.models import build_model
from landmarkfer.models.transformer import (
    NO_PATH,
    Block,
    GraphBias,
    LandmarkTokens,
    RegionTokens,
    token_distances,
)

RECIPES = Path(__file__).parents[2] / "experiments" / "recipes"
SMALL = {"width": 8, "heads": 2, "depth": 2, "expansion": 2.0, "dropout": 0.0}


def faces(n, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    landmarks = torch.tensor(CANONICAL) + 0.2 * torch.randn(n, N_LANDMARKS, 3, generator=generator)
    return FaceBatch(landmarks, torch.ones(n, dtype=torch.bool), labels=torch.arange(n) % classes)


def build(seed=0, **keywords):
    torch.manual_seed(seed)
    model = build_model("transformer", 4, **SMALL | keywords)
    model.set_statistics(torch.tensor(CANONICAL), torch.full((N_LANDMARKS, 3), 0.2))
    return model


def gradients(model, batch):
    model.zero_grad()
    torch.nn.functional.cross_entropy(model(batch), batch.labels).backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


class TestPublishedSizes:
    @pytest.mark.parametrize(
        ("recipe", "published"),
        [
            ("fer2013-mlp", 850_000),
            ("fer2013-gcn-published", 537_000),
            ("fer2013-transformer-published", 1_000_000),
        ],
    )
    def test_parameters(self, recipe, published):
        settings = load_settings(RECIPES / f"{recipe}.toml").model
        model = build_model(settings.name, 7, **settings.keywords)
        assert parameters(model) == pytest.approx(published, rel=0.03)

    def test_the_published_geometry(self):
        settings = load_settings(RECIPES / "fer2013-transformer-published.toml").model
        model = build_model(settings.name, 7, **settings.keywords)
        assert (len(model.blocks), model.blocks[0].heads, model.head.in_features) == (4, 8, 128)
        assert len(model.tokeniser.groups) == N_LANDMARKS

    def test_what_the_recipes_say_of_their_sizes(self):
        for name in ("gcn", "transformer"):
            path = RECIPES / f"fer2013-{name}-published.toml"
            settings = load_settings(path).model
            size = parameters(build_model(settings.name, 7, **settings.keywords))
            assert f"{size:,}" in path.read_text()


class TestTokens:
    def test_each_landmark_has_a_map_of_its_own(self):
        tokeniser = LandmarkTokens(5)
        x = faces(2).landmarks
        tokens = tokeniser(x)
        assert tokens.shape == (2, N_LANDMARKS, 5)
        for point in (0, 33, 477):
            expected = x[1, point] @ tokeniser.weight[point] + tokeniser.identity[point]
            torch.testing.assert_close(tokens[1, point], expected)

    def test_a_region_takes_in_its_points_and_no_other(self):
        tokeniser = RegionTokens(5)
        x = faces(2).landmarks
        tokens = tokeniser(x)
        assert tokens.shape == (2, len(REGIONS), 5)
        for number, region in enumerate(REGIONS):
            expected = tokeniser.identity[number].clone()
            for place, point in enumerate(region_points(region)):
                expected += x[1, point] @ tokeniser.weights[number][3 * place : 3 * place + 3]
            torch.testing.assert_close(tokens[1, number], expected)
        x[:, 33] += 1
        moved = (tokeniser(x) != tokens).any(dim=2).any(dim=0)
        assert moved.nonzero().flatten().tolist() == [REGION[33]]

    def test_both_have_the_same_weights_in_number(self):
        one, other = LandmarkTokens(5), RegionTokens(5)
        assert sum(weight.numel() for weight in other.weights) == one.weight.numel() == 478 * 3 * 5

    @pytest.mark.parametrize(("tokens", "count"), [("landmarks", 478), ("regions", 29)])
    @pytest.mark.parametrize(("pooling", "more"), [("class", 1), ("mean", 0)])
    def test_what_the_blocks_see(self, tokens, count, pooling, more):
        model = build(tokens=tokens, pooling=pooling)
        seen = []
        model.blocks[1].register_forward_pre_hook(lambda block, inputs: seen.append(inputs[0].shape))
        assert model.embed(faces(3)).shape == (3, 8)
        assert seen == [(3, count + more, 8)]

    def test_the_pooled_token(self):
        batch = faces(3)
        for pooling, pool in (("class", lambda x: x[:, 0]), ("mean", lambda x: x.mean(dim=1))):
            model = build(pooling=pooling)
            seen = []
            model.blocks[1].register_forward_hook(lambda block, inputs, x, seen=seen: seen.append(x))
            embedding = model.embed(batch)
            torch.testing.assert_close(embedding, model.norm(pool(seen[0])).relu())


def chain():
    """0 - 1 - 2 - 3 - 4 with a shortcut 1 - 3, and 10 - 11 apart."""
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (1, 3), (10, 11)]
    return FaceGraph.from_edges("chain", dict.fromkeys(edges, "edge"))


class TestDistances:
    def test_between_points_by_hand(self):
        points = [np.array([point]) for point in (0, 1, 2, 3, 4, 10, 11)]
        expected = [
            [0, 1, 2, 2, 3, -1, -1],
            [1, 0, 1, 1, 2, -1, -1],
            [2, 1, 0, 1, 2, -1, -1],
            [2, 1, 1, 0, 1, -1, -1],
            [3, 2, 2, 1, 0, -1, -1],
            [-1, -1, -1, -1, -1, 0, 1],
            [-1, -1, -1, -1, -1, 1, 0],
        ]
        assert NO_PATH == -1
        assert token_distances(chain(), points).tolist() == expected

    def test_between_groups_counts_from_their_nearest_points(self):
        groups = [np.array(points) for points in ([0, 10], [2, 20], [3, 4], [11], [30, 31])]
        expected = [
            [0, 2, 2, 1, -1],
            [2, 0, 1, -1, -1],
            [2, 1, 0, -1, -1],
            [1, -1, -1, 0, -1],
            [-1, -1, -1, -1, 0],  # joined to nothing, not even its own points to each other
        ]
        assert token_distances(chain(), groups).tolist() == expected

    def test_paths_lead_through_hubs(self):
        nose, chin = region_points("nose"), region_points("chin")
        hub = N_LANDMARKS + REGIONS.index("nose")
        graph = FaceGraph.from_edges("hub", {(int(nose[0]), hub): "member", (int(chin[0]), hub): "member"})
        assert token_distances(graph, [nose[:1], chin[:1], nose]).tolist() == [
            [0, 2, 0],
            [2, 0, 2],
            [0, 2, 0],
        ]

    def test_regions_of_the_mesh(self):
        """Regions that touch are one edge apart, as the hubs of the graph 'regions' are that join them."""
        groups = [region_points(region) for region in REGIONS]
        near = token_distances(build_graph("tesselation"), groups) == 1
        hubs = build_graph("regions").edges - N_LANDMARKS
        touching = {tuple(sorted(pair)) for pair in hubs[(hubs >= 0).all(axis=1)].tolist()}
        assert {(a, b) for a, b in np.argwhere(near).tolist() if a < b} == touching


class TestGraphBias:
    DISTANCES = np.array([[0, 1, 9], [1, 0, NO_PATH], [9, NO_PATH, 0]])

    def test_which_number_stands_where(self):
        bias = GraphBias(self.DISTANCES, heads=2, max_distance=3, class_token=True)
        torch.nn.init.normal_(bias.bias)
        # 0 to 3 edges, no path, any pair with the class token.
        expected = [[5, 5, 5, 5], [5, 0, 1, 3], [5, 1, 0, 4], [5, 3, 4, 0]]
        assert bias.bias.shape == (2, 6)
        assert torch.equal(bias(), bias.bias[:, torch.tensor(expected)])

    def test_the_gradient_of_a_number_is_the_sum_over_its_pairs(self):
        bias = GraphBias(self.DISTANCES, heads=1, max_distance=3, class_token=False)
        bias().sum().backward()
        assert bias.bias.grad.tolist() == [[3, 2, 0, 2, 2, 0]]

    def test_attention_is_the_softmax_of_biased_logits(self):
        """Against the formula, head by head and in double precision."""
        torch.manual_seed(0)
        block = Block(6, 3, 12, dropout=0.0, attention_dropout=0.0, first=False)
        x, bias = torch.randn(2, 5, 6), 2 * torch.randn(3, 5, 5)
        result = block.attend(x, bias)
        weight, offset = block.qkv.weight.double(), block.qkv.bias.double()
        gathered = torch.zeros(2, 5, 6, dtype=torch.float64)
        for sample in range(2):
            query, key, value = (x[sample].double() @ weight.T + offset).chunk(3, dim=1)
            for head in range(3):
                part = slice(2 * head, 2 * head + 2)
                logits = query[:, part] @ key[:, part].T / 2**0.5 + bias[head].double()
                shares = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
                gathered[sample, :, part] = shares @ value[:, part]
        expected = gathered @ block.project.weight.double().T + block.project.bias.double()
        torch.testing.assert_close(result.double(), expected, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(block.attend(x, None), result, atol=1e-2)

    @pytest.mark.parametrize("tokens", ["landmarks", "regions"])
    def test_it_begins_at_nothing_and_then_counts(self, tokens):
        batch = faces(2)
        plain, biased = (build(tokens=tokens, graph=graph).eval() for graph in ("none", "anatomical"))
        assert plain.face_graph is None and plain.graph_bias is None
        assert biased.face_graph.name == "anatomical"
        biased.load_state_dict(plain.state_dict(), strict=False)
        with torch.inference_mode():
            torch.testing.assert_close(biased(batch), plain(batch), rtol=1e-4, atol=1e-5)
            biased.graph_bias.bias.normal_(0, 3, generator=torch.Generator().manual_seed(0))
            assert (biased(batch) - plain(batch)).abs().max() > 1e-3

    def test_a_graph_may_be_given_itself(self):
        graph = chain()
        model = build(graph=graph, tokens="landmarks", pooling="mean")
        assert model.face_graph is graph
        assert model.graph_bias.index[0, 4] == 3
        assert model.graph_bias.index[0, 5] == 9  # no path, after 0 to 8 edges


class TestTraining:
    @pytest.mark.parametrize("pooling", ["class", "mean"])
    @pytest.mark.parametrize("tokens", ["landmarks", "regions"])
    def test_gradients_reach_all_and_are_the_same_each_time(self, tokens, pooling):
        model = build(tokens=tokens, pooling=pooling, graph="tesselation")
        first, second = (gradients(model, faces(4)) for _ in range(2))
        for name, gradient in first.items():
            assert gradient.abs().max() > 0, name
            assert torch.equal(gradient, second[name]), name

    @pytest.mark.parametrize(
        ("tokens", "graph", "steps"),
        [pytest.param("landmarks", "none", 40, marks=pytest.mark.slow), ("regions", "tesselation", 60)],
    )
    def test_64_faces_can_be_learnt_by_heart(self, tokens, graph, steps):
        model = build(tokens=tokens, graph=graph, width=16, heads=1, depth=1)
        batch = faces(64)
        model.set_statistics(batch.landmarks.mean(0), batch.landmarks.std(0))
        optimiser = torch.optim.AdamW(model.parameters(), lr=0.02)
        for _ in range(steps):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(batch), batch.labels)
            loss.backward()
            optimiser.step()
        assert loss.item() < 0.05
        with torch.inference_mode():
            assert (model.eval()(batch).argmax(dim=1) == batch.labels).all()

    def test_dropout_of_both_kinds_acts_in_training_only(self):
        batch = faces(2)
        for keyword in ("dropout", "attention_dropout"):
            model = build(**{"dropout": 0.0, keyword: 0.5})
            assert not torch.equal(model(batch), model(batch))
            model.eval()
            assert torch.equal(model(batch), model(batch))

    @pytest.mark.parametrize(
        ("graph", "pooling"), [("none", "class"), ("anatomical", "class"), ("knn", "mean")]
    )
    def test_depth_groups(self, graph, pooling):
        model = build(graph=graph, pooling=pooling, depth=3)
        groups = model.depth_groups()
        owners = [{name.split(".")[0] for name in group} for group in groups]
        tokens = {"tokeniser"} | ({"class_token"} if pooling == "class" else set())
        tokens |= {"graph_bias"} if graph != "none" else set()
        assert owners == [tokens, {"blocks"}, {"blocks"}, {"blocks", "norm"}, {"head"}]
        assert sorted(name for group in groups for name in group) == sorted(
            name for name, _ in model.named_parameters()
        )


class TestState:
    @pytest.mark.parametrize("graph", ["none", "knn"])
    def test_round_trip(self, graph):
        first, second = build(graph=graph), build(graph=graph, seed=1)
        batch = faces(2)
        assert not torch.equal(first.eval()(batch), second.eval()(batch))
        second.load_state_dict(first.state_dict())
        assert torch.equal(first(batch), second(batch))

    def test_what_follows_from_the_graph_is_not_stored(self):
        names = build(graph="knn").state_dict()
        assert "graph_bias.bias" in names
        assert not {"graph_bias.index", "tokeniser.order"} & set(names)

    @pytest.mark.parametrize("graph", ["none", "knn"])
    def test_a_run_brings_its_graph_back(self, graph, tiny_cache, tmp_path, monkeypatch):
        from landmarkfer.training import fit

        monkeypatch.chdir(tmp_path)
        overrides = {f"model.{key}": value for key, value in SMALL.items()}
        overrides |= {"model.name": "transformer", "model.graph": graph, "cache": str(tiny_cache.path)}
        overrides |= {"fit.epochs": 1, "fit.batch_size": 16, "fit.device": "cpu"}
        trained = fit.train(load_settings(overrides=overrides)).load()
        assert trained.config.settings.model.keywords["graph"] == graph
        if graph == "none":
            assert trained.model.face_graph is None and trained.config.graph is None
        else:
            built = build_graph(graph, mean_face=trained.model.mean.numpy())
            assert np.array_equal(trained.model.face_graph.edge_index, built.edge_index)
            assert not np.array_equal(built.edge_index, build_graph(graph).edge_index)


class TestErrors:
    @pytest.mark.parametrize(
        ("keywords", "reason"),
        [
            ({"width": 10, "heads": 4}, r"width \(10\) must be a multiple of heads \(4\)"),
            ({"tokens": "pixels"}, "'landmarks' or 'regions'"),
            ({"pooling": "max"}, "'class' or 'mean'"),
            ({"depth": 0}, "'depth' = 0"),
            ({"expansion": 0.0}, "'expansion' = 0.0"),
            ({"max_distance": 0}, "'max_distance' = 0"),
            ({"attention_dropout": 1.0}, "'attention_dropout' = 1.0"),
            ({"graph": None}, "'graph' = None"),
        ],
    )
    def test_values_that_do_not_fit(self, keywords, reason):
        with pytest.raises(SettingsError, match=reason):
            build(**keywords)

    def test_unknown_graphs(self):
        with pytest.raises(GraphError, match="no graph 'mesh'"):
            build(graph="mesh")
