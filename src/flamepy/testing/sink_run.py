"""``SinkRun``: one situation of ``check_sink``, and what was observed in it."""

from __future__ import annotations

import inspect
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from flamepy.informers.delivery.registration import Registration
from flamepy.informers.informer import TemporaryError
from flamepy.informers.outbox.entry import OutboxEntry, OutcomeKind
from flamepy.informers.outbox.settlement import outcomes_of
from flamepy.informers.outbox.sink import Sink
from flamepy.informers.outbox.stats import OutboxStats
from flamepy.informers.reactor import Reactor
from flamepy.runtime.clocks import monotonic
from flamepy.testing.scripted_connection import ScriptedConnection
from flamepy.testing.scripted_source import ScriptedSource
from flamepy.testing.stage import LOOK_INTERVAL, POLL_INTERVAL, WAIT_LIMIT
from flamepy.texts import repr_of

TASKS = 4
MANY_RETRIES = 20
QUICK = {"backoff_first": 0.02, "backoff_max": 0.1}  # seconds
GATHER_DELAY = 0.15  # seconds; more than any back-off, so that all that waits is due


class SinkReceiver(Protocol):
    """Where the sink under test sends to; the test writes it."""

    def behave(self, how: str) -> None:
        """Change how it answers, from the next request on.

        Args:
            how: ``"well"``: take everything; ``"slow"``: answer later than the sink waits;
                ``"down"``: accept no connection, or answer with an error that passes;
                ``"half"``: refuse every second request, or event of one, with such an error;
                ``"refusing"``: refuse every event with an error that does not pass.
        """

    def received(self) -> Sequence[str]:
        """Return the keys of the events that it took, in their order."""


class _AnswerLost(BaseException):
    """The process was killed when the receiver had the batch, before the outbox knew."""


