"""What ``flamepy up`` shows a person: a banner, short log lines, one status line that is kept.

Only in a terminal; elsewhere the log has time, level and name, and nothing is overwritten.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import click

from flamepy.cli.serving.line_writer import LineHandler
from flamepy.cli.showing.output import printable, styled
from flamepy.local.cluster import LocalCluster
from flamepy.local.state.totals import ClusterTotals
from flamepy.runtime.clocks import monotonic

DEFAULT = "http://127.0.0.1:8080"  # where commands look for an engine by themselves
CLEAR = "\r\x1b[K"
EVERY = 1.0  # seconds between two status lines
COLOURS = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}


def banner(cluster: LocalCluster, *, data: str | None, executors: int, demo: bool) -> list[str]:
    """Return the lines after the ready line: what runs, and what to type next."""
    kept = data if data is not None else "in memory, gone when it stops; --data DIR keeps it"
    lines = [f"  data       {printable(kept)}", f"  executors  {executors} at most"]
    if demo:
        lines.append("  demo       byte-service gets a few tasks a second, of which some fail")
    if cluster.endpoint != DEFAULT:
        lines.append(f"  connect    export FLAME_ENDPOINT={cluster.endpoint}")
    first, *then = _to_try() if demo else ["flamepy doctor", "flamepy sessions"]
    lines.append(f"  try        {first}   (in a second terminal)")
    lines += [f"             {one}" for one in then]
    lines.append("  stop       Ctrl-C")
    return lines


def _to_try() -> list[str]:
    """Return the commands that show a demo; those of extras where these are installed."""
    extras = (("textual", "flamepy top"), ("starlette", "flamepy dashboard"))
    found = [command for package, command in extras if find_spec(package)]
    return [*found, "flamepy watch --summary", "flamepy sessions"]


class ShortFormatter(logging.Formatter):
    """``18:11:10 session open session=s``; a warning has its level, and a colour."""

    def __init__(self) -> None:
        super().__init__("%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        text = super().format(record)
        if record.levelno >= logging.WARNING:
            text = f"{record.levelname}: {text}"
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        kind = COLOURS.get(record.levelno)
        return f"{at} {styled(text, kind) if kind else text}"


@dataclass(frozen=True, slots=True)
class Look:
    """The totals of a cluster at a moment.

    Attributes:
        at: monotonic seconds.
        totals: of the cluster.
    """

    at: float
    totals: ClusterTotals

    @property
    def done(self) -> int:
        """Tasks that have ended."""
        tasks = self.totals.tasks
        return tasks.succeed + tasks.failed + tasks.cancelled


def status_text(now: Look, before: Look | None, *, columns: int | None = None) -> str:
    """Return the status line, without colours; whole parts of it, what ``columns`` hold."""
    totals, tasks = now.totals, now.totals.tasks
    parts = [
        f"{totals.open_sessions:,} open",
        f"{tasks.pending:,} pending",
        f"{tasks.running:,} running",
        f"{tasks.succeed:,} done",
        f"{tasks.failed:,} failed",
    ]
    if tasks.cancelled:
        parts.append(f"{tasks.cancelled:,} cancelled")
    if before is not None and now.at > before.at:
        rate = max(0, now.done - before.done) / (now.at - before.at)
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
    parts.append(f"{totals.bound}/{totals.limit} executors")
    while columns is not None and len(parts) > 1 and len(" | ".join(parts)) > columns:
        parts.pop()
    return " | ".join(parts)


class StatusLine:
    """One line at the bottom of a terminal that says how the cluster is; main thread only.

    Args:
        handler: writes it, below the last line of the log.
        cluster: that runs.
        columns: of the terminal; by default as it is.
    """

    def __init__(
        self, handler: LineHandler, cluster: LocalCluster, *, columns: int | None = None
    ) -> None:
        self._handler = handler
        self._cluster = cluster
        self._columns = columns
        self._last: Look | None = None

    def update(self) -> None:
        """Show what there is now, once a second at most."""
        at = monotonic()
        if self._last is not None and at - self._last.at < EVERY:
            return
        now = Look(at, self._cluster.totals())
        columns = max(1, (self._columns or shutil.get_terminal_size().columns) - 1)
        text, self._last = status_text(now, self._last, columns=columns), now
        self._handler.show(CLEAR, text[:columns])

    def end(self) -> None:
        """Remove it."""
        self._handler.show(CLEAR, "")


def print_banner(lines: Sequence[str]) -> None:
    """Print the banner on standard output, the labels dimmed."""
    for line in lines:
        click.echo(styled(line[:13], dim=True) + line[13:])
