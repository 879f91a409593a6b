import pytest
from click.testing import CliRunner

from landmarkfer.cli import cli


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
