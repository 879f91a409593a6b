"""The page of data layouts: each data set in miniature, read by the command that the page gives.

With LANDMARKFER_WRITE_DOCS set, the outputs on the page are written anew instead.
"""

import importlib.util
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from landmarkfer.cli import cli

PAGE = Path(__file__).parents[2] / "docs/data-layouts.md"
BLOCK = re.compile(r"<!-- layout: (\w+) -->\n```console\n\$ landmarkfer ([^\n]+)\n(.*?)```", re.DOTALL)


def _layouts():
    spec = importlib.util.spec_from_file_location("layouts", Path(__file__).with_name("layouts.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LAYOUTS


LAYOUTS = _layouts()
BLOCKS = {name: (command, printed) for name, command, printed in BLOCK.findall(PAGE.read_text())}


def test_the_page_shows_every_data_set():
    assert set(BLOCKS) == set(LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_command_prints_what_the_page_shows(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    LAYOUTS[name](tmp_path)
    command, printed = BLOCKS[name]
    result = CliRunner().invoke(cli, command.split())
    assert result.exit_code == 0, result.output
    found = "".join(f"{line.rstrip()}\n" for line in result.output.strip().splitlines())
    if "LANDMARKFER_WRITE_DOCS" in os.environ:
        PAGE.write_text(
            PAGE.read_text().replace(
                f"$ landmarkfer {command}\n{printed}", f"$ landmarkfer {command}\n{found}"
            )
        )
    assert found == printed
    assert not list(tmp_path.glob("cache/*")), "nothing is extracted"
