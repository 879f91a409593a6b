"""Importing MediaPipe without Matplotlib: half of its start-up, for plots that nothing here draws."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_PLOTTING = ("matplotlib", "matplotlib.pyplot")


class _Deferred(ModuleType):
    """Stands in for a module that is imported when one of its names is used."""

    def __getattr__(self, name: str) -> Any:
        _take_out([self])
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def plotting_deferred() -> Iterator[None]:
    """Within it, a module that imports Matplotlib gets what imports it at its first use."""
    absent = [_Deferred(name) for name in _PLOTTING if name not in sys.modules]
    sys.modules.update({module.__name__: module for module in absent})
    if len(absent) == len(_PLOTTING):
        package, module = absent
        package.__dict__["pyplot"] = module
    try:
        yield
    finally:
        _take_out(absent)


def _take_out(modules: list[_Deferred]) -> None:
    for module in modules:
        if sys.modules.get(module.__name__) is module:
            del sys.modules[module.__name__]
