"""How a callback is called: again after errors, told once when it fails, never after a stop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.made import made_task
from support.waiting import eventually

from flamepy.errors import FlameError, InformerError, InvalidArgumentError
from flamepy.informers.delivery.callbacks import Call
from flamepy.informers.delivery.invocation import CallbackRunner, Failure, FinishedCall, log_fields
from flamepy.informers.informer import PermanentError, TemporaryError
from flamepy.runtime.repeats import RepeatedLog
from flamepy.types import RetryPolicy, TaskState
from flamepy.watching.state.events import EventKind, TaskEvent

AT_ONCE = RetryPolicy(attempts=3, timeout=None, wait_initial=0.0, wait_max=0.0, wait_jitter=0.0)
EVENT = TaskEvent(kind=EventKind.ADDED, task=made_task(7, TaskState.FAILED))


class Told:
    """A handling with its failures and what on_error got."""

    def __init__(
        self,
        retry: RetryPolicy | None = None,
        *,
        on_error: Any = None,
        log: RepeatedLog | None = None,
    ) -> None:
        self.stopping = threading.Event()
        self.failures: list[Failure] = []
        self.errors: list[FlameError] = []
        self.runner = CallbackRunner(
            "Mine",
            retry=retry,
            stopping=self.stopping,
            failed=self.failures.append,
            on_error=Call("on_error", on_error or self.errors.append),
            log=log,
        )

    def call(self, method: Callable[..., object]) -> bool:
        return self.runner.call(Call("on_failed", method), EVENT)


class Raising:
    """A callback that raises the given errors, one a call, and then works."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, event: TaskEvent) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)


def test_a_failure_is_logged_counted_told_and_given_to_on_error_once_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told, error = Told(), ValueError("mine")
    assert told.call(Raising(error)) is False
    assert told.failures == [Failure("Mine", "on_failed", EVENT, error, 1)]
    assert [type(one) for one in told.errors] == [InformerError]
    assert told.errors[0].__cause__ is error
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert all(one in record.getMessage() for one in ("Mine.on_failed", "s1/7@", "ValueError"))
    assert (told.runner.failures, told.runner.retries) == (1, 0)


def test_a_record_has_the_informer_and_what_the_event_is_about_as_attributes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = Told()
    other = TaskEvent(kind=EventKind.ADDED, task=made_task(8, TaskState.FAILED), application="a")
    for item in (EVENT, [other, other], [EVENT, other], None):
        told.runner.report("on_failed", item, ValueError("mine"), 1)
    fields = ("informer", "session", "task", "application")
    assert [tuple(getattr(record, one) for one in fields) for record in caplog.records] == [
        ("Mine", "s1", "7", None)
    ], "one line of a kind"
    assert log_fields("Mine", [other, other]) == dict(
        zip(fields, ("Mine", "s1", "8", "a"), strict=True)
    )
    assert log_fields("Mine", [EVENT, other])["task"] is None
    assert log_fields("Mine", [EVENT, other])["session"] == "s1"
    assert set(log_fields("Mine", None).values()) == {"Mine", None}


def test_without_a_policy_only_a_temporary_error_is_tried_again() -> None:
    told = Told()
    assert told.call(Raising(ValueError())) is False
    again = Raising(TemporaryError("soon", delay=0))
    assert told.call(again) is True
    assert (again.calls, told.runner.retries, told.runner.failures) == (2, 1, 1)


def test_the_policy_says_how_often(caplog: pytest.LogCaptureFixture) -> None:
    told = Told(AT_ONCE)
    works = Raising(ValueError(), ValueError())
    assert told.call(works) is True
    assert (works.calls, told.failures) == (3, [])
    fails = Raising(*(ValueError(str(number)) for number in range(9)))
    assert told.call(fails) is False
    assert fails.calls == 3
    assert [(str(one.error), one.attempts) for one in told.failures] == [("2", 3)]
    assert len(caplog.records) == 1
    assert "3 times" in caplog.text


@pytest.mark.parametrize(
    "error", [PermanentError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()]
)
def test_what_says_so_or_is_no_error_is_not_tried_again(error: BaseException) -> None:
    told, callback = Told(AT_ONCE), Raising(error)
    assert told.call(callback) is False
    assert callback.calls == 1
    assert [one.error for one in told.failures] == [error]


def test_the_delay_of_a_temporary_error_goes_before_the_policys_wait() -> None:
    """The policy would wait an hour."""
    told = Told(RetryPolicy(attempts=2, timeout=None, wait_initial=3600, wait_max=3600))
    assert told.call(Raising(TemporaryError(delay=0))) is True
    with pytest.raises(InvalidArgumentError, match="delay must be seconds, 0 or more"):
        TemporaryError(delay=-1)


