"""The command line: each command parses, builds settings, calls one function and prints.

Command modules import nothing heavy at the top, so that `landmarkfer --help` stays fast; torch, MediaPipe
and matplotlib are imported inside the commands.
"""

import logging
import os
import sys
import warnings
from typing import Any

import rich_click as click

from landmarkfer import __version__
from landmarkfer.cli.benchmark import benchmark
from landmarkfer.cli.compare import compare
from landmarkfer.cli.corrupt import corrupt
from landmarkfer.cli.demo import demo
from landmarkfer.cli.env import env
from landmarkfer.cli.evaluate import evaluate
from landmarkfer.cli.explain import explain
from landmarkfer.cli.export import export
from landmarkfer.cli.extract import extract
from landmarkfer.cli.graph import graph
from landmarkfer.cli.inspect import inspect
from landmarkfer.cli.predict import predict
from landmarkfer.cli.robustness import robustness
from landmarkfer.cli.runs import runs
from landmarkfer.cli.track import track
from landmarkfer.cli.train import train
from landmarkfer.cli.tune import tune
from landmarkfer.errors import LandmarkferError, extras_named

COMMANDS = (
    extract,
    inspect,
    corrupt,
    train,
    tune,
    evaluate,
    predict,
    explain,
    track,
    compare,
    benchmark,
    robustness,
    runs,
    export,
    graph,
    demo,
    env,
)


RESUMING = ("extract", "corrupt", "tune", "benchmark", "robustness")
"""Commands that, interrupted, resume when they are called again."""
INTERRUPTED = 130
"""The exit code of what Ctrl-C ended, as shells expect it."""


class _Interruptible(click.RichGroup):
    """Says after Ctrl-C in one sentence what is stored; click itself would say `Aborted`."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            # Only an interrupted training says what it has stored, and a search's trainings are not resumed
            # one by one.
            resumes = ctx.invoked_subcommand in RESUMING
            advice = "The same command resumes." if resumes else str(stop) or "The same command starts anew."
            click.echo(f"Interrupted. {advice}", err=True)
            ctx.exit(INTERRUPTED)


@click.group(
    cls=_Interruptible, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(__version__, prog_name="landmarkfer")
@click.option("--debug", is_flag=True, help="Show tracebacks and debug messages.")
def cli(debug: bool) -> None:
    """Facial expressions from face landmarks as a graph.

    \b
    Start here:
      landmarkfer demo                 the whole path on synthetic faces
      landmarkfer extract PHOTOS       images -> landmark cache
      landmarkfer train --model gnn    cache -> trained model
      landmarkfer evaluate RUN         the protocol's figures and pictures
    """  # noqa: D301 (click wants the character)
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    # Threads that wait for each other must not keep a core busy: with anything else running on the machine,
    # training small models would take many times as long. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not debug:
        # Libraries warn each other of deprecations; a user of the command line can do nothing about them.
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\b.*")


for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Entry point: an error is one sentence on stderr, with a traceback under `--debug`.

    The exit code is 2 where the command or a setting is wrong, and 1 for every other failure.
    """
    try:
        with extras_named():
            cli(prog_name="landmarkfer")
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        known = isinstance(error, LandmarkferError | OSError)
        advice = "" if known else f" ({type(error).__name__}; `landmarkfer --debug ...` shows where)"
        click.secho(f"Error: {error}{advice}", err=True, fg="red")
        sys.exit(error.exit_code if isinstance(error, LandmarkferError) else 1)
