"""``flamepy outbox`` shows, sends and drops what waits in a reactor's file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.waiting import eventually

from flamepy.cli.commands import flamepy
from flamepy.cli.verbs.handlers import outbox_text
from flamepy.core import connect
from flamepy.informers import OutboxEntry, OutboxStats, Reactor, Sink
from flamepy.informers.checkpoint.store import CheckpointStore
from flamepy.informers.outbox import table
from flamepy.informers.outbox.entry import OutboxRow
from flamepy.testing import FakeEngine


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file in which three events of two sinks wait; one of them was disabled."""
    path = tmp_path / "state.db"
    store = CheckpointStore(path)
    store.open()
    for number, sink in ((1, "hook"), (2, "hook"), (3, "sql")):
        row = OutboxRow("to", None, f"s/{number}", '{"type": "task"}', 1_800_000_000.0)
        store.transact(lambda database, sink=sink, row=row: table.put(database, sink, [row]))
    tried = table.Tried(4, 1_900_000_000.0, "OSError: out of \x1b[31mpaper", 1)
    store.transact(lambda database: table.postpone(database, [tried]))
    store.transact(lambda database: table.disable(database, "hook", {"*": "410 Gone"}))
    store.transact(lambda database: table.add_dropped(database, "sql", 7))
    store.close()
    return path


def call(file: Path, *arguments: str) -> Result:
    return CliRunner().invoke(flamepy, ["outbox", *arguments, "--checkpoint", str(file)])


def test_what_waits_is_listed_as_a_table_and_as_json(file: Path) -> None:
    listed = call(file, "list", "--table")
    assert re.search(r"1 +hook +to +s/1 +4 +OSError: out", listed.stdout)
    assert "\x1b" not in listed.stdout
    assert "hook is disabled: 410 Gone; flamepy outbox retry --sink hook" in listed.stderr
    assert "sql has dropped 7 events unsent" in listed.stderr
    entries = json.loads(call(file, "list", "--json").stdout)
    assert [(one["id"], one["sink"], one["due"] is None) for one in entries] == [
        *((1, "hook", False), (2, "hook", True), (3, "sql", True)),
    ]
    few = call(file, "list", "--json", "--limit", "1", "--sink", "hook")
    assert len(json.loads(few.stdout)) == 1
    assert "1 more: --limit 2 shows them" in few.stderr
    assert "sql" not in few.stderr


def test_a_retry_makes_them_due_and_enables_the_sink(file: Path) -> None:
    assert call(file, "retry", "1").stdout == "1 will be sent as soon as they can be\n"
    listed = call(file, "list", "--json")
    assert [one["due"] for one in json.loads(listed.stdout)] == [None] * 3
    assert "disabled" not in listed.stderr


@pytest.mark.parametrize("choice", [["--sink", "hook"], ["--all"]])
def test_a_sink_is_enabled_by_its_name_and_with_all(file: Path, choice: list[str]) -> None:
    assert call(file, "retry", *choice).exit_code == 0
    assert "disabled" not in call(file, "list").stderr


def test_they_are_dropped_by_id_by_sink_and_all(file: Path) -> None:
    assert call(file, "drop", "1").stdout == "1 deleted\n"
    assert call(file, "drop", "--sink", "sql").stdout == "1 deleted\n"
    assert call(file, "drop", "--all").stdout == "1 deleted\n"
    assert json.loads(call(file, "list", "--json").stdout) == []


@pytest.mark.parametrize("verb", ["retry", "drop"])
def test_unknown_ids_are_named_and_end_it_with_1(file: Path, verb: str) -> None:
    refused = call(file, verb, "99")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "nothing waits with the id 99; flamepy outbox list" in refused.stderr
    partly = call(file, verb, "98", "1")
    assert (partly.exit_code, partly.stdout[:2]) == (1, "1 "), "the other is handled nevertheless"


@pytest.mark.parametrize("arguments", [[], ["1", "--all"], ["--sink", "hook", "--all"]])
def test_exactly_one_choice_is_needed(file: Path, arguments: list[str]) -> None:
    refused = call(file, "drop", *arguments)
    assert refused.exit_code == 2
    assert "give ids, or --sink NAME, or --all" in refused.stderr


class _Moody(Sink):
    def __init__(self) -> None:
        super().__init__(outbox={"backoff_first": 1_000, "backoff_max": 1_000})
        self.up = False
        self.got: list[str] = []

    def send(self, batch: Sequence[OutboxEntry]) -> None:
        if not self.up:
            raise OSError("down")
        self.got += [one.key for one in batch]


def test_a_running_process_sends_what_is_retried_and_forgets_what_is_dropped(
    tmp_path: Path, fake_engine: FakeEngine
) -> None:
    fake_engine.add_session("s")
    sink, path = _Moody(), tmp_path / "state.db"
    with (
        connect(fake_engine.endpoint) as made,
        Reactor(connection=made, checkpoint=path) as reactor,
    ):
        registration = reactor.register(sink, uid="hook")
        eventually(lambda: registration.outbox and registration.outbox.failures, "the first try")
        sink.up = True
        assert call(path, "retry", "--sink", "hook").exit_code == 0
        eventually(lambda: len(sink.got) == 1, "the event")
        sink.up = False
        fake_engine.add_task("s")
        eventually(lambda: registration.outbox and registration.outbox.failures, "the next try")
        sink.disable("for now")
        fake_engine.add_task("s")
        eventually(lambda: registration.outbox and registration.outbox.waiting == 2, "both")
        eventually(lambda: "for now" in call(path, "list").stderr, "the reason in the file")
        eventually(lambda: len(json.loads(call(path, "list").stdout)) == 2, "both in the file")
        assert call(path, "drop", "--sink", "hook").exit_code == 0
        eventually(lambda: registration.outbox and not registration.outbox.waiting, "nothing")
    assert len(sink.got) == 1


def test_a_table_of_handlers_shows_an_outbox_in_words() -> None:
    stats = OutboxStats(waiting=3, oldest_age=61.4, dropped=2, disabled={"*": "410 Gone"})
    assert outbox_text(asdict(stats)) == "3 waiting, for 61 s, 2 dropped, disabled: 410 Gone"
    assert (outbox_text(asdict(OutboxStats())), outbox_text(None)) == ("0 waiting", "")
