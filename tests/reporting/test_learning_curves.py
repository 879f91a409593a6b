import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from landmarkfer.reporting.learning_curves import draw_curves
from landmarkfer.runs.metrics_table import COLUMNS


@pytest.mark.parametrize("epochs", [1, 7])
def test_curves_are_drawn(tmp_path, epochs):
    table = pd.DataFrame({name: [0.1 * (n + 1) for n in range(epochs)] for name in COLUMNS})
    table["epoch"] = range(1, epochs + 1)
    draw_curves(table, tmp_path / "curves.png", "a run")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width > picture.height > 300
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("monitor", "kept"), [("val_accuracy", 3), ("val_macro_f1", 1), ("val_loss", 2)])
def test_the_epoch_that_is_kept_is_marked(tmp_path, monkeypatch, monitor, kept):
    table = pd.DataFrame({name: [0.5, 0.5, 0.5] for name in COLUMNS})
    table["epoch"] = [1, 2, 3]
    table["val_accuracy"], table["val_macro_f1"] = [0.1, 0.2, 0.3], [0.9, 0.2, 0.3]
    table["val_loss"] = [3.0, 1.0, 2.0]
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: drawn.append(self) or path.touch())
    draw_curves(table, tmp_path / "curves.png", "a run", monitor)
    accuracy = drawn[0].axes[1]
    assert accuracy.get_title(loc="right") == f"stored: epoch {kept}, {10 * kept}.0%"
    assert accuracy.get_lines()[-1].get_xydata().tolist() == [[kept, 10 * kept]]
    assert all(tick % 1 == 0 for axes in drawn[0].axes for tick in axes.get_xticks())


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were to be saved."""
    found = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: found.append(self) or path.touch())
    return found


def table(epochs):
    frame = pd.DataFrame({name: np.linspace(0.2, 0.6, epochs) for name in COLUMNS})
    return frame.assign(epoch=range(1, epochs + 1))


@pytest.mark.parametrize("epochs", [1, 2, 3, 20, 200])
def test_ticks_are_epochs_that_there_are(tmp_path, drawn, epochs):
    draw_curves(table(epochs), tmp_path / "curves.png", "a run")
    for axes in drawn[0].axes:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks and set(ticks) <= set(range(1, epochs + 1))
        if epochs <= 3:
            assert ticks == list(range(1, epochs + 1))


def test_the_majority_line_and_its_label_beside_the_axes(tmp_path, drawn):
    draw_curves(table(5), tmp_path / "curves.png", "a run", "val_accuracy", [10, 25, 5])
    loss, accuracy = drawn[0].axes
    levels = [line for line in accuracy.get_lines() if set(line.get_ydata()) == {62.5}]
    assert len(levels) == 1
    (label,) = accuracy.texts
    assert "62.5 %" in label.get_text() and "most frequent" in label.get_text()
    drawn[0].canvas.draw()
    assert label.get_window_extent().x0 >= accuracy.get_window_extent().x1
    assert label.get_window_extent().x1 <= drawn[0].bbox.x1, "it is not cut"
    assert not loss.texts


def test_no_legend_lies_on_a_curve(tmp_path, drawn):
    draw_curves(table(20), tmp_path / "curves.png", "a run", "val_accuracy", [3, 1])
    figure = drawn[0]
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["training", "validation", "validation, balanced accuracy"]
    figure.canvas.draw()
    assert all(not legend.get_window_extent().overlaps(axes.get_window_extent()) for axes in figure.axes)


def test_balanced_accuracy_is_thinner(tmp_path, drawn):
    frame = table(5).assign(val_balanced_accuracy=[0.1, 0.2, 0.3, 0.3, 0.2])
    draw_curves(frame, tmp_path / "curves.png", "a run")
    lines = {line.get_label(): line for line in drawn[0].axes[1].get_lines()}
    balanced = lines["validation, balanced accuracy"]
    assert balanced.get_ydata() == pytest.approx([10, 20, 30, 30, 20])
    assert balanced.get_linewidth() < lines["validation"].get_linewidth()
