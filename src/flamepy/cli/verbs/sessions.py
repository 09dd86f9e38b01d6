"""``flamepy sessions``: the sessions of an engine and how far their tasks are."""

from __future__ import annotations

import click

from flamepy.cli.engine import CALL_TIMEOUT, endpoint_option, engine
from flamepy.cli.output import Record, format_option, show
from flamepy.types import SessionInfo, SessionState

COLUMNS = (
    *("id", "application", "state", "pending", "running", "succeed", "failed", "cancelled"),
    "creation_time",
)


@click.command()
@endpoint_option
@click.option("--application", metavar="NAME", help="Only sessions of this application.")
@click.option(
    "--state",
    type=click.Choice([state.name.lower() for state in SessionState]),
    help="Only sessions in this state.",
)
@format_option
def sessions(
    endpoint: str | None, application: str | None, state: str | None, as_json: bool | None
) -> None:
    """List sessions, oldest first."""
    with engine(endpoint) as connection:
        found = [session.info for session in connection.list_sessions(timeout=CALL_TIMEOUT)]
    chosen = [
        info
        for info in sorted(found, key=lambda one: (one.creation_time, one.id))
        if application in (None, info.application) and state in (None, info.state.name.lower())
    ]
    show([record(info) for info in chosen], COLUMNS, as_json=as_json)


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
