import pandas as pd
import pytest

from landmarkfer.config.benchmark import COLUMNS, ContrastSettings, PairSettings, PublishedSettings
from landmarkfer.errors import LandmarkferError
from landmarkfer.reporting.markdown import Header
from landmarkfer.reporting.results import (
    ALL_SEEDS,
    ELSEWHERE,
    PAIRED,
    RESULT_COLUMNS,
    append_results,
    pair_subset,
)
from landmarkfer.reporting.results_page import render_results

HEADER = Header(
    title="Landmarks",
    commands=["landmarkfer train --model mlp --seed 0", "landmarkfer evaluate mlp-0"],
    versions={"torch": "2.9"},
    date="2025-03-04",
    machine="2 CPU cores",
    introduction="What was asked.",
    notes="What was learned.",
)


@pytest.fixture
def csv(tmp_path):
    figures = []
    for experiment, model, graph, accuracies in (
        ("flat", "mlp", "none", (0.58, 0.59, 0.60)),
        ("graph", "gnn", "knn", (0.62, 0.60)),
        ("graph", "gnn", "full", (0.5,)),
    ):
        for seed, accuracy in enumerate(accuracies):
            run = (experiment, model, graph, seed)
            figures += [
                (*run, "test", "accuracy", accuracy),
                (*run, "test", "recall_sad", 0.3 + seed / 100),
                (*run, "test", "recall_happy", 0.8 - seed / 2),
                (*run, "run", "train_seconds", 60.0 + 60 * seed),
                (*run, "run", "parameters", 123456),
            ]
    path = tmp_path / "page.csv"
    append_results(path, pd.DataFrame(figures, columns=RESULT_COLUMNS))
    return path


