"""What the commands share that go on until they are stopped: signals, outages, closed output.

They end at SIGINT with status 130, at SIGTERM with 143, and quietly, with 0, when their output is
closed. Outages are reported on standard error and survived.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

import click

from flamepy.cli.engine import CONNECT_TIMEOUT, failure, silence_grpc
from flamepy.errors import DeadlineExceededError, FlameError, UnavailableError
from flamepy.runtime.flags import Flag

if TYPE_CHECKING:
    from flamepy.informers import Reactor
    from flamepy.informers.delivery.stream import EventStream
    from flamepy.watching.state.events import SessionEvent, TaskEvent

T = TypeVar("T")


class _Ended(BaseException):
    """Raised by a signal while the next item is waited for."""


class Interrupts:
    """Ends a loop at SIGINT or SIGTERM between two items, never within one."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self._waiting = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Take the signals; they end what is inside, without an error, while it waits."""

        def note(number: int, frame: FrameType | None) -> None:
            if self.numbers:
                os._exit(128 + number)  # asked twice: the user does not want to wait
            self.numbers.append(number)
            if self._waiting:
                raise _Ended

        before = {one: signal.signal(one, note) for one in (signal.SIGINT, signal.SIGTERM)}
        self._waiting = True  # for the connection
        try:
            yield
        except _Ended:
            pass  # the signal that was waited for; ``numbers`` has it
        finally:
            self._waiting = False
            for one, handler in before.items():
                signal.signal(one, handler)

    def between(self, items: Iterator[T]) -> Iterator[T]:
        """Yield the items until a signal came."""
        while True:
            self._waiting = True
            if self.numbers:
                return
            try:
                item = next(items)
            except (StopIteration, _Ended):
                return
            finally:
                self._waiting = False
            if self.numbers:
                return
            yield item


@contextmanager
def ends_quietly() -> Iterator[Interrupts]:
    """Give what ends the block at a signal; a closed output and errors end the program in order."""
    silence_grpc()
    interrupts = Interrupts()
    try:
        with interrupts.handled():
            yield interrupts
    except BrokenPipeError:
        # The output is closed; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    except UnavailableError as error:
        raise failure(f"{error.message}; `flamepy doctor` shows where it fails") from None
    except FlameError as error:
        raise failure(error) from None
    if interrupts.numbers:
        raise SystemExit(128 + interrupts.numbers[0])


def ticked(stream: EventStream, seconds: float) -> Iterator[TaskEvent | SessionEvent | None]:
    """Yield the events of a stream, and None whenever none came for some seconds."""
    while True:
        try:
            event = stream.next(seconds)
        except DeadlineExceededError:
            yield None
            continue
        if event is None:
            return
        yield event


def every(seconds: float) -> Iterator[None]:
    """Yield at once, and then every N seconds, for ever."""
    never = Flag()
    while True:
        yield
        never.wait(seconds)


@contextmanager
def reactor(
    endpoint: str | None, *, checkpoint: str | None = None, say: bool = True
) -> Iterator[Reactor]:
    """Give a started reactor whose engine has answered; it reports outages on standard error."""
    from flamepy.informers import Reactor, signals

    name = command_name()

    def report(sender: str, *, state: object, **_: object) -> None:
        tell(f"{sender} is {state}", name=name)

    # Without a handler Python prints warnings; the signal reports each outage once.
    logging.getLogger("flamepy").addHandler(logging.NullHandler())
    made = Reactor(endpoint=endpoint, plugins=(), checkpoint=checkpoint)
    made.start(wait=True, timeout=CONNECT_TIMEOUT)
    signals.connection_changed.connect(report)
    try:
        if say:
            tell(f"watching {made.health().endpoint}")
        yield made
    finally:
        signals.connection_changed.disconnect(report)
        made.stop(1.0)


def tell(text: str, *, name: str | None = None) -> None:
    """Write a line to standard error, after the command's name.

    Args:
        text: the line.
        name: of the command; needed on another thread than the command's.
    """
    sys.stderr.write(f"{name or command_name()}: {text}\n")  # one write, see ``engine.failure``
    sys.stderr.flush()


def command_name() -> str:
    """Return the command that runs on this thread, such as ``flamepy watch``."""
    context = click.get_current_context(silent=True)
    return context.command_path if context is not None else "flamepy"
