"""A sink that bills each task that succeeded: once, whatever is killed."""

from collections.abc import Sequence

from flamepy_sql import SqlSink
from sqlalchemy import Connection, text

from flamepy.informers import OutboxEntry, TaskEvent
from flamepy.types import TaskState

CENTS = 2  # for a task

ACCOUNTS = "CREATE TABLE accounts (application VARCHAR(255) PRIMARY KEY, owed INTEGER NOT NULL)"
# Without a key on purpose: a task that is billed twice has two lines.
LINES = "CREATE TABLE invoice_lines (session_id VARCHAR(255), task_id VARCHAR(64), cents INTEGER)"


class Billing(SqlSink):
    def write(self, connection: Connection, entries: Sequence[OutboxEntry]) -> None:
        """Write invoice lines, and add to what is owed, in the transaction of the events."""
        for entry in entries:
            event = entry.event
            if not isinstance(event, TaskEvent) or event.task.state != TaskState.SUCCEED:
                continue
            connection.execute(
                text("INSERT INTO invoice_lines VALUES (:session, :task, :cents)"),
                {"session": event.session_id, "task": event.task.id, "cents": CENTS},
            )
            connection.execute(
                text("UPDATE accounts SET owed = owed + :cents WHERE application = :name"),
                {"cents": CENTS, "name": event.application},
            )
