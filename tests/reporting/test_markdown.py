import pandas as pd
import pytest

from landmarkfer.errors import LandmarkferError
from landmarkfer.reporting.markdown import Header, package_versions, read_header, render_bench, write_page
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


@pytest.mark.parametrize("date", ["2025-03-04", "2025-03-04 to 2025-03-06", ""])
@pytest.mark.parametrize("machine", ["", "2 CPU cores, beside other work"])
def test_a_page_tells_its_header(tmp_path, date, machine):
    header = Header(
        "A title",
        ["first \\\n  --with continuation", "second"],
        {"python": "3.11.7", "torch": "2.9 and 2.10"},
        date,
        machine,
        "What it is. In one paragraph.",
    )
    md = tmp_path / "page.md"
    write_page(md, tmp_path / "page.csv", header, ["| a |", "## Part", "text"])
    found = read_header(md)
    assert "\n".join(found.commands) == "\n".join(header.commands)
    assert (found.title, found.introduction) == (header.title, header.introduction)
    assert (found.date, found.machine, found.versions) == (date, machine, header.versions)


def test_a_page_of_another_kind_has_no_header(tmp_path):
    (tmp_path / "page.md").write_text("# Notes\n\nby hand\n")
    for name in ("page.md", "none.md"):
        with pytest.raises(LandmarkferError, match=name):
            read_header(tmp_path / name)