class SinkRun:
    """A scripted engine, a reactor with a checkpoint, a sink and its receiver.

    Args:
        make: returns the sink.
        receiver: where it sends to.
        file: the checkpoint.
        session: the id of the session whose events are sent.
        limit: seconds that one ``send`` may take.
        secrets: texts that must not be shown.
    """

    def __init__(
        self,
        make: Callable[[], Sink],
        receiver: SinkReceiver,
        *,
        file: Path,
        session: str,
        limit: float,
        secrets: Sequence[str],
    ) -> None:
        self._make = make
        self.receiver = receiver
        self._file = file
        self._session = session
        self._limit = limit
        self._secrets = secrets
        self.name = getattr(make, "__name__", "the sink")
        self._connection = ScriptedConnection()
        self._reactor: Reactor | None = None
        self._registration: Registration | None = None
        self._answers_lost = False
        self._given: dict[str, int] = {}  # ids by key
        self._said_sent: set[str] = set()
        self._said_later: set[str] = set()
        self._refused: set[str] = set()
        self._lost: set[str] = set()  # their answers
        self._ambiguous = False  # what failed may have arrived
        self._since: dict[int, float] = {}  # of each thread in ``send``
        self._ended = 0
        self._gathering = False
        self._stored = threading.Event()  # what a gathering situation has to send
        self._stored.set()
        self._gathered: set[str] = set()  # destinations whose next batch has everything
        self._before = 0  # keys that were received before that batch
        self._came_through = False  # some of that batch were received
        self._problems: list[str] = []
        self._lines = _Lines()

    def __enter__(self) -> SinkRun:
        logging.getLogger().addHandler(self._lines)
        self.restart()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._connection.close()
        logging.getLogger().removeHandler(self._lines)

    # ------------------------------------------------------------------ for scripts

    def behave(self, how: str) -> None:
        """Have the receiver behave in some way."""
        self._ambiguous |= how in ("slow", "down")
        self.receiver.behave(how)

    def life(self, how: str) -> None:
        """Have tasks end, whose events go to a receiver that behaves in some way."""
        self.behave(how)
        stats, session = self._registered, self._session
        self._connection.do(lambda source: source.add_session(session))
        for _ in range(TASKS):
            self._connection.do(lambda source: source.add_task(session, b""))
        self._wait(lambda: stats.stats.delivered > TASKS, "the first events to be stored")
        for number in map(str, range(1, TASKS + 1)):
            self._connection.do(partial(_succeed, session=session, task=number))
        self._wait(lambda: stats.stats.delivered > 2 * TASKS, "the events to be stored")
        self._stored.set()

    def gather(self) -> None:
        """Have ``send`` get everything at once, until something of it was received."""
        self._gathering = True
        self._stored.clear()

    def wait_came_through(self) -> None:
        """Wait until something of what was gathered was received."""
        self._wait(lambda: self._came_through, "something to be received")

    def lose_answers(self) -> None:
        """Let no answer of ``send`` reach the outbox from now on, as a kill does."""
        self._answers_lost = True

    def stop(self) -> None:
        """Stop the reactor at once."""
        if self._reactor is not None:
            self._look_at_letters(self._reactor)
            self._reactor.stop(self._limit if self._since else 1.0)
            self._reactor = None

    def restart(self) -> None:
        """Stop the reactor, and start another one with another sink on the same file."""
        self.stop()
        self._answers_lost = False
        sink = self._make()
        self.name = type(sink).__name__
        sink.outbox_options = replace(sink.outbox_options, **QUICK)  # type: ignore[arg-type]  # seconds
        self._show("its repr", repr_of(sink))
        object.__setattr__(sink, "send", self._wrapped(sink.send))
        self._reactor = Reactor(
            connection=self._connection,
            plugins=(),
            checkpoint=self._file,
            poll_interval=POLL_INTERVAL,
        )
        self._registration = self._reactor.register(sink, uid="sink")
        self._reactor.start()

    def wait_tried(self) -> None:
        """Wait until a batch was answered."""
        self._wait(lambda: self._ended > 0, "send to return")

    def wait_sent(self) -> None:
        """Wait until nothing waits to be sent."""
        self._wait(lambda: self._ended > 0 and self._outbox.waiting == 0, "everything to be sent")

    def wait_given_up(self) -> None:
        """Wait until everything became a dead letter."""

        def ended() -> bool:
            if self._outbox.retries > MANY_RETRIES:
                raise AssertionError(
                    "tries again and again what the receiver refuses for good: answer "
                    "Outcome.refused, or raise PermanentError"
                )
            return self._ended > 0 and self._outbox.waiting == 0

        self._wait(ended, "refused events to be given up")

    @property
    def _registered(self) -> Registration:
        assert self._registration is not None  # ``restart`` registers
        return self._registration

    @property
    def _outbox(self) -> OutboxStats:
        return self._registered.outbox or OutboxStats(waiting=1)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        end = monotonic() + WAIT_LIMIT + self._limit
        while not condition():
            now = monotonic()
            if any(now - since > self._limit for since in list(self._since.values())):
                raise TimeoutError(
                    f"runs longer than {self._limit:g} s: give its calls a time limit"
                )
            if now > end:
                raise TimeoutError(f"waited in vain for {what}")
            threading.Event().wait(LOOK_INTERVAL)

    # ------------------------------------------------------------------ what is observed

    def _wrapped(
        self, send: Callable[[Sequence[OutboxEntry]], object]
    ) -> Callable[[Sequence[OutboxEntry]], object]:
        def wrapped(batch: Sequence[OutboxEntry]) -> object:
            if self._gathering and not self._has_everything(batch[0].destination):
                raise TemporaryError("put off until everything waits", delay=GATHER_DELAY)
            own, self._before = threading.get_ident(), len(self.receiver.received())
            self._since[own] = monotonic()
            self._given.update((one.key, one.id) for one in batch)
            try:
                answer = send(batch)
            except BaseException as error:
                self._raised(batch, error, own)
                raise
            if inspect.isawaitable(answer):
                return self._awaited(batch, answer, own)
            return self._answered(batch, answer, own)

        return wrapped

    def _has_everything(self, destination: str) -> bool:
        """Whether a destination's batch was taken once all was stored and due.

        One batch at a time is taken of a destination that waits: the one after a batch that was put
        off was taken later.
        """
        if destination in self._gathered:
            return True
        if self._stored.is_set():
            self._gathered.add(destination)
        return False

    def _end(self, thread: int) -> None:
        self._since.pop(thread, None)
        if self._gathering:
            self._came_through = len(self.receiver.received()) > self._before
            self._gathering = not self._came_through
            self._gathered.clear()
        self._ended += 1

    async def _awaited(
        self, batch: Sequence[OutboxEntry], answer: Awaitable[object], thread: int
    ) -> object:
        try:
            found = await answer
        except BaseException as error:
            self._raised(batch, error, thread)
            raise
        return self._answered(batch, found, thread)

    def _raised(self, batch: Sequence[OutboxEntry], error: BaseException, thread: int) -> None:
        self._show("an error", repr_of(error))
        self._said_later.update(one.key for one in batch)
        self._end(thread)

    def _answered(self, batch: Sequence[OutboxEntry], answer: object, thread: int) -> object:
        try:
            outcomes = outcomes_of(answer, len(batch))
        except TypeError as error:
            self._problems.append(str(error))
            outcomes = []
        for entry, outcome in zip(batch, outcomes, strict=False):
            self._show("an outcome", outcome.text)
            if outcome.kind is OutcomeKind.SENT:
                self._said_sent.add(entry.key)
            elif outcome.kind is OutcomeKind.REFUSED:
                self._refused.add(entry.key)
            else:
                self._said_later.add(entry.key)
        self._end(thread)
        if self._answers_lost:
            self._lost.update(one.key for one in batch)
            raise _AnswerLost("killed")
        return answer

    def _look_at_letters(self, reactor: Reactor) -> None:
        for letter in reactor.dead_letters.list():
            self._refused.add(letter.key)
            self._show("a dead letter", f"{letter.error}\n{letter.traceback}")

    def _show(self, where: str, text: str) -> None:
        if any(one in text for one in self._secrets):
            problem = f"shows a secret in {where}"
            if problem not in self._problems:
                self._problems.append(problem)

    # ------------------------------------------------------------------ what is wrong

    def problems(self) -> list[str]:
        """Return what is wrong, as texts; once the reactor has stopped."""
        for line in self._lines.texts:
            self._show("a log record", line)
        received = [one for one in self.receiver.received() if self._session in one]
        lost = sorted((self._said_sent - self._lost) - set(received))
        found = list(self._problems)
        if lost:
            found.append(
                f"said that {len(lost)} events were sent that the receiver does not have: {lost[0]}"
            )
        again = [one for one, count in Counter(received).items() if count > 1]
        excused = self._lost | (self._said_later if self._ambiguous else set())
        again = [one for one in again if one not in excused]
        if again:
            found.append(
                f"sent {len(again)} events again that the receiver had taken, such as {again[0]}: "
                "answer Outcome.sent for those, and retry only for the others"
            )
        wrong = self._overtaken(received)
        if wrong is not None:
            found.append(f"{wrong} arrived after a later event of the same task")
        return found

    def _overtaken(self, received: Sequence[str]) -> str | None:
        last: dict[str, int] = {}
        known: set[str] = set()
        for key in received:
            number = self._given.get(key)
            if key in known or number is None:
                continue
            known.add(key)
            task = key.rpartition("@")[0]
            if number < last.get(task, 0):
                return key
            last[task] = number
        return None


def _succeed(source: ScriptedSource, *, session: str, task: str) -> None:
    source.succeed(session, task, b"")


class _Lines(logging.Handler):
    """Keeps the texts of log records."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record's text, its traceback included."""
        self.texts.append(self.format(record))
