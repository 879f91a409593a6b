"""The command without data; what it does with runs is in tests/test_robustness.py."""

import pytest
from click.testing import CliRunner

from landmarkfer.cli import cli


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def run(*arguments):
    return CliRunner().invoke(cli, ["robustness", *arguments], catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "Missing argument 'RUN...'"),
        (["mlp-s0", "--images", "0"], "0 is not in the range x>=1"),
        (["mlp-s0", "--severity", "6"], "No such option"),
    ],
)
def test_wrong_usage_exits_with_2(arguments, reason):
    told = run(*arguments)
    assert told.exit_code == 2
    assert reason in " ".join(told.output.replace("│", " ").split())


def test_help_shows_examples():
    assert "landmarkfer robustness mlp-s0 mlp-s1" in run("--help").output
