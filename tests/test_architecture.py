"""The layers of the package, and what its entry points may load."""

import ast
import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

PACKAGE = Path(__file__).parents[1] / "landmarkfer"

# A package imports only packages of a smaller number; modules beside the packages have numbers too.
LAYERS = {
    **dict.fromkeys(["", "errors", "files", "progress"], 0),
    **dict.fromkeys(["face", "config", "metrics"], 1),
    **dict.fromkeys(["calibration", "data"], 2),
    **dict.fromkeys(["extraction", "models"], 3),
    "runs": 4,
    "reporting": 5,
    "inference": 6,
    "training": 7,
    "evaluation": 8,
    **dict.fromkeys(["demo", "estimator"], 9),
    "cli": 10,
    "__main__": 11,
}
MOST_FILES_BESIDE_THE_PACKAGES = 7
HEAVY = ("torch", "mediapipe", "matplotlib", "pandas", "plotly", "networkx", "scipy", "sklearn", "skimage")


def module_name(path: Path) -> str:
    """Below `landmarkfer`: `data.cache` for `landmarkfer/data/cache.py`, empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def layer(module: str) -> int:
    return LAYERS[module.partition(".")[0]]


@functools.cache
def imports(module: str) -> tuple[tuple[str, int], ...]:
    """Everything a module imports anywhere, also inside functions, with the line."""
    return tuple(_imports(module))


def _imports(module: str) -> Iterator[tuple[str, int]]:
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
    """Those of the package's own modules."""
    if not module:
        return  # the public API names all that it offers, and loads it on first use
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


def test_every_module_has_a_layer():
    assert {module.partition(".")[0] for module in MODULES} <= set(LAYERS)


def test_the_table_of_layers_in_contributing_is_this_one():
    table = re.findall(
        r"^\| (\d+) \| (`.*?) \|", (PACKAGE.parent / "CONTRIBUTING.md").read_text(), re.MULTILINE
    )
    written = {name: int(number) for number, names in table for name in re.findall(r"`(\w+)`", names)}
    assert written == {name: number for name, number in LAYERS.items() if name.strip("_") == name != ""}


def test_the_top_level_holds_packages_and_few_files():
    files = [path.name for path in PACKAGE.glob("*.py")]
    assert len(files) <= MOST_FILES_BESIDE_THE_PACKAGES, files


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module):
    upward = [
        f"{MODULES[module]}:{line} imports {target} (layer {layer(target)} from {layer(module)})"
        for target, line in own_imports(module)
        if module.partition(".")[0] != target.partition(".")[0] and layer(target) >= layer(module) > 0
    ]
    assert not upward


def test_no_files_import_each_other_in_a_circle():
    graph = nx.DiGraph((module, target) for module in MODULES for target, _ in own_imports(module))
    circles = [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]
    assert not circles


@pytest.mark.parametrize(
    ("parts", "forbidden"),
    [
        (("training", "evaluation"), ("mediapipe", "cv2")),
        (("models", "data.batch", "data.dataset"), ("mediapipe", "cv2", "lightning")),
        (
            ("config", "metrics", "calibration"),
            ("torch", "torch_geometric", "lightning", "mediapipe"),
        ),
        (("extraction",), ("torch", "torch_geometric", "lightning")),
        (("data.cache", "data.shards", "data.row", "data.schema"), ("torch", "mediapipe", "lightning")),
    ],
)
def test_what_a_part_never_loads(parts, forbidden):
    for module in MODULES:
        # Robustness corrupts images before faces are looked for in them, so it alone leads to a detector.
        if module.startswith(parts) and not module.startswith("evaluation.robustness"):
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
        ("landmarkfer.face.landmarks", HEAVY),
        ("landmarkfer.face.graph", HEAVY),
        ("landmarkfer.runs.config", ("torch", "mediapipe", "matplotlib", "sklearn")),
        ("landmarkfer.runs.records", ("torch", "mediapipe", "matplotlib", "sklearn")),
        ("landmarkfer.reporting.graph", ("torch", "mediapipe", "matplotlib", "plotly")),
    ):
        loaded = run("-c", f"import {module}, sys; print(*sys.modules)").stdout.split()
        assert not set(forbidden) & set(loaded), module
