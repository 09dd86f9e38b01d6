"""What sinks are promised: docs/delivery.md, G26."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.waiting import eventually

from flamepy.core import Connection
from flamepy.errors import InvalidArgumentError
from flamepy.informers import (
    OutboxEntry,
    OutboxOptions,
    Outcome,
    PermanentError,
    Reactor,
    Registration,
    SessionInformer,
    Sink,
    expect,
)
from flamepy.testing import FakeEngine

Answer = Callable[[Sequence[OutboxEntry]], Sequence[Outcome] | None]
QUICK = OutboxOptions(backoff_first=0.01, backoff_max=0.02)


def take(batch: Sequence[OutboxEntry]) -> Sequence[Outcome] | None:
    return None


class Receiver(Sink):
    """A sink whose receiver does what a test says, and that keeps what it got."""

    def __init__(
        self, answer: Answer = take, *, durable: bool = True, outbox: OutboxOptions = QUICK
    ) -> None:
        super().__init__(durable=durable, outbox=outbox)
        self.answer = answer
        self.got: list[OutboxEntry] = []
        self.life: list[str] = []

    def open(self) -> None:
        self.life.append("open")

    def close(self) -> None:
        self.life.append("close")

    def send(self, batch: Sequence[OutboxEntry]) -> Sequence[Outcome] | None:
        answer = self.answer(batch)
        outcomes = [Outcome.sent()] * len(batch) if answer is None else answer
        self.got += [
            entry
            for entry, outcome in zip(batch, outcomes, strict=True)
            if outcome == Outcome.sent()
        ]
        return answer

    @property
    def keys(self) -> list[str]:
        return [one.key for one in self.got]

    @property
    def ends(self) -> list[str]:
        """The task and the state of what was got, without times."""
        return [f"{one.key.split('@')[0]}/{one.key.rpartition('/')[2]}" for one in self.got]


def down(batch: Sequence[OutboxEntry]) -> Sequence[Outcome] | None:
    raise OSError("the receiver is down")


@contextmanager
def reactor_with(
    sink: Sink, connection: Connection, path: Path | None
) -> Iterator[tuple[Reactor, Registration]]:
    with Reactor(connection=connection, checkpoint=path) as reactor:
        registration = reactor.register(sink, uid="sink")
        reactor.wait_synced(30)
        yield reactor, registration


def sent(registration: Registration) -> bool:
    return registration.outbox is not None and registration.outbox.waiting == 0


class TestG26SinksSendAtLeastOnce:
    def test_what_could_not_be_sent_is_sent_after_a_restart_once_with_its_key(
        self, engine: FakeEngine, connection: Connection, tmp_path: Path
    ) -> None:
        for _ in range(5):
            engine.add_task("s")
        first, second = Receiver(down), Receiver()
        with reactor_with(first, connection, tmp_path / "state.db") as (_, registration):
            assert registration.outbox is not None
            assert registration.outbox.waiting == 6
        assert first.got == []
        with reactor_with(second, connection, tmp_path / "state.db") as (_, registration):
            eventually(lambda: sent(registration), "everything")
        assert sorted(second.ends) == [*(f"s/{one}/pending" for one in range(1, 6)), "s/opened"]
        third = Receiver()
        with reactor_with(third, connection, tmp_path / "state.db"):
            pass
        assert third.got == []

    def test_what_waits_is_sent_later_and_holds_up_nothing_else(
        self,
        engine: FakeEngine,
        connection: Connection,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        first, attempts = engine.add_task("s"), []

        def one_waits(batch: Sequence[OutboxEntry]) -> Sequence[Outcome]:
            attempts.extend(one.attempts for one in batch)
            held = [one.key.startswith("s/1@") and len(attempts) < 4 for one in batch]
            return [Outcome.wait("quiet", after=0.02) if one else Outcome.sent() for one in held]

        quick = OutboxOptions(batch_size=1, give_up_after=0.0)
        sink = Receiver(one_waits, outbox=quick)
        with reactor_with(sink, connection, tmp_path / "state.db") as (_, registration):
            eventually(lambda: first == "1" and sent(registration), "everything")
        assert sorted(sink.ends) == ["s/1/pending", "s/opened"]
        assert set(attempts) == {0}
        assert "could not be sent" not in caplog.text

    def test_a_note_is_there_after_a_restart(
        self, engine: FakeEngine, connection: Connection, tmp_path: Path
    ) -> None:
        seen: list[str] = []

        class Counting(Receiver):
            def open(self) -> None:
                seen.append(self.note)

            def send(self, batch: Sequence[OutboxEntry]) -> None:
                self.note = f"{int(self.note or 0) + len(batch)}"

        for _ in range(3):
            engine.add_task("s")
            with reactor_with(Counting(), connection, tmp_path / "state.db") as (_, registration):
                eventually(lambda one=registration: sent(one), "everything")
        assert seen == ["", "2", "3"]

    def test_an_event_comes_back_whole(
        self, engine: FakeEngine, connection: Connection, tmp_path: Path
    ) -> None:
        sink = Receiver()
        with reactor_with(sink, connection, tmp_path / "state.db"):
            engine.fail("s", engine.add_task("s"), "disk full")
            eventually(lambda: "s/1/failed" in sink.ends, "the failure")
        event = next(one.event for one in sink.got if one.key.endswith("/failed"))
        assert event.task is not None  # type: ignore[union-attr]  # a task's event
        assert event.task.error == "disk full"  # type: ignore[union-attr]  # a task's event
        assert event.key in sink.keys

    def test_of_a_task_events_arrive_in_order_whatever_fails(
        self, engine: FakeEngine, connection: Connection, tmp_path: Path
    ) -> None:
        calls: list[int] = []

        def moody(batch: Sequence[OutboxEntry]) -> Sequence[Outcome]:
            calls.append(len(batch))
            return [
                Outcome.retry("busy") if (len(calls) + at) % 3 else Outcome.sent()
                for at in range(len(batch))
            ]

        sink = Receiver(
            moody, outbox=OutboxOptions(backoff_first=0.01, backoff_max=0.02, senders=3)
        )
        with reactor_with(sink, connection, tmp_path / "state.db") as (_, registration):
            tasks = [engine.add_task("s") for _ in range(5)]
            eventually(lambda: registration.stats.delivered >= 6, "the first states")
            for task in tasks:
                engine.succeed("s", task)
            eventually(lambda: len(sink.got) >= 11 and sent(registration), "everything")
        for task in tasks:
            states = [one for one in sink.ends if one.startswith(f"s/{task}/")]
            assert states[0] == f"s/{task}/pending"
            assert states[-1] == f"s/{task}/succeed"
            assert len(states) == len(set(states))

    def test_a_destination_that_is_down_holds_up_no_other(
        self, engine: FakeEngine, connection: Connection, tmp_path: Path
    ) -> None:
        class Two(Receiver):
            def destination(self, event: object) -> str:
                return "down" if getattr(event, "task", None) is None else "up"

        def half(batch: Sequence[OutboxEntry]) -> Sequence[Outcome] | None:
            return down(batch) if batch[0].destination == "down" else None

        engine.add_task("s")
        sink = Two(half, outbox=OutboxOptions(backoff_first=1000, backoff_max=1000))
        with reactor_with(sink, connection, tmp_path / "state.db") as (_, registration):
            eventually(lambda: sink.ends == ["s/1/pending"], "the other one's")
            assert registration.outbox is not None
            eventually(lambda: registration.outbox and registration.outbox.failures == 1, "the try")

    def test_what_is_refused_is_a_dead_letter_that_is_sent_again_on_request(
        self, engine: FakeEngine, connection: Connection, tmp_path: Path
    ) -> None:
        def refuse(batch: Sequence[OutboxEntry]) -> Sequence[Outcome]:
            raise PermanentError("bad request")

        sink = Receiver(refuse)
        with reactor_with(sink, connection, tmp_path / "state.db") as (reactor, registration):
            eventually(lambda: len(reactor.dead_letters) == 1, "the letter")
            (letter,) = reactor.dead_letters.list()
            assert (letter.informer, letter.callback, letter.attempts) == ("sink", "send", 1)
            assert "bad request" in letter.error
            eventually(lambda: registration.stats.dead == 1, "the count")
            sink.answer = take
            reactor.dead_letters.retry(letter.id)
            eventually(lambda: sink.ends == ["s/opened"], "the second try")
            eventually(lambda: len(reactor.dead_letters) == 0, "no letter")
        assert sink.keys == [letter.key]

    def test_an_overdue_event_is_sent_over_a_restart(
        self, engine: FakeEngine, connection: Connection, tmp_path: Path
    ) -> None:
        engine.add_task("s")
        rules = [expect.end(within=0.01)]
        first, second = Receiver(down), Receiver()
        with Reactor(connection=connection, checkpoint=tmp_path / "state.db") as reactor:
            one = reactor.register(first, uid="sink", rules=rules)
            eventually(lambda: one.outbox and one.outbox.waiting == 3, "three events")
        with Reactor(connection=connection, checkpoint=tmp_path / "state.db") as reactor:
            one = reactor.register(second, uid="sink", rules=rules)
            eventually(lambda: len(second.got) == 3, "three events")
        overdue = next(entry.event for entry in second.got if "overdue" in entry.key)
        assert (overdue.session_id, overdue.rule.name) == ("s", "end(within=0.01)")  # type: ignore[union-attr]  # an OverdueEvent

    def test_when_it_is_full_the_queue_waits_and_nothing_is_lost(
        self, engine: FakeEngine, connection: Connection, tmp_path: Path
    ) -> None:
        gate = threading.Event()

        def held(batch: Sequence[OutboxEntry]) -> None:
            gate.wait(30)

        for _ in range(20):
            engine.add_task("s")
        sink = Receiver(held, outbox=OutboxOptions(max_entries=3, batch_size=2))
        with Reactor(connection=connection, checkpoint=tmp_path / "state.db") as reactor:
            registration = reactor.register(sink, uid="sink")
            eventually(lambda: registration.outbox and registration.outbox.waiting == 3, "full")
            assert registration.stats.queued > 0
            gate.set()
            eventually(lambda: len(sink.got) == 21, "everything")

    def test_what_is_dropped_when_that_was_chosen_is_counted_and_logged(
        self,
        engine: FakeEngine,
        connection: Connection,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        for _ in range(20):
            engine.add_task("s")
        sink = Receiver(down, outbox=OutboxOptions(max_entries=5, when_full="drop_oldest"))
        with (
            caplog.at_level(logging.WARNING),
            reactor_with(sink, connection, tmp_path / "state.db") as (_, registration),
        ):
            outbox = registration.outbox
            assert outbox is not None
            assert outbox.waiting <= 5
            assert outbox.dropped == 21 - outbox.waiting
        assert any("dropped unsent" in one for one in caplog.messages)

    def test_without_a_checkpoint_it_is_refused_unless_it_may_lose_events(
        self, engine: FakeEngine, connection: Connection
    ) -> None:
        engine.add_task("s")
        with Reactor(connection=connection) as reactor:
            with pytest.raises(InvalidArgumentError, match=r"checkpoint='state.db'.*durable=False"):
                reactor.register(Receiver(), uid="sink")
            loose = Receiver(durable=False)
            reactor.register(loose)
            eventually(lambda: sorted(loose.ends) == ["s/1/pending", "s/opened"], "both")
        assert loose.life == ["open", "close"]

    def test_a_disabled_sink_keeps_its_events_for_the_next_start(
        self,
        engine: FakeEngine,
        connection: Connection,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        calls: list[int] = []

        def gone(batch: Sequence[OutboxEntry]) -> Sequence[Outcome]:
            calls.append(1)
            first.disable("410 Gone")
            return [Outcome.retry("410 Gone")] * len(batch)

        first, second = Receiver(gone), Receiver()
        with (
            caplog.at_level(logging.WARNING),
            reactor_with(first, connection, tmp_path / "state.db") as (reactor, registration),
        ):
            eventually(lambda: registration.outbox and registration.outbox.disabled, "the order")
            engine.add_task("s")
            eventually(lambda: registration.outbox and registration.outbox.waiting == 2, "both")
            (health,) = reactor.health().informers
            assert health.outbox is not None
            assert health.outbox.disabled == {"*": "410 Gone"}
        assert len(calls) == 1
        assert any("is disabled" in one and "410 Gone" in one for one in caplog.messages)
        with reactor_with(second, connection, tmp_path / "state.db"):
            eventually(lambda: len(second.got) == 2, "both")

    def test_a_flush_waits_for_a_batch_that_is_not_full(
        self, engine: FakeEngine, connection: Connection, tmp_path: Path
    ) -> None:
        sink = Receiver(outbox=OutboxOptions(batch_delay=1000))
        with reactor_with(sink, connection, tmp_path / "state.db") as (_, registration):
            eventually(lambda: registration.outbox and registration.outbox.waiting == 1, "one")
            assert sink.flush(30)
            assert sink.ends == ["s/opened"]
            engine.add_task("s")
            eventually(lambda: registration.outbox and registration.outbox.waiting == 1, "one")
        assert sink.ends == ["s/opened", "s/1/pending"], "a stop flushes as well"
        assert sink.life == ["open", "close"]

    def test_send_may_be_a_coroutine(
        self, engine: FakeEngine, connection: Connection, tmp_path: Path
    ) -> None:
        class Async(Sink):
            got: list[str]

            async def open(self) -> None:
                self.got = []

            async def send(self, batch: Sequence[OutboxEntry]) -> None:
                self.got += [one.key for one in batch]

        sink = Async(outbox={"batch_size": 10})
        with reactor_with(sink, connection, tmp_path / "state.db") as (_, registration):
            eventually(lambda: sent(registration) and len(sink.got) == 1, "the event")

    @pytest.mark.parametrize("coroutine", [False, True])
    def test_a_send_that_hangs_is_reported_with_where_it_is_and_not_ended(
        self,
        coroutine: bool,
        engine: FakeEngine,
        connection: Connection,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        gate = threading.Event()

        def hangs_here(batch: Sequence[OutboxEntry]) -> None:
            gate.wait(30)

        class Async(Receiver):
            async def send(self, batch: Sequence[OutboxEntry]) -> None:  # type: ignore[override]  # as Sink.send
                await self.hangs_here()
                self.got += batch

            async def hangs_here(self) -> None:
                while not gate.is_set():
                    await asyncio.sleep(0.01)

        sink = Async() if coroutine else Receiver(hangs_here)
        with Reactor(connection=connection, checkpoint=tmp_path / "state.db") as reactor:
            registration = reactor.register(sink, uid="sink", timeout=0.05)
            engine.add_task("s")
            eventually(lambda: ".send has been running for" in caplog.text, "the report")
            eventually(lambda: registration.stats.slow == 1, "the counter")
            assert registration.stats.stuck == 1
            assert "hangs_here" in caplog.text
            gate.set()
            eventually(lambda: sent(registration) and registration.stats.stuck == 0, "the end")
        assert sorted(sink.ends) == ["s/1/pending", "s/opened"]

    def test_a_sink_without_send_or_with_on_batch_is_refused(
        self, connection: Connection, tmp_path: Path
    ) -> None:
        class Batches(Receiver):
            def on_batch(self, events: object) -> None: ...

        with Reactor(connection=connection, checkpoint=tmp_path / "state.db") as reactor:
            with pytest.raises(InvalidArgumentError, match=r"Sink has no send\(self, batch\)"):
                reactor.register(Sink(), uid="a")
            with pytest.raises(InvalidArgumentError, match="has on_batch: write send"):
                reactor.register(Batches(), uid="b")
            with pytest.raises(InvalidArgumentError, match="uid='a-name'"):
                reactor.register(Receiver())

    def test_events_chooses_what_is_sent(
        self, engine: FakeEngine, connection: Connection, tmp_path: Path
    ) -> None:
        sink = Receiver()
        with Reactor(connection=connection, checkpoint=tmp_path / "state.db") as reactor:
            reactor.register(sink, uid="sink", events=["succeeded", "drained", "progress"])
            engine.succeed("s", engine.add_task("s"))
            engine.add_task("s")
            wanted = {"s/1/succeed"}
            eventually(lambda: wanted <= set(sink.ends), "the end")
            engine.succeed("s", "2")
            eventually(lambda: any("drained" in one for one in sink.keys), "the drain")
        assert not any(one.endswith(("/pending", "opened")) for one in sink.ends)
        assert any("progress" in one for one in sink.keys)

    def test_without_a_choice_sessions_are_sent_when_they_open_and_close(
        self, engine: FakeEngine, connection: Connection, tmp_path: Path
    ) -> None:
        sink = Receiver()
        with reactor_with(sink, connection, tmp_path / "state.db"):
            engine.succeed("s", engine.add_task("s"))
            connection.open_session("s").close()
            eventually(lambda: "s/closed" in sink.ends, "the close")
        assert {one for one in sink.ends if one.count("/") == 1} == {"s/opened", "s/closed"}

    def test_it_is_an_informer_of_sessions(self) -> None:
        assert issubclass(Sink, SessionInformer)
