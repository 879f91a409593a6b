"""`landmarkfer env`: what a bug report needs to say of an installation."""

import rich_click as click

from landmarkfer.cli.command import Command


@click.command(cls=Command)
def env() -> None:
    """Show versions, devices, detectors and paths: what a bug report needs.

    \b
    Example:
      landmarkfer env > environment.txt
    """  # noqa: D301 (click wants the character, not a backslash)
    from landmarkfer.reporting.environment import environment

    for heading, values in environment().items():
        click.echo(heading)
        for name, value in values.items():
            click.echo(f"  {name:20} {value}")
