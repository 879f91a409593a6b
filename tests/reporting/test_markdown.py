import pandas as pd

from landmarkfer.reporting.markdown import Header, package_versions, render_bench, write_page
from landmarkfer.reporting.results import BENCH_COLUMNS, append_bench

HEADER = Header(title="Speed", commands=["python bench.py"], versions={"torch": "2.9"}, date="2025-03-04")


def line(md, start):
    (found,) = [row for row in md.read_text().splitlines() if row.startswith(f"| {start}")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_what_is_not_known_of_the_making_is_left_out(tmp_path):
    for date, machine, expected in (
        ("2025-03-04", "a laptop", "Measured 2025-03-04 on a laptop."),
        ("2025-03-04", "", "Measured 2025-03-04."),
        ("", "a laptop", "Measured on a laptop."),
    ):
        header = Header("T", [], {"torch": "2.9"}, date, machine)
        write_page(tmp_path / "page.md", tmp_path / "page.csv", header, [])
        assert expected in (tmp_path / "page.md").read_text()
    write_page(tmp_path / "page.md", tmp_path / "page.csv", Header("T", [], {"torch": "2.9"}, ""), [])
    assert "Measured" not in (tmp_path / "page.md").read_text()


def test_bench_page(tmp_path):
    csv, md = tmp_path / "bench.csv", tmp_path / "bench.md"
    append_bench(
        csv,
        pd.DataFrame(
            [
                ("extraction", "bare loop", "cpu", 2, "images_per_second", 215.34),
                ("extraction", "pipeline", "cpu", 2, "images_per_second", 2034.5),
                ("extraction", "pipeline", "cpu", 2, "peak_mib", 512.0),
            ],
            columns=BENCH_COLUMNS,
        ),
    )
    render_bench(csv, md, HEADER)
    assert "## extraction" in md.read_text()
    assert line(md, "bare loop") == ["bare loop", "cpu", "2", "215.3", "–"]
    assert line(md, "pipeline") == ["pipeline", "cpu", "2", "2,034", "512"]


def test_versions_are_read_without_importing():
    versions = package_versions(["numpy", "no-such-package"])
    assert set(versions) == {"python", "numpy"}
