"""One event becomes callbacks, in a fixed order; what they raise stays with the informer (G10)."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from support.made import made_session, made_task

from flamepy.errors import FlameError, FlameErrorCode, InformerError, InvalidArgumentError
from flamepy.informers.delivery.callbacks import Callbacks, task_callbacks
from flamepy.informers.delivery.invocation import CallbackRunner, Failure
from flamepy.informers.informer import SessionInformer, SessionProgress, TaskInformer
from flamepy.types import Task, TaskState
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent


def event(state: TaskState, kind: EventKind = EventKind.UPDATED, old: TaskState | None = None):
    before = None if old is None else made_task(state=old)
    return TaskEvent(kind=kind, task=made_task(state=state), old=before)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (event(TaskState.PENDING, EventKind.ADDED), "on_transition on_update on_added"),
        (event(TaskState.RUNNING), "on_transition on_update on_running"),
        (event(TaskState.SUCCEED), "on_transition on_update on_succeeded on_terminal"),
        (event(TaskState.FAILED), "on_transition on_update on_failed on_terminal"),
        (event(TaskState.CANCELLED), "on_transition on_update on_cancelled on_terminal"),
        (
            event(TaskState.PENDING, old=TaskState.RUNNING),
            "on_transition on_update on_requeued",
        ),
        (event(TaskState.RUNNING, EventKind.DELETED), "on_transition on_deleted"),
        (event(TaskState(9)), "on_transition on_update"),
    ],
)
def test_the_order_of_the_calls(given: TaskEvent, names: str) -> None:
    found = task_callbacks(given.kind, given.task.state, requeued=given.is_requeue)
    assert found == names.split()


class Told:
    """An informer with its callbacks, called here and now."""

    def __init__(self, informer: TaskInformer) -> None:
        self.callbacks = Callbacks(informer)
        self.failures: list[Failure] = []
        self.runner = CallbackRunner(
            type(informer).__name__,
            retry=None,
            stopping=threading.Event(),
            failed=self.failures.append,
            on_error=self.callbacks.get("on_error"),
        )

    def event(self, event: TaskEvent) -> None:
        for call in self.callbacks.for_task(event):
            self.runner.call(call, event)


def test_every_callback_is_optional_and_only_overridden_ones_are_called() -> None:
    seen: list[object] = []

    class Mine(TaskInformer):
        def on_update(self, task: Task) -> None:
            seen.append(task.id)

    told = Told(Mine())
    assert told.callbacks.get("on_failed") is None
    told.event(event(TaskState.FAILED))
    assert seen == ["1"]


def test_what_a_callback_raises_is_counted_and_told_and_the_others_run() -> None:
    seen: list[object] = []

    class Mine(TaskInformer):
        def on_update(self, task: Task) -> None:
            raise ValueError("mine")

        def on_failed(self, event: TaskEvent) -> None:
            seen.append("failed")

        def on_error(self, error: FlameError) -> None:
            seen.append((type(error), error.message, type(error.__cause__)))

    told = Told(Mine())
    told.event(event(TaskState.FAILED))
    assert seen == [(InformerError, "Mine.on_update raised ValueError: mine", ValueError), "failed"]
    assert told.runner.failures == len(told.failures) == 1


class Given(TaskInformer):
    """Raises; the classes below write down what ``on_error`` gets."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def on_failed(self, event: TaskEvent) -> None:
        raise ValueError("mine")


class ByPlace(Given):
    def on_error(self, error, event) -> None:
        self.got.append(event)


class ByPlaceOrNone(Given):
    def on_error(self, error, event=None) -> None:
        self.got.append(event)


class ByName(Given):
    async def on_error(self, error, *, event=None) -> None:
        self.got.append(event)


class ByAnotherName(Given):
    def on_error(self, error, about) -> None:
        self.got.append(about)


class OfTheError(Given):
    def on_error(self, error, *more, verbose=False) -> None:
        assert not more
        self.got.append(getattr(error, "event", None))


