"""``flamepy config schema``: the JSON Schema of ``flame.yaml``, for editors."""

from __future__ import annotations

import click

from flamepy.cli.groups import CommandGroup
from flamepy.config.schema.published import FILE, editor_line


@click.group(cls=CommandGroup)
def config() -> None:
    """Show what may be in flame.yaml."""


@config.command()
@click.option(
    "--line",
    is_flag=True,
    help="Print the comment for the first line of flame.yaml by which an editor finds the schema.",
)
def schema(line: bool) -> None:
    """Print the JSON Schema of flame.yaml."""
    click.echo(editor_line() if line else FILE.read_text(encoding="utf-8"), nl=line)
