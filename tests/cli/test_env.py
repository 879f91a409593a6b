from click.testing import CliRunner

from landmarkfer import __version__
from landmarkfer.cli import cli


def test_a_report_to_paste():
    result = CliRunner().invoke(cli, ["env"], catch_exceptions=False)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    headings = [line for line in lines if not line.startswith(" ")]
    assert headings == ["landmarkfer", "extras", "packages", "devices", "detectors", "paths"]
    assert ["version", __version__] in [line.split() for line in lines]
