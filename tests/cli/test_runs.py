import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from filelock import FileLock
from PIL import Image

from landmarkfer.cli import cli, main
from landmarkfer.cli.runs import SORTS


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.fixture
def three(made_run):
    """Three runs, the newest last: `beta`, which is the best, `alpha`, and `gamma`, which is interrupted."""
    for day, (name, val, keywords) in enumerate(
        [
            ("beta", [0.5, 0.7], {"test": 0.65, "seed": 2, "model.name": "gnn"}),
            ("alpha", [0.4, 0.5, 0.6], {"test": 0.55, "seed": 0, "model.hidden": [16]}),
            ("gamma", [0.3], {"seed": 1, "finished": False, "init": "beta"}),
        ]
    ):
        config = {"created": f"2026-01-0{day + 1}T00:00:00+00:00", "parameters": 10 ** (day + 3)}
        config |= {"graph": {"name": "knn"}} if name == "beta" else {}
        made_run(name, val, config=config, **keywords)


def run(*arguments):
    result = CliRunner().invoke(cli, ["runs", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def rows(output):
    """The cells of the table's rows by run."""
    return {line.split()[0]: line for line in output.splitlines() if line.split()[:1] and "─" not in line}


def order(*arguments):
    return [record["name"] for record in json.loads(run("--json", *arguments))]


def fails(monkeypatch, capfd, *arguments, code=1):
    monkeypatch.setattr(sys, "argv", ["landmarkfer", "runs", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == code
    return capfd.readouterr().err


def test_the_table(three):
    output = run()
    assert max(map(len, output.splitlines())) <= 100
    found = rows(output)
    assert "3 runs on faces" in output
    assert found["beta"].split() == [
        *("beta", "gnn", "knn", "2", "2/20", "finished", "70.00", "65.00", "32.50", "1.00k", "3s", "–")
    ]
    assert found["gamma"].split()[1:7] == ["mlp", "1", "1/20", "interrupted", "30.00", "–"]
    assert found["gamma"].rstrip().endswith("from beta")
    assert output.count("from beta") == 1
    assert "landmarkfer train --resume gamma" in output
    assert [name for name in found if name in ("alpha", "beta", "gamma")] == ["beta", "alpha", "gamma"]


def test_data_that_runs_do_not_share_has_a_column(made_run):
    made_run("a", data={"classes": ["happy", "sad"], "per_class": 100})
    made_run("c", data={"also": ["cache/dark"]})
    made_run("b", split={"folds": 5, "fold": 1})
    output = run()
    assert "faces (2 classes, 100 per class)" in " ".join(output.split())
    assert "faces (fold 2/5)" in " ".join(output.split())
    assert "faces (and dark)" in " ".join(output.split())


@pytest.mark.parametrize("width", ["80", "100"])
def test_long_names_fit_the_terminal(made_run, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    for number in range(2):
        made_run(
            f"fer2013-a-rather-long-name-of-a-run-s{number}",
            test=0.5,
            init="another-long-name-s0",
            model={"name": "image", "backbone": "efficientnet_b0"},
            config={"cache": {"path": f"cache/a-cache-{number}"}, "parameters": 123_456_789},
        )
    output = run()
    assert max(map(len, output.splitlines())) <= int(width)
    assert "50.00" in output
    assert "finished" in output
    assert "\n  from" in output, "below the name"
    assert "another-long" in output
    assert ("123M" in output) == ("params" in output)


@pytest.mark.parametrize(
    ("column", "names"),
    [
        ("created", ["beta", "alpha", "gamma"]),
        ("name", ["alpha", "beta", "gamma"]),
        ("model", ["beta", "alpha", "gamma"]),
        ("seed", ["alpha", "gamma", "beta"]),
        ("epochs", ["alpha", "beta", "gamma"]),
        ("state", ["alpha", "beta", "gamma"]),
        ("val", ["beta", "alpha", "gamma"]),
        ("test", ["beta", "alpha", "gamma"]),
        ("f1", ["beta", "alpha", "gamma"]),
        ("params", ["gamma", "alpha", "beta"]),
        ("time", ["alpha", "beta", "gamma"]),
        ("lineage", ["gamma", "alpha", "beta"]),
        ("data", ["alpha", "beta", "gamma"]),
    ],
)
def test_sorted_by_any_column(three, column, names):
    assert column in SORTS
    assert order("--sort", column) == names


def test_reversed_with_what_has_no_value_still_last(three):
    assert order("--sort", "test", "--reverse") == ["alpha", "beta", "gamma"]
    assert order("--reverse") == ["gamma", "alpha", "beta"]


def test_filters_and_names(three):
    assert order("--model", "gnn") == ["beta"]
    assert order("--cache", "cache/faces", "alpha", "b*") == ["beta", "alpha"]
    assert "None of the 3 runs fits; their models are gnn, mlp" in run("--model", "cnn")
    assert order("--model", "cnn") == []


def test_changed_settings(three):
    output = run("--changed", "alpha", "gamma")
    assert "model.hidden=[16]" in rows(output.split("differ from the defaults")[1])["alpha"]
    assert "seed" not in output.split("differ from the defaults")[1]


def test_json_has_all_fields_of_every_run(three, place):
    (place / "experiments/runs/broken").mkdir()
    records = json.loads(run("--json"))
    assert len({tuple(record) for record in records}) == 1, "the same keys"
    by_name = {record["name"]: record for record in records}
    beta = by_name["beta"]
    assert (beta["test_accuracy"], beta["macro_f1"], beta["graph"]) == (0.65, 0.325, "knn")
    assert beta["test_accuracy_interval"] == pytest.approx([0.63, 0.68])
    assert beta["settings"]["model"]["name"] == "gnn"
    assert by_name["alpha"]["changed"]["model.hidden"] == [16]
    assert (by_name["gamma"]["init"], by_name["gamma"]["lineage"]) == ("beta", "from beta")
    assert (by_name["broken"]["state"], by_name["broken"]["model"]) == ("damaged", None)


@pytest.mark.parametrize("width", ["80", "100"])
def test_a_run_that_warned_is_marked_and_its_warnings_stand_below(three, place, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    sentence = "every validation image was predicted as 'happy': [it] has collapsed."
    (place / "experiments/runs/alpha/warnings.json").write_text(json.dumps([{"sentence": sentence}]))
    (place / "experiments/runs/beta/warnings.json").write_text("[]")
    output = run()
    assert "finished !" in rows(output)["alpha"]
    assert "!" not in rows(output)["beta"] and "finished" in rows(output)["beta"]
    assert f"alpha: {sentence}" in " ".join(output.split())
    assert "!: its training or evaluation warns" in output
    assert max(map(len, output.splitlines())) <= int(width)
    two = json.dumps([{"sentence": sentence}, {"sentence": "And more."}])
    (place / "experiments/runs/alpha/warnings.json").write_text(two)
    assert f"alpha: {sentence} (1 more warning: --json)" in " ".join(run().split())
    by_name = {record["name"]: record for record in json.loads(run("--json"))}
    assert by_name["alpha"]["warnings"] == [sentence, "And more."] and by_name["beta"]["warnings"] == []


def test_without_warnings_no_mark_is_explained(three):
    assert "!" not in run()


def test_a_damaged_run_is_a_row_that_says_so(three, place):
    (place / "experiments/runs/alpha/config.json").write_text('{"settings": [red]')
    output = run()
    assert "damaged" in rows(output)["alpha"]
    assert "alpha: config.json is no JSON" in output
    assert "finished" in rows(output)["beta"]


def test_a_run_in_training(three, place):
    with FileLock(place / "experiments/runs/gamma/.lock"):
        output = run("gamma")
    assert "training" in output
    assert "--resume" not in output


def test_no_runs(place):
    assert (
        run() == "There is no run under experiments/runs; train one with `landmarkfer train --model mlp`.\n"
    )
    assert json.loads(run("--json")) == []


def test_pictures(three, place):
    output = run("--plot", "curves.png", "--compare", "out/figures.svg")
    assert "Wrote curves.png" in output
    with Image.open(place / "curves.png") as picture:
        assert picture.width > 1000
    assert (place / "out/figures.svg").read_text().lstrip().startswith("<?xml")
    # With --json, the output stays JSON.
    result = CliRunner().invoke(cli, ["runs", "--json", "--plot", "curves.png"])
    assert len(json.loads(result.stdout)) == 3


def test_errors_say_what_to_do(three, monkeypatch, capfd):
    assert "'alpa' is no run; there are alpha" in fails(monkeypatch, capfd, "alpa")
    assert "landmarkfer evaluate RUN" in fails(monkeypatch, capfd, "gamma", "--compare", "x.png")
    assert "x.jpeg is none of .png" in fails(monkeypatch, capfd, "--plot", "x.jpeg", code=2)
    assert "created" in fails(monkeypatch, capfd, "--sort", "beauty", code=2)


def test_a_file_gets_one_line_per_run_and_torch_is_not_loaded(three, place, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    code = (
        "import sys; from landmarkfer.cli import cli; cli(['runs'], standalone_mode=False)\n"
        "print({'torch', 'sklearn', 'matplotlib', 'lightning'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.endswith("set()\n")
    assert "from beta" in rows(output)["gamma"]
