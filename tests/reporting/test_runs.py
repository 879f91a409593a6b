import json
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.text import Text

from landmarkfer.errors import RunError
from landmarkfer.reporting.runs import COLOURS, GREY, STYLES, compare_figure, curves_figure
from landmarkfer.runs.records import read_run


@pytest.fixture
def record(made_run):
    """`record(...)` is that of a run made with the same arguments."""
    return lambda *arguments, **keywords: read_run(made_run(*arguments, **keywords))


def named_lines(axes):
    return {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}


def unnamed_lines(axes):
    return [line for line in axes.get_lines() if line.get_label().startswith("_")]


def texts(axes):
    return [text.get_text() for text in axes.texts]


class TestCurves:
    def test_one_run_has_one_line_and_the_mark_of_its_best_epoch(self, record):
        figure = curves_figure([record("mlp-s0", [0.3, 0.6, 0.5])])
        loss, accuracy = figure.axes
        (line,) = named_lines(accuracy).values()
        assert line.get_label() == "mlp-s0"
        np.testing.assert_allclose(line.get_xdata(), [1, 2, 3])
        np.testing.assert_allclose(line.get_ydata(), [30, 60, 50])
        np.testing.assert_allclose(named_lines(loss)["mlp-s0"].get_ydata(), [0.7, 0.4, 0.5])
        (mark,) = unnamed_lines(accuracy)
        np.testing.assert_allclose(mark.get_xydata(), [[2, 60]])
        assert texts(accuracy) == ["mlp-s0"]
        assert not figure.legends

    def test_seeds_are_a_mean_in_a_band(self, record):
        runs = [
            record("a-s0", [0.2, 0.4], seed=0),
            record("a-s1", [0.4, 0.8], seed=1),
            record("b", [0.5, 0.5]),
        ]
        runs[2] = record("c-s0", [0.5, 0.5], **{"fit.epochs": 2})
        _, accuracy = curves_figure(runs).axes
        lines = named_lines(accuracy)
        assert set(lines) == {"a (2 seeds)", "c-s0"}
        np.testing.assert_allclose(lines["a (2 seeds)"].get_ydata(), [30, 60])
        (band,) = accuracy.collections
        heights = band.get_paths()[0].vertices[:, 1]
        # One standard deviation: of 40 and 80, 20 times the root of two.
        assert (heights.max(), heights.min()) == pytest.approx((60 + 200**0.5 * 2, 30 - 200**0.5))

    def test_the_mean_ends_where_a_seed_does(self, record):
        """Otherwise it would jump; the longer run goes on by itself."""
        runs = [record("a-s0", [0.2, 0.4], seed=0), record("a-s1", [0.4, 0.6, 0.7, 0.8], seed=1)]
        _, accuracy = curves_figure(runs).axes
        np.testing.assert_allclose(named_lines(accuracy)["a (2 seeds)"].get_xydata(), [[1, 30], [2, 50]])
        (rest,) = unnamed_lines(accuracy)
        np.testing.assert_allclose(rest.get_xydata(), [[2, 60], [3, 70], [4, 80]])

    def test_an_unfinished_seed_does_not_shorten_the_mean(self, record):
        runs = [record(f"a-s{s}", [0.2, 0.4, 0.6], seed=s) for s in range(2)]
        runs.append(record("a-s2", [0.9, 0.8], seed=2, finished=False))
        _, accuracy = curves_figure(runs).axes
        np.testing.assert_allclose(named_lines(accuracy)["a (3 seeds)"].get_ydata(), [20, 40, 60])
        (rest,) = unnamed_lines(accuracy)
        np.testing.assert_allclose(rest.get_ydata(), [90, 80])
        alone = curves_figure([runs[2]]).axes[1]
        assert list(named_lines(alone)) == ["a-s2 (interrupted, 2/20)"]

    def test_few_are_labelled_without_overlap_and_many_have_a_legend(self, record):
        runs = [record(f"r{n}", [0.5, 0.6 + n / 1e4], **{"fit.epochs": n + 2}) for n in range(8)]
        figure = curves_figure(runs[:7])
        figure.draw_without_rendering()
        boxes = sorted(
            (Text.get_window_extent(text) for text in figure.axes[1].texts), key=lambda box: box.y0
        )
        assert len(boxes) == 7
        assert all(lower.y1 <= upper.y0 for lower, upper in pairwise(boxes))
        assert not figure.legends

        figure = curves_figure(runs)
        assert texts(figure.axes[1]) == []
        names = [text.get_text() for text in figure.legends[0].get_texts()]
        assert names == [f"r{n}" for n in reversed(range(8))], "the best first"

    def test_more_than_colours_can_tell_apart_are_grey(self, record):
        known = len(COLOURS) * len(STYLES)
        runs = [record(f"r{n:02}", [0.1 + n / 100], **{"fit.epochs": n + 2}) for n in range(known + 3)]
        figure = curves_figure(runs)
        lines = named_lines(figure.axes[1])
        styles = {(line.get_color(), line.get_linestyle()) for name, line in lines.items() if name > "r02"}
        assert len(styles) == known
        assert {lines[f"r{n:02}"].get_color() for n in range(3)} == {GREY}
        assert figure.legends[0].get_texts()[-1].get_text() == "3 others"

    def test_axes_begin_and_end_at_ticks(self, record):
        for axes in curves_figure([record("a", [0.337, 0.583, 0.601])]).axes:
            np.testing.assert_allclose(axes.get_ylim(), axes.get_yticks()[[0, -1]])
            assert axes.get_xlim()[0] == 0

    def test_without_epochs_there_is_nothing_to_draw(self, record):
        classical = record("svm-s0", config={"parameters": None})
        with pytest.raises(RunError, match="no curve"):
            curves_figure([record("a", []), classical])
        assert list(named_lines(curves_figure([record("b"), classical]).axes[1])) == ["b"]


