import numpy as np
import pytest
from PIL import Image

from landmarkfer.evaluation.robustness.report import render_robustness, robustness_figure, write_robustness
from landmarkfer.evaluation.robustness.statistics import ImageResults, robustness_figures
from landmarkfer.reporting.results import read_results

NAMES = ("blur", "jpeg", "mask", "noise", "rotation")
PIXELS, LANDMARKS = ("pixels", "image", "none"), ("landmarks", "gnn", "knn")


def results_by_image(right, found, seeds=(0, 1)):
    """The same share of right and found images, falling with the severity, for every corruption."""
    rng = np.random.default_rng(int(100 * right))
    falls = np.linspace(1, 0.5, 6)[None, :, None]
    shape = (len(seeds), 6, 40)
    faces = {name: np.broadcast_to(rng.random((1, 6, 40)) < found * falls, shape) for name in NAMES}
    return ImageResults(seeds, {name: rng.random(shape) < right * falls for name in NAMES}, faces)


@pytest.fixture
def two():
    return {PIXELS: results_by_image(0.7, 0.9), LANDMARKS: results_by_image(0.6, 0.9)}


def test_a_page_of_two_systems(two, tmp_path):
    page = write_robustness(
        tmp_path / "deep" / "page", robustness_figures(two, PIXELS), "make it", "2026-01-02"
    )
    text = page.read_text()
    assert "40 test images, each corrupted in 5 ways at 5 severities" in text
    assert "corrected (Holm) for all 6 tests" in text, "five corruptions and all of them"
    assert "Measured 2026-01-02" in text
    assert "```sh\nmake it\n```" in text
    sections = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert sections == ["All corruptions", *NAMES, "How it was made"]
    results = read_results(page.with_suffix(".csv")).set_index(["experiment", "seed", "subset", "metric"])
    value = results["value"]
    areas = [100 * value["landmarks", seed, "mask", "corruption_accuracy"] for seed in (0, 1)]
    shown = text[text.index("## mask") :].splitlines()[5]
    assert shown.startswith("| landmarks | 0, 1 |")
    assert f"| {np.mean(areas):.2f} ± {np.std(areas, ddof=1):.2f} |" in shown
    gap = 100 * value["landmarks", -1, "mask", "accuracy_drop_difference"]
    assert f"| {gap:+.2f} |" in shown
    with Image.open(page.with_suffix(".png")) as picture:
        assert picture.width > 1000


@pytest.mark.slow
def test_equal_outcomes_give_equal_files(two, tmp_path):
    first, again = (
        write_robustness(tmp_path / name / "page", robustness_figures(two, PIXELS), "make it", "2026-01-02")
        for name in "ab"
    )
    for kind in (".md", ".csv", ".png"):
        assert first.with_suffix(kind).read_bytes() == again.with_suffix(kind).read_bytes()


def test_one_system_is_compared_with_nothing(tmp_path):
    alone = {PIXELS: results_by_image(0.7, 0.9, seeds=(4,))}
    text = write_robustness(
        tmp_path / "page", robustness_figures(alone, PIXELS), "make it", "2026-01-02"
    ).read_text()
    assert "area against" not in text
    assert "| pixels | 4 |" in text


def test_the_lines_are_the_figures(two):
    results = robustness_figures(two, PIXELS)
    figure = robustness_figure(results)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == list(NAMES)
    lines = {line.get_label(): line for line in panels[2].get_lines()}
    assert {"pixels", "landmarks", "faces found"} <= set(lines)
    expected = [100 * two[LANDMARKS].right["mask"][:, k].mean() for k in range(6)]
    np.testing.assert_allclose(lines["landmarks"].get_ydata(), expected)
    assert len(panels[2].collections) == 2, "a band over seeds for each system"


def test_systems_of_one_detector_share_a_line_of_faces_found(two):
    shared = {key: ImageResults(o.seeds, o.right, two[PIXELS].found) for key, o in two.items()}
    counts = []
    for made in (shared, two):
        results = robustness_figures(made, PIXELS)
        panel = robustness_figure(results).axes[0]
        counts.append(sum(line.get_linestyle() == "--" for line in panel.get_lines()))
    assert counts == [1, 2]


def test_a_page_is_rendered_from_its_csv_alone(two, tmp_path):
    page = write_robustness(tmp_path / "page", robustness_figures(two, LANDMARKS), "make it", "2026-01-02")
    before = {kind: page.with_suffix(kind).read_bytes() for kind in (".md", ".png")}
    page.with_suffix(".png").unlink()
    assert "to landmarks on the same images" in page.read_text(), "the baseline"
    assert render_robustness(page.with_suffix(".csv")) == page
    assert {kind: page.with_suffix(kind).read_bytes() for kind in before} == before
