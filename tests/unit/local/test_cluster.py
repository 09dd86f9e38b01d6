"""``LocalCluster``: starts, serves, refuses what cannot work, and leaves nothing."""

from __future__ import annotations

import socket
import sqlite3
import sys
from pathlib import Path

import pytest
from support.waiting import eventually

from flamepy.core import connect
from flamepy.core.service import FlameService, TaskContext
from flamepy.errors import (
    AlreadyExistsError,
    ConfigError,
    FlameError,
    InvalidArgumentError,
    InvalidStateError,
    UnavailableError,
)
from flamepy.local import LocalCluster
from flamepy.local.storage.storage import Storage
from flamepy.types import ApplicationAttributes

SERVICE = str(Path(__file__).parents[2] / "support" / "recorded_service.py")


class Upper(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        return (context.input or b"").upper()


def test_it_serves_and_says_where() -> None:
    with LocalCluster(executors=1) as cluster:
        assert cluster.endpoint.startswith("http://127.0.0.1:")
        assert cluster.context.endpoint == cluster.endpoint
        with connect(cluster.endpoint) as connection:
            assert len(connection.list_nodes()) == 1


def test_a_service_of_this_process_before_and_after_the_start() -> None:
    cluster = LocalCluster(executors=1)
    cluster.register_service("early", Upper)
    with cluster, connect(cluster.endpoint) as connection:
        cluster.register_service("late", Upper(), delay_release=0)
        for name in ("early", "late"):
            with connection.create_session(name) as session:
                assert session.invoke(b"abc", timeout=20) == b"ABC"


def test_applications_of_a_manifest_and_as_attributes(tmp_path: Path) -> None:
    manifest = tmp_path / "app.yaml"
    manifest.write_text(
        f"metadata: {{name: one}}\nspec: {{command: {sys.executable}, arguments: [{SERVICE}]}}"
    )
    two = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
    with (
        LocalCluster(executors=1, apps=[manifest, ("two", two)]) as cluster,
        connect(cluster.endpoint) as connection,
    ):
        for name in ("one", "two"):
            with connection.create_session(name) as session:
                assert session.invoke(b"echo " + name.encode(), timeout=30) == name.encode()


def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=rf":{port}: .*in use") as caught:
            LocalCluster(port=port).start()
        assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "bad", [{"executors": 0}, {"port": 70_000}, {"port": -1}, {"bind_timeout": 0}]
)
def test_bad_arguments_are_refused_at_once(bad: dict[str, int]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(bad))):
        LocalCluster(**bad)


def test_a_broken_manifest_is_refused_before_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        LocalCluster(apps=[tmp_path / "nothing.yaml"])


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"working_directory": "rel"}, "absolute path"),
        ({"delay_release": 1 << 70}, "delay_release must be a whole number"),
        ({"max_instances": 1 << 32}, "max_instances must be a whole number"),
        ({"environments": {"A": 5}}, "environments"),
        ({"command": "name \udcff"}, "surrogates"),
    ],
)
def test_an_application_that_no_list_could_show_is_refused(
    attributes: dict[str, object], says: str
) -> None:
    spec = ApplicationAttributes(**attributes)
    with pytest.raises(InvalidArgumentError, match=f"'x'.*{says}"):
        LocalCluster(apps=[("x", spec)])
    with LocalCluster() as cluster, connect(cluster.endpoint) as connection:
        with pytest.raises(InvalidArgumentError, match=f"'x'.*{says}"):
            cluster.register_service("x", Upper, **attributes)
        assert "x" not in [one.name for one in connection.list_applications()]


def test_an_application_that_cannot_be_registered_stops_the_start() -> None:
    with pytest.raises(FlameError, match=r"'x y'.*invalid characters"):
        LocalCluster(apps=[("x y", ApplicationAttributes())]).start()


def test_names_are_taken_once() -> None:
    with LocalCluster(executors=1) as cluster:
        cluster.register_service("a", Upper)
        with pytest.raises(AlreadyExistsError, match="'a'"):
            cluster.register_service("a", Upper)
        with pytest.raises(InvalidArgumentError, match="is not a service"):
            cluster.register_service("b", 7)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="is not a service"):
            cluster.register_service("b", dict)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="name must be text, got b'b'"):
            cluster.register_service(b"b", Upper)  # type: ignore[arg-type]


def test_it_starts_once_and_stops_as_often_as_asked() -> None:
    cluster = LocalCluster(executors=1)
    with pytest.raises(InvalidStateError, match="not running"):
        _ = cluster.endpoint
    cluster.stop()
    cluster.start()
    with pytest.raises(InvalidStateError, match="runs already"):
        cluster.start()
    cluster.stop()
    cluster.stop()


def test_it_can_be_started_again() -> None:
    cluster = LocalCluster(executors=1)
    cluster.register_service("a", Upper)
    for _ in range(2):
        with (
            cluster,
            connect(cluster.endpoint) as connection,
            connection.create_session("a") as session,
        ):
            assert session.invoke(b"x", timeout=20) == b"X"


def test_a_database_that_cannot_be_closed_does_not_keep_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = LocalCluster(data=tmp_path).start()
    close = Storage.close

    def fail(storage: Storage) -> None:
        close(storage)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Storage, "close", fail)
    with pytest.raises(sqlite3.OperationalError):
        cluster.stop()
    monkeypatch.undo()
    with LocalCluster(data=tmp_path) as again:
        assert again.endpoint


def test_a_stop_with_a_task_running_ends_in_bounded_time() -> None:
    spec = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
    cluster = LocalCluster(executors=1, apps=[("a", spec)]).start()
    with connect(cluster.endpoint) as connection:
        session = connection.create_session("a")
        future = session.run(b"sleep 60000")
        from support.waiting import eventually

        eventually(lambda: session.refresh().running, "the task to run")
        cluster.stop()
        assert not future.done() or future.exception() is not None


def test_tasks_that_no_executor_can_be_freed_for_are_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with LocalCluster(executors=1) as cluster, connect(cluster.endpoint) as connection:
        cluster.register_service("upper", Upper)
        keeps = connection.create_session("upper", min_instances=1)
        assert keeps.invoke(b"a", timeout=20) == b"A"
        waits = connection.create_session("upper")
        first, second = waits.run(b"b"), waits.run(b"c")
        eventually(lambda: f"the tasks of session {waits.id} wait: min_instances" in caplog.text)
        keeps.close()
        assert [first.result(20), second.result(20)] == [b"B", b"C"]
        waits.close()
    reports = [one.getMessage() for one in caplog.records if "min_instances" in one.getMessage()]
    assert len(reports) == 1
    assert f"({keeps.id}); close" in reports[0]
    assert "LocalCluster(executors=)" in reports[0]
