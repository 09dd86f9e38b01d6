"""``flamepy tasks SESSION``: the tasks of a session, and why the failed ones failed."""

from __future__ import annotations

from typing import Any

import click

from flamepy.cli.engine import CALL_TIMEOUT, completions, endpoint_option, engine
from flamepy.cli.live import ends_quietly, reactor, ticked
from flamepy.cli.showing.forms import Form, Record, output_option
from flamepy.cli.showing.output import chosen, limit_option, newest, show
from flamepy.cli.showing.rows import Rows
from flamepy.types import Task, TaskState
from flamepy.watching.state.events import EventKind, TaskEvent

COLUMNS = ("id", "state", "input_size", "output_size", "creation_time", "seconds", "error")
WIDE = ("session", "completion_time")
TICK = 0.25  # seconds


@click.command()
@click.argument("session", shell_complete=completions("list_sessions", "id"))
@endpoint_option
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.name.lower() for state in TaskState]),
    help="Only tasks in this state; may be given more than once.",
)
@limit_option
@click.option("-w", "--watch", is_flag=True, help="Then print a row whenever a task changed.")
@output_option()
def tasks(
    session: str,
    endpoint: str | None,
    states: tuple[str, ...],
    limit: int,
    last: int | None,
    watch: bool,
    form: Form | None,
) -> None:
    """List the tasks of SESSION, and why those failed that did.

    The oldest first.

    Sizes are bytes. SECONDS is the time from creation to the end. A table cuts long error texts
    in the middle; -o json has all of them.
    """
    with engine(endpoint) as connection:
        found = connection.get_session(session, timeout=CALL_TIMEOUT)
        listed: list[Task] = list(found.list_tasks(timeout=CALL_TIMEOUT))
        selected = [task for task in listed if not states or task.state.name.lower() in states]
        chosen_ones = newest(selected, limit=limit, last=last)
        records = [record(_with_events(found, task)) for task in chosen_ones]
    if not watch:
        show(records, COLUMNS, form, wide=WIDE)
        return
    rows = Rows(COLUMNS, chosen(form), wide=WIDE)
    rows.show(records)
    _follow(endpoint, session, states, rows, {task.id: task.state for task in listed})


def _follow(
    endpoint: str | None,
    session: str,
    states: tuple[str, ...],
    rows: Rows,
    shown: dict[str, TaskState],
) -> None:
    """Print a row for each task that came into another state than was shown, until a signal."""
    with ends_quietly() as interrupts, reactor(endpoint, say=False) as made:
        stream = made.stream(session=session)
        with stream:
            for event in interrupts.between(ticked(stream, TICK)):
                if not isinstance(event, TaskEvent) or event.kind is EventKind.DELETED:
                    continue
                task, before = event.task, shown.get(event.task.id)
                shown[task.id] = task.state
                if before != task.state and (not states or task.state.name.lower() in states):
                    rows.show([record(task)])


def _with_events(session: Any, task: Task) -> Task:
    if task.state != TaskState.FAILED or task.error is not None:
        return task
    # A listing may leave out the events (docs/protocol.md#tasks); one call per failed task.
    found: Task = session.get_task(task.id, timeout=CALL_TIMEOUT)
    return found


def record(task: Task) -> Record:
    """Return what is shown of a task."""
    ended = task.completion_time if task.state.is_terminal else None
    took = None if ended is None else (ended - task.creation_time).total_seconds()
    return {
        "id": task.id,
        "session": task.session_id,
        "state": task.state,
        "input_size": None if task.input is None else len(task.input),
        "output_size": None if task.output is None else len(task.output),
        "creation_time": task.creation_time,
        "completion_time": ended,
        "seconds": None if took is None else round(took, 3),
        "error": task.error,
    }
