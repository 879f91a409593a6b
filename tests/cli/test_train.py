import os
import subprocess
import sys

import pandas as pd
import pytest
from click.testing import CliRunner

from landmarkfer.cli import cli, main
from landmarkfer.data.cache_writer import write_cache
from landmarkfer.runs.folder import RunFolder
from landmarkfer.training.task import ExpressionTask

SMALL = [
    "--set",
    "model.hidden=[16]",
    "--set",
    "model.features=displacement",
    "--set",
    "fit.batch_size=16",
    "--set",
    "fit.device=cpu",
]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch, make_rows):
    """A working folder with one cache under `./cache`, as after `landmarkfer extract`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    write_cache("cache/faces", make_rows())
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(cli, ["train", *map(str, arguments)], catch_exceptions=False)


def fails(monkeypatch, capfd, *arguments, code=1):
    """Call the installed command's entry point; it must end with one sentence and the exit code."""
    monkeypatch.setattr(sys, "argv", ["landmarkfer", "train", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == code
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("Error: ")
    assert "Traceback" not in error
    return error


def test_train_as_a_user_would(place):
    result = run("--model", "mlp", "--epochs", 2, "--seed", 3, *SMALL, "--set", "augment.jitter=0.1")
    assert result.exit_code == 0, result.output
    folder = RunFolder(place / "experiments/runs/mlp-s3")
    settings = folder.read_config().settings
    assert (settings.seed, settings.fit.epochs, settings.augment.jitter) == (3, 2, 0.1)
    assert settings.model.keywords["hidden"] == [16]
    assert folder.weights_file.exists()
    steps = [line for line in result.output.splitlines() if line.startswith("training: ")]
    assert "epoch 2/2" in steps[-1]
    assert "augment.jitter=0.1" in result.output
    assert "model.hidden=[16]" in result.output
    assert os.path.join("experiments", "runs", "mlp-s3") in result.output
    assert "landmarkfer evaluate mlp-s3" in result.output
    assert folder.read_config().cache.path == "cache/faces"


def test_a_graph_model_by_a_recipe_and_options(place):
    (place / "recipe.toml").write_text(
        'seed = 2\n[model]\nname = "gnn"\ngraph = "knn"\nwidths = [4]\n[fit]\nepochs = 9\nbatch_size = 16\n'
    )
    result = run(
        "--recipe", "recipe.toml", "--graph", "anatomical", "--epochs", 1, "--cache", "faces", *SMALL
    )
    assert result.exit_code == 0, result.output
    config = RunFolder(place / "experiments/runs/gnn-anatomical-s2").read_config()
    assert config.settings.model.keywords["widths"] == [4]
    assert (config.graph.edges, config.settings.fit.epochs) == (157, 1)


def test_resume_as_a_user_would(place, monkeypatch, capfd):
    original = ExpressionTask.training_step

    def full(self, batch, batch_idx):
        if self.global_step == 8:
            raise OSError(28, "No space left on device")
        return original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(ExpressionTask, "training_step", full)
        error = fails(monkeypatch, capfd, "--model", "mlp", "--epochs", 3, "--name", "mine", *SMALL)
    assert "No space left" in error
    assert "--resume mine" in error
    result = run("--resume", "mine")
    assert result.exit_code == 0, result.output
    folder = RunFolder(place / "experiments/runs/mine")
    assert pd.read_csv(folder.metrics_file)["epoch"].tolist() == [1, 2, 3]
    assert "landmarkfer evaluate mine" in result.output
    assert "is finished" in fails(monkeypatch, capfd, "--resume", "mine")


def test_ctrl_c_says_how_to_go_on(monkeypatch, caplog):
    original = ExpressionTask.training_step

    def interrupted(self, *batch):
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        return original(self, *batch)

    monkeypatch.setattr(ExpressionTask, "training_step", interrupted)
    options = ["--model", "mlp", "--epochs", 3, *SMALL]
    result = run("--name", "mine", *options)
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == (
        "Interrupted. experiments/runs/mine is stored after epoch 1; "
        "`landmarkfer train --resume mine` resumes it."
    )
    assert not caplog.text
    result = run("--seed", 0, "--seed", 1, *options)
    assert result.exit_code == 130
    assert result.stderr.endswith("Interrupted. The same command resumes.\n")


def test_repeated_options_are_lists(place):
    words = "--model mlp --epochs 1 --seed 3 --seed 4 --class happy --class sad --merge happy=happy+angry"
    result = run(*words.split(), *SMALL)
    assert result.exit_code == 0, result.output
    runs = [RunFolder(place / f"experiments/runs/mlp-s{seed}").read_config() for seed in (3, 4)]
    assert [run.settings.seed for run in runs] == [3, 4]
    assert all(list(run.classes) == ["happy", "sad"] for run in runs)
    assert runs[0].settings.data.merge == {"happy": ["happy", "angry"]}
    assert "mean" in result.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--model", "cnn"], "'mlp', 'gnn'"),
        (["--epochs", "many"], "not a valid integer"),
        (["--seed", "1.5"], "not a valid integer"),
        (["--seed", "1", "--seed", "1"], "give different numbers"),
        (["--merge", "happy"], "'happy' is not NEW=OLD+OLD"),
        (["--split", "40/20/41"], "adds up to 101"),
        (["--modle", "mlp"], "No such option"),
        (["mlp"], "unexpected extra argument"),
        (["--resume", "x", "--epochs", "3"], "give no other option"),
        (["--resume", "x", "--seed", "0"], "give no other option"),
        (["--resume", "x", "--set", "a=b"], "give no other option"),
    ],
)
def test_wrong_usage_exits_with_2(arguments, reason):
    result = run(*arguments)
    assert result.exit_code == 2
    assert reason in " ".join(result.output.replace("│", " ").split())
    assert not os.path.exists("experiments")


