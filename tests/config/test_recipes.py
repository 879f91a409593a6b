import json
from pathlib import Path

import pytest
import torch

from landmarkfer.config.data import AugmentSettings
from landmarkfer.config.recipes import changed_settings, load_settings, parse_settings
from landmarkfer.config.search import read_search
from landmarkfer.config.train import FitSettings, TrainSettings
from landmarkfer.errors import SettingsError
from landmarkfer.models import build_model, model_keywords

RECIPES = sorted((Path(__file__).parents[2] / "experiments" / "recipes").glob("*.toml"))


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(
        'seed = 3\n[model]\nname = "mlp"\nhidden = [64, 32]\n[fit]\nepochs = 7\nbatch_size = 32\n'
        "[augment]\njitter = 0.2\n"
    )
    return path


def test_the_last_one_wins(recipe):
    settings = load_settings(
        recipe,
        {"fit.epochs": 9, "fit.ema": 0.5, "seed": None, "cache": None},
        ["fit.epochs=11", "augment.mirror=0.25"],
    )
    assert settings.fit == FitSettings(epochs=11, batch_size=32, ema=0.5)
    assert settings.seed == 3, "an option that was not given leaves the recipe's value"
    assert settings.cache is None
    assert settings.augment == AugmentSettings(jitter=0.2, mirror=0.25)
    assert (settings.model.name, settings.model.keywords) == ("mlp", {"hidden": [64, 32]})
    assert settings.loss == TrainSettings().loss


def test_defaults_alone():
    assert load_settings() == TrainSettings()


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("model.graph=knn", "knn"),
        ("model.graph = 'knn'", "knn"),
        ("model.graph=my graphs/a-b.csv", "my graphs/a-b.csv"),
        ("model.graph=", ""),
        ("model.graph=a=b", "a=b"),
        ("model.graph=[16, 8]", [16, 8]),
        ("model.graph=1e-3", 1e-3),
        ("model.graph=false", False),
    ],
)
def test_assigned_values_are_toml_and_bare_words_strings(assignment, value):
    assert load_settings(assignments=[assignment]).model.keywords == {"graph": value}


@pytest.mark.parametrize("text", ["fit.epochs", "=5", " = 5"])
def test_an_assignment_needs_a_key_and_a_value(text):
    with pytest.raises(SettingsError, match=r"write it as table\.key=value"):
        load_settings(assignments=[text])


def test_a_value_is_no_table():
    with pytest.raises(SettingsError, match="'seed' is a value, not a table"):
        load_settings(overrides={"seed": 1}, assignments=["seed.x=2"])


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("sede", ["seed", "model", "fit"]),
        ("fit.epoch", ["epochs", "batch_size", "checkpoint_every"]),
        ("augment.noise", ["mirror", "shape_jitter"]),
        ("split.share", ["validation", "folds"]),
        ("prediction.tta", ["mirror"]),
    ],
)
def test_unknown_keys_are_refused_and_the_known_ones_listed(key, known):
    with pytest.raises(SettingsError) as error:
        load_settings(overrides={key: 1})
    assert f"'{key}'" in str(error.value)
    for name in known:
        assert name in str(error.value)


@pytest.mark.parametrize("content", ["[fit\n", "fit = 1\n[fit]\n", b"\xff\xfe"])
def test_a_damaged_recipe_is_named(tmp_path, content):
    path = tmp_path / "recipe.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError, match=r"recipe\.toml is no readable TOML file"):
        load_settings(path)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"there is no recipe .*no\.toml"):
        load_settings(tmp_path / "no.toml")
    with pytest.raises(SettingsError, match="no readable TOML"):
        load_settings(tmp_path)


def test_the_recipe_of_a_benchmark_is_none_of_a_training(tmp_path):
    (tmp_path / "b.toml").write_text('title = "x"\n[[rows]]\nname = "a"\n')
    with pytest.raises(SettingsError, match=r"recipe of a benchmark .*`landmarkfer benchmark .*b\.toml`"):
        load_settings(tmp_path / "b.toml")


def test_an_error_in_a_recipe_names_the_file(recipe):
    recipe.write_text(recipe.read_text() + "dropout = 1\n")
    with pytest.raises(SettingsError, match=r"recipe\.toml: there is no setting 'augment\.dropout'"):
        load_settings(recipe)


