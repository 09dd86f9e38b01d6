"""Threads of ours: how they start, and the refusal to block one that serves others."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable

from flamepy.errors import InvalidStateError, ResourceExhaustedError
from flamepy.runtime.queues import SimpleQueue
from flamepy.runtime.serving import served_by
from flamepy.texts import repr_of, text_of


def check_may_block() -> None:
    """Return if this thread may make a blocking call.

    Raises:
        InvalidStateError: it serves others, and would wait for itself.
    """
    name = served_by()
    if name is not None:
        raise InvalidStateError(
            f"a blocking call on the thread {repr_of(name)} would wait for itself for ever; "
            "call it from another thread, or use flamepy.aio"
        )


def start(target: Callable[..., object], *arguments: object, name: str) -> threading.Thread:
    """Make and start a thread; see ``begin``."""
    thread = make(target, *arguments, name=name)
    begin(thread)
    return thread


def make(target: Callable[..., object], *arguments: object, name: str) -> threading.Thread:
    """Return a thread that the interpreter's end does not wait for."""
    return threading.Thread(target=target, args=arguments, name=name, daemon=True)


def begin(thread: threading.Thread) -> None:
    """Start a thread; nothing is left of one that cannot be started.

    Raises:
        ResourceExhaustedError: the system has no room for another thread.
    """
    try:
        if served_by() is None:
            _begin_apart(thread)
        else:
            thread.start()
    except RuntimeError as error:
        raise ResourceExhaustedError(
            f"the thread {repr_of(thread.name)} cannot be started: {text_of(error)}; this "
            "process, its user or its "
            "container has as many threads as it may have (ulimit -u, pids.max): try again when "
            "some have ended, or raise the limit"
        ) from error


def _begin_apart(thread: threading.Thread) -> None:
    """Start a thread from another one, which no signal handler interrupts.

    ``Thread.start`` holds a lock of its module for some lines. Of a signal handler that ran in them
    no thread could be started, nor could a loop that it waits for start one.
    """
    outcome: SimpleQueue[BaseException | None] = SimpleQueue()

    def start() -> None:
        try:
            thread.start()
        except BaseException as error:
            outcome.put(error)
        else:
            outcome.put(None)

    try:
        _thread.start_new_thread(start, ())
    except RuntimeError:
        thread.start()  # there may be room for one
        return
    error = outcome.get()
    if error is not None:
        raise error
