"""Writes whose answer was lost: whether they happened is read, before they are sent again.

Each function returns what a write would have, or None if it did not happen. Reads are repeated as
any; ``retrier`` calls this and makes an AmbiguousResultError of a read that fails.
"""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from flamepy.errors import (
    AlreadyExistsError,
    ApplicationNotFoundError,
    SessionNotFoundError,
)
from flamepy.texts import repr_of
from flamepy.types import (
    Application,
    ApplicationAttributes,
    RetryPolicy,
    SessionAttributes,
    SessionInfo,
    SessionState,
)

if TYPE_CHECKING:
    from flamepy.rpc.requests.frontend import Frontend

DONE = True


class Resolver:
    """Reads for one write.

    Args:
        frontend: makes the reads.
        retry: the write's own policy.
    """

    def __init__(self, frontend: Frontend, retry: RetryPolicy | None) -> None:
        self._frontend = frontend
        self._retry = retry

    async def registered(
        self, name: str, attributes: ApplicationAttributes, left: float
    ) -> bool | None:
        """Whether an application was registered. Raises AlreadyExistsError."""
        found = await self._application(name, left)
        if found is None:
            return None
        if not matches(found, attributes):
            raise AlreadyExistsError(
                f"application {repr_of(name)} exists, with other attributes than were to be "
                "registered"
            )
        return DONE

    async def updated(
        self, name: str, attributes: ApplicationAttributes, left: float
    ) -> bool | None:
        """Whether an application was updated. Raises ApplicationNotFoundError."""
        found = await self._frontend.get_application(name, timeout=left, retry=self._retry)
        return DONE if matches(found, attributes) else None

    async def unregistered(self, name: str, left: float) -> bool | None:
        """Whether an application was removed."""
        return DONE if await self._application(name, left) is None else None

    async def _application(self, name: str, left: float) -> Application | None:
        try:
            return await self._frontend.get_application(name, timeout=left, retry=self._retry)
        except ApplicationNotFoundError:
            return None

    async def created(
        self, session_id: str, attributes: SessionAttributes, left: float
    ) -> SessionInfo:
        """Return the session: as it was created, or created now in a way that harms nothing.

        Raises:
            AlreadyExistsError: it is closed, has tasks, or other attributes: not what was to be
                created.
        """
        limit = asyncio.get_running_loop().time() + left
        found = await self._session(session_id, left)
        if found is None:
            left = max(0.001, limit - asyncio.get_running_loop().time())
            # On the storage "none" a second CreateSession, or the first when it comes late,
            # would put an empty session in the place of one in use; OpenSession never does.
            return await self._frontend.open_session(
                session_id, attributes, timeout=left, retry=self._retry
            )
        ours = (
            found.state == SessionState.OPEN
            and found.counts.total == 0
            and found.application == attributes.application
            and (found.common_data or b"") == (attributes.common_data or b"")
            and found.min_instances == attributes.min_instances
            and found.max_instances == attributes.max_instances
            and found.priority == attributes.priority
        )
        if not ours:
            raise AlreadyExistsError(
                f"session {repr_of(session_id)} exists, and it is not the one that was to be "
                "created"
            )
        return found

    async def closed(self, session_id: str, left: float) -> SessionInfo | None:
        """Return a session if it is closed. Raises SessionNotFoundError."""
        try:
            found = await self._frontend.get_session(session_id, timeout=left, retry=self._retry)
        except SessionNotFoundError as error:
            raise SessionNotFoundError(
                f"session {repr_of(session_id)} is gone after a close whose answer was lost: it "
                "was "
                "closed and then evicted or deleted, or the engine lost it",
                grpc_code=error.grpc_code,
            ) from error
        return found if found.state == SessionState.CLOSED else None

    async def deleted(self, before: SessionInfo, left: float) -> SessionInfo | None:
        """Return a session as it was if it is gone, or there is another one of its id."""
        found = await self._session(before.id, left)
        gone = found is None or found.creation_time != before.creation_time
        return before if gone else None

    async def _session(self, session_id: str, left: float) -> SessionInfo | None:
        try:
            return await self._frontend.get_session(session_id, timeout=left, retry=self._retry)
        except SessionNotFoundError:
            return None


def matches(found: Application, attributes: ApplicationAttributes) -> bool:
    """Return True if an application has all attributes that were given."""
    for field in fields(attributes):
        wanted: Any = getattr(attributes, field.name)
        if wanted is not None and _plain(getattr(found, field.name)) != _plain(wanted):
            return False
    return True


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return list(value)
    return value
