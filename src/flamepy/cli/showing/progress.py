"""A line of progress on standard error: overwritten in a terminal, now and then elsewhere."""

from __future__ import annotations

import shutil
import sys
from types import TracebackType

from flamepy.cli.live import tell
from flamepy.cli.showing.output import printable
from flamepy.runtime.clocks import monotonic

EVERY = 0.1  # seconds between two lines in a terminal
ELSEWHERE = 5.0  # and where each is a line of its own
CLEAR = "\r\x1b[K"


class Progress:
    """Shows texts, the last one in the place of the one before; a context manager that clears."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._shown = float("-inf") if self._terminal else monotonic()  # short work: no line
        self._text = ""
        self._dirty = False

    def show(self, text: str) -> None:
        """Show a text unless the last one is too recent."""
        now = monotonic()
        if text == self._text or now - self._shown < (EVERY if self._terminal else ELSEWHERE):
            return
        self._shown, self._text = now, text
        if not self._terminal:
            tell(printable(text))
            return
        columns = shutil.get_terminal_size().columns
        self._dirty = True
        sys.stderr.write(CLEAR + printable(text)[: max(1, columns - 1)])
        sys.stderr.flush()

    def clear(self) -> None:
        """Remove the line from a terminal."""
        if self._dirty:
            self._dirty = False
            self._text = ""
            sys.stderr.write(CLEAR)
            sys.stderr.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()
