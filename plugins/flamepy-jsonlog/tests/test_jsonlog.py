"""The lines that a real reactor of an embedded cluster makes the plugin write."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flamepy_jsonlog import JsonLog

from flamepy.core import Connection, FlameService, TaskContext, connect
from flamepy.errors import TaskFailedError
from flamepy.informers import Reactor
from flamepy.informers.plugins.loading import discover
from flamepy.local import LocalCluster
from flamepy.testing import check_informer


class Service(FlameService):
    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input == b"bad":
            raise ValueError("no \x1b[31m good")
        return b"fine"


@pytest.fixture
def connection() -> Iterator[Connection]:
    with LocalCluster() as cluster, connect(cluster.endpoint) as made:
        cluster.register_service("app", Service)
        yield made


def work(connection: Connection, session_id: str) -> None:
    with connection.create_session("app", session_id=session_id) as session:
        session.invoke(b"good", timeout=30)
        with pytest.raises(TaskFailedError):
            session.invoke(b"bad", timeout=30)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_it_is_found_by_its_name() -> None:
    (info,) = [one for one in discover() if one.name == "jsonlog"]
    assert (info.distribution, info.problem) == ("flamepy-jsonlog", None)


def test_each_event_is_a_line_and_each_end_comes_once(
    connection: Connection, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    with Reactor(connection=connection, plugins={"jsonlog": {"path": str(path)}}):
        work(connection, "s")
    written = lines(path.read_text())
    ends = {
        line["task"]: (line["state"], line["error"])
        for line in written
        if line["type"] == "task" and line["state"] in ("succeed", "failed")
    }
    assert ends == {"1": ("succeed", None), "2": ("failed", "no \x1b[31m good")}
    keys = [line["key"] for line in written]
    assert len(keys) == len(set(keys))
    kinds = [line["kind"] for line in written if line["type"] == "session"]
    assert (kinds[0], kinds.count("opened"), kinds.count("closed")) == ("opened", 1, 1)


def test_what_was_there_is_left_out_when_asked(connection: Connection, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    work(connection, "before")
    options = {"path": str(path), "initial": False}
    with Reactor(connection=connection, plugins={"jsonlog": options}) as reactor:
        reactor.wait_synced(timeout=10)
        work(connection, "after")
    written = lines(path.read_text())
    assert {line["session"] for line in written} == {"after"}


def test_a_second_run_appends(connection: Connection, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    work(connection, "s")
    for _ in range(2):
        with Reactor(connection=connection, plugins={"jsonlog": {"path": str(path)}}) as reactor:
            reactor.wait_synced(timeout=10)
    written = lines(path.read_text())
    assert all(line["initial"] for line in written)
    tasks = [line for line in written if line["kind"] not in ("progress", "drained")]
    keys = Counter(line["key"] for line in tasks)
    assert len(keys) == 4, "opened, closed, and two ends"
    assert set(keys.values()) == {2}, "the same keys in both runs"


def test_without_a_path_it_is_standard_output(
    connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    work(connection, "s")
    with Reactor(connection=connection, plugins={"jsonlog": {}}) as reactor:
        reactor.wait_synced(timeout=10)
    assert lines(capsys.readouterr().out)


def test_making_it_opens_nothing(tmp_path: Path) -> None:
    JsonLog(path=str(tmp_path / "events.jsonl")).close()
    assert not list(tmp_path.iterdir())


def test_a_file_that_was_renamed_is_opened_again_and_no_event_is_lost(
    connection: Connection, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    with Reactor(connection=connection, plugins={"jsonlog": {"path": str(path)}}) as reactor:
        reactor.wait_synced(timeout=10)
        work(connection, "first")
        path.rename(tmp_path / "old.jsonl")
        work(connection, "second")
        (registration,) = reactor.registrations
        registration.reopen()
        work(connection, "third")
    old, new = lines((tmp_path / "old.jsonl").read_text()), lines(path.read_text())
    assert "third" in {one["session"] for one in new}
    assert {one["session"] for one in old} <= {"first", "second"}
    ends = Counter(
        (one["session"], one["task"])
        for one in (*old, *new)
        if one["type"] == "task" and one["state"] in ("succeed", "failed")
    )
    assert ends == {(one, task): 1 for one in ("first", "second", "third") for task in ("1", "2")}


def test_a_full_file_is_renamed_and_the_oldest_goes(connection: Connection, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    options = {"path": str(path), "max_bytes": 1500, "keep": 2}
    with Reactor(connection=connection, plugins={"jsonlog": options}) as reactor:
        reactor.wait_synced(timeout=10)
        for number in range(4):
            work(connection, f"s{number}")
    names = sorted(one.name for one in tmp_path.iterdir())
    assert names == ["events.jsonl", "events.jsonl.1", "events.jsonl.2"]
    for one in tmp_path.iterdir():
        assert one.stat().st_size <= 1500
        assert lines(one.read_text()), "each file has whole lines"
    assert lines((tmp_path / "events.jsonl").read_text())[-1]["session"] == "s3"


@pytest.mark.parametrize("options", [{"max_bytes": -1}, {"keep": 0}, {"max_bytes": 1.5}])
def test_limits_out_of_their_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be a whole number"):
        JsonLog(**options)


def test_what_cannot_be_written_is_an_error_of_the_callback(
    connection: Connection, tmp_path: Path
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    path = folder / "events.jsonl"
    with Reactor(connection=connection, plugins={"jsonlog": {"path": str(path)}}) as reactor:
        reactor.wait_synced(timeout=10)
        (registration,) = reactor.registrations
        path.unlink()
        folder.rmdir()
        registration.reopen()
        work(connection, "s")
    assert registration.stats.failures > 0


def test_it_bears_everything_that_engines_do(tmp_path: Path) -> None:
    check_informer(lambda: JsonLog(path=str(tmp_path / "events.jsonl")))
