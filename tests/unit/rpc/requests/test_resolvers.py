"""Reading whether a write happened: within the time that is left, and harming nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from support.made import made_session

from flamepy.errors import SessionNotFoundError
from flamepy.rpc.requests.resolvers import Resolver
from flamepy.testing import FakeClock
from flamepy.types import SessionAttributes, SessionInfo


class Slow:
    """A frontend whose reads take three seconds, and which has no session."""

    def __init__(self) -> None:
        self.given: list[float] = []

    async def get_session(self, session_id: str, *, timeout: float, retry: Any) -> SessionInfo:
        await asyncio.sleep(3.0)
        raise SessionNotFoundError(session_id)

    async def open_session(
        self, session_id: str, attributes: Any, *, timeout: float, retry: Any
    ) -> SessionInfo:
        self.given.append(timeout)
        return made_session(session_id)


def test_a_session_that_was_not_made_is_made_in_the_time_that_is_left() -> None:
    frontend = Slow()
    resolver = Resolver(frontend, None)  # type: ignore[arg-type]  # stands for one
    FakeClock().run(resolver.created("s", SessionAttributes("app"), 5.0))
    assert [round(one, 6) for one in frontend.given] == [2.0]
