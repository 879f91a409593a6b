"""The defaults of the models' keywords, read from the source: to import a model means to load torch.

What lists many runs needs the defaults and nothing else of a model, and must answer at once.
"""

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from landmarkfer.errors import SettingsError
from landmarkfer.models import MODELS, model_keywords


class _Unknown(Exception):
    """The source alone does not tell."""


@cache
def keyword_defaults(name: str) -> dict[str, Any]:
    """What `model_keywords` tells, without importing the model where its source says it in plain values.

    Args:
        name: A model; one that is unknown has no defaults.
    """
    module, _, attribute = MODELS.get(name, "").partition(":")
    try:
        return _defaults(module, attribute)
    except _Unknown:
        pass
    try:
        return model_keywords(name)
    except (SettingsError, ImportError):
        return {}


def _defaults(module: str, class_name: str) -> dict[str, Any]:
    for node in _statements(module):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                    return dict(_keyword_only(inner.args, module))
    raise _Unknown


def _keyword_only(arguments: ast.arguments, module: str) -> Iterator[tuple[str, Any]]:
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is None:
            raise _Unknown
        yield argument.arg, _value(default, module)


def _value(node: ast.expr, module: str) -> Any:
    """A literal, or a name that the module, or the one it is imported from, gives a literal."""
    if not isinstance(node, ast.Name):
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError):
            raise _Unknown from None
    for statement in _statements(module):
        if isinstance(statement, ast.Assign):
            if any(isinstance(target, ast.Name) and target.id == node.id for target in statement.targets):
                return _value(statement.value, module)
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            for alias in statement.names:
                if (alias.asname or alias.name) == node.id:
                    return _value(ast.Name(alias.name), statement.module)
    raise _Unknown


@cache
def _statements(module: str) -> list[ast.stmt]:
    # Only the package's own modules, whose parents are light to import, as `find_spec` does.
    spec = find_spec(module) if module.startswith("landmarkfer.") else None
    try:
        source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    except (OSError, UnicodeDecodeError):
        raise _Unknown from None
    return ast.parse(source).body
