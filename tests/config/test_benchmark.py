"""Recipes of benchmarks."""

import pytest

from landmarkfer.config.benchmark import read_benchmark, row_settings
from landmarkfer.errors import SettingsError


def test_seeds_are_put_in(tmp_path):
    (tmp_path / "fused.toml").write_text(
        'title = "x"\n[[rows]]\nname = "a + b"\n'
        'set = {"model.name" = "fusion", "branches.image" = "pixels-s{seed}"}\n'
    )
    benchmark_settings = read_benchmark(tmp_path / "fused.toml")
    settings = row_settings(tmp_path / "fused.toml", benchmark_settings, benchmark_settings.rows[0], 4)
    assert settings.branches.image == "pixels-s4"
    assert (settings.name, settings.seed) == ("fused-a-b-s4", 4)


def test_runs_that_others_share_and_the_next_seed(tmp_path):
    path = tmp_path / "fused.toml"
    path.write_text(
        'title = "x"\nseeds = [0, 5]\n[[rows]]\nname = "a"\nrun = "mine-s{seed}-of-2"\n'
        'set = {"model.name" = "fusion", "branches.encoder" = "pixels-s{next}"}\n'
    )
    benchmark_settings = read_benchmark(path)
    made = [row_settings(path, benchmark_settings, benchmark_settings.rows[0], seed) for seed in (0, 5, 7)]
    assert [one.name for one in made] == ["mine-s0-of-2", "mine-s5-of-2", "mine-s7-of-2"]
    assert [one.branches.encoder for one in made] == ["pixels-s5", "pixels-s0", "pixels-s8"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('title = "x"\nrows = []', "'rows'"),
        ('title = "x"\n[[rows]]\nname = "a"\n[[rows]]\nname = "a"', "two rows 'a'"),
        ('title = "x"\nbaseline = "b"\n[[rows]]\nname = "a"', "baseline is 'b', and the rows are a"),
        ('title = "x"\n[[rows]]\nname = "a"\naverage = ["b"]', "averages 'b'"),
        ('title = "x"\n[[rows]]\nname = "a"\nrecipe = "a"\naverage = ["b"]', "either trained"),
        ('title = "x"\n[[rows]]\nname = "a"\nrun = "a"', "'rows.0.run'"),
        ('title = "x"\n[[rows]]\nname = "a; b"', "'rows.0.name'"),
        ('title = "x"\nseeds = [1, 1]\n[[rows]]\nname = "a"', "different numbers"),
        (
            'title = "x"\n[[rows]]\nname = "a"\n[[pairs]]\nfirst = "a"\nsecond = "b"',
            "a row of a pair is 'b', and the rows are a",
        ),
        ('title = "x"\nbasis = "a"\n[[rows]]\nname = "a"', "no setting 'basis'"),
        (
            'title = "x"\n[[rows]]\nname = "a"\nnom = "a"',
            r"no setting 'rows\.0\.nom'; known here: name, recipe, base",
        ),
        ('title = "x"\n[[rows]]\nname = "a"\nbase = "b"\n[[rows]]\nname = "b"', "no trained row above it"),
        ('title = "x"\n[[rows]]\nname = "a"\nretired = "x"\noptional = true', "or retired"),
        ('title = "x"\ncolumns = ["accuracy"]\n[[rows]]\nname = "a"', "no <subset>.<metric>"),
        (
            'title = "x"\n[[rows]]\nname = "a"\n[[contrasts]]\nchoice = "c"\nrow = "a"\nagainst = "b"',
            "a row of a contrast is 'b', and the rows are a",
        ),
    ],
)
def test_what_does_not_fit(tmp_path, text, message):
    (tmp_path / "wrong.toml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_benchmark(tmp_path / "wrong.toml")


def test_a_row_on_the_base_of_another(tmp_path):
    path = tmp_path / "b.toml"
    (tmp_path / "mlp.toml").write_text('[model]\nname = "mlp"\nhidden = [16]\n')
    path.write_text(
        'title = "x"\nruns = "mine"\n[[rows]]\nname = "a"\nrecipe = "mlp.toml"\n'
        'set = { "fit.epochs" = 5, "loss.class_weights" = "none" }\n'
        '[[rows]]\nname = "b"\nbase = "a"\nset = { "fit.epochs" = 6 }\n'
        '[[rows]]\nname = "c"\nbase = "b"\nset = { "model.hidden" = [2] }\n'
    )
    benchmark = read_benchmark(path)
    b, c = (row_settings(path, benchmark, benchmark.row(name), 0) for name in "bc")
    assert (b.name, b.fit.epochs, b.loss.class_weights, b.model.keywords["hidden"]) == (
        "mine-b-s0",
        6,
        "none",
        [16],
    )
    assert (c.fit.epochs, c.loss.class_weights, c.model.keywords["hidden"]) == (6, "none", [2])


def test_the_recipe_of_a_training_is_none_of_a_benchmark(tmp_path):
    (tmp_path / "t.toml").write_text('[model]\nname = "mlp"\n')
    with pytest.raises(SettingsError, match=r"recipe of a training .*`landmarkfer train --recipe .*t\.toml`"):
        read_benchmark(tmp_path / "t.toml")
