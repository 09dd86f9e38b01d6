"""``flamepy tasks SESSION``: the tasks of a session, and why the failed ones failed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from flamepy.cli.engine import CALL_TIMEOUT, completions, endpoint_option, engine
from flamepy.cli.output import Record, format_option, show
from flamepy.types import Task, TaskState

COLUMNS = ("id", "state", "input_size", "output_size", "creation_time", "seconds", "error")


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
@click.option("--last", type=click.IntRange(1), metavar="N", help="Only the N newest of them.")
@format_option
def tasks(
    session: str,
    endpoint: str | None,
    states: tuple[str, ...],
    last: int | None,
    as_json: bool | None,
) -> None:
    """List the tasks of SESSION, and why the failed ones failed.

    Sizes are bytes. SECONDS is the time from creation to the end. A table cuts long error texts
    in the middle; --json has all of them.
    """
    with engine(endpoint) as connection:
        found = connection.get_session(session, timeout=CALL_TIMEOUT)
        listed: Iterable[Task] = found.list_tasks(timeout=CALL_TIMEOUT)
        chosen = [task for task in listed if not states or task.state.name.lower() in states]
        if last is not None:
            chosen = chosen[-last:]
        records = [record(_with_events(found, task)) for task in chosen]
    show(records, COLUMNS, as_json=as_json)


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
