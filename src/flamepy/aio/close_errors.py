"""Texts about a session that cannot be closed now, or is left open: which, why, the way out."""

from __future__ import annotations

import logging

from flamepy.errors import FlameError, SessionBusyError
from flamepy.rpc.link import Link
from flamepy.texts import text_of
from flamepy.types import SessionInfo

logger = logging.getLogger(__name__)

LOOK = 2.0  # seconds for reading how many tasks run: the error is raised without it as well


async def explained(
    link: Link, session_id: str, refused: SessionBusyError, waited: float | None = None
) -> SessionBusyError:
    """Return the refusal of a close with the session, what runs and waits, and the way out.

    Args:
        link: to the engine.
        session_id: which session.
        refused: what the engine said.
        waited: seconds for which ``Session.close`` tried; None for a close that tries once.
    """
    try:
        info = await link.frontend.get_session(session_id, timeout=LOOK)
    except FlameError:
        counted = "has running tasks"
    else:
        counted = _counted(info)
    if waited:
        counted += f" after {waited:g} s"
        way = "close(wait=SECONDS) tries for longer"
    else:
        way = "wait for them, or close it with Session.close(wait=SECONDS)"
    error = SessionBusyError(
        f"session {session_id} {counted}, so it cannot be closed now: {way}, which waits for those "
        f"that run and cancels those that wait ({refused.message})",
        grpc_code=refused.grpc_code,
        attempts=refused.attempts,
        elapsed=refused.elapsed,
        retryable=refused.retryable,
    )
    error.failure = refused.failure
    return error


def _counted(info: SessionInfo) -> str:
    running, pending = info.counts.running, info.counts.pending
    return f"of {info.application} has {running} running and {pending} waiting tasks"


def warn_left_open(link: Link, session_id: str, why: BaseException) -> None:
    """Log that a ``with`` block left its session open, and how to close it."""
    logger.warning(
        "session %s stays open at %s: %s. Close it when its tasks have ended: "
        "FLAME_ENDPOINT=%s python -c \"import flamepy; flamepy.close_session('%s')\"",
        *(session_id, link.endpoint, text_of(why) or type(why).__name__, link.endpoint, session_id),
    )
