"""How the census is shown: live on a terminal that has ``rich``, else as plain lines.

Both show the same: states, rate, what failed by kind, each informer, the comparison.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol

from flamepy.core import Task, TaskInformer, TaskState

Row = tuple[str, int, int]  # what was counted, on Flame and directly
STYLES = {"succeed": "green", "failed": "red", "running": "cyan", "pending": "dim"}
NEXT = (
    ("flamepy up --demo", "a cluster that stays, with a little load"),
    ("flamepy top", "the same in your terminal"),
    ("flamepy dashboard", "the same in your browser"),
    ("docs/informers.md", "to receive events in a program of yours"),
)


class Progress(TaskInformer):
    """Knows how many tasks are in which state; every change of every task passes here."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.all_told = threading.Event()
        self.counts: Counter[TaskState] = Counter()
        self._states: dict[str, TaskState] = {}
        self._began = time.monotonic()

    def on_update(self, task: Task) -> None:
        before = self._states.get(task.id)
        if before is not None:
            self.counts[before] -= 1
        self._states[task.id] = task.state
        self.counts[task.state] += 1
        if self.ended == self.total:
            self.all_told.set()

    @property
    def ended(self) -> int:
        return sum(number for state, number in self.counts.items() if state.is_terminal)

    @property
    def rate(self) -> float:
        """Tasks that have ended, a second."""
        return self.ended / max(0.001, time.monotonic() - self._began)

    @property
    def left(self) -> float | None:
        """Seconds until the rest will have ended; None before any has."""
        return (self.total - self.ended) / self.rate if self.ended else None


class Screen(Protocol):
    """Where the census is shown."""

    def say(self, text: str) -> None:
        """Show a line that stays."""

    def watching(self, progress: Progress, failures: Counter[str], informers: Informers) -> Any:
        """Return a context manager that shows how far it is while its block runs."""

    def result(self, rows: Sequence[Row], failures: Sequence[str], *, equal: bool) -> None:
        """Show what came out."""


Informers = Callable[[], Sequence[tuple[str, int, int]]]  # name, delivered, queued


def screen() -> Screen:
    """Return the one that fits standard output."""
    if sys.stdout.isatty():
        try:
            return LiveScreen()
        except ImportError:
            pass
    return PlainScreen()


class PlainScreen:
    """Lines, for a pipe or a terminal without ``rich``."""

    def say(self, text: str) -> None:
        print(text, flush=True)

    def watching(self, progress: Progress, failures: Counter[str], informers: Informers) -> Ticker:
        def show() -> None:
            bar = "#" * (30 * progress.ended // max(1, progress.total))
            running = progress.counts[TaskState.RUNNING]
            failed = progress.counts[TaskState.FAILED]
            counts = f"{progress.ended}/{progress.total} ended, {running} running, {failed} failed"
            print(f"[{bar:<30}] {counts}", flush=True)

        return Ticker(show, 2.0)

    def result(self, rows: Sequence[Row], failures: Sequence[str], *, equal: bool) -> None:
        print(f"\n{len(failures)} files could not be counted:")
        for line in failures:
            print(f"  {line}")
        print(f"\n{'':<12}{'on Flame':>12}{'directly':>12}")
        for label, one, other in rows:
            mark = "" if one == other else "   differs!"
            print(f"{label:<12}{one:>12,}{other:>12,}{mark}")
        print("\nthe totals are equal" if equal else "\nthe totals DIFFER")


class Ticker:
    """Calls a function now and then while its block runs, and once at the end."""

    def __init__(self, show: Callable[[], None], every: float) -> None:
        self._show, self._every = show, every
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="census-ticker", daemon=True)

    def _run(self) -> None:
        while not self._ended.wait(self._every):
            self._show()

    def __enter__(self) -> Ticker:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(10)
        if kind is None:
            self._show()


class LiveScreen:
    """A picture that moves, by ``rich``. Raises ImportError without it."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False)

    def say(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(text, "dim"))

    def watching(self, progress: Progress, failures: Counter[str], informers: Informers) -> Any:
        from rich.live import Live

        def picture() -> Any:
            return _picture(progress, failures, informers())

        return Live(get_renderable=picture, console=self._console, refresh_per_second=8)

    def result(self, rows: Sequence[Row], failures: Sequence[str], *, equal: bool) -> None:
        from rich.console import Group
        from rich.panel import Panel
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("")
        table.add_column("on Flame", justify="right")
        table.add_column("directly", justify="right")
        for label, one, other in rows:
            style = "" if one == other else "bold red"
            table.add_row(label, f"{one:,}", f"{other:,}", style=style)
        verdict = Text("the totals are equal", "bold green")
        if not equal:
            verdict = Text("the totals DIFFER", "bold red")
        steps = Table(box=None, pad_edge=False, show_header=False)
        for command, what in NEXT:
            steps.add_row(Text(command, "cyan"), what)
        self._console.print()
        for line in failures:
            self._console.print(Text(f"  {line}", "dim"), no_wrap=True, overflow="ellipsis")
        body = Group(table, Text(), verdict, Text(), Text("Try next", "bold"), steps)
        self._console.print(Panel.fit(body, title="census", border_style="dim", padding=(1, 2)))


def _picture(progress: Progress, failures: Counter[str], informers: Sequence[Any]) -> Any:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    counts = progress.counts
    states = Text("  ")
    for state in (TaskState.SUCCEED, TaskState.FAILED, TaskState.RUNNING, TaskState.PENDING):
        name = state.name.lower()
        states.append(f"{counts[state]:,} {name}   ", STYLES[name] if counts[state] else "dim")
    left = "" if progress.left is None else f"{progress.left:.0f} s left"
    top = Table.grid(padding=(0, 2))
    top.add_row(
        Text("tasks", "bold"),
        ProgressBar(total=progress.total, completed=progress.ended, width=32),
        f"{progress.ended:,}/{progress.total:,}",
        f"{progress.rate:,.0f}/s",
        left,
    )
    lines = [Text(), top, states]
    for name, delivered, queued in informers:
        lines.append(Text(f"  informer {name}: {delivered:,} events, {queued:,} queued", "dim"))
    for kind, number in failures.most_common(3):
        lines.append(Text(f"  {number} × {kind}", "red"))
    return Group(*lines)
