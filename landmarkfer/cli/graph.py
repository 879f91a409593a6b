"""`landmarkfer graph`: statistics, pictures and exports of the facial graphs."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from landmarkfer.cli.command import Command
from landmarkfer.errors import SourceError

if TYPE_CHECKING:
    import numpy as np

    from landmarkfer.face.graph import FaceGraph

    Photo = tuple[np.ndarray, np.ndarray]

PICTURES = (".png", ".jpg", ".svg", ".pdf")
FORMATS = ("csv", "graphml", "gexf", "json")

name_argument = click.argument("name", metavar="NAME|FILE")
k_option = click.option("--k", type=click.IntRange(min=1), help="Neighbours per point in knn and hybrid. [6]")


@click.group()
def graph() -> None:
    """Look at the facial graphs: which of the 478 landmarks are joined.

    A graph is one of the named ones (`landmarkfer graph list`), an edge list (.csv with the columns source
    and target), or a .graphml file.
    """


@graph.command("list", cls=Command)
def list_graphs() -> None:
    """Statistics of every named graph: undirected edges, nodes with and without an edge, degrees.

    \b
    Example:
      landmarkfer graph list
    """  # noqa: D301 (click wants the character)
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from landmarkfer.face.graph import build_graph, graph_names

    columns = {
        **{"edges": "edges", "connected": "connected", "isolated": "isolated"},
        **{"components": "components", "degree_mean": "mean\ndegree", "degree_max": "max\ndegree"},
        "diameter": "diameter",
    }
    # Narrow enough for 80 columns.
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    table.add_column("graph", no_wrap=True)
    for title in columns.values():
        table.add_column(title, justify="right")
    for name in graph_names():
        statistics = build_graph(name).statistics()
        table.add_row(name, *(_number(getattr(statistics, field)) for field in columns))
    Console().print(table)


@graph.command(cls=Command)
@name_argument
@k_option
def show(name: str, k: int | None) -> None:
    """Statistics of one graph, with its edges by kind.

    \b
    Examples:
      landmarkfer graph show anatomical
      landmarkfer graph show knn --k 4
      landmarkfer graph show my-edges.csv
    """  # noqa: D301 (click wants the character)
    from rich.console import Console
    from rich.table import Table

    from landmarkfer.face.graph import DEFAULT_K, build_graph

    statistics = build_graph(name, k=k or DEFAULT_K).statistics()
    table = Table(title=statistics.name, show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for title, value in {
        "nodes": statistics.nodes,
        "edges (undirected)": statistics.edges,
        "connected nodes": statistics.connected,
        "isolated nodes": statistics.isolated,
        "components": statistics.components,
        "nodes in the largest": statistics.largest,
        "diameter of the largest": statistics.diameter,
        "mean degree": statistics.degree_mean,
        "largest degree": statistics.degree_max,
    }.items():
        table.add_row(title, _number(value))
    table.add_section()
    for kind, count in sorted(statistics.kinds.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(f"edges of kind {kind}", _number(count))
    Console().print(table)


@graph.command(cls=Command)
@click.argument("name", metavar="NAME|FILE", required=False)
@click.option(
    "--image",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Draw on the face in a photo.",
)
@click.option("--html", is_flag=True, help="A page on which the graph can be turned, in three dimensions.")
@click.option("--all", "all_graphs", is_flag=True, help="Every named graph; --out is then a folder.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File to write: .png, .jpg, .svg, .pdf or .html. [NAME.png]",
)
@k_option
def plot(
    name: str | None, image: Path | None, html: bool, all_graphs: bool, out: Path | None, k: int | None
) -> None:
    """Draw a graph on the canonical face, or on the face in a photo.

    \b
    Examples:
      landmarkfer graph plot anatomical
      landmarkfer graph plot tesselation --image portrait.jpg --out mesh.png
      landmarkfer graph plot hybrid --html
      landmarkfer graph plot --all --out graphs/gallery
    """  # noqa: D301 (click wants the character)
    from landmarkfer.face.graph import DEFAULT_K, build_graph, graph_names

    if all_graphs == (name is not None):
        raise click.UsageError("Give the name of one graph, or --all for every named one.")
    html = html or (out is not None and out.suffix == ".html")
    if out is not None and not all_graphs and out.suffix not in ((".html",) if html else PICTURES):
        raise click.BadParameter(
            f"{out} is none of {', '.join(('.html',) if html else PICTURES)}.", param_hint="--out"
        )
    names = [name] if name is not None else graph_names()
    graphs = [build_graph(each, k=k or DEFAULT_K) for each in names]
    suffix, folder = ".html" if html else ".png", out if all_graphs and out else Path()
    paths = [out if out and not all_graphs else folder / f"{each.name}{suffix}" for each in graphs]
    photo = _read_photo(image) if image is not None else None
    for built, path in zip(graphs, paths, strict=True):
        _draw(built, path, photo, html=html)
        click.echo(f"Wrote {path}")


@graph.command(cls=Command)
@name_argument
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write; its suffix is the format."
)
@click.option(
    "--format", "suffix", type=click.Choice(FORMATS), default="graphml", help="Format without --out."
)
@k_option
def export(name: str, out: Path | None, suffix: str, k: int | None) -> None:
    """Write a graph for other programs: an edge list (csv), GraphML, GEXF or node-link JSON.

    Nodes carry region, side and their place on the canonical face, edges their kind. An exported edge list
    or GraphML file can be used wherever a graph is named.

    \b
    Examples:
      landmarkfer graph export hybrid --out hybrid.graphml
      landmarkfer graph export knn --k 4 --format json
    """  # noqa: D301 (click wants the character)
    from landmarkfer.face.graph import DEFAULT_K, build_graph
    from landmarkfer.face.graph_export import write_graph

    built = build_graph(name, k=k or DEFAULT_K)
    path = out or Path(f"{built.name}.{suffix}")
    write_graph(built, path)
    click.echo(f"Wrote {path}")


def _number(value: float) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"


def _draw(graph: "FaceGraph", path: Path, photo: "Photo | None", *, html: bool) -> None:
    """Draws a graph into a file, on the face in a photo if one is given."""
    landmarks = None if photo is None else photo[1]
    if html:
        from landmarkfer.files import replacing
        from landmarkfer.reporting.graph_3d import graph_figure_3d

        with replacing(path) as partial:
            graph_figure_3d(graph, landmarks=landmarks).write_html(partial, include_plotlyjs=True)
    else:
        from landmarkfer.reporting.graph import graph_figure, save_figure

        figure = graph_figure(graph, landmarks=landmarks, image=None if photo is None else photo[0])
        save_figure(figure, path, few_colours=photo is None)


def _read_photo(path: Path) -> "Photo":
    """Pixels `[H, W, 3]` of a photo and the landmarks `[478, 3]` of its face in them."""
    from landmarkfer.extraction import create_detector, detect_face
    from landmarkfer.extraction.decode import UnreadableImage, decode_image
    from landmarkfer.face.geometry import to_pixels

    try:
        pixels = decode_image(path.read_bytes()).pixels
    except (OSError, UnreadableImage) as error:
        raise SourceError(f"the photo {path} cannot be read: {error}") from error
    landmarks = detect_face(create_detector(), pixels).landmarks
    if landmarks is None:
        raise SourceError(
            f"no face was found in {path}; try a photo in which the face is larger or more frontal"
        )
    return pixels, to_pixels(landmarks, pixels.shape[1], pixels.shape[0])
