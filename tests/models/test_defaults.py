import subprocess
import sys

import pytest

from landmarkfer.models import MODELS, model_keywords
from landmarkfer.models.defaults import keyword_defaults


@pytest.mark.parametrize("name", MODELS)
def test_the_source_tells_what_the_constructor_does(name):
    assert keyword_defaults(name) == model_keywords(name)


def test_no_model_is_imported():
    code = (
        "import sys; from landmarkfer.models.defaults import keyword_defaults\n"
        "print(keyword_defaults('mlp')['hidden'], keyword_defaults('gnn')['k'], 'torch' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split("\n")[0] == "(512, 256) 6 False"


def test_an_unknown_model_has_none():
    assert keyword_defaults("crystal-ball") == {}


def test_what_the_source_does_not_tell_is_imported(tmp_path, monkeypatch):
    """A default that is worked out, which reading the source cannot do."""
    from landmarkfer.models import defaults

    source = tmp_path / "odd.py"
    source.write_text("class Odd:\n    def __init__(self, classes, *, width=2 * 8, depth=3):\n        pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(MODELS, "odd", "odd:Odd")
    defaults.keyword_defaults.cache_clear()
    assert keyword_defaults("odd") == {"width": 16, "depth": 3}
