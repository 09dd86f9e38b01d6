"""The outbox of a sink: what it does when its file fails, is full, old, or changed by others."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

import pytest
from support.waiting import eventually

from flamepy.errors import InvalidStateError
from flamepy.informers import OutboxEntry, OutboxOptions, Outcome, Sink
from flamepy.informers.checkpoint.store import CheckpointStore
from flamepy.informers.dead_letters.box import DeadLetters
from flamepy.informers.delivery.registration import Hooks, Registration
from flamepy.informers.options import Options
from flamepy.informers.outbox import table
from flamepy.informers.outbox.entry import OutboxRow, row_of
from flamepy.informers.senders import mailroom
from flamepy.informers.senders.binding import outbox_of
from flamepy.informers.senders.memory_file import MemoryFile
from flamepy.informers.senders.outbox import Outbox
from flamepy.runtime.clocks import wall
from flamepy.runtime.flags import Flag
from flamepy.types import Task, TaskState
from flamepy.watching.state.events import EventKind, TaskEvent
from flamepy.watching.state.subscriptions import Scope

T = TypeVar("T")
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
QUICK = OutboxOptions(backoff_first=0.01, backoff_max=0.02)


def event(number: int) -> TaskEvent:
    task = Task(str(number), "s", TaskState.SUCCEED, START, payloads_loaded=False)
    return TaskEvent(kind=EventKind.ADDED, task=task, application="app")


def row(number: int, *, created: float | None = None) -> OutboxRow:
    moment = wall() if created is None else created
    return row_of(event(number), destination="", ordering="task", payloads=False, now=moment)


class Receiver(Sink):
    def __init__(self, options: OutboxOptions = QUICK, *, durable: bool = True) -> None:
        super().__init__(outbox=options, durable=durable)
        self.error: BaseException | None = None
        self.got: list[str] = []
        self.gate: threading.Event | None = None
        self.life: list[str] = []

    def open(self) -> None:
        self.life.append("open")

    def close(self) -> None:
        self.life.append("close")

    def send(self, batch: Sequence[OutboxEntry]) -> Sequence[Outcome] | None:
        if self.gate is not None:
            self.gate.wait(30)
        if self.error is not None:
            raise self.error
        self.got += [one.key.split("@")[0] for one in batch]
        return None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CheckpointStore]:
    made = CheckpointStore(tmp_path / "state.db")
    made.open()
    yield made
    made.close()


def ignore(_: object) -> None:
    pass


def registered(sink: Sink) -> Registration:
    hooks = Hooks(ignore, ignore, ignore, ignore, remembers=True, keep_dead=ignore)
    return Registration(sink, Scope(), Options(uid="sink"), hooks=hooks)


def put(store: CheckpointStore, *rows: OutboxRow) -> None:
    store.transact(lambda database: table.put(database, "sink", rows))


def left(store: CheckpointStore) -> list[str]:
    found = store.transact(lambda database: table.find(database, informer="sink", limit=-1))
    return [one.key.split("@")[0] for one in found]


@pytest.fixture
def bound(store: CheckpointStore) -> Iterator[Callable[[Sink], Outbox]]:
    made: list[Outbox] = []

    def bind(sink: Sink) -> Outbox:
        made.append(outbox_of(registered(sink), store))
        return made[-1]

    yield bind
    for one in made:
        one.stop(5)


Bind = Callable[[Sink], Outbox]


class _FailingFile:
    """A store whose writes of outcomes fail, until it is told otherwise."""

    def __init__(self, store: CheckpointStore) -> None:
        self.store = store
        self.failing = threading.Event()
        self.failed = threading.Event()

    @property
    def generation(self) -> int:
        return self.store.generation

    def foreign_changes(self) -> int | None:
        return self.store.foreign_changes()

    def transact(self, act: Callable[..., T]) -> T:
        if self.failing.is_set():
            self.failed.set()
            raise InvalidStateError("the disk is full")
        return self.store.transact(act)


class TestAFileThatFails:
    def test_what_was_sent_is_not_sent_again_while_its_deletion_cannot_be_stored(
        self, store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mailroom, "RETRY_DELAY", 0.01)
        put(store, row(1))
        sink, file = Receiver(), _FailingFile(store)
        sink.gate = threading.Event()
        outbox = outbox_of(registered(sink), file)
        try:
            eventually(lambda: sink.life == ["open"], "the batch")
            file.failing.set()
            sink.gate.set()
            assert file.failed.wait(30)
            assert sink.got == ["s/1"]
            file.failing.clear()
            eventually(lambda: outbox.stats.sent == 1, "the deletion")
        finally:
            outbox.stop(5)
        assert (sink.got, left(store)) == (["s/1"], [])

    def test_a_stop_leaves_what_could_not_be_stored_for_the_next_process(
        self, store: CheckpointStore
    ) -> None:
        put(store, row(1))
        sink, file = Receiver(), _FailingFile(store)
        sink.gate = threading.Event()
        outbox = outbox_of(registered(sink), file)
        eventually(lambda: sink.life == ["open"], "the batch")
        file.failing.set()
        sink.gate.set()
        assert file.failed.wait(30)
        outbox.stop(5)
        assert sink.life == ["open", "close"]
        assert left(store) == ["s/1"], "it may be sent again: at least once"


class TestBounds:
    def test_what_is_too_old_is_dropped_and_counted_over_restarts(
        self, store: CheckpointStore, bound: Bind, caplog: pytest.LogCaptureFixture
    ) -> None:
        put(store, row(1, created=wall() - 100), row(2))
        sink = Receiver(replace(QUICK, max_age=50.0))
        sink.error = OSError("down")
        with caplog.at_level(logging.WARNING):
            outbox = bound(sink)
            eventually(lambda: outbox.stats.dropped == 1, "the old one", 60)
            assert left(store) == ["s/2"]
            said = "older than max_age, 50 s"
            eventually(
                lambda: any(said in one for one in caplog.messages), "the log, which follows"
            )
        assert bound(Receiver()).stats.dropped == 1

    def test_a_full_one_that_drops_leaves_what_is_being_sent(
        self, store: CheckpointStore, bound: Bind
    ) -> None:
        put(store, *(row(number) for number in range(1, 5)))
        sink = Receiver(replace(QUICK, max_entries=4, batch_size=1, when_full="drop_oldest"))
        sink.gate = threading.Event()
        outbox = bound(sink)
        eventually(lambda: sink.life == ["open"], "the batch")
        assert outbox.room(Flag(), lambda: None)
        assert left(store) == ["s/1", "s/3", "s/4"]
        assert outbox.stats.dropped == 1
        sink.gate.set()
        eventually(lambda: sink.got == ["s/1", "s/3", "s/4"], "the others")

    def test_a_stop_ends_the_wait_for_room(self, store: CheckpointStore, bound: Bind) -> None:
        put(store, row(1))
        sink = Receiver(replace(QUICK, max_entries=1))
        sink.error = OSError("down")
        outbox, stopping, commits = bound(sink), Flag(), list[int]()

        def commit() -> None:
            commits.append(1)
            stopping.set()

        assert not outbox.room(stopping, commit)
        assert commits, "only what is stored can be sent"

    def test_bytes_are_bounded_as_well(self, store: CheckpointStore, bound: Bind) -> None:
        put(store, row(1))
        sink = Receiver(replace(QUICK, max_bytes=10))
        sink.error = OSError("down")
        stopping = Flag()
        stopping.set()
        assert not bound(sink).room(stopping, lambda: None)


class TestTimes:
    def test_what_an_earlier_process_was_to_try_late_waits_no_longer_than_the_options_say(
        self, store: CheckpointStore, bound: Bind
    ) -> None:
        put(store, row(1))
        tried = table.Tried(9, wall() + 1e6, "down", 1)  # the clock was set since then
        store.transact(lambda database: table.postpone(database, [tried]))
        sink = Receiver()
        bound(sink)
        eventually(lambda: sink.got == ["s/1"], "the try")

    def test_after_give_up_after_a_failure_makes_a_dead_letter(
        self, store: CheckpointStore, bound: Bind
    ) -> None:
        put(store, row(1, created=wall() - 100))
        sink = Receiver(replace(QUICK, give_up_after=50.0))
        sink.error = OSError("down")
        outbox = bound(sink)
        eventually(lambda: outbox.stats.dead == 1, "the letter")
        (letter,) = DeadLetters(store).list()
        assert (letter.informer, letter.callback, letter.error) == ("sink", "send", "OSError: down")
        assert letter.observed().key == event(1).key
        assert left(store) == []


class TestLife:
    def test_an_open_that_raises_is_tried_again(self, store: CheckpointStore, bound: Bind) -> None:
        class Late(Receiver):
            def open(self) -> None:
                super().open()
                if len(self.life) < 3:
                    raise OSError("not yet")

        put(store, row(1))
        sink = Late()
        bound(sink)
        eventually(lambda: sink.got == ["s/1"], "the event")
        assert sink.life == ["open"] * 3

    def test_several_senders_open_and_close_once(self, store: CheckpointStore, bound: Bind) -> None:
        put(store, *(row(number) for number in range(1, 30)))
        sink = Receiver(replace(QUICK, senders=3, batch_size=2))
        outbox = bound(sink)
        eventually(lambda: len(sink.got) == 29, "all of them")
        outbox.stop(5)
        assert sink.life == ["open", "close"]
        assert sorted(sink.got) == sorted(f"s/{number}" for number in range(1, 30))

    def test_an_event_that_another_release_wrote_is_given_up_alone(
        self, store: CheckpointStore, bound: Bind
    ) -> None:
        put(store, row(1)._replace(event='{"type": "task", "schema": 99}'), row(2))
        sink = Receiver()
        outbox = bound(sink)
        eventually(lambda: outbox.stats.dead == 1 and sink.got == ["s/2"], "both")
        assert "another release wrote this" in DeadLetters(store).list()[0].error

    def test_a_flush_in_send_is_refused(self, store: CheckpointStore, bound: Bind) -> None:
        errors: list[BaseException] = []

        class Flushing(Receiver):
            def send(self, batch: Sequence[OutboxEntry]) -> None:
                try:
                    outbox.flush(1)
                except InvalidStateError as error:
                    errors.append(error)

        put(store, row(1))
        sink = Flushing()
        outbox = Outbox.__new__(Outbox)  # bound below; the thread may be faster than this one
        ready = threading.Event()
        real = sink.send

        def send(batch: Sequence[OutboxEntry]) -> None:
            ready.wait(30)
            real(batch)

        object.__setattr__(sink, "send", send)
        outbox = bound(sink)
        ready.set()
        eventually(lambda: errors, "the refusal")
        assert "cannot wait for itself" in str(errors[0])


class TestMemory:
    def test_a_closed_one_is_used_no_more(self) -> None:
        file = MemoryFile()
        file.transact(lambda database: table.put(database, "sink", [row(1)]))
        file.close()
        file.close()
        with pytest.raises(InvalidStateError, match="is closed"):
            file.transact(lambda database: None)

    def test_what_is_lost_is_said(self, caplog: pytest.LogCaptureFixture) -> None:
        sink = Receiver(durable=False)
        sink.error = OSError("down")
        outbox = outbox_of(registered(sink), None)
        outbox.stage(one := event(1))
        made = outbox.take(one)
        assert made is not None
        with caplog.at_level(logging.WARNING):
            outbox.put(made)
            outbox.stop(0.0)
        assert any("1 events were not sent, and are lost" in one for one in caplog.messages)