@pytest.mark.parametrize(
    ("arguments", "reasons"),
    [
        (["--cache", "nowhere"], ["nowhere is no landmark cache", "faces"]),
        (["--graph", "mesh"], ["there is no graph 'mesh'", "tesselation"]),
        (["--name", "a/b"], ["plain folder name"]),
        (["--set", "split.folds=99"], ["99 folds need 99 distinct images"]),
        (["--resume", "nobody"], ["'nobody' is no run", "there is none under"]),
    ],
)
def test_failures_are_one_sentence_and_exit_with_1(monkeypatch, capfd, arguments, reasons):
    error = fails(monkeypatch, capfd, *arguments)
    for reason in reasons:
        assert reason in error
    assert not os.path.exists("experiments"), "nothing is left behind"


def test_wrong_settings_are_refused_before_torch_is_loaded():
    code = (
        "import sys; from landmarkfer.cli import cli\n"
        "try: cli(['train', '--set', 'optimiser.lr=abc'])\n"
        "except Exception as error: print(error, 'torch' in sys.modules)"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'optimiser.lr' = \"abc\"" in made.stdout
    assert made.stdout.endswith(" False\n")


@pytest.mark.parametrize(
    ("arguments", "reasons"),
    [
        (["--recipe", "no.toml"], ["there is no recipe no.toml"]),
        (["--model", "mlp", "--graph", "knn"], ["'graph' is no setting of model 'mlp'", "hidden"]),
        (["--epochs", "0"], ["'fit.epochs' = 0"]),
        (["--set", "fit.epoch=3"], ["'fit.epoch'", "epochs"]),
        (["--set", "fit"], ["table.key=value"]),
        (["--set", "model.dropout=2"], ["'dropout' = 2"]),
        (["--set", "model.conv=cnn"], ["no graph layer 'cnn'", "gcn"]),
    ],
)
def test_wrong_settings_are_one_sentence_and_exit_with_2(monkeypatch, capfd, arguments, reasons):
    error = fails(monkeypatch, capfd, *arguments, code=2)
    for reason in reasons:
        assert reason in error
    assert not os.path.exists("experiments"), "nothing is left behind"


def test_which_cache_is_to_be_said_where_there_are_several(make_rows, monkeypatch, capfd):
    write_cache("cache/others", make_rows(train=6, test=3))
    error = fails(monkeypatch, capfd)
    assert "there are 2 caches under ./cache (faces, others)" in error
    assert "--cache" in error


def test_a_name_that_is_taken(place, monkeypatch, capfd):
    (place / "experiments/runs/mine").mkdir(parents=True)
    error = fails(monkeypatch, capfd, "--name", "mine", "--model", "mlp")
    assert "there is a run 'mine'" in error


def test_help_shows_examples():
    text = run("--help").output
    assert "landmarkfer train --model gnn" in text
    assert "landmarkfer train --resume gnn-tesselation-s0" in text
    for option in ("--model", "--cache", "--recipe", "--graph", "--epochs", "--seed", "--name", "--set"):
        assert option in text
