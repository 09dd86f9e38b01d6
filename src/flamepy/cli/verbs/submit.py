"""``flamepy submit APP [DATA]``: a session with tasks, from a shell.

Without ``--wait`` it prints the session's id and returns. With it the outputs go to standard
output, progress to standard error, and the status is 1 if a task failed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from flamepy.cli.engine import CALL_TIMEOUT, completions, endpoint_option, engine, failure
from flamepy.cli.live import Interrupts, ends_quietly, every, tell
from flamepy.cli.showing.event_printer import EventPrinter
from flamepy.cli.showing.output import age
from flamepy.cli.showing.progress import Progress
from flamepy.errors import ApplicationNotFoundError, FlameError
from flamepy.runtime.clocks import monotonic
from flamepy.texts import repr_of

if TYPE_CHECKING:
    from flamepy.core import Session
    from flamepy.core.futures import TaskFuture

TICK = 0.1  # seconds


class _Data(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases only
    """Text, ``@file`` or ``-`` for standard input, as bytes."""

    name = "data"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        """Return the bytes; fails if the file cannot be read."""
        if isinstance(value, bytes):
            return value
        text = str(value)
        if text == "-":
            return sys.stdin.buffer.read()
        if not text.startswith("@"):
            return text.encode("utf-8", "surrogateescape")
        try:
            return Path(text[1:]).read_bytes()
        except OSError as error:
            self.fail(f"{text[1:]} cannot be read: {error.strerror}", param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the file after an ``@``."""
        if not incomplete.startswith("@"):
            return []
        begun = Path(incomplete[1:])
        folder = begun if incomplete.endswith("/") else begun.parent
        try:
            found = sorted(one for one in folder.iterdir() if str(one).startswith(str(begun)))
        except OSError:
            return []
        return [CompletionItem(f"@{one}{'/' if one.is_dir() else ''}") for one in found]


@click.command()
@click.argument(
    "application", metavar="APP", shell_complete=completions("list_applications", "name")
)
@click.argument("data", type=_Data(), default=b"", metavar="[DATA|@FILE|-]")
@click.option(
    "--count",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Tasks with this input.",
)
@click.option(
    "--session",
    "session_id",
    metavar="ID",
    help="Submit to this open session; default: a new one, closed in the end with --wait.",
    shell_complete=completions("list_sessions", "id"),
)
@click.option("--wait", is_flag=True, help="Wait for the ends, and print the outputs.")
@click.option("--watch", is_flag=True, help="Wait, and print every change of the tasks instead.")
@endpoint_option
def submit(
    application: str,
    data: bytes,
    count: int,
    session_id: str | None,
    wait: bool,
    watch: bool,
    endpoint: str | None,
) -> None:
    """Submit tasks with the input DATA to the application APP.

    One output is printed as it is; of several tasks each is a line with its number, state and
    output. Exit status 1 if a task failed, 130 after Ctrl-C, which leaves the tasks running.
    """
    with engine(endpoint) as connection:
        session = _session(connection, application, session_id)
        if not wait and not watch:
            _submit_only(session, data, count)
            return
        with ends_quietly() as interrupts, _watched(connection, session.id, watch) as printer:
            try:
                futures = list(_submitted(session, data, count))
                _wait(futures, interrupts, printer, watch=watch)
            finally:
                if interrupts.numbers:
                    tell(
                        f"session {session.id} continues: flamepy sessions close {session.id} "
                        "--cancel-pending ends it once no task runs"
                    )
            if not interrupts.numbers:
                if session_id is None:
                    session.close(0, timeout=CALL_TIMEOUT)
                printer.finish()
                failed = _print_results(futures, silent=watch)
                raise SystemExit(1 if failed else 0)


