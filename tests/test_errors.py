import importlib.util
import sys

import pytest

from landmarkfer.cli import main
from landmarkfer.errors import EXTRAS, LandmarkferError, MissingExtra, extras_named


@pytest.mark.parametrize(
    ("extra", "module", "package"),
    [
        ("train", "torch", "torch"),
        ("train", "torch_geometric", "torch-geometric"),
        ("train", "sklearn", "scikit-learn"),
        ("tune", "optuna", "optuna"),
        ("heif", "pillow_heif", "pillow-heif"),
        ("tables", "openpyxl", "openpyxl"),
    ],
)
def test_a_missing_package_names_its_extra(monkeypatch, extra, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        MissingExtra, match=rf"needs {package}, .* pip install 'landmarkfer\[{extra}\]'"
    ) as raised:
        with extras_named():
            __import__(f"{module}.inside")
    assert isinstance(raised.value, LandmarkferError)
    assert isinstance(raised.value, ImportError)
    assert raised.value.name == module


def test_other_missing_modules_stay_what_they_are():
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all") as raised:
        with extras_named():
            __import__("nowhere_at_all")
    assert not isinstance(raised.value, MissingExtra)


def test_every_module_of_an_extra_is_installed_here():
    """A name that is spelt wrong in the table would never be found missing."""
    for modules in EXTRAS.values():
        for module in modules:
            assert importlib.util.find_spec(module), module


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file", "here"), ValueError("of a library")])
def test_an_error_is_one_line_and_ends_with_one(monkeypatch, capsys, error):
    def fails(**_):
        raise error

    monkeypatch.setattr("landmarkfer.cli.cli", fails)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert capsys.readouterr().err.count("\n") == 1
