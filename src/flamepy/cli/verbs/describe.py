"""``flamepy describe``: one object with everything that is known of it, and why it is so."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

import click

from flamepy.cli.cluster_file import find
from flamepy.cli.engine import (
    CALL_TIMEOUT,
    complete_tasks,
    completing,
    completions,
    endpoint_option,
    engine,
)
from flamepy.cli.groups import CommandGroup
from flamepy.cli.service_logs import log_files, tail_lines
from flamepy.cli.showing import reasons
from flamepy.cli.showing.cards import show_card
from flamepy.cli.showing.forms import Form, output_option
from flamepy.cli.verbs.handlers import ask_process, complete_handlers, port_option
from flamepy.cli.verbs.nodes import record as node_record
from flamepy.cli.verbs.sessions import record as session_record
from flamepy.cli.verbs.tasks import record as task_record
from flamepy.config.endpoint import Endpoint
from flamepy.errors import FlameError, NotFoundError
from flamepy.texts import repr_of
from flamepy.types import ExecutorState, SessionState, Task, TaskState

TEXTS = 20  # failed tasks that are asked for their text, one call each
LOG_LINES = 10
PREVIEW = 400  # bytes
SLOWEST = 5


@click.group(cls=CommandGroup)
@endpoint_option
def describe(endpoint: str | None) -> None:
    """Show everything about one object, and why it is so."""


@describe.command()
@click.argument("session", shell_complete=completions("list_sessions", "id"))
@endpoint_option
@output_option()
def session(session: str, endpoint: str | None, form: Form | None) -> None:
    """Show a session: progress, reasons, failures by text, events, the end of its logs."""
    with engine(endpoint) as connection:
        found = connection.get_session(session, timeout=CALL_TIMEOUT)
        tasks = [_with_text(found, one, number) for number, one in _numbered(found.list_tasks())]
        executors = connection.list_executors(timeout=CALL_TIMEOUT)
        application = connection.get_application(found.application, timeout=CALL_TIMEOUT)
        why = reasons.of_session(
            found.info, application, executors, _now(), moved=_last_moved(tasks)
        )
        logs = _log_tail(connection.endpoint, session)
    record = dict(session_record(found.info))
    events = record.pop("events")
    seconds = [_seconds(one) for one in tasks]
    timed = sorted(
        (one for one in zip(seconds, tasks, strict=True) if one[0] is not None),
        key=lambda one: -(one[0] or 0.0),
    )
    card: dict[str, object] = {
        "session": record.pop("id"),
        **record,
        "progress": _progress(found.info.counts),
        "reasons": why,
        "executors": [
            {"id": one.id, "state": one.state, "node": one.node}
            for one in executors
            if one.session_id == session
        ],
        "failures": [
            {"times": times, "first_task": first, "text": text}
            for text, times, first in reasons.failures(tasks)
        ],
        "slowest_tasks": [
            {"task": task.id, "seconds": spent, "state": task.state}
            for spent, task in timed[:SLOWEST]
        ],
        "events": events,
        "log_tail": logs,
    }
    show_card(card, form)


def _progress(counts: Any) -> str:
    ended = counts.succeed + counts.failed + counts.cancelled
    share = f" ({100 * ended / counts.total:.0f} %)" if counts.total else ""
    return f"{ended:,} of {counts.total:,} tasks ended{share}"


def _numbered(tasks: Any) -> list[tuple[int, Task]]:
    """Return tasks, each with the number of failed ones so far."""
    failed, found = 0, []
    for task in tasks:
        failed += task.state == TaskState.FAILED and task.error is None
        found.append((failed, task))
    return found


def _with_text(session: Any, task: Task, failed: int) -> Task:
    """Return a failed task with its text, which a list may leave out; of the first ones."""
    if task.state != TaskState.FAILED or task.error is not None or failed > TEXTS:
        return task
    found: Task = session.get_task(task.id, timeout=CALL_TIMEOUT)
    return found


def _seconds(task: Task) -> float | None:
    if task.completion_time is None or not task.state.is_terminal:
        return None
    return (task.completion_time - task.creation_time).total_seconds()


def _last_moved(tasks: Sequence[Task]) -> datetime | None:
    """Return when a task was made or ended last; when tasks started an engine does not list."""
    return max((one.completion_time or one.creation_time for one in tasks), default=None)


def _log_tail(endpoint: str, session: str) -> list[str]:
    """Return the last lines that the session's services wrote, on a ``flamepy up`` of this user."""
    with suppress(FlameError, OSError):
        files = log_files(find(Endpoint.parse(endpoint)).logs, session)
        return [line for one in files[-1:] for line in tail_lines(one, LOG_LINES)]
    return []


