"""Prints the lines of ``event_lines``, in colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from flamepy.cli.showing.event_lines import WORD_WIDTH, Line, Lines
from flamepy.cli.showing.output import styled
from flamepy.errors import DeadlineExceededError
from flamepy.runtime.clocks import monotonic

if TYPE_CHECKING:
    from flamepy.informers.delivery.stream import EventStream
    from flamepy.watching.state.events import SessionEvent, TaskEvent


class EventPrinter:
    """Prints the events of a stream, or those that are given.

    Args:
        stream: where ``tick`` takes events from; None for none.
        fold: whether bursts are one line.
    """

    def __init__(self, stream: EventStream | None = None, *, fold: bool = True) -> None:
        self._stream = stream
        self._lines = Lines(fold=fold)

    def show(self, event: TaskEvent | SessionEvent | None) -> None:
        """Print an event; None prints what is due by now."""
        now = monotonic()
        due = self._lines.tick(now) if event is None else self._lines.add(event.to_dict(), now)
        for line in due:
            print_line(line)

    def tick(self) -> None:
        """Print the events that have come; does not wait."""
        while (event := self._next(0.0)) is not None:
            self.show(event)
        self.show(None)

    def finish(self, patience: float = 1.0) -> None:
        """Print what still comes within some seconds, until the session is closed, and the rest."""
        limit = monotonic() + patience
        while (event := self._next(max(0.0, limit - monotonic()))) is not None:
            self.show(event)
            if event.kind == "closed":
                break
        for line in self._lines.end():
            print_line(line)

    def _next(self, seconds: float) -> TaskEvent | SessionEvent | None:
        if self._stream is None:
            return None
        try:
            return self._stream.next(seconds)
        except DeadlineExceededError:
            return None


def print_line(line: Line) -> None:
    """Print one line, its state in colour."""
    word = styled(line.word.ljust(WORD_WIDTH), line.colour)
    parts = [styled(line.at, dim=True), line.session, line.who, word, line.more]
    click.echo(" ".join(parts).rstrip())
