"""``flamepy watch``: every change of tasks and sessions, as it is observed.

In a terminal lines for people (``event_lines``), in a pipe one JSON object a line, written at once.
It continues through outages, which it reports on standard error, until SIGINT (status 130), SIGTERM
(143) or until its output is closed (0). Standard error has one line when it begins.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click

from flamepy.cli.engine import completions, endpoint_option
from flamepy.cli.live import ends_quietly, every, reactor, ticked
from flamepy.cli.showing.changed_sessions import ChangedSessions
from flamepy.cli.showing.event_printer import EventPrinter
from flamepy.cli.showing.output import styled
from flamepy.cli.showing.summary import Summary, Totals
from flamepy.runtime.clocks import monotonic
from flamepy.types import TaskState

if TYPE_CHECKING:
    from flamepy.watching.state.events import TaskEvent

TICK = 0.25  # seconds
SUMMARY = 1.0


@click.command()
@click.option(
    "--application",
    metavar="NAME",
    help="Only this application.",
    shell_complete=completions("list_applications", "name"),
)
@click.option(
    "--session",
    metavar="ID",
    help="Only this session.",
    shell_complete=completions("list_sessions", "id"),
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.name.lower() for state in TaskState]),
    help="Only tasks that come into this state; may be given more than once.",
)
@click.option(
    "--replay",
    type=click.Choice(["all", "active", "none"]),
    default="active",
    show_default=True,
    help="What of the present state is shown first.",
)
@click.option(
    "--json/--lines",
    "as_json",
    default=None,
    help="JSON or lines for people; default: lines in a terminal, JSON in a pipe.",
)
@click.option(
    "--summary",
    is_flag=True,
    help="One line a second with the totals of the sessions; costs no call for a task.",
)
@click.option(
    "--fold/--no-fold",
    default=True,
    help="Whether bursts are one line for people; JSON is never folded.",
)
@endpoint_option
def watch(
    application: str | None,
    session: str | None,
    states: tuple[str, ...],
    replay: str,
    as_json: bool | None,
    summary: bool,
    fold: bool,
    endpoint: str | None,
) -> None:
    """Show every change of tasks and sessions until SIGINT.

    In a terminal a session's id is shown when it is another one than in the line before, = marks
    what was so before, and of more than 20 changes in a second those alike are one line.
    """
    if as_json is None:
        as_json = not sys.stdout.isatty()
    if summary and states:
        raise click.UsageError("--summary counts all tasks: leave --state out")
    if summary:
        _summarize(application, session, endpoint, as_json=as_json)
        return
    with ends_quietly() as interrupts, reactor(endpoint) as made:
        stream = made.stream(
            where=(lambda event: wanted(event, states)) if states else None,
            application=application,
            session=session,
            replay=replay,
            sessions=not states,
        )
        printer = EventPrinter(fold=fold)
        with stream:
            for event in interrupts.between(ticked(stream, TICK)):
                if not as_json:
                    printer.show(event)
                elif event is not None:
                    print(json.dumps(event.to_dict()), flush=True)
            printer.finish(0.0)


def wanted(event: TaskEvent, states: tuple[str, ...]) -> bool:
    """Return True for a task that came into one of the states."""
    return event.kind != "deleted" and event.task.state.name.lower() in states


def _summarize(
    application: str | None, session: str | None, endpoint: str | None, *, as_json: bool
) -> None:
    with ends_quietly() as interrupts, reactor(endpoint) as made:
        changed, totals = ChangedSessions(), Totals()
        made.register(changed, application=application, session=session)
        made.wait_synced(10.0)
        for _ in interrupts.between(every(SUMMARY)):
            totals.add(changed.take())
            _print_summary(totals.summary(monotonic()), as_json=as_json)


def _print_summary(summary: Summary, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary.to_dict()), flush=True)
        return
    at = datetime.now().strftime("%H:%M:%S")
    cells = [styled(text, colour) for text, colour in summary.cells()]
    click.echo(" ".join([styled(at, dim=True), *cells]))
