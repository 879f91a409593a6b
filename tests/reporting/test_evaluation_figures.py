import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from landmarkfer.metrics.calibration import reliability_points
from landmarkfer.metrics.intervals import proportion_intervals
from landmarkfer.metrics.selective import risk_intervals, risk_over_coverage
from landmarkfer.reporting.evaluation_figures import (
    draw_class_reliability,
    draw_confusion,
    draw_reliability,
    draw_risk_coverage,
)


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def line(axes, label):
    return next(line for line in axes.get_lines() if line.get_label() == label)


class TestRiskCoverage:
    CASES = pytest.mark.parametrize(
        ("confidence", "correct"),
        [
            ([0.9, 0.4], [True, True]),
            ([0.9, 0.4], [False, False]),
            ([0.5], [False]),
            ([0.3] * 5, [True] * 3 + [False] * 2),
        ],
        ids=["all right", "all wrong", "one image", "all alike"],
    )

    @CASES
    def test_risk_is_drawn_of_any_model(self, tmp_path, confidence, correct):
        draw_risk_coverage(tmp_path / "risk.png", confidence, correct)
        assert pixels(tmp_path / "risk.png").std() > 5

    @CASES
    def test_the_whole_curve_is_inside_the_axes(self, tmp_path, confidence, correct):
        axes = draw_risk_coverage(tmp_path / "risk.png", confidence, correct).axes[0]
        self.check_inside(axes, risk_over_coverage(confidence, correct))

    @pytest.mark.parametrize("first", [1, 3, 60])
    def test_errors_of_high_confidence_are_inside_the_axes(self, tmp_path, first):
        """The risk is 100 % among the first images, and a few percent at the end."""
        confidence = np.linspace(1, 0, 1000)
        correct = np.arange(1000) >= first
        axes = draw_risk_coverage(tmp_path / "risk.png", confidence, correct).axes[0]
        risk = risk_over_coverage(confidence, correct)
        assert risk.max() == 1
        self.check_inside(axes, risk)

    def check_inside(self, axes, risk):
        curve = line(axes, "highest confidence first")
        np.testing.assert_allclose(curve.get_ydata(), 100 * risk)
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert bottom < curve.get_ydata().min() and curve.get_ydata().max() < top
        assert left <= curve.get_xdata().min() and curve.get_xdata().max() < right
        dots = [dot.get_xydata()[0] for dot in axes.get_lines() if dot.get_marker() == "o"]
        for x, y in dots:
            assert y == pytest.approx(np.interp(x, curve.get_xdata(), curve.get_ydata())), "dots lie on it"

    @pytest.mark.parametrize("groups", [None, np.arange(200) % 20])
    def test_the_exact_interval_is_shaded(self, tmp_path, groups):
        rng = np.random.default_rng(0)
        confidence, correct = rng.random(200), rng.random(200) < 0.7
        axes = draw_risk_coverage(tmp_path / "risk.png", confidence, correct, groups).axes[0]
        (shade,) = axes.collections
        corners = shade.get_paths()[0].vertices
        steps, ends = risk_intervals(confidence, correct, groups)
        for k, (low, high) in zip(steps, 100 * ends, strict=True):
            there = corners[np.isclose(corners[:, 0], 100 * k / 200), 1]
            assert np.isclose(there, low).any() and np.isclose(there, high).any()
        assert ("20 groups" in shade.get_label()) == (groups is not None)
        assert 100 * ends[steps >= 20].max() < axes.get_ylim()[1], "all of it from a tenth of the images on"

    def test_the_legend_is_outside_the_axes(self, tmp_path):
        figure = draw_risk_coverage(tmp_path / "risk.png", [0.9, 0.5, 0.4], [True, False, True])
        (legend,) = figure.legends
        assert figure.axes[0].get_legend() is None
        assert not legend.get_window_extent().overlaps(figure.axes[0].get_window_extent())