class TestCompare:
    def test_sorted_with_intervals_in_percent(self, record):
        figure = compare_figure([record("low", test=0.5), record("high", test=0.6, **{"fit.epochs": 9})])
        accuracy, macro_f1 = figure.axes
        assert [tick.get_text() for tick in accuracy.get_yticklabels()] == ["low", "high"], "from below"
        intervals = [line for line in accuracy.get_lines() if len(line.get_xdata()) == 2]
        np.testing.assert_allclose(
            [line.get_xydata() for line in intervals], [[[48, 0], [53, 0]], [[58, 1], [63, 1]]]
        )
        assert texts(accuracy) == ["50.00", "60.00"]
        assert texts(macro_f1) == ["25.00", "30.00"]
        left, right = accuracy.get_xlim()
        assert left < 48 and right > 63, "what ends at a tick is not cut"

    def test_seeds_are_dots_below_their_mean(self, record):
        figure = compare_figure([record(f"a-s{s}", test=0.5 + s / 10, seed=s) for s in range(2)])
        accuracy = figure.axes[0]
        interval, seeds, mean = accuracy.get_lines()
        np.testing.assert_allclose(interval.get_xdata(), [53, 58], err_msg="the mean of 48-53 and 58-63")
        np.testing.assert_allclose(seeds.get_xdata(), [50, 60])
        assert max(seeds.get_ydata()) < 0
        assert float(mean.get_xdata()[0]) == 55
        assert texts(accuracy) == ["55.00 ± 7.07"]
        assert accuracy.get_yticklabels()[0].get_text() == "a (2 seeds)"

    def test_other_test_images_are_told(self, record):
        other = {"cache": {"path": "elsewhere/ck", "fingerprint": "e"}}
        figure = compare_figure([record("a", test=0.5), record("b", test=0.6, config=other), record("c")])
        labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
        assert labels == ["a\nfaces, 700 images, 2 classes", "b\nck, 700 images, 2 classes"]
        caption = figure.get_supxlabel()
        assert "Not all on the same test images" in caption
        assert "1 run not evaluated" in caption

    def test_an_ensemble_s_evaluation_is_compared_too(self, record, made_run):
        folder = made_run("both", test=0.7)
        (folder / "config.json").unlink()
        figures = json.loads((folder / "metrics.json").read_text()) | {"classes": ["happy", "sad"]}
        (folder / "metrics.json").write_text(json.dumps(figures))
        figure = compare_figure([record("a", test=0.5), read_run(folder)])
        assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["a", "both"]
        assert "Not all" not in figure.get_supxlabel()

    def test_without_an_evaluation_it_says_what_to_do(self, record):
        with pytest.raises(RunError, match="landmarkfer evaluate done"):
            compare_figure([record("cut", finished=False), record("done")])