def _wait(
    futures: list[TaskFuture], interrupts: Interrupts, printer: EventPrinter, *, watch: bool
) -> None:
    """Wait for the ends, with a line of progress or the lines of the events."""
    tally = _Tally(futures)
    with Progress() as progress:
        for _ in interrupts.between(every(TICK)):
            printer.tick()
            text = tally.look()
            if not watch:
                progress.show(text)
            if not tally.left:
                return


def _session(connection: Any, application: str, session_id: str | None) -> Session:
    if session_id is not None:
        found: Session = connection.open_session(session_id, timeout=CALL_TIMEOUT)
        if found.application != application:
            raise failure(
                f"session {repr_of(session_id)} is of application {repr_of(found.application)}, "
                f"not {repr_of(application)}"
            )
        return found
    try:
        made: Session = connection.create_session(application, timeout=CALL_TIMEOUT)
    except ApplicationNotFoundError:
        known = ", ".join(one.name for one in connection.list_applications(timeout=CALL_TIMEOUT))
        raise failure(
            f"application {repr_of(application)} is not registered; there are: {known or 'none'}"
        ) from None
    return made


def _submit_only(session: Session, data: bytes, count: int) -> None:
    with Progress() as progress:
        for number in range(count):
            session.create_task(data)
            progress.show(f"{number + 1:,} of {count:,} tasks submitted")
    click.echo(session.id)
    some = "a task" if count == 1 else f"{count:,} tasks"
    tell(f"{some} submitted; see: flamepy tasks {session.id}")


def _submitted(session: Session, data: bytes, count: int) -> Iterator[TaskFuture]:
    with Progress() as progress:
        for number in range(count):
            yield session.run(data)
            progress.show(f"{number + 1:,} of {count:,} tasks submitted")


@contextmanager
def _watched(connection: Any, session: str, watch: bool) -> Iterator[EventPrinter]:
    """Give what prints the events of a session, or nothing without ``watch``."""
    if not watch:
        yield EventPrinter(None)
        return
    from flamepy.informers import Reactor

    with (
        Reactor(connection=connection, plugins=()) as reactor,
        reactor.stream(session=session, sessions=True) as stream,
    ):
        yield EventPrinter(stream)


class _Tally:
    """Counts the ends of futures, and says how far they are."""

    def __init__(self, futures: list[TaskFuture]) -> None:
        self._all = len(futures)
        self.left = futures
        self._failed = 0
        self._begun = monotonic()

    def look(self) -> str:
        """Return the line of progress."""
        waiting = []
        for one in self.left:
            if not one.done():
                waiting.append(one)
            elif one.exception(0) is not None:
                self._failed += 1
        self.left = waiting
        done = self._all - len(waiting)
        spent = monotonic() - self._begun
        rate = done / spent if spent else 0.0
        parts = [f"{done:,} of {self._all:,} tasks ended"]
        if self._failed:
            parts.append(f"{self._failed:,} failed")
        parts.append(f"{rate:,.1f}/s")
        if rate and waiting:
            parts.append(f"{age(len(waiting) / rate)} left")
        return " | ".join(parts)


def _print_results(futures: list[TaskFuture], *, silent: bool) -> int:
    """Print what came of the tasks; return how many failed."""
    failed = 0
    for future in futures:
        error = future.exception(0)
        failed += error is not None
        if isinstance(error, FlameError) and (silent or len(futures) == 1):
            tell(f"task {future.task_id} failed: {error.message}")
        if silent:
            continue
        if len(futures) > 1:
            text = error.message if isinstance(error, FlameError) else _text(future.result(0))
            click.echo(f"{future.task_id}\t{'failed' if error else 'succeed'}\t{text}")
        elif error is None:
            _write_output(future.result(0) or b"")
    return failed


def _write_output(data: bytes) -> None:
    """Write an output as it is; a terminal gets a line end after it, and nothing that moves it."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    else:
        click.echo(_text(data))


def _text(data: bytes | None) -> str:
    text = (data or b"").decode("utf-8", "backslashreplace")
    return text if text.isprintable() else json.dumps(text)[1:-1]
