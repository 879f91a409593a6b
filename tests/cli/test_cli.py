import click
import pytest
from click.testing import CliRunner

from landmarkfer.cli import cli
from landmarkfer.cli.command import Command


def commands(command=cli, path=()):
    """Every command with the words that call it, groups and their commands included."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(*one, id=" ".join(one[0]) or "alone") for one in commands()]
)
def test_examples_are_whole_on_80_columns(monkeypatch, path, command):
    monkeypatch.setenv("COLUMNS", "80")
    shown = [line.strip() for line in CliRunner().invoke(cli, [*path, "--help"]).output.splitlines()]
    for block in command.help.split("\b\n")[1:]:  # what click leaves as it is written
        for line in block.partition("\n\n")[0].splitlines():
            assert line.strip() in shown


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (["tune", "mine.toml"], "The same command resumes."),
        (["benchmark", "mine.toml"], "The same command resumes."),
        (["evaluate", "mlp-s0"], "The same command starts anew."),
    ],
)
def test_ctrl_c_is_one_sentence_and_130(monkeypatch, command, advice):
    def interrupt(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.commands[command[0]], "callback", interrupt)
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 130
    assert result.output == f"Interrupted. {advice}\n"


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["evaluate", "a", "--cache", "b", "--cache", "c"], "--cache"),
        (["train", "--model", "mlp", "--epochs", "3", "--model", "gnn"], "--model"),
        (["graph", "show", "knn", "--k", "3", "--k", "4"], "--k"),
        (["compare", "a", "--with", "b", "c", "--cache", "d", "--cache", "e"], "--cache"),
    ],
)
def test_an_option_of_one_value_is_refused_where_it_is_repeated(arguments, option):
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2
    assert f"{option} is given 2 times; give it once." in result.output


def test_every_command_refuses_repeated_options():
    assert all(isinstance(one, Command) for _, one in commands() if not isinstance(one, click.Group))