@pytest.mark.parametrize("kind", [ByPlace, ByPlaceOrNone, ByName, ByAnotherName, OfTheError])
def test_on_error_gets_the_event_as_it_asks_for_it(kind: type[Given]) -> None:
    informer = kind()
    told = Told(informer)
    failed = event(TaskState.FAILED)
    told.event(failed)
    on_error = told.callbacks.get("on_error")
    assert on_error is not None
    told.runner.call(on_error, FlameError(FlameErrorCode.INTERNAL, "of no event"))
    told.runner.asynchronous.close()
    assert informer.got == [failed, None]


def test_an_on_error_that_raises_ends_there() -> None:
    class Mine(TaskInformer):
        def on_update(self, task: Task) -> None:
            raise SystemExit(3)

        def on_error(self, error: FlameError) -> None:
            raise error

    told = Told(Mine())
    told.event(event(TaskState.RUNNING))
    assert told.runner.failures == 2


def test_something_else_is_no_informer() -> None:
    class Mine(TaskInformer):
        pass

    with pytest.raises(InvalidArgumentError, match="make an instance of it"):
        Callbacks(Mine)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="is not an informer"):
        Callbacks(object())  # type: ignore[arg-type]


def made(base: type, **methods: object) -> Any:
    """Return an instance of a subclass with these methods."""
    return type("Mine", (base,), methods)()


class Both(TaskInformer, SessionInformer):
    """An informer of both kinds."""


def one(self: object, event: object) -> None:
    """A callback as most are."""


def none(self: object) -> None:
    """A callback without an argument."""


def two(self: object, old: object, new: object) -> None:
    """A callback as other libraries have them."""


async def asynchronous(self: object, event: object) -> None:
    """A coroutine."""


def generator(self: object, event: object) -> Iterator[None]:
    yield


async def async_generator(self: object, event: object) -> AsyncIterator[None]:
    yield


class TestRefused:
    """What would be silence for ever is refused at the registration, with a way out."""

    @pytest.mark.parametrize(
        ("base", "name", "meant"),
        [
            (TaskInformer, "on_succeded", "on_succeeded"),
            (TaskInformer, "on_updated", "on_update"),
            (SessionInformer, "on_open", "on_opened"),
            (Both, "on_progres", "on_progress"),
        ],
    )
    def test_a_misspelt_name_with_the_one_that_was_meant(self, base, name, meant) -> None:
        with pytest.raises(InvalidArgumentError, match=rf"Mine\.{name} .*did you mean {meant}\?"):
            Callbacks(made(base, **{name: one}))

    def test_a_callback_of_the_other_kind_of_informer(self) -> None:
        with pytest.raises(InvalidArgumentError, match="on_update would never be called"):
            Callbacks(made(SessionInformer, on_update=one))
        with pytest.raises(InvalidArgumentError, match="there are: on_added, on_batch"):
            Callbacks(made(TaskInformer, on_zzz=one))

    @pytest.mark.parametrize(
        ("name", "method", "takes"),
        [
            ("on_error", none, r"one argument \(error\)"),
            ("on_update", two, r"one argument \(task\)"),
            ("on_failed", none, r"one argument \(event\)"),
            ("on_batch", none, r"one argument \(events\)"),
            ("on_connection", none, r"one argument \(state\)"),
            ("on_synced", one, "no argument"),
        ],
    )
    def test_a_wrong_signature(self, name, method, takes) -> None:
        with pytest.raises(InvalidArgumentError, match=f"Mine.{name}.*called with {takes}"):
            Callbacks(made(TaskInformer, **{name: method}))

    @pytest.mark.parametrize("method", [generator, async_generator])
    def test_a_generator_which_a_call_does_not_run(self, method) -> None:
        with pytest.raises(InvalidArgumentError, match=r"Mine.on_failed has a yield"):
            Callbacks(made(TaskInformer, on_failed=method))

    @pytest.mark.parametrize("beside", ["on_failed", "on_transition", "on_update", "on_deleted"])
    def test_on_batch_beside_what_it_replaces(self, beside) -> None:
        with pytest.raises(InvalidArgumentError, match=f"on_batch and {beside}.*keep one"):
            Callbacks(made(TaskInformer, on_batch=one, **{beside: one}))

    def test_on_batch_beside_what_it_does_not_replace(self) -> None:
        shared = {"on_error": one, "on_synced": none, "on_connection": one, "on_opened": one}
        callbacks = Callbacks(made(Both, on_batch=one, **shared))
        assert (callbacks.batches, callbacks.wants_tasks, callbacks.wants_sessions) == (True,) * 3


