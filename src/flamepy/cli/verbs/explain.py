"""``flamepy explain``: what became of a task's events in a running ``flamepy run --http``."""

from __future__ import annotations

import click

from flamepy.cli.engine import complete_tasks, completing, completions, failure
from flamepy.cli.serving.control import Body, ask
from flamepy.cli.showing.forms import Form, output_option
from flamepy.cli.showing.output import chosen, printable, show_one
from flamepy.cli.verbs.handlers import port_option
from flamepy.errors import FlameError


@click.command()
@port_option
@click.argument("session", shell_complete=completions("list_sessions", "id"))
@click.argument("task", required=False, shell_complete=completing(complete_tasks))
@output_option()
def explain(address: str, session: str, task: str | None, form: Form | None) -> None:
    """Say what was seen of a task, and what became of it.

    Without a task: of the session and everything in it.
    """
    try:
        found = ask(address, "GET", "explain", session=session, task=task)
    except FlameError as error:
        raise failure(error) from None
    if chosen(form).kind not in ("table", "wide"):
        show_one(found, chosen(form))
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
