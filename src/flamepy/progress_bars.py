"""How many of a batch have ended: a bar in a notebook or on a terminal, else log records.

``report_on`` chooses; nothing is written to standard output. A bar is drawn by the thread that
reports. ``rich`` or ``tqdm`` draw it on a terminal where one is installed.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Sized
from html import escape
from typing import Any, Protocol, TypeVar

from flamepy.runtime.clocks import monotonic

T = TypeVar("T")

logger = logging.getLogger(__name__)

LINES = 10  # log records of a batch of known size
EACH = 1000  # ended ones between two records of a batch of unknown size
INTERVAL = 0.1  # seconds between two pictures of a notebook's bar


class Report(Protocol):
    """Shows how far a batch is."""

    def update(self, ended: int, failed: int) -> None:
        """Show how many have ended, and how many of them failed."""

    def close(self) -> None:
        """Show the last picture; nothing follows."""


def report_on(total: int | None, noun: str) -> Report:
    """Return what shows the progress of a batch here.

    Args:
        total: how many there are; None if that is unknown.
        noun: what they are, in the plural: ``tasks``.
    """
    if (display := _notebook()) is not None:
        return _NotebookBar(total, noun, display)
    if sys.stderr is None or not sys.stderr.isatty():
        return _Lines(total, noun)
    if importlib.util.find_spec("rich") is not None:
        return _RichBar(total, noun)
    if importlib.util.find_spec("tqdm") is not None:
        return _TqdmBar(total, noun)
    return _Line(total, noun)


def size_of(inputs: object) -> int | None:
    """Return how many inputs there are, or None for an iterable that does not know."""
    return len(inputs) if isinstance(inputs, Sized) else None


def reported(
    results: Generator[T, None, None], total: int | None, noun: str
) -> Generator[T, None, None]:
    """Yield results and show how many have come; an exception among them counts as failed.

    Closing it closes ``results``.
    """
    report = report_on(total, noun)
    failed = 0
    try:
        for ended, one in enumerate(results, 1):
            failed += isinstance(one, Exception)
            report.update(ended, failed)
            yield one
    finally:
        report.close()
        results.close()


async def areported(
    results: AsyncGenerator[T, None], total: int | None, noun: str
) -> AsyncGenerator[T, None]:
    """As ``reported``, of an asynchronous generator, which is closed with this one."""
    report = report_on(total, noun)
    ended = failed = 0
    try:
        async for one in results:
            ended += 1
            failed += isinstance(one, Exception)
            report.update(ended, failed)
            yield one
    finally:
        report.close()
        await results.aclose()


def _of(total: int | None) -> str:
    return "" if total is None else f" of {total}"


class _Lines:
    """Log records: one for each tenth, or for each thousand."""

    def __init__(self, total: int | None, noun: str) -> None:
        self._total, self._noun = total, noun
        self._step = EACH if total is None else max(1.0, total / LINES)
        self._next = self._step

    def update(self, ended: int, failed: int) -> None:
        if ended >= self._next:
            self._next = (ended // self._step + 1) * self._step
            logger.info("%d%s %s ended, %d failed", ended, _of(self._total), self._noun, failed)

    def close(self) -> None:
        """Nothing is open."""


class _Line:
    """A line that is overwritten."""

    def __init__(self, total: int | None, noun: str) -> None:
        self._total, self._noun = total, noun

    def update(self, ended: int, failed: int) -> None:
        text = f"{ended}{_of(self._total)} {self._noun} ended, {failed} failed"
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()

    def close(self) -> None:
        sys.stderr.write("\n")


class _RichBar:
    """A bar of ``rich``."""

    def __init__(self, total: int | None, noun: str) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._noun = noun
        self._progress: Any = Progress(console=Console(stderr=True))
        self._task = self._progress.add_task(noun, total=total)
        self._progress.start()

    def update(self, ended: int, failed: int) -> None:
        text = f"{self._noun}, {failed} failed" if failed else self._noun
        self._progress.update(self._task, completed=ended, description=text)

    def close(self) -> None:
        self._progress.stop()


class _TqdmBar:
    """A bar of ``tqdm``."""

    def __init__(self, total: int | None, noun: str) -> None:
        tqdm: Any = importlib.import_module("tqdm").tqdm  # Any: it has no types

        class Bar(tqdm):  # type: ignore[misc]  # its base is Any
            """One that starts no thread of its own."""

            monitor_interval = 0

        self._bar = Bar(total=total, unit=f" {noun}", file=sys.stderr)

    def update(self, ended: int, failed: int) -> None:
        if failed:
            self._bar.set_postfix(failed=failed, refresh=False)
        self._bar.update(ended - self._bar.n)

    def close(self) -> None:
        self._bar.close()


class _NotebookBar:
    """A bar as HTML, in the output of a notebook's cell."""

    def __init__(self, total: int | None, noun: str, display: Callable[..., Any]) -> None:
        self._total, self._noun = total, noun
        self._ended = self._failed = 0
        self._drawn_at = monotonic()
        self._handle = display(self, display_id=True)

    def update(self, ended: int, failed: int) -> None:
        self._ended, self._failed = ended, failed
        now = monotonic()
        if now - self._drawn_at >= INTERVAL:
            self._drawn_at = now
            self._handle.update(self)

    def close(self) -> None:
        self._handle.update(self)

    def __repr__(self) -> str:
        return f"{self._ended}{_of(self._total)} {self._noun} ended, {self._failed} failed"

    def _repr_html_(self) -> str:
        bar = f' value="{self._ended}" max="{self._total}"' if self._total is not None else ""
        label = escape(repr(self))
        return (
            f'<div><progress style="width:20em" aria-label="{label}"{bar}></progress> {label}</div>'
        )


def _notebook() -> Callable[..., Any] | None:
    """Return IPython's ``display`` in a notebook's kernel, else None."""
    shell = sys.modules.get("IPython")
    if shell is None or type(shell.get_ipython()).__name__ != "ZMQInteractiveShell":
        return None
    display: Callable[..., Any] = importlib.import_module("IPython.display").display
    return display