class TestAccepted:
    @pytest.mark.parametrize(
        "method", [asynchronous, lambda self, event, more=1: None, lambda self, *args: None]
    )
    def test_whatever_can_be_called_with_one_argument(self, method) -> None:
        assert Callbacks(made(TaskInformer, on_failed=method)).get("on_failed") is not None

    def test_a_static_method_and_a_function_of_the_instance(self) -> None:
        informer = made(TaskInformer, on_failed=staticmethod(lambda event: None))
        informer.on_added = lambda event: None
        callbacks = Callbacks(informer)
        assert callbacks.get("on_failed")
        assert callbacks.get("on_added")

    def test_what_begins_with_on_and_is_no_method(self) -> None:
        Callbacks(made(TaskInformer, on_off=3))


class TestWants:
    """Only what is overridden costs anything."""

    @pytest.mark.parametrize(
        ("base", "names", "tasks", "sessions"),
        [
            (TaskInformer, [], False, False),
            (TaskInformer, ["on_error", "on_connection"], False, False),
            (TaskInformer, ["on_failed"], True, False),
            (SessionInformer, ["on_deleted"], False, True),
            (SessionInformer, ["on_error"], False, False),
            (Both, ["on_deleted"], True, True),
            (Both, ["on_opened"], False, True),
            (Both, ["on_added"], True, False),
        ],
    )
    def test_events_of_tasks_and_of_sessions(self, base, names, tasks, sessions) -> None:
        callbacks = Callbacks(made(base, **dict.fromkeys(names, one)))
        assert (callbacks.wants_tasks, callbacks.wants_sessions) == (tasks, sessions)

    def test_on_drained_needs_the_tasks_though_it_is_told_of_none(self) -> None:
        drained = Callbacks(made(SessionInformer, on_drained=one))
        assert (drained.follows_tasks, drained.wants_tasks) == (True, False)
        assert not Callbacks(made(SessionInformer, on_progress=one)).follows_tasks

    @pytest.mark.parametrize("kind", list(SessionEventKind))
    def test_a_sessions_event_goes_to_the_callback_of_its_kind(self, kind) -> None:
        names = ["on_opened", "on_progress", "on_drained", "on_closed", "on_deleted", "on_event"]
        callbacks = Callbacks(made(SessionInformer, **dict.fromkeys(names, one)))
        (call,) = callbacks.for_session(SessionEvent(kind=kind, session=made_session()))
        assert call.name == f"on_{kind.value}"
        assert (
            Callbacks(made(SessionInformer)).for_session(
                SessionEvent(kind=kind, session=made_session())
            )
            == ()
        )


class Optional(SessionInformer):
    """Has callbacks that only ``events``, or a subclass, asks for."""

    optional_callbacks = frozenset({"on_progress", "on_drained"})

    def on_opened(self, event: SessionEvent) -> None: ...

    def on_progress(self, counts: SessionProgress) -> None: ...

    def on_drained(self, event: SessionEvent) -> None: ...


class Overrides(Optional):
    def on_drained(self, event: SessionEvent) -> None: ...


class Further(Overrides):
    pass


@pytest.mark.parametrize(
    ("informer", "events", "called"),
    [
        (Optional, None, ()),
        (Optional, ["progress"], ("on_progress",)),
        (Overrides, None, ("on_drained",)),
        (Overrides, ["opened", "progress"], ("on_progress", "on_drained")),
        (Further, None, ("on_drained",)),
    ],
)
def test_an_optional_callback_is_called_if_events_or_a_subclass_asks_for_it(
    informer: type[Optional], events: list[str] | None, called: tuple[str, ...]
) -> None:
    callbacks = Callbacks(informer(), events=events)
    optional = sorted(Optional.optional_callbacks, reverse=True)
    assert tuple(name for name in optional if callbacks.get(name)) == called
