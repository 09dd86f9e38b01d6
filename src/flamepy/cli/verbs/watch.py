"""``flamepy watch``: every change of tasks and sessions, as it is observed.

In a terminal a line for people, in a pipe one JSON object a line, written at once. It continues
through outages, which it reports on standard error, until SIGINT (status 130), SIGTERM (143) or
until its output is closed (0). Standard error has one line when it begins.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from flamepy.cli.engine import CONNECT_TIMEOUT, endpoint_option, failure, silence_grpc
from flamepy.cli.output import printable
from flamepy.errors import FlameError, UnavailableError
from flamepy.types import TaskState

if TYPE_CHECKING:
    from flamepy.watching.state.events import SessionEvent, TaskEvent

COLOURS = {
    "running": "cyan",
    "succeed": "green",
    "failed": "red",
    "cancelled": "yellow",
    "deleted": "bright_black",
}


@click.command()
@click.option("--application", metavar="NAME", help="Only this application.")
@click.option("--session", metavar="ID", help="Only this session.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.name.lower() for state in TaskState]),
    help="Only tasks that come into this state; may be given more than once.",
)
@click.option(
    "--replay",
    type=click.Choice(["all", "active", "none"]),
    default="active",
    show_default=True,
    help="What of the present state is shown first.",
)
@click.option(
    "--json/--lines",
    "as_json",
    default=None,
    help="JSON or lines for people; default: lines in a terminal, JSON in a pipe.",
)
@endpoint_option
def watch(
    application: str | None,
    session: str | None,
    states: tuple[str, ...],
    replay: str,
    as_json: bool | None,
    endpoint: str | None,
) -> None:
    """Show every change of tasks and sessions until SIGINT."""
    silence_grpc()
    show = _printer(as_json if as_json is not None else not sys.stdout.isatty())
    interrupts = _Interrupts()
    try:
        with interrupts.handled(), _reactor(endpoint) as reactor:
            events = reactor.stream(
                where=(lambda event: wanted(event, states)) if states else None,
                application=application,
                session=session,
                replay=replay,
                sessions=not states,
            )
            with events:
                _say(f"watching {reactor.health().endpoint}")
                for event in interrupts.between(events):
                    show(event)
    except BrokenPipeError:
        # The output is closed; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except UnavailableError as error:
        raise failure(f"{error.message}; `flamepy doctor` shows where it fails") from None
    except FlameError as error:
        raise failure(error.message) from None
    if interrupts.numbers:
        raise SystemExit(128 + interrupts.numbers[0])


@contextmanager
def _reactor(endpoint: str | None) -> Iterator[Any]:  # Any: informers is imported here only
    from flamepy.informers import Reactor, signals

    def report(sender: str, *, state: object, **_: object) -> None:
        _say(f"{sender} is {state}")

    # Without a handler Python prints warnings; the signal reports each outage once.
    logging.getLogger("flamepy").addHandler(logging.NullHandler())
    reactor = Reactor(endpoint=endpoint, plugins=())
    reactor.start(wait=True, timeout=CONNECT_TIMEOUT)
    signals.connection_changed.connect(report)
    try:
        yield reactor
    finally:
        signals.connection_changed.disconnect(report)
        reactor.stop(1.0)


def _say(text: str) -> None:
    sys.stderr.write(f"flamepy watch: {text}\n")  # one write, see ``engine.failure``
    sys.stderr.flush()


def wanted(event: TaskEvent, states: tuple[str, ...]) -> bool:
    """Return True for a task that came into one of the states."""
    return event.kind != "deleted" and event.task.state.name.lower() in states


def _printer(as_json: bool) -> Callable[[TaskEvent | SessionEvent], None]:
    if as_json:

        def show_json(event: TaskEvent | SessionEvent) -> None:
            print(json.dumps(event.to_dict()), flush=True)

        return show_json
    try:
        from rich.console import Console
    except ImportError:
        raise SystemExit(
            'flamepy watch: lines for people need rich: run pip install "flamepy-informers[cli]", '
            "or use --json"
        ) from None
    console = Console(highlight=False, soft_wrap=True)

    def show_line(event: TaskEvent | SessionEvent) -> None:
        text, style = line(event.to_dict())
        console.print(text, style=style, markup=False)

    return show_line


def line(event: dict[str, Any]) -> tuple[str, str | None]:  # Any: as of to_dict
    """Return a line for people, and its colour."""
    at = datetime.fromisoformat(event["observed_at"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
    if event["type"] == "task":
        gone = event["kind"] == "deleted"
        word, who = "deleted" if gone else event["state"], f"task {event['task']}"
        before = event["old_state"]
        more = event["error"] or (f"from {before}" if before else "")
    else:
        word, who = event["kind"], "session"
        counts = ", ".join(f"{number} {name}" for name, number in event["counts"].items() if number)
        more = event["event"]["message"] if event["event"] else counts
    mark = "=" if event["initial"] else " "
    parts = [at, mark, f"{event['application']}/{event['session']}", who, f"{word:10}", more]
    return printable(" ".join(parts).rstrip()), COLOURS.get(word)


class _Ended(BaseException):
    """Raised by a signal while the next event is waited for."""


class _Interrupts:
    """Ends a loop at SIGINT or SIGTERM between two events, never within one."""

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

    def between(self, events: Any) -> Iterator[Any]:  # Any: whatever the stream gives
        """Yield the events until a signal came."""
        while True:
            self._waiting = True
            if self.numbers:
                return
            event = next(events, None)
            self._waiting = False
            if event is None or self.numbers:
                return
            yield event