def line(md, start):
    (found,) = [row for row in md.read_text().splitlines() if row.startswith(f"| {start}")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def render(csv, **kwargs):
    md = csv.with_suffix(".md")
    render_results(csv, md, HEADER, **{"columns": COLUMNS} | kwargs)
    return md


def test_row_is_mean_and_sample_deviation_over_seeds(csv):
    md = render(csv)
    table = md.read_text().split("\n\n")[2].splitlines()
    heading, flat = ([c.strip() for c in table[i].strip("|").split("|")] for i in (0, 2))
    cells = dict(zip(heading, flat, strict=True))
    assert cells["experiment"] == "flat"
    assert cells["seeds"] == "0, 1, 2"
    assert cells["accuracy, all test"] == "59.00 ± 1.00"
    assert cells["training, min"] == "2.0 ± 1.0"
    assert cells["parameters"] == "123,456"
    assert cells["public"] == "–"
    # Means over seeds: sad 0.31, happy (0.8 + 0.3 - 0.2) / 3 = 0.30.
    assert cells["lowest recall"] == "30.00 ± 50.00 (happy)"
    assert line(md, "graph | gnn | full | 0 ")[4] == "50.00", "one seed has no deviation"


def test_experiments_keep_their_order_and_published_rows_stand_beside_them(csv):
    page = render(
        csv,
        published=[
            PublishedSettings(
                name="GCN",
                source="a paper",
                values={"test.accuracy": 0.506},
                model="gnn",
                graph="anatomical",
                beside="flat",
            ),
            PublishedSettings(name="FT", source="another paper", values={"test.accuracy": 0.536}),
        ],
    )
    rows = [row.split(" | ")[0] for row in page.read_text().split("\n\n")[2].splitlines()[2:]]
    assert rows == ["| flat", "| *GCN*", "| graph", "| graph", "| *FT*"]
    assert line(page, "*GCN*")[3:6] == ["*published*", "50.60", "–"]
    assert "- *GCN* (published): a paper" in page.read_text()


def test_contrast_is_the_difference_of_means_with_its_standard_error(tmp_path, csv):
    append_results(
        csv,
        pd.DataFrame(
            [("wide", "mlp", "none", s, "test", "accuracy", v) for s, v in enumerate((0.60, 0.62, 0.64))],
            columns=RESULT_COLUMNS,
        ),
    )
    page = render(csv, contrasts=[ContrastSettings(choice="width", row="wide", against="flat")])
    # Variances 4 and 1 points squared over 3 seeds each: sqrt(5 / 3) = 1.29.
    assert line(page, "width") == ["width", "wide", "flat", "+3.00 ± 1.29"]


@pytest.mark.parametrize("base", ["nothing", "graph"])
def test_contrast_needs_exactly_one_row(csv, base):
    with pytest.raises(LandmarkferError, match="needs one row"):
        render(csv, contrasts=[ContrastSettings(choice="graph", row="flat", against=base)])


def test_published_row_beside_nothing_is_refused(csv):
    with pytest.raises(LandmarkferError, match="no experiment lost"):
        render(csv, published=[PublishedSettings(name="GCN", source="a paper", values={}, beside="lost")])


def test_page_states_how_it_was_made_and_is_the_same_every_time(csv):
    md = render(csv)
    text = md.read_text()
    for part in (
        "# Landmarks", "What was asked.", "What was learned.", "landmarkfer train --model mlp --seed 0",
        "torch 2.9", "2025-03-04 on 2 CPU cores", "[page.csv](page.csv)",
    ):  # fmt: skip
        assert part in text
    before = md.read_bytes()
    assert render(csv).read_bytes() == before


def test_a_bar_in_a_name_does_not_break_the_table(tmp_path):
    csv = tmp_path / "page.csv"
    append_results(csv, pd.DataFrame([("a|b", "m", "g", 0, "test", "accuracy", 1.0)], columns=RESULT_COLUMNS))
    assert "| a\\|b |" in render(csv).read_text()


def test_order_and_columns_are_those_asked_for(csv):
    page = render(csv, order=["graph"], columns=["test.recall_sad", "run.parameters"])
    heading, _, *rows = page.read_text().split("\n\n")[2].splitlines()
    assert heading == "| experiment | model | graph | seeds | recall sad (test) | parameters |"
    assert [row.split(" | ")[0] for row in rows] == ["| graph", "| graph", "| flat"]
    assert line(page, "flat | mlp | none | 0, 1, 2 ")[4:] == ["31.00 ± 1.00", "123,456"]


def test_contrast_of_another_figure(csv):
    append_results(
        csv,
        pd.DataFrame(
            [("wide", "mlp", "none", 0, "test", "recall_sad", 0.5)],
            columns=RESULT_COLUMNS,
        ),
    )
    contrast = ContrastSettings(choice="width", row="wide", against="flat", figure="test.recall_sad")
    page = render(csv, contrasts=[contrast])
    assert line(page, "width") == ["width", "wide", "flat", "+19.00"]
    assert "in points of recall sad (test), ± its standard error." in page.read_text()


def test_tests_over_groups_are_called_so(csv):
    figures = {"difference": 0.02, "difference_low": -0.01, "difference_high": 0.05, "p_permutation": 0.2}
    rows = [("graph", "gnn", "knn", ALL_SEEDS, PAIRED, name, value) for name, value in figures.items()]
    rows += [
        ("graph", "gnn", "knn", ALL_SEEDS, PAIRED, "p_holm", 0.2),
        ("graph", "gnn", "knn", 0, PAIRED, "p_mcnemar", 0.1),
    ]
    append_results(csv, pd.DataFrame(rows, columns=RESULT_COLUMNS))
    assert "whole groups" not in render(csv, baseline="flat").read_text()
    rows = [("graph", "gnn", "knn", ALL_SEEDS, PAIRED, "groups", 1234)]
    append_results(csv, pd.DataFrame(rows, columns=RESULT_COLUMNS))
    assert "draw and exchange 1,234 whole groups of images" in render(csv, baseline="flat").read_text()


@pytest.mark.parametrize(("groups", "interval"), [(5, "–"), (6, "-1.00 to +5.00")])
def test_a_pair_of_few_groups_has_no_interval(csv, groups, interval):
    """A bootstrap of so few groups says nothing of others."""
    figures = {"difference": 0.02, "difference_low": -0.01, "difference_high": 0.05, "p_permutation": 0.2}
    figures |= {"p_holm": 0.2, "n": 40, "groups": groups}
    subset = pair_subset("street", "graph")
    rows = [("flat", "mlp", "none", ALL_SEEDS, subset, name, value) for name, value in figures.items()]
    rows += [
        (*key, 0, f"{ELSEWHERE}street", metric, value)
        for key in (("flat", "mlp", "none"), ("graph", "gnn", "knn"))
        for metric, value in (("n", 40), ("accuracy", 0.5))
    ]
    append_results(csv, pd.DataFrame(rows, columns=RESULT_COLUMNS))
    page = render(csv, pairs=[PairSettings(first="flat", second="graph")])
    expected = ["flat – graph", "street", f"40 ({groups} groups)", "+2.00", interval, "0.200", "0.200"]
    assert line(page, "flat – graph") == expected
