"""``check_informer`` lets good informers pass and names what is wrong with the others."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from flamepy.errors import InvalidArgumentError
from flamepy.informers import (
    PermanentError,
    SessionEvent,
    SessionInformer,
    SessionProgress,
    TaskEvent,
    TaskInformer,
    TemporaryError,
    expect,
)
from flamepy.informers.informer import Informer
from flamepy.testing import RecordingInformer, check_informer
from flamepy.testing.observed import EVENTS
from flamepy.testing.situations import SITUATIONS
from flamepy.types import RetryPolicy, Task

# ---------------------------------------------------------------------- good ones


def everything() -> Informer:
    """Return an informer that overrides every callback but ``on_batch``."""

    def take(self: object, *_: object) -> None:
        """Do nothing."""

    class Everything(TaskInformer, SessionInformer):
        start = close = attach = take
        rules = (expect.end(within=600),)

    for name in set(EVENTS) - {"on_batch"}:
        setattr(Everything, name, take)
    return Everything()


@dataclass(frozen=True)
class Batches(TaskInformer, SessionInformer):
    """Is frozen and takes batches."""

    limit: int = 100

    def on_batch(self, events: Sequence[TaskEvent]) -> None:
        assert len(events) <= self.limit

    async def on_progress(self, counts: SessionProgress) -> None:
        assert counts.session.id in {"s", "t", "u", "v"}


class Trying(TaskInformer):
    """Fails at first, and asks to be called again."""

    def __init__(self) -> None:
        self.tried: set[str] = set()

    async def on_transition(self, event: TaskEvent) -> None:
        if event.key not in self.tried:
            self.tried.add(event.key)
            raise TemporaryError("not yet", delay=0.0)


class Storing(TaskInformer):
    """Keeps what it has acted on, over restarts, by the events' keys."""

    def __init__(self, stored: set[str]) -> None:
        self.stored = stored

    def on_terminal(self, event: TaskEvent) -> None:
        self.stored.add(event.key)


@pytest.mark.parametrize(
    "make",
    [everything, RecordingInformer, Batches, Trying, lambda: Storing(set()), TaskInformer],
    ids=["everything", "recording", "batches", "trying", "storing", "nothing"],
)
@pytest.mark.parametrize("options", [{}, {"workers": 4, "key": "session"}], ids=["one", "four"])
def test_a_good_informer_passes(make: Callable[[], Informer], options: dict[str, Any]) -> None:
    report = check_informer(make, **options)
    assert report.ok
    assert [one.name for one in report.situations] == list(SITUATIONS)
    assert all(one.ok for one in report.situations)
    assert str(report).count("\n  ok  ") == len(SITUATIONS)


def test_the_situations_call_every_callback_there_is() -> None:
    report = check_informer(everything)
    never = {"on_batch"}
    assert {name for name in EVENTS if not report.called[name]} == never
    made = report.called["attach"]
    assert report.called["start"] == report.called["close"] == made == len(SITUATIONS) + 1


def test_the_neighbours_are_no_news_and_the_informer_is(caplog: pytest.LogCaptureFixture) -> None:
    class Raising(TaskInformer):
        def on_transition(self, event: TaskEvent) -> None:
            raise ValueError("mine")

    check_informer(TaskInformer, situations=["a neighbour that raises"])
    assert caplog.messages == []
    check_informer(Raising, situations=["a neighbour that raises"], strict=False)
    first, again = caplog.messages
    assert "(2 times" in again, "of three in all: the first whole, the rest counted"
    assert "times" not in first
    assert all("Raising.on_transition raised" in one for one in caplog.messages)


def test_one_that_shares_what_it_should_not_is_found_on_four_workers() -> None:
    class Sharing(TaskInformer):
        def __init__(self) -> None:
            self.together = threading.Barrier(2, timeout=30)
            self.event: TaskEvent | None = None

        def on_added(self, event: TaskEvent) -> None:
            self.event = event
            self.together.wait()
            assert self.event is event, "another thread's"

    report = check_informer(Sharing, situations=["sessions side by side"], strict=False, limit=60)
    assert any("another thread's" in str(one) for one in report.findings)


def test_options_reach_the_registrations() -> None:
    sizes: list[int] = []

    class Big(TaskInformer):
        def on_batch(self, events: Sequence[TaskEvent]) -> None:
            sizes.append(len(events))

    check_informer(Big, batch_size=1)
    assert set(sizes) == {1}
    inputs: set[bytes | None] = set()

    class Inputs(TaskInformer):
        def on_added(self, event: TaskEvent) -> None:
            inputs.add(event.task.input)

    check_informer(Inputs, situations="cancelled")
    assert inputs == {None}
    check_informer(Inputs, situations="cancelled", payloads=True)
    assert inputs == {None, b"input"}


# ---------------------------------------------------------------------- bad ones: raising


class NeedsText(TaskInformer):
    """Takes every failed task to have a text."""

    def on_failed(self, event: TaskEvent) -> None:
        assert event.task.error is not None, "no text"