def test_json_and_back(recipe):
    settings = load_settings(recipe, {"model.name": "gnn", "model.graph": "knn", "optimiser.lr": 1})
    content = json.loads(settings.model_dump_json())
    assert content["model"] == {"name": "gnn", "hidden": [64, 32], "graph": "knn"}
    assert parse_settings(content, "x") == settings


def test_changed_settings_are_those_that_differ(recipe):
    assert changed_settings(TrainSettings()) == {}
    assert changed_settings(load_settings(recipe, assignments=["fit.ema=0.0"])) == {
        "seed": 3,
        "model.name": "mlp",
        "model.hidden": [64, 32],
        "fit.epochs": 7,
        "fit.batch_size": 32,
        "augment.jitter": 0.2,
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_its_model_builds(path):
    settings = load_settings(path)
    model = build_model(settings.model.name, 7, **settings.model.keywords)
    if isinstance(model, torch.nn.Module):
        assert sum(parameter.numel() for parameter in model.parameters()) > 1000
    assert set(settings.model.keywords) <= set(model_keywords(settings.model.name))


def test_there_are_recipes():
    assert {"fer2013-mlp", "fer2013-gnn", "fer2013-gcn-published"} <= {path.stem for path in RECIPES}


class TestBase:
    def write(self, folder, **files):
        for name, text in files.items():
            (folder / f"{name}.toml").write_text(text)
        return folder

    def test_a_recipe_states_what_differs_from_its_base(self, recipe, tmp_path):
        child = tmp_path / "child.toml"
        child.write_text('base = "recipe.toml"\n[model]\nhidden = [8]\n[optimiser]\nlr = 0.1\n')
        found, expected = load_settings(child), load_settings(recipe)
        assert found.model.keywords == {"hidden": [8]}, "a list is a value"
        assert found.optimiser.lr == 0.1
        same = {"model": expected.model, "optimiser": expected.optimiser}
        assert found.model_copy(update=same) == expected

    def test_a_chain_is_relative_to_each_recipe(self, tmp_path):
        (tmp_path / "a/b").mkdir(parents=True)
        self.write(tmp_path, first="seed = 1\n[fit]\nepochs = 3\nbatch_size = 8\n")
        self.write(tmp_path / "a", second='base = "../first.toml"\n[fit]\nepochs = 4\n')
        self.write(tmp_path / "a/b", third='base = "../second.toml"\n[fit]\nema = 0.5\n')
        settings = load_settings(tmp_path / "a/b/third.toml", assignments=["fit.ema=0.6"])
        assert settings.seed == 1
        assert settings.fit == FitSettings(epochs=4, batch_size=8, ema=0.6)

    def test_the_table_of_a_search_is_merged_too(self, tmp_path):
        self.write(
            tmp_path,
            first='[tune]\ntrials = 3\n[tune.ranges]\n"optimiser.lr" = [0.1, 0.2]\n',
            second='base = "first.toml"\n[tune]\ntrials = 5\n',
        )
        search = read_search(tmp_path / "second.toml")
        assert (search.trials, list(search.ranges)) == (5, ["optimiser.lr"])

    def test_a_circle_is_refused(self, tmp_path):
        self.write(
            tmp_path, a='base = "b.toml"', b='base = "c.toml"', c='base = "b.toml"', d='base = "d.toml"'
        )
        with pytest.raises(SettingsError, match=r"each other's base: b\.toml -> c\.toml -> b\.toml"):
            load_settings(tmp_path / "a.toml")
        with pytest.raises(SettingsError, match=r"d\.toml -> d\.toml"):
            load_settings(tmp_path / "d.toml")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("base = 3", "'base' = 3 is no path"),
            ('base = "no.toml"', r'a\.toml has base = "no\.toml", and there is no'),
        ],
    )
    def test_a_base_that_is_no_recipe(self, tmp_path, text, reason):
        self.write(tmp_path, a=text)
        with pytest.raises(SettingsError, match=reason):
            load_settings(tmp_path / "a.toml")

    def test_a_setting_without_its_table_is_told_where_it_lies(self):
        for assignment, hint in (
            ("graph=knn", "; a setting of the model is model.graph"),
            ("epochs=3", "; did you mean fit.epochs"),
        ):
            with pytest.raises(
                SettingsError, match=f"there is no setting '[a-z]*'{hint}; known here: cache,"
            ):
                load_settings(assignments=[assignment])

    def test_a_setting_is_no_base(self):
        with pytest.raises(SettingsError, match="there is no setting 'base'"):
            load_settings(assignments=["base=other.toml"])