class TestReliability:
    def test_accuracies_and_their_intervals(self, tmp_path):
        rng = np.random.default_rng(0)
        confidence = rng.random(500)
        correct = rng.random(500) < confidence
        figure = draw_reliability(tmp_path / "reliability.png", confidence, correct)
        upper, lower = figure.axes
        points = reliability_points(confidence, correct)
        (bars,) = upper.containers
        np.testing.assert_allclose(bars[0].get_xydata(), points[["confidence", "accuracy"]])
        segments = np.array(bars[2][0].get_segments())  # [points, ends, x and y]
        np.testing.assert_allclose(segments[:, :, 1], points[["low", "high"]], atol=1e-12)
        assert sum(bar.get_height() for bar in lower.patches) == 500
        assert "n = 500" in lower.get_xlabel()
        assert not figure.legends[0].get_window_extent().overlaps(upper.get_window_extent())

    def test_confidence_before_calibration_is_drawn_where_it_is_given(self, tmp_path):
        rng = np.random.default_rng(0)
        confidence, correct = rng.random(200), rng.random(200) < 0.5

        def orange(path):
            red, green, blue = np.moveaxis(pixels(path), 2, 0)
            return int(((red > 150) & (green < 120) & (blue < 80)).sum())

        draw_reliability(tmp_path / "without.png", confidence, correct)
        figure = draw_reliability(tmp_path / "with.png", confidence, correct, confidence**2)
        assert orange(tmp_path / "without.png") == 0
        assert orange(tmp_path / "with.png") > 500
        marks = line(figure.axes[0], "before calibration")
        expected = reliability_points(confidence**2, correct)[["confidence", "accuracy"]]
        np.testing.assert_allclose(marks.get_xydata(), expected)
        assert marks.get_markerfacecolor() == "none"

    @pytest.mark.parametrize("images", [1, 12])
    def test_few_images_are_one_point(self, tmp_path, images):
        confidence, correct = np.linspace(0.2, 0.9, images), np.arange(images) % 2 == 0
        figure = draw_reliability(tmp_path / "reliability.png", confidence, correct)
        (bars,) = figure.axes[0].containers
        assert bars[0].get_xydata().tolist() == [[confidence.mean(), correct.mean()]]


class TestConfusion:
    COUNTS = np.array([[700, 20, 0], [4, 26, 0], [1, 0, 2]])

    @pytest.fixture
    def axes(self, tmp_path, monkeypatch):
        figures = []
        save = Figure.savefig
        monkeypatch.setattr(
            Figure, "savefig", lambda self, *a, **k: figures.append(self) or save(self, *a, **k)
        )
        draw_confusion(tmp_path / "confusion.png", self.COUNTS, ["neutral", "happy", "fear"])
        return figures[0].axes

    def test_rows_say_how_many_images_they_are_of(self, axes):
        for panel in axes:
            assert [text.get_text() for text in panel.get_yticklabels()] == [
                "neutral\nn = 720",
                "happy\nn = 30",
                "fear\nn = 3*",
            ]

    def test_percentages_of_few_images_are_marked(self, axes):
        counts, percents = ([text.get_text() for text in panel.texts] for panel in axes)
        assert counts == ["700", "20", "0", "4", "26", "0", "1", "0", "2"]
        assert percents == ["97.2", "2.8", "0.0", "13.3", "86.7", "0.0", "33.3*", "0.0*", "66.7*"]
        assert "* fewer than 30 images" in axes[0].figure.get_supxlabel()

    def test_nothing_is_marked_where_all_have_enough(self, tmp_path, monkeypatch):
        figures = []
        monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
        draw_confusion(tmp_path / "confusion.png", 30 * np.eye(2, dtype=int), ["a", "b"])
        assert figures[0].get_supxlabel() == ""
        assert "*" not in "".join(text.get_text() for panel in figures[0].axes for text in panel.texts)


def test_intervals_at_small_coverage_are_wide():
    """So that the shading says how little the first images tell."""
    steps, ends = risk_intervals(np.linspace(1, 0, 100), np.ones(100, bool))
    assert steps.tolist() == list(range(1, 101))
    np.testing.assert_allclose(ends[0], proportion_intervals(0, 1))
    assert ends[0, 1] > 0.97 > 0.04 > ends[-1, 1]


@pytest.mark.parametrize("classes", [2, 7, 9])
def test_each_class_has_a_panel_of_its_own(tmp_path, classes):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(classes), 400)
    labels = (p.cumsum(axis=1) < rng.random((400, 1))).sum(axis=1)
    labels[labels == classes - 1] = 0  # a class without an image
    names = [f"class {number}" for number in range(classes)]
    path = tmp_path / "classes.png"
    figure = draw_class_reliability(path, p, labels, names)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == classes and pixels(path).std() > 5
    for number, axes in enumerate(panels):
        n = int((labels == number).sum())
        assert axes.get_title() == f"class {number}, n = {n}" + ("*" if n < 30 else "")
        points = reliability_points(p[:, number], labels == number)
        drawn = axes.containers[0].lines[0].get_xydata()
        np.testing.assert_allclose(drawn, points[["confidence", "accuracy"]])
        assert f"expected {100 * p[:, number].mean():.1f} %" in axes.texts[0].get_text()