def test_a_stop_ends_a_wait_at_once_and_no_call_starts_after_it() -> None:
    told, callback = Told(), Raising(*[TemporaryError(delay=3600)] * 3)
    thread = threading.Thread(target=told.call, args=(callback,))
    thread.start()
    eventually(lambda: callback.calls == 1, "the first call")
    told.stopping.set()
    thread.join(30)
    assert not thread.is_alive()
    assert callback.calls == 1
    assert len(told.failures) == 1
    assert told.errors == [], "on_error is a callback as well"


def test_a_wait_between_two_tries_is_no_running_callback() -> None:
    told, callback = Told(), Raising(TemporaryError(delay=3600))
    thread = threading.Thread(target=told.call, args=(callback,))
    thread.start()
    eventually(lambda: callback.calls == 1 and told.runner.running is None, "the wait")
    told.stopping.set()
    thread.join(30)


def test_an_on_error_that_raises_ends_there(caplog: pytest.LogCaptureFixture) -> None:
    told = Told(on_error=Raising(SystemExit(1)))
    told.call(Raising(ValueError()))
    assert [one.callback for one in told.failures] == ["on_failed", "on_error"]
    assert len(caplog.records) == 2


class TestRepeated:
    """What fails the same way is said once whole, then counted; it is counted and told as ever."""

    @pytest.mark.parametrize("how", ["call", "ask", "coroutine", "on_error"])
    def test_three_thousand_failures_are_two_lines(
        self, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        log = RepeatedLog(logging.getLogger("flamepy.tests.runner"))

        def fail(*_: object) -> None:
            raise ValueError("a bug")

        async def fail_later(event: TaskEvent) -> None:
            raise ValueError("a bug")

        told = Told(on_error=fail if how == "on_error" else None, log=log)
        for _ in range(3000):
            if how == "ask":
                _, error = told.runner.ask(Call("where", fail), EVENT)
                assert error is not None
                told.runner.report("where", EVENT, error, 1)
            else:
                told.call(fail_later if how == "coroutine" else fail)
        told.runner.asynchronous.close()
        kinds = 2 if how == "on_error" else 1
        assert len(told.failures) == told.runner.failures == 3000 * kinds
        assert len(caplog.records) == kinds
        log.flush(everything=True)
        assert len(caplog.records) == 2 * kinds
        assert all(one.exc_info for one in caplog.records)
        assert all("(2999 times" in one for one in caplog.messages[kinds:])

    def test_another_line_or_another_callback_is_another_failure(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        told = Told()

        def one(event: TaskEvent) -> None:
            raise ValueError("here")

        def other(event: TaskEvent) -> None:
            raise ValueError("there")

        for _ in range(10):
            told.call(one)
            told.call(other)
            told.runner.call(Call("on_added", one), EVENT)
        assert len(caplog.records) == 3

    def test_the_line_names_the_attributes_that_there_are(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def misspelt(event: Any) -> None:
            event.aplication  # noqa: B018

        Told().call(misspelt)
        assert "a TaskEvent has application, " in caplog.text


class TestCoroutines:
    def test_they_are_awaited_on_one_thread_of_their_owner_which_ends_with_it(self) -> None:
        told, threads = [Told(), Told()], []

        async def callback(event: TaskEvent) -> None:
            await asyncio.sleep(0)
            threads.append(threading.current_thread())

        for one in (*told, *told):
            assert one.call(callback) is True
        first, second, *again = threads
        assert first is not second
        assert again == [first, second]
        told[0].runner.asynchronous.close()
        assert not first.is_alive()
        assert told[1].call(callback) is True
        told[1].runner.asynchronous.close()
        assert not second.is_alive()

    def test_their_errors_are_those_of_plain_ones(self) -> None:
        told, calls = Told(AT_ONCE), []

        async def callback(event: TaskEvent) -> None:
            calls.append(event)
            raise ValueError("mine")

        assert told.call(callback) is False
        assert len(calls) == 3
        assert isinstance(told.failures[0].error, ValueError)
        told.runner.asynchronous.close()

    def test_a_stop_cancels_the_one_that_runs_which_is_no_failure(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        told, entered, ended = Told(AT_ONCE), threading.Event(), []

        async def callback(event: TaskEvent) -> None:
            entered.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        thread = threading.Thread(target=told.call, args=(callback,))
        thread.start()
        assert entered.wait(30)
        told.stopping.set()
        told.runner.asynchronous.cancel()
        thread.join(30)
        assert not thread.is_alive()
        eventually(lambda: ended == ["cancelled"], "the cancellation")
        assert (told.failures, told.errors) == ([], [])
        assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
        told.runner.asynchronous.close()

    def test_after_a_cancel_none_runs_until_it_is_allowed_again(self) -> None:
        told, seen = Told(), []

        async def callback(event: TaskEvent) -> None:
            await asyncio.sleep(0)
            seen.append(event)

        told.runner.asynchronous.cancel()
        told.call(callback)
        assert seen == []
        told.runner.asynchronous.allow()
        told.call(callback)
        assert len(seen) == 1
        told.runner.asynchronous.close()

    def test_their_stack_says_where_they_are(self) -> None:
        told, entered, gate = Told(), threading.Event(), []

        async def inner() -> None:
            gate.append((asyncio.get_running_loop(), asyncio.Event()))
            entered.set()
            await gate[0][1].wait()

        async def callback(event: TaskEvent) -> None:
            await inner()

        thread = threading.Thread(target=told.call, args=(callback,))
        thread.start()
        assert entered.wait(30)
        stack = eventually(told.runner.asynchronous.stack, "the stack")
        assert stack.index("in callback") < stack.index("in inner")
        loop, event = gate[0]
        loop.call_soon_threadsafe(event.set)
        thread.join(30)
        told.runner.asynchronous.close()

    def test_a_thread_that_cannot_start_is_a_failure_and_tried_again(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told, seen = Told(), []

        async def callback(event: TaskEvent) -> None:
            seen.append(event)

        def cannot(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", cannot)
            assert told.call(callback) is False
        assert told.call(callback) is True
        assert len(seen) == 1
        told.runner.asynchronous.close()


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__


def test_an_exception_whose_text_raises_is_told_as_any_other() -> None:
    told = Told()
    assert told.call(Raising(Odd())) is False
    assert [type(one.error) for one in told.failures] == [Odd]
    assert len(told.errors) == 1
    assert "Odd" in str(told.errors[0])


def test_on_error_gets_the_event() -> None:
    told = Told()
    told.call(Raising(ValueError()))
    assert told.errors[0].event is told.failures[0].event
    assert told.errors[0].event is not None


class NoClass(Exception):
    @property
    def __class__(self) -> Any:
        raise ValueError("no class")


class NoAttributes(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise ValueError(name)


@pytest.mark.parametrize("kind", [NoClass, NoAttributes])
def test_an_exception_that_cannot_be_looked_at_is_told_as_any_other(kind: Any) -> None:
    quiet = logging.Logger("quiet", logging.CRITICAL + 1)  # traceback itself does not bear them
    told = Told(log=RepeatedLog(quiet))
    assert told.call(Raising(kind())) is False
    assert [type(one.error) for one in told.failures] == [kind]
    assert len(told.errors) == 1


class TestObservers:
    def runner(self, *observers: Callable[[FinishedCall], object]) -> CallbackRunner:
        return CallbackRunner(
            "Mine",
            retry=AT_ONCE,
            stopping=threading.Event(),
            failed=lambda failure: None,
            on_error=None,
            observers=list(observers),
        )

    def test_each_call_with_an_event_is_observed_when_it_has_ended(self) -> None:
        seen: list[FinishedCall] = []
        runner = self.runner(seen.append)
        inside: list[int] = []
        assert runner.call(Call("on_failed", Raising(ValueError())), EVENT)
        assert runner.call(Call("on_batch", lambda events: inside.append(len(seen))), [EVENT] * 2)
        assert [(one.callback, one.failed, one.events) for one in seen] == [
            ("on_failed", True, (EVENT,)),
            ("on_failed", False, (EVENT,)),
            ("on_batch", False, (EVENT, EVENT)),
        ]
        assert inside == [2]
        assert all(one.informer == "Mine" and one.started <= one.ended for one in seen)

    def test_what_has_no_event_is_not(self) -> None:
        seen: list[FinishedCall] = []
        runner = self.runner(seen.append)
        runner.call(Call("on_synced", lambda: None), plain=True)
        runner.call(Call("on_error", lambda error: None), ValueError())
        runner.ask(Call("where", lambda event: True), EVENT)
        assert not seen

    def test_one_that_raises_is_logged_and_spoils_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(call: FinishedCall) -> None:
            raise KeyError("mine")

        seen: list[FinishedCall] = []
        runner = self.runner(broken, seen.append)
        assert runner.call(Call("on_failed", lambda event: None), EVENT)
        assert len(seen) == 1
        assert "which observes calls, raised: KeyError('mine')" in caplog.text
