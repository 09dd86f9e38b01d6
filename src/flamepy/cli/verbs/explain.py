"""``flamepy explain``: what became of a task's events in a running ``flamepy run --http``."""

from __future__ import annotations

import json
import sys

import click

from flamepy.cli.control import Body, ask
from flamepy.cli.engine import failure
from flamepy.cli.output import format_option, printable
from flamepy.cli.verbs.handlers import port_option
from flamepy.errors import FlameError


@click.command()
@port_option
@click.argument("session")
@click.argument("task", required=False)
@format_option
def explain(address: str, session: str, task: str | None, as_json: bool | None) -> None:
    """Say what was seen of a task, and what became of it.

    Without a task: of the session and everything in it.
    """
    try:
        found = ask(address, "GET", "explain", session=session, task=task)
    except FlameError as error:
        raise failure(error.message) from None
    if as_json or (as_json is None and not sys.stdout.isatty()):
        click.echo(json.dumps(found, indent=2))
        return
    for line in _lines(found):
        click.echo(printable(line))


def _lines(found: Body) -> list[str]:
    lines = [found["text"]]
    lines += [f"  {one}" for one in found["observed"]]
    for handler in found["handlers"]:
        lines.append(f"{handler['name']}: {handler['text']}")
        lines += [f"  {one}" for one in handler["steps"]]
    return lines
