"""Why a setting does not fit, in the words of a user: what pydantic says of it names types of Python."""

from collections.abc import Mapping
from typing import Any

_EXPECTED = {
    "float_type": "it must be a number",
    "int_type": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "finite_number": "it must be a finite number",
    "bool_type": "it must be true or false",
    "string_type": "it must be a text in quotes",
    "literal_error": "it must be {expected}",
    "greater_than": "it must be above {gt:g}",
    "greater_than_equal": "it must be {ge:g} or more",
    "less_than": "it must be below {lt:g}",
    "less_than_equal": "it must be {le:g} or less",
    "model_type": "it must be a table of settings",
    "dict_type": "it must be a table",
    "mapping_type": "it must be a table",
    "list_type": "it must be a list in brackets",
    "tuple_type": "it must be a list in brackets",
    "sequence_str": "it must be a list in brackets",
    "too_short": "it needs {min_length} or more entries",
    "missing": "it is missing",
    "extra_forbidden": "there is no such setting",
}


def reason(fault: Mapping[str, Any]) -> str:
    """Why a value does not fit, in plain words, from one of the errors that pydantic lists."""
    context = fault.get("ctx", {})
    kind = "sequence_str" if context.get("class") == "Sequence" else fault["type"]
    if kind in _EXPECTED:
        return _EXPECTED[kind].format(**context)
    text = fault["msg"].removeprefix("Value error, ")
    return f"{text[:1].lower()}{text[1:]}"
