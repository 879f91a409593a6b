"""`landmarkfer runs`: what has been trained, with figures and lineage, as a table, JSON or pictures."""

from pathlib import Path

import rich_click as click

from landmarkfer.cli.command import Command

SORTS = (
    *("name", "model", "data", "seed", "epochs", "state", "val", "test", "f1", "params", "time", "lineage"),
    "created",
)
PICTURES = (".png", ".svg", ".pdf")


def _picture(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    if path is not None and path.suffix.lower() not in PICTURES:
        raise click.BadParameter(f"{path} is none of {', '.join(PICTURES)}.")
    return path


@click.command(cls=Command)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "--sort",
    type=click.Choice(SORTS),
    default="created",
    help="Column to sort by: text from a to z, figures from the highest. [created: the newest last]",
)
@click.option("--reverse", is_flag=True, help="Turn the order round.")
@click.option("--model", help="Only runs of this model.")
@click.option("--cache", help="Only runs on the cache of this name, also beside others.")
@click.option("--changed", is_flag=True, help="Also list the settings that differ from the defaults.")
@click.option("--json", "as_json", is_flag=True, help="Everything known of each run, as a JSON list.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_picture,
    help="Draw the learning curves into this file.",
)
@click.option(
    "--compare",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_picture,
    help="Draw the test figures side by side into this file.",
)
def runs(
    runs: tuple[str, ...],
    sort: str,
    reverse: bool,
    model: str | None,
    cache: str | None,
    changed: bool,
    as_json: bool,
    plot: Path | None,
    compare: Path | None,
) -> None:
    """List the runs under experiments/runs, or those named: folders, names, or patterns such as 'gnn-*'.

    Validation figures (val) are those of the epoch whose weights are stored; test figures are there once a
    run is evaluated. In the pictures, runs that differ by their seed alone are one system.

    \b
    Examples:
      landmarkfer runs
      landmarkfer runs --sort test --changed
      landmarkfer runs 'gnn-*' mlp-s0 --plot curves.png --compare figures.png
      landmarkfer runs --model gnn --json
    """  # noqa: D301 (click wants the character)
    from landmarkfer.cli.runs_report import print_json, print_runs, sorted_records
    from landmarkfer.runs.records import find_runs, read_runs

    records = read_runs(find_runs(runs))
    chosen = [
        record
        for record in records
        if (model is None or record.model == model) and (cache is None or Path(cache).name in record.caches)
    ]
    chosen = sorted_records(chosen, sort, reverse=reverse)
    if as_json:
        print_json(chosen)
    else:
        print_runs(chosen, records, changed=changed)
    for path, name in ((plot, "curves_figure"), (compare, "compare_figure")):
        if path is not None:
            from landmarkfer.files import replacing
            from landmarkfer.reporting import runs as comparison

            figure = getattr(comparison, name)(chosen)
            with replacing(path) as temporary:
                figure.savefig(temporary, dpi=150)
            click.echo(f"Wrote {path}", err=as_json)
