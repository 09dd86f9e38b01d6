"""Why a session is as it is, in a sentence. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from flamepy.enums import TextEnum
from flamepy.types import SessionInfo, SessionState

BIND_FAILED, RETRY_LIMIT = 1001, 1002  # codes of events that the engine records
TEXT_LENGTH, LIMIT_LENGTH = 300, 60  # characters of the engine's text; of those for its limit
SLOW = 300.0  # seconds without any end, after which running tasks are worth a look
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class Level(TextEnum):
    """What kind of reason it is; the first thing that a person looks for."""

    RUNNING = "running"
    WAITING = "waiting"
    IDLE = "idle"
    DONE = "done"
    ATTENTION = "attention"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a session is as it is."""

    level: Level
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a reason is found from, beside the session itself.

    Attributes:
        idle: seconds since its counters moved; None while they are not known.
        closed_for: seconds since it was closed.
        executors: that serve it; None while they are not known.
        free: executors that serve no session; None while they are not known.
        starting: whether an executor starts a service for it.
        overdue: the name of a rule of ``flamepy.informers.expect`` that it broke, else "".
    """

    idle: float | None = 0.0
    closed_for: float = 0.0
    executors: int | None = None
    free: int | None = None
    starting: bool = False
    overdue: str = ""


def duration(seconds: float) -> str:
    """Return seconds for people: ``8 s``, ``12 min``, ``3 h``, ``2 d``."""
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.0f} h" if seconds < DAY else f"{seconds / DAY:.0f} d"


def reason_of(info: SessionInfo, now: Situation) -> Reason:
    """Return why a session is as it is."""
    counts = info.counts
    if info.state is not SessionState.OPEN:
        if counts.running:
            return Reason(Level.WAITING, f"closed; {_tasks(counts.running)} still running")
        return Reason(Level.DONE, f"closed {duration(now.closed_for)} ago")
    if counts.pending and not counts.running and not now.executors:
        return _not_served(info, now)
    if now.overdue:
        return Reason(Level.ATTENTION, f"overdue: {now.overdue}")
    if counts.running or counts.pending:
        return _served(info, now)
    if not counts.total:
        since = "" if now.idle is None else f" for {duration(now.idle)}"
        return Reason(Level.IDLE, f"open, no task yet{since}")
    return Reason(Level.IDLE, "open, idle" + ("" if now.idle is None else f" {duration(now.idle)}"))


def _not_served(info: SessionInfo, now: Situation) -> Reason:
    limit = _last(info, RETRY_LIMIT)
    failed = _last(info, BIND_FAILED)
    if limit is not None:
        # The cause comes first: the engine's text of the limit is long, and the end may be cut.
        cause = _cut(f"no executor: {failed or limit}", TEXT_LENGTH - LIMIT_LENGTH)
        return Reason(Level.ATTENTION, f"{cause} ({limit})"[:TEXT_LENGTH] if failed else cause)
    if failed is not None:
        return Reason(Level.ATTENTION, _cut(f"no executor: {failed}", TEXT_LENGTH))
    if now.overdue:
        return Reason(Level.ATTENTION, f"overdue: {now.overdue}")
    if info.max_instances == 0:
        return Reason(Level.ATTENTION, "no executor: max_instances is 0")
    why = "" if now.free is None or now.free else "; every executor serves another session"
    if now.starting:
        why = "; one starts its service"
    waits = f" for {duration(now.idle)}" if now.idle is not None and now.idle >= 1.0 else ""
    return Reason(Level.WAITING, f"waiting for an executor{waits}{why}")


def _served(info: SessionInfo, now: Situation) -> Reason:
    counts = info.counts
    served = f" on {now.executors} executors" if now.executors else ""  # 0: seen before it ran
    if now.executors == 1:
        served = " on 1 executor"
    if now.idle is not None and now.idle > SLOW:
        text = f"nothing has ended for {duration(now.idle)}; {counts.running} running{served}"
        return Reason(Level.ATTENTION, text)
    if not counts.pending:
        return Reason(Level.RUNNING, f"the last {_tasks(counts.running)} running{served}")
    if not counts.running:
        return Reason(Level.RUNNING, f"{_tasks(counts.pending)} going to executors")
    text = f"{counts.running} running{served}, {counts.pending} waiting"
    if info.max_instances is not None and (now.executors or 0) >= info.max_instances:
        text += f" (max_instances is {info.max_instances})"
    return Reason(Level.RUNNING, text)


def _cut(text: str, length: int) -> str:
    """Return both ends of a text: an engine's begins with what failed and ends with why."""
    end = length // 2
    return text if len(text) <= length else f"{text[: length - end - 5]} ... {text[-end:]}"


def _tasks(count: int) -> str:
    return f"{count} task" if count == 1 else f"{count} tasks"


def _last(info: SessionInfo, code: int) -> str | None:
    texts = [one.message or "" for one in info.events if int(one.code) == code]
    return texts[-1] if texts else None