@describe.command()
@click.argument("session", shell_complete=completions("list_sessions", "id"))
@click.argument("task", required=False, shell_complete=completing(complete_tasks))
@click.option("--preview", is_flag=True, help=f"The first {PREVIEW} bytes of input and output.")
@endpoint_option
@output_option()
def task(
    session: str, task: str | None, preview: bool, endpoint: str | None, form: Form | None
) -> None:
    """Show a task: SESSION TASK, or SESSION/TASK."""
    if task is None:
        session, _, task = session.rpartition("/")
        if not session:
            raise click.UsageError("give a session and a task: describe task SESSION TASK")
    with engine(endpoint) as connection:
        found = connection.get_session(session, timeout=CALL_TIMEOUT)
        one = found.get_task(task, timeout=CALL_TIMEOUT)
        before = 0
        if one.state == TaskState.PENDING:
            listed = found.list_tasks(timeout=CALL_TIMEOUT)
            before = sum(
                other.state == TaskState.PENDING and int(other.id) < int(one.id) for other in listed
            )
        executors = connection.list_executors(timeout=CALL_TIMEOUT)
        application = connection.get_application(found.application, timeout=CALL_TIMEOUT)
    why = reasons.of_session(found.info, application, executors, _now())
    record = dict(task_record(one))
    card: dict[str, object] = {
        "task": f"{record.pop('session')}/{record.pop('id')}",
        "application": found.application,
        **record,
        "reason": reasons.of_task(one, found.info, before, why),
    }
    if preview:
        card["preview"] = {"input": _preview(one.input), "output": _preview(one.output)}
    card["events"] = [
        {"at": event.creation_time, "code": event.code, "text": event.message}
        for event in one.events
    ]
    show_card(card, form)


def _preview(data: bytes | None) -> str | None:
    if data is None:
        return None
    text = data[:PREVIEW].decode("utf-8", "backslashreplace")
    return text + (f"... ({len(data):,} bytes)" if len(data) > PREVIEW else "")


@describe.command()
@click.argument("name", shell_complete=completions("list_applications", "name"))
@endpoint_option
@output_option()
def app(name: str, endpoint: str | None, form: Form | None) -> None:
    """Show an application: what was registered, its sessions, its tasks."""
    with engine(endpoint) as connection:
        found = connection.get_application(name, timeout=CALL_TIMEOUT)
        if found is None:
            raise NotFoundError(
                f"application {repr_of(name)} is not registered; `flamepy apps` lists those that "
                "are"
            )
        listed = [one.info for one in connection.list_sessions(timeout=CALL_TIMEOUT)]
        executors = connection.list_executors(timeout=CALL_TIMEOUT)
    own = [one for one in listed if one.application == name]
    now = _now()
    attributes = {key: value for key, value in asdict(found).items() if key != "name"}
    schema, environments = attributes.pop("schema"), attributes.pop("environments")
    card: dict[str, object] = {
        "application": name,
        **attributes,
        "environments": dict(environments or {}),
        "schema": {key: value for key, value in (schema or {}).items() if value is not None},
        "tasks": {
            state: sum(getattr(one.counts, state) for one in own)
            for state in ("pending", "running", "succeed", "failed", "cancelled")
        },
        "open_sessions": [
            {"id": one.id, "text": "; ".join(reasons.of_session(one, found, executors, now))}
            for one in own
            if one.state == SessionState.OPEN
        ],
        "closed_sessions": sum(one.state == SessionState.CLOSED for one in own),
    }
    show_card({key: value for key, value in card.items() if value not in ({}, [])}, form)


@describe.command()
@click.argument("name", shell_complete=completions("list_nodes", "name"))
@endpoint_option
@output_option()
def node(name: str, endpoint: str | None, form: Form | None) -> None:
    """Show a node: what it has, and what its executors do."""
    with engine(endpoint) as connection:
        found = connection.get_node(name, timeout=CALL_TIMEOUT)
        executors = connection.list_executors(timeout=CALL_TIMEOUT)
    record = dict(node_record(found, executors))
    here: Sequence[Any] = [one for one in executors if one.node == name]
    record.pop("executor_list")
    card: dict[str, object] = {
        "node": record.pop("name"),
        **record,
        "addresses": list(found.addresses),
        "idle_executors": sum(one.state == ExecutorState.IDLE for one in here),
        "executors_at_work": [
            {"id": one.id, "state": one.state, "session": one.session_id} for one in here
        ],
    }
    show_card(card, form)


@describe.command()
@port_option
@click.argument("name", shell_complete=complete_handlers)
@output_option()
def handler(address: str, name: str, form: Form | None) -> None:
    """Show an informer of a running `flamepy run --http`: state, queue, failures."""
    found = {one["name"]: one for one in ask_process(address, "GET", "handlers")["handlers"]}
    if name not in found:
        raise click.UsageError(f"there is no handler {name}; there are: {', '.join(found)}")
    card = {"handler": name, **{key: one for key, one in found[name].items() if key != "name"}}
    show_card(card, form)


def _now() -> datetime:
    return datetime.now(timezone.utc)
