"""``ScriptedConnection``: a ``Reactor`` without an engine, on a ``ScriptedSource``.

The reactor's thread is real, its time may be a ``FakeClock``'s: then a day of polls passes while
a test waits a few seconds. The source belongs to that thread; ``do`` runs the script there::

    with ScriptedConnection() as connection, Reactor(connection=connection) as reactor:
        connection.do(lambda source: source.add_session("s"))
        connection.do(lambda source: source.add_task("s"))
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from flamepy.config import FlameContext
from flamepy.errors import FlameError
from flamepy.rpc.implicit import close_link
from flamepy.rpc.link import Link
from flamepy.rpc.transport.loop_thread import ReactorLoop
from flamepy.testing.clock import FakeClock
from flamepy.testing.scripted_exchange import ScriptedExchange
from flamepy.testing.scripted_source import ScriptedSource, ScriptedStream
from flamepy.types import Node, SessionInfo, Task

T = TypeVar("T")
ENDPOINT = "http://scripted.invalid:8080"


class ScriptedConnection:
    """A connection to a scripted engine in memory.

    Methods may be called from any thread but the reactor's.

    Args:
        clock: the time of the reactor's thread; real time by default.
        pause: real seconds that a fake clock leaves other threads before it jumps.

    Attributes:
        source: the engine; to be used on the reactor's thread, see ``do``.
        link: what ``Reactor(connection=...)`` needs.
    """

    def __init__(self, clock: FakeClock | None = None, *, pause: float = 0.0) -> None:
        if clock is None:
            self.source = ScriptedSource()
            reactor = ReactorLoop()
        else:
            fake = clock
            self.source = ScriptedSource(clock)
            reactor = ReactorLoop(lambda: fake.new_loop(pause=pause))
        self.link: Link = _ScriptedLink(self.source, reactor)

    def do(self, act: Callable[[ScriptedSource], T]) -> T:
        """Run ``act(source)`` on the reactor's thread and return its result."""

        async def run() -> T:
            return act(self.source)

        return self.link.run(run())

    def run(self, script: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the reactor's thread and return its result."""
        return self.link.run(script)

    def close(self) -> None:
        """End the reactor's thread."""
        close_link(self.link)

    def __enter__(self) -> ScriptedConnection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _ScriptedLink(Link):
    """A link whose calls are those of a source."""

    def __init__(self, source: ScriptedSource, reactor: ReactorLoop) -> None:
        super().__init__(FlameContext(ENDPOINT), reactor=reactor)
        self._told = _Told(source, self._take_outcome)

    @property
    def frontend(self) -> Any:  # Any: the calls that watching needs, and no others
        """The source's calls."""
        return self._told

    @property
    def hasty(self) -> Any:  # Any: as above
        """The same."""
        return self._told

    async def connect(self, timeout: float) -> None:
        """Wait for nothing: the source is always there."""


class _Told:
    """The calls of a source; how each ended is reported to the link, which derives its state."""

    def __init__(
        self, source: ScriptedSource, outcome: Callable[[FlameError | None], None]
    ) -> None:
        self._source = source
        self._outcome = outcome

    async def list_nodes(self, *, timeout: float | None = None) -> list[Node]:
        return await self._tell(self._source.list_nodes(timeout=timeout))

    @property
    def can_exchange(self) -> bool:
        return self._source.can_exchange

    async def list_sessions(
        self, *, application: str | None = None, timeout: float | None = None
    ) -> list[SessionInfo]:
        chosen = {} if application is None else {"application": application}
        return await self._tell(self._source.list_sessions(**chosen, timeout=timeout))

    async def get_session(self, session_id: str, *, timeout: float | None = None) -> SessionInfo:
        return await self._tell(self._source.get_session(session_id, timeout=timeout))

    async def get_task(self, session_id: str, task_id: str) -> Task:
        return await self._tell(self._source.get_task(session_id, task_id))

    def list_tasks(
        self,
        session_id: str,
        *,
        payloads: bool = True,
        wanted: Callable[[str], bool] | None = None,
    ) -> ScriptedStream:
        return self._source.list_tasks(session_id, payloads=payloads, wanted=wanted)

    def watch_task(self, session_id: str, task_id: str) -> ScriptedStream:
        return self._source.watch_task(session_id, task_id)

    def watch_tasks(self, session_id: str) -> ScriptedExchange:
        return self._source.watch_tasks(session_id)

    async def _tell(self, call: Coroutine[Any, Any, T]) -> T:
        try:
            answer = await call
        except FlameError as error:
            self._outcome(error)
            raise
        self._outcome(None)
        return answer
