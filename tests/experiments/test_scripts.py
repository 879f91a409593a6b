"""Scripts outside the package use only what is in it."""

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for folder in ("experiments", "examples") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_what_it_imports_is_there(path):
    found = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("landmarkfer")
        for alias in node.names
    ]
    for module, name in found:
        there = hasattr(import_module(module), name) or find_spec(f"{module}.{name}")
        assert there, f"{path.name} imports {name} from {module}"