class NeedsAdd(TaskInformer):
    """Takes every task to be added, once."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str], str] = {}

    def on_added(self, event: TaskEvent) -> None:
        self.states[event.task.session_id, event.task.id] = event.task.state.name

    def on_running(self, event: TaskEvent) -> None:
        if self.states.pop((event.task.session_id, event.task.id)) not in ("PENDING", "RUNNING"):
            raise ValueError("a task that runs must not have ended")


class NeedsNames(TaskInformer):
    """Knows five states."""

    def on_update(self, task: Task) -> None:
        {"PENDING": 0, "RUNNING": 1, "SUCCEED": 2, "FAILED": 3, "CANCELLED": 4}[task.state.name]


class NeedsEnd(TaskInformer):
    """Takes a deleted task to have ended."""

    async def on_deleted(self, event: TaskEvent) -> None:
        if not event.final_state_known:
            raise PermanentError(f"how did {event.task.id} end?")


class NeedsOnce(TaskInformer):
    """Cannot be told the same event by two processes."""

    def __init__(self, stored: list[str]) -> None:
        self.stored = stored

    def on_added(self, event: TaskEvent) -> None:
        assert event.key not in self.stored, "UNIQUE constraint failed"
        self.stored.append(event.key)


class NeedsCode(SessionInformer):
    """Knows two events of the engine."""

    def on_event(self, event: SessionEvent) -> None:
        assert event.event is not None
        {1001: "bind", 1002: "retries"}[event.event.code]


class NeedsDrain(SessionInformer):
    """Takes a drained session to be over."""

    def __init__(self) -> None:
        self.over = False

    def on_drained(self, event: SessionEvent) -> None:
        self.over = True

    def on_progress(self, counts: SessionProgress) -> None:
        assert not (self.over and counts.pending), "it is over"


def needs_once() -> Callable[[], Informer]:
    stored: list[str] = []
    return lambda: NeedsOnce(stored)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (NeedsText, {"first seen when it has ended", "from pending to failed, without a text"}),
        (NeedsNames, {"an unknown state"}),
        (
            NeedsEnd,
            {"deleted before its end", "an engine that lost everything"},
        ),
        (NeedsCode, {"events of the engine"}),
        (NeedsDrain, {"a session's life"}),
    ],
)
def test_what_a_callback_raises_is_found_where_it_shows(
    make: Callable[[], Informer], found: set[str]
) -> None:
    report = check_informer(make, strict=False)
    assert {one.situation for one in report.findings} == found
    assert {one.name for one in report.situations if not one.ok} == found


def test_a_finding_names_situation_callback_exception_line_and_event() -> None:
    with pytest.raises(AssertionError) as failed:
        check_informer(NeedsNames)
    first, *lines = str(failed.value).splitlines()
    assert first == "NeedsNames:"
    assert len(lines) == 1
    assert re.fullmatch(
        r"an unknown state: on_update raised KeyError: 'UNKNOWN_9' \(test_checking\.py:\d+\) "
        r"at s/1 UNKNOWN_9",
        lines[0],
    )


def test_requeues_are_found_and_findings_of_one_kind_are_counted() -> None:
    report = check_informer(NeedsAdd, strict=False, situations=["back to pending"])
    (finding,) = report.findings
    assert "on_running raised KeyError: ('s', '1')" in str(finding)
    assert isinstance(finding.error, KeyError)

    def last(event: TaskEvent) -> object:
        return event.old.state  # type: ignore[union-attr]  # that is the mistake

    report = check_informer(
        RecordingInformer, strict=False, situations=["a queue of one"], where=last
    )
    (finding,) = report.findings
    assert finding.callback == "where"
    assert finding.text.endswith(", and 19 more like it")


def test_the_same_keys_again_are_found_with_what_was_stored() -> None:
    report = check_informer(needs_once(), strict=False, situations=["the same keys again"])
    (finding,) = report.findings
    assert "on_added raised AssertionError: UNIQUE constraint failed" in str(finding)


def test_what_a_retry_repairs_is_no_finding() -> None:
    class Shaky(Trying):
        async def on_transition(self, event: TaskEvent) -> None:
            try:
                await super().on_transition(event)
            except TemporaryError:
                raise ConnectionError("not yet") from None

    again = RetryPolicy(attempts=2, wait_initial=0.001, wait_jitter=0.0)
    assert check_informer(Shaky, retry=again).ok
    report = check_informer(Shaky, strict=False, situations=["cancelled"])
    assert [str(one.error) for one in report.findings] == ["not yet"]


# ---------------------------------------------------------------------- bad ones: the others


@pytest.fixture
def gate():
    made = threading.Event()
    yield made
    made.set()


def test_a_slow_callback_is_found() -> None:
    class Slow(TaskInformer):
        def on_running(self, event: TaskEvent) -> None:
            threading.Event().wait(0.3)

    with pytest.raises(AssertionError, match=r"on_running ran for 0\.\d s; the limit is 0\.1 s"):
        check_informer(Slow, limit=0.1, situations=["a task's life"])


def test_a_callback_that_hangs_is_found_with_its_line(gate: threading.Event) -> None:
    class Hanging(TaskInformer):
        def on_running(self, event: TaskEvent) -> None:
            gate.wait(60)

    report = check_informer(Hanging, limit=0.1, strict=False)
    assert len(report.findings) == 2, "enough is enough"
    assert "on_running hangs: it still ran" in str(report.findings[0])
    assert "(test_checking.py:" in str(report.findings[0])
    assert len(report.left_out) == len(SITUATIONS) - len(report.situations) > 10
    assert "not played: " in str(report)


def test_a_coroutine_that_hangs_is_found() -> None:
    class Hanging(TaskInformer):
        async def on_running(self, event: TaskEvent) -> None:
            await asyncio.sleep(60)

    with pytest.raises(AssertionError, match="on_running hangs: the stop cancelled it after"):
        check_informer(Hanging, limit=0.1)


def test_a_thread_that_is_left_behind_is_found(gate: threading.Event) -> None:
    class Leaking(TaskInformer):
        def start(self) -> None:
            threading.Thread(target=gate.wait, args=(60,), name="upload-1", daemon=True).start()

    with pytest.raises(AssertionError, match="the thread 'upload-1' is still running"):
        check_informer(Leaking, limit=0.1, situations=["nothing happens"])
    assert check_informer(Leaking, situations=["nothing happens"], threads=["upload-*"]).ok


def test_a_thread_of_ours_may_end_later_than_a_callback_may_take() -> None:
    class Late(TaskInformer):
        def start(self) -> None:
            wait, name = threading.Event().wait, "flamepy-handler-Witness"
            threading.Thread(target=wait, args=(0.5,), name=name, daemon=True).start()

    assert check_informer(Late, limit=0.1, situations=["nothing happens"]).ok


def test_what_start_and_close_raise_or_how_often_they_are_called_is_found() -> None:
    class Starting(TaskInformer):
        def start(self) -> None:
            raise OSError("no such database")

    class Closing(TaskInformer):
        def close(self) -> None:
            raise OSError("closed twice")

    class Again(TaskInformer):
        def start(self) -> None:
            """Begin."""

        def on_running(self, event: TaskEvent) -> None:
            self.start()

    for kind, callback in ((Starting, "start"), (Closing, "close")):
        report = check_informer(kind, strict=False, situations=["nothing happens"])
        assert [one.callback for one in report.findings] == [callback]
    with pytest.raises(AssertionError, match="start was called 2 times, not once"):
        check_informer(Again, situations=["a task's life"])


def test_one_that_cannot_be_used_at_all_is_said_once() -> None:
    class Misspelt(TaskInformer):
        def on_sucess(self, event: TaskEvent) -> None:
            """Never called."""

    class Attached(TaskInformer):
        def attach(self, reactor: object) -> None:
            raise OSError("the port is taken")

    class Argument(TaskInformer):
        def __init__(self, url: str) -> None:
            self.url = url

    same = RecordingInformer()
    for make, text in (
        (Misspelt, r"cannot be registered: Misspelt\.on_sucess would never be called"),
        (Attached, "attach raised OSError: the port is taken"),
        (Argument, "cannot be made: TypeError: .*missing 1 required positional argument: 'url'"),
        (lambda: same, "the same informer again; each situation needs a new one"),
        (dict, "cannot be registered: {} is not an informer"),
    ):
        with pytest.raises(AssertionError, match=text) as failed:
            check_informer(make)  # type: ignore[arg-type]  # some are wrong, that is the test
        assert str(failed.value).count("\n") == 2
        assert "situations were not played" in str(failed.value)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"make": RecordingInformer()}, "give the class, or a function"),
        ({"make": None}, "give the class, or a function"),
        ({"limit": 0}, "limit must be seconds, more than 0"),
        ({"situations": ["a birthday"]}, "no situation 'a birthday'; there are: nothing happens"),
        ({"replay": "all"}, "no option 'replay'"),
        ({"wher": None}, "no option 'wher'.*transform, transitions, where"),
        ({"batch_size": 0}, "batch_size must be 1 or more"),
    ],
)
def test_careless_arguments_are_refused(arguments: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        check_informer(**{"make": RecordingInformer, **arguments})  # type: ignore[arg-type]


def test_the_thread_that_handles_log_records_is_nobody_s_leak() -> None:
    """It is the process's own: an informer under check did not start it."""
    running = threading.Event()
    log = threading.Thread(target=running.wait, name="flamepy-log", daemon=True)

    class Starts(TaskInformer):
        def on_update(self, task: Task) -> None:
            if log.ident is None:
                log.start()

    try:
        check_informer(Starts)
    finally:
        running.set()
        log.join()
