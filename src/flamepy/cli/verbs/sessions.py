"""``flamepy sessions``: the sessions of an engine and how far their tasks are; close and delete."""

from __future__ import annotations

import click

from flamepy.cli.closing import Closing, wait_until_closed
from flamepy.cli.engine import CALL_TIMEOUT, completions, endpoint_option, engine
from flamepy.cli.live import Interrupts, ends_quietly, every, reactor, tell
from flamepy.cli.showing.changed_sessions import ChangedSessions
from flamepy.cli.showing.forms import Form, Record, output_option
from flamepy.cli.showing.output import chosen, limit_option, newest, show
from flamepy.cli.showing.rows import Rows
from flamepy.cli.values import Seconds
from flamepy.errors import FlameError, SessionNotFoundError, UnavailableError
from flamepy.texts import repr_of
from flamepy.types import SessionInfo, SessionState
from flamepy.watching.state.events import SessionEventKind

COLUMNS = (
    *("id", "application", "state", "pending", "running", "succeed", "failed"),
    "creation_time",
)
WIDE = ("cancelled", "priority", "min_instances", "max_instances", "completion_time")
TICK = 0.25  # seconds
WAIT = 60.0
complete_ids = completions("list_sessions", "id")


@click.group(invoke_without_command=True)
@endpoint_option
@click.option(
    "--application",
    metavar="NAME",
    help="Only sessions of this application.",
    shell_complete=completions("list_applications", "name"),
)
@click.option(
    "--state",
    type=click.Choice([state.name.lower() for state in SessionState]),
    help="Only sessions in this state.",
)
@limit_option
@click.option("-w", "--watch", is_flag=True, help="Then print a row whenever a session changed.")
@output_option()
@click.pass_context
def sessions(
    context: click.Context,
    endpoint: str | None,
    application: str | None,
    state: str | None,
    limit: int,
    last: int | None,
    watch: bool,
    form: Form | None,
) -> None:
    """List sessions, oldest first; or close and delete some."""
    if context.invoked_subcommand is not None:
        return
    with engine(endpoint) as connection:
        found = [session.info for session in connection.list_sessions(timeout=CALL_TIMEOUT)]
    selected = [
        info
        for info in sorted(found, key=lambda one: (one.creation_time, one.id))
        if _is_wanted(info, application, state)
    ]
    records = [record(info) for info in newest(selected, limit=limit, last=last)]
    if not watch:
        show(records, COLUMNS, form, wide=WIDE)
        return
    rows = Rows(COLUMNS, chosen(form), wide=WIDE)
    with ends_quietly() as interrupts:
        rows.show(records)  # a signal may come as soon as this is read
        shown = {info.id: info for info in found}
        _follow(interrupts, endpoint, application, state, rows, shown)


def _is_wanted(info: SessionInfo, application: str | None, state: str | None) -> bool:
    return application in (None, info.application) and state in (None, info.state.name.lower())


def _follow(
    interrupts: Interrupts,
    endpoint: str | None,
    application: str | None,
    state: str | None,
    rows: Rows,
    shown: dict[str, SessionInfo],
) -> None:
    """Print a row for each session that is another one than was shown, until a signal."""
    with reactor(endpoint, say=False) as made:
        changed = ChangedSessions()
        made.register(changed, application=application)
        for _ in interrupts.between(every(TICK)):
            for event in changed.take():
                info, before = event.session, shown.get(event.session.id)
                gone = event.kind is SessionEventKind.DELETED
                news = before is None or (before.counts, before.state) != (info.counts, info.state)
                shown[info.id] = info
                if (gone or news) and _is_wanted(info, application, state):
                    rows.show([{**record(info), **({"state": "DELETED"} if gone else {})}])


def record(info: SessionInfo) -> Record:
    """Return what is shown of a session."""
    return {
        "id": info.id,
        "application": info.application,
        "state": info.state,
        "pending": info.counts.pending,
        "running": info.counts.running,
        "succeed": info.counts.succeed,
        "failed": info.counts.failed,
        "cancelled": info.counts.cancelled,
        "creation_time": info.creation_time,
        "completion_time": info.completion_time,
        "priority": info.priority,
        "min_instances": info.min_instances,
        "max_instances": info.max_instances,
        "common_data_size": len(info.common_data or b""),
        "events": [
            {"code": event.code, "message": event.message, "creation_time": event.creation_time}
            for event in info.events
        ],
    }


# ---------------------------------------------------------------------- close and delete

_ids = click.argument("ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_ids)
_wait = click.option(
    "--wait",
    type=Seconds(zero=True),
    default=WAIT,
    show_default=True,
    metavar="SECONDS",
    help="Time for tasks that run, and without --cancel-pending for those that wait; 0 tries once.",
)
_cancel = click.option(
    "--cancel-pending", is_flag=True, help="Cancel the tasks that wait, as a close does."
)


@sessions.command()
@_ids
@_cancel
@_wait
@endpoint_option
def close(ids: tuple[str, ...], cancel_pending: bool, wait: float, endpoint: str | None) -> None:
    """Close the sessions ID...

    An engine closes a session when none of its tasks runs, and cancels those that wait. So tasks
    that run are waited for, those that wait as well unless --cancel-pending is given. Exit status
    1 if a session is still open at the end.
    """
    with engine(endpoint) as connection:
        failed = False
        for name in ids:
            closing = Closing(connection, name, cancel_pending=cancel_pending)
            failed |= not _closed(closing, wait)
    raise SystemExit(1 if failed else 0)


@sessions.command()
@_ids
@click.option("--close", "close_first", is_flag=True, help="Close those that are open, before.")
@_cancel
@_wait
@endpoint_option
def delete(
    ids: tuple[str, ...],
    close_first: bool,
    cancel_pending: bool,
    wait: float,
    endpoint: str | None,
) -> None:
    """Delete the closed sessions ID..., with all their tasks.

    Exit status 1 if a session is still there at the end.
    """
    with engine(endpoint) as connection:
        failed = False
        for name in ids:
            try:
                session = connection.get_session(name, timeout=CALL_TIMEOUT)
                if session.state == SessionState.OPEN:
                    if not close_first:
                        tell(
                            f"session {repr_of(name)} is open: close it first (flamepy sessions "
                            f"close {name}), or add --close"
                        )
                        failed = True
                        continue
                    closing = Closing(connection, name, cancel_pending=cancel_pending)
                    if not _closed(closing, wait):
                        failed = True
                        continue
                connection.delete_session(name, timeout=CALL_TIMEOUT)
                click.echo(f"deleted {name}")
            except UnavailableError:
                raise  # as it would be for the others
            except FlameError as error:
                tell(_said(name, error))
                failed = True
    raise SystemExit(1 if failed else 0)


def _closed(closing: Closing, wait: float) -> bool:
    """Close one session, say what came of it, and return whether it is closed."""
    try:
        left = wait_until_closed(closing, wait)
    except UnavailableError:
        raise
    except FlameError as error:
        tell(_said(closing.name, error))
        return False
    if left is not None:
        tell(left)
        return False
    click.echo(f"closed {closing.name}")
    return True


def _said(name: str, error: FlameError) -> str:
    if isinstance(error, SessionNotFoundError):
        return f"there is no session {repr_of(name)}; `flamepy sessions` lists those that are"
    return error.message
