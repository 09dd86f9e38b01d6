"""What ``flamepy doctor`` says last: what is odd at an engine, and what to try next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from flamepy.config import FlameContext
from flamepy.errors import FlameError
from flamepy.types import Application, SessionInfo, SessionState

BUILT_IN = frozenset({"flmexec", "flmping", "flmrun"})  # that every engine has
IDLE = timedelta(hours=1)


async def found_hints(context: FlameContext, timeout: float) -> list[str]:
    """Return the hints for an engine; none if it does not answer any more."""
    from flamepy.cli.checks.answers import calls_of

    try:
        async with calls_of(context, context.address) as (_, calls):
            applications = await calls.list_applications(timeout=timeout)
            sessions = await calls.list_sessions(timeout=timeout)
    except FlameError:
        return []
    return hints(applications, sessions, datetime.now(timezone.utc))


def hints(
    applications: Sequence[Application], sessions: Sequence[SessionInfo], now: datetime
) -> list[str]:
    """Return what is odd, each with the command that says more, and what to try next."""
    from flamepy.view.reasons import RETRY_LIMIT  # loads gRPC, which may be what fails

    found = []
    own = sorted(one.name for one in applications if one.name not in BUILT_IN)
    if not own:
        found.append(
            "no application of yours is registered: `flamepy apps register FILE.yaml`, or start "
            "the cluster with `flamepy up --demo`"
        )
    found += [
        f"session {one.id} gets no executor any more: `flamepy describe session {one.id}` says why"
        for one in sessions
        if one.state == SessionState.OPEN and any(e.code == RETRY_LIMIT for e in one.events)
    ]
    idle = [one for one in sessions if _is_idle(one, now)]
    if idle:
        found.append(
            f"{len(idle)} sessions are open for over an hour and have no task left, such as "
            f"{idle[0].id}: `flamepy sessions close {idle[0].id}` gives their executors back"
        )
    if own and not found:
        found.append(f"all is well; try: flamepy submit {own[0]} hello --wait, flamepy watch")
    return found


def _is_idle(one: SessionInfo, now: datetime) -> bool:
    counts = one.counts
    left = counts.pending or counts.running
    return one.state == SessionState.OPEN and not left and now - one.creation_time > IDLE
