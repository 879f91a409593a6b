"""Every notebook runs from top to bottom, and is stored without outputs."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(
    path
    for folder in ("graphs", "experiments", "examples")
    for path in (ROOT / folder).rglob("*.ipynb")
    if ".ipynb_checkpoints" not in path.parts and "runs" not in path.relative_to(ROOT).parts
)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_are_notebooks():
    assert {"graphs/graphs.ipynb", "examples/photos.ipynb"} <= {named(path) for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_notebook_is_stored_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, cell.source


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=named)
def test_notebook_runs(path, tmp_path, monkeypatch, detector):
    """In an empty folder, so that it cannot lean on what lies around; `detector` tells that there is one."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    images = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert images, "a notebook here shows a picture"


def code_of(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("where", ["cache/faces", "graphs/cache/faces", "graphs/faces"])
@pytest.mark.parametrize("name", ["faces", "cache/faces"])
def test_the_notebook_of_graphs_finds_caches_from_its_folder(name, where, tiny_cache, tmp_path, monkeypatch):
    """Those of the repository that it lies in, as well as those beside it."""
    shutil.copytree(tiny_cache.path, tmp_path / where)
    (tmp_path / "graphs").mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / "graphs")
    (cell,) = [source for source in code_of(ROOT / "graphs" / "graphs.ipynb") if "def find_cache" in source]
    names = {"CACHE": name, "Path": Path}
    if where.endswith("graphs/faces") and name == "cache/faces":
        with pytest.raises(FileNotFoundError, match="no cache 'cache/faces' in"):
            exec(cell, names)
        return
    exec(cell, names)
    assert names["cache"].path == tmp_path / where
    assert len(names["frame"]) == len(tiny_cache)


def test_a_static_picture_stands_beside_the_one_in_three_dimensions():
    code = code_of(ROOT / "graphs" / "graphs.ipynb")
    (place,) = [number for number, source in enumerate(code) if "graph_figure_3d(" in source]
    assert "graph_figure(graphs" in code[place + 1]
