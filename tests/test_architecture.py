"""The layers of the package, and what its entry points may load."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "landmarkfer"

# The layer of a module is that of the longest prefix here; a module may import its own layer and those below.
LAYERS = {
    **dict.fromkeys(["errors", "files", "landmarks", "geometry", "pose", ""], 0),
    **dict.fromkeys(["config", "recipes", "search_settings", "benchmark_settings"], 0),
    **dict.fromkeys(["topology", "neighbours", "graph_files", "evaluation", "corruptions"], 1),
    **dict.fromkeys(["data.cache", "data.cache_writer", "data.parts", "data.rows", "data.schema"], 1),
    **dict.fromkeys(["data.labels", "data.blendshapes"], 1),
    **dict.fromkeys(["extract", "data", "models", "draw", "draw3d", "corruption_sheet"], 2),
    "training": 3,
    **dict.fromkeys(["predict", "evaluate", "tune", "benchmark_page", "benchmark_runs", "benchmark"], 4),
    **dict.fromkeys(["track", "explain", "export"], 4),
    **dict.fromkeys(["robustness", "robustness_page", "differences", "compare"], 4),
    **dict.fromkeys(["cli", "app", "demo", "__main__"], 5),
}
HEAVY = ("torch", "mediapipe", "matplotlib", "pandas", "plotly", "networkx", "scipy", "sklearn", "skimage")


def module_name(path: Path) -> str:
    """Below `landmarkfer`: `data.cache` for `landmarkfer/data/cache.py`, empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def layer(module: str) -> int:
    while module and module not in LAYERS:
        module = module.rpartition(".")[0]
    return LAYERS[module]


def imports(module: str) -> Iterator[tuple[str, int]]:
    """Everything a module imports anywhere, also inside functions, with the line."""
    path = MODULES[module]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = node.module or ""
            if node.level:
                inside = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
                above = inside[: len(inside) - node.level + 1]
                package = ".".join(["landmarkfer", *filter(None, above), *filter(None, [node.module])])
            yield package, node.lineno
            # `from landmarkfer.data import cache` imports a module, not a name.
            yield from (
                (f"{package}.{alias.name}", node.lineno)
                for alias in node.names
                if f"{package}.{alias.name}".removeprefix("landmarkfer.") in MODULES
            )


def own_imports(module: str) -> Iterator[tuple[str, int]]:
    for name, line in imports(module):
        if name.split(".")[0] == "landmarkfer":
            target = name.removeprefix("landmarkfer").removeprefix(".")
            assert target in MODULES, f"{MODULES[module]}:{line} imports {name}, which is not there"
            yield target, line


def reached(module: str) -> set[str]:
    """The modules that importing one can lead to, lazily imported ones included."""
    seen, waiting = set(), [module]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += [target for target, _ in own_imports(current)]
    return seen


def test_every_module_has_a_place():
    unplaced = [m for m in MODULES if m and layer(m) == 0 and m not in LAYERS]
    assert not unplaced, f"give these modules a layer in {__file__}: {unplaced}"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module):
    upward = [
        f"{MODULES[module]}:{line} imports {target} (layer {layer(target)} from {layer(module)})"
        for target, line in own_imports(module)
        if layer(target) > layer(module)
    ]
    assert not upward


@pytest.mark.parametrize(
    ("parts", "forbidden"),
    [
        (("training", "models", "evaluation"), ("mediapipe", "cv2")),
        (("extract",), ("torch", "torch_geometric", "lightning")),
        (("data.cache", "data.parts", "data.rows", "data.schema"), ("torch", "mediapipe", "lightning")),
    ],
)
def test_training_never_imports_mediapipe_nor_extraction_torch(parts, forbidden):
    for module in MODULES:
        if module.startswith(parts):
            for other in reached(module):
                found = {name.split(".")[0] for name, _ in imports(other)} & set(forbidden)
                assert not found, f"{module} leads to {other}, which imports {found}"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=True, env=environment
    )


@pytest.mark.parametrize(
    "code",
    [
        "import landmarkfer",
        "from landmarkfer.cli import cli; cli(['--help'], standalone_mode=False)",
        "from landmarkfer.cli import cli; cli(['graph', 'plot', '--help'], standalone_mode=False)",
    ],
)
def test_light_entry_points_load_nothing_heavy(code):
    output = run("-c", f"{code}\nimport sys\nprint('LOADED', *sorted(sys.modules))").stdout
    loaded = output.rsplit("LOADED", 1)[1].split()
    assert "landmarkfer" in loaded
    assert not set(HEAVY) & set(loaded)


def test_importing_a_layer_loads_nothing_of_what_it_must_not_use():
    for module, forbidden in (
        ("landmarkfer.landmarks", HEAVY),
        ("landmarkfer.topology", HEAVY),
        ("landmarkfer.draw", ("torch", "mediapipe", "matplotlib", "plotly")),
    ):
        loaded = run("-c", f"import {module}, sys; print(*sys.modules)").stdout.split()
        assert not set(forbidden) & set(loaded), module
