"""``flamepy watch --summary``: what there is and what changed, one line a second. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flamepy.types import SessionState, TaskCounts
from flamepy.watching.state.events import SessionEvent, SessionEventKind

STATES = ("pending", "running", "succeed", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The sessions in scope at a moment.

    Attributes:
        sessions: that the engine has.
        open_sessions: of these, the open ones.
        tasks: of all of them, by state.
        ended: tasks that ended since the summary before.
        seconds: since the summary before; 0 for the first one.
    """

    sessions: int
    open_sessions: int
    tasks: TaskCounts
    ended: int
    seconds: float

    @property
    def rate(self) -> float:
        """Tasks that ended per second."""
        return self.ended / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON takes it."""
        return {
            "type": "summary",
            "sessions": self.sessions,
            "open_sessions": self.open_sessions,
            "tasks": {name: getattr(self.tasks, name) for name in STATES},
            "ended": self.ended,
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 3),
        }

    def cells(self) -> list[tuple[str, str | None]]:
        """Return the texts of a line, each with its colour."""
        tasks = self.tasks
        return [
            (f"{self.open_sessions:>3,} open", None),
            (f"{tasks.pending:>6,} pending", "bright_black"),
            (f"{tasks.running:>4,} running", "cyan"),
            (f"{tasks.succeed:>8,} done", "green"),
            (f"{tasks.failed:>5,} failed", "red" if tasks.failed else None),
            (f"{self.rate:>5,.1f}/s", None),
        ]


class Totals:
    """Adds the events of sessions up."""

    def __init__(self) -> None:
        self._sessions: dict[str, tuple[bool, TaskCounts]] = {}
        self._ended = 0  # by sessions that are there, and by those that are gone
        self._gone = 0
        self._at: float | None = None

    def add(self, events: Iterable[SessionEvent]) -> None:
        """Record what sessions are now."""
        for event in events:
            name = event.session.id
            if event.kind is SessionEventKind.DELETED:
                _, counts = self._sessions.pop(name, (False, event.counts))
                self._gone += _ended(counts)
            else:
                is_open = event.session.state == SessionState.OPEN
                self._sessions[name] = (is_open, event.counts)

    def summary(self, now: float) -> Summary:
        """Return the summary at a time (monotonic seconds)."""
        counts = [one for _, one in self._sessions.values()]
        ended = self._gone + sum(map(_ended, counts))
        first = self._at is None
        made = Summary(
            sessions=len(counts),
            open_sessions=sum(is_open for is_open, _ in self._sessions.values()),
            tasks=TaskCounts(*(sum(getattr(one, name) for one in counts) for name in STATES)),
            ended=0 if first else max(0, ended - self._ended),
            seconds=0.0 if self._at is None else now - self._at,
        )
        self._ended, self._at = ended, now
        return made


def _ended(counts: TaskCounts) -> int:
    return counts.succeed + counts.failed + counts.cancelled
