"""MediaPipe is imported without Matplotlib, and its plots still work."""

import subprocess
import sys

import pytest

PLOT = """
import sys
from landmarkfer.extraction.deferred import plotting_deferred
{before}
with plotting_deferred():
    import matplotlib.pyplot as plt
    import matplotlib as package
    from matplotlib import pyplot
loaded = "matplotlib.figure" in sys.modules
assert not isinstance(sys.modules.get("matplotlib"), type(plt)) and "matplotlib.pyplot" not in sys.modules
package.use("Agg")
figure = plt.figure()
import matplotlib.pyplot as real
assert type(figure) is real.Figure and real is not plt and pyplot.figure is real.figure
print(loaded)
"""


def printed(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(("before", "loaded"), [("", "False"), ("import matplotlib.figure", "True")])
def test_a_module_is_imported_when_it_is_used(before, loaded):
    assert printed(PLOT.format(before=before)) == [loaded]


def test_another_import_meanwhile_gets_the_module():
    code = """
import sys
from landmarkfer.extraction.deferred import plotting_deferred
with plotting_deferred():
    from matplotlib.figure import Figure
    import matplotlib
assert sys.modules["matplotlib"].figure.Figure is Figure
print(Figure.__name__)
"""
    assert printed(code) == ["Figure"]


DETECT = """
import sys
import numpy as np
from landmarkfer.extraction import create_detector
create_detector().detect(np.zeros((64, 64, 3), np.uint8))
print(*[name for name in ("mediapipe", "matplotlib", "pandas", "scipy", "torch") if name in sys.modules])
"""


@pytest.mark.usefixtures("detector")
def test_detection_loads_no_plots():
    assert printed(DETECT) == ["mediapipe"]
