"""The totals of a cluster are those of its rows."""

from __future__ import annotations

import sys

import pytest
from support.waiting import eventually

from flamepy.core import ApplicationAttributes, FlameService, TaskContext, connect
from flamepy.errors import InvalidStateError
from flamepy.local import LocalCluster
from flamepy.types import TaskCounts


class Half(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input == b"fail":
            raise ValueError("no")
        return b""


def test_sessions_tasks_and_executors_are_counted() -> None:
    with LocalCluster(executors=3, cache_port=None) as cluster:
        cluster.register_service("half", Half)
        assert cluster.totals().sessions == 0
        with connect(cluster.endpoint) as connection:
            connection.create_session("half", session_id="open").invoke(b"x", timeout=30)
            with connection.create_session("half", session_id="closed") as session:
                assert session.run(b"fail").exception(30) is not None
            eventually(lambda: cluster.totals().bound == 1, "the executor of the open one alone")
            totals = cluster.totals()
        assert (totals.sessions, totals.open_sessions, totals.limit) == (2, 1, 3)
        assert totals.tasks == TaskCounts(succeed=1, failed=1)
    with pytest.raises(InvalidStateError, match="not running"):
        cluster.totals()


def test_the_output_of_a_service_stays_after_its_end_where_that_is_wanted() -> None:
    with LocalCluster(executors=1, cache_port=None) as plain:
        assert plain.log_folder is None
    with LocalCluster(executors=1, cache_port=None, keep_logs=True) as cluster:
        spec = ApplicationAttributes(command=sys.executable, arguments=["-c", "print('spoken')"])
        folder = cluster.log_folder
        assert folder is not None
        with connect(cluster.endpoint) as connection:
            connection.register_application("speaks", spec)
            connection.create_session("speaks", session_id="s").create_task(b"")
            eventually(
                lambda: any(b"spoken" in one.read_bytes() for one in folder.glob("s/*.out")),
                "what it wrote",
            )
    assert not folder.exists(), "it is left"
