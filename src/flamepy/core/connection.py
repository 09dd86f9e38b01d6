"""``connect`` and ``Connection``: the calls of one engine, synchronous.

Every call posts the coroutine of the same name of ``aio.Connection`` to the thread
``flamepy-reactor`` and waits; nothing is implemented twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from flamepy import aio
from flamepy.call_options import (
    CallOptions,
    Interceptor,
    Metadata,
    MetadataSource,
    TokenSource,
)
from flamepy.config import FlameClientTls, FlameContext
from flamepy.core.session import Session
from flamepy.html_cards import card
from flamepy.informers.queries.futures import completions
from flamepy.objects.attached import client_of
from flamepy.rpc.implicit import close_link, implicit_link
from flamepy.rpc.link import PATIENCE, Link
from flamepy.rpc.retry.call_limits import VERIFY
from flamepy.rpc.transport.loop_thread import ReactorLoop
from flamepy.runtime.seconds import seconds
from flamepy.types import (
    Application,
    ApplicationAttributes,
    ConnectionStats,
    Dialect,
    Executor,
    Node,
    ResourceRequirement,
    RetryDetails,
    RetryPolicy,
    SessionAttributes,
)

if TYPE_CHECKING:
    from flamepy.objects.client import ObjectClient


def connect(
    addr: str | None = None,
    tls_config: FlameClientTls | None = None,
    *,
    context: FlameContext | None = None,
    keepalive: tuple[float, float] | None = None,
    workspace: str | None = None,
    timeout: float = 10.0,
    retry: RetryPolicy | None = None,
    patience: float = PATIENCE,
    on_ambiguous: str = VERIFY,
    metadata: Metadata | MetadataSource | None = None,
    token: str | TokenSource | None = None,
    interceptors: Sequence[Interceptor] | None = None,
) -> Connection:
    """Return a connection to an engine that has answered.

    Args:
        addr: ``http://host:port``, https for TLS; by default from the configuration.
        tls_config: files for TLS.
        context: a configuration instead of ``addr``, ``tls_config``, ``keepalive`` and
            ``workspace``.
        keepalive: seconds of silence before the engine is pinged, and for its answer.
        workspace: in which everything is, by default as the configuration says, else
            ``default``; engine 0.6 has no workspaces.
        timeout: seconds to wait for the first answer.
        retry: how repeatable calls are repeated; by default as the configuration says.
        patience: seconds for which calls and waits continue while the engine cannot be reached.
        on_ambiguous: what to do when the answer to CreateTask is lost: ``"verify"``, ``"raise"``
            or ``"retry"`` (docs/retry.md#tasks-of-unknown-fate).
        metadata: pairs of key and value that are sent with every call, or a function that returns
            them, plain or ``async`` (docs/calls.md).
        token: for a proxy that asks who calls: text, or a function that returns it, plain or
            ``async``. Sent as ``authorization: Bearer TOKEN``, and never shown.
        interceptors: functions of ``(call, proceed)`` around every call, the outermost first.

    Raises:
        ConfigError: the address or a TLS file is unusable.
        UnavailableError: nothing usable answered within ``timeout`` seconds.
        InvalidArgumentError: an argument breaks its rule.
    """
    seconds("timeout", timeout)  # before a thread is started
    options = CallOptions.checked(metadata, token, interceptors)
    link = Link(
        context or FlameContext(addr, tls=tls_config, keepalive=keepalive, workspace=workspace),
        reactor=ReactorLoop(),
        patience=patience,
        policy=retry,
        on_ambiguous=on_ambiguous,
        options=options,
    )
    connection = Connection(link)
    try:
        link.run(link.connect(timeout))
    except BaseException:
        connection.close()
        raise
    return connection


class Connection:
    """The calls of one engine, synchronous; ``with`` closes it.

    ``create_session`` and the others are documented at ``aio.Connection``; each takes
    ``timeout=`` seconds, and ``retry=``, a policy instead of the connection's.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self._aio = aio.Connection(link)

    @classmethod
    def connect(cls, addr: str, tls_config: FlameClientTls | None = None) -> Connection:
        """Return a connection, as the function ``connect``; the official SDK's name for it."""
        return connect(addr, tls_config)

    @classmethod
    def implicit(cls) -> Connection:
        """Return a view of the process's implicit connection."""
        return cls(implicit_link())

    def _repr_html_(self) -> str:
        state = "closed" if self.link.closed else self.link.state
        rows = [("engine", self.link.endpoint), ("state", state), ("dialect", self.dialect)]
        return card("Connection", rows)

    def __repr__(self) -> str:
        state = "closed" if self.link.closed else self.link.state
        return f"<Connection {self.link.endpoint} {state}>"

    @property
    def endpoint(self) -> str:
        """The engine's URL."""
        return self.link.endpoint

    @property
    def workspace(self) -> str:
        """In which workspace everything is; engine 0.6 has no workspaces."""
        return self._aio.workspace

    @property
    def dialect(self) -> Dialect:
        """What the engine speaks, as far as its answers have shown it."""
        return self._aio.dialect

    @property
    def addr(self) -> str:
        """The engine's URL, under the official SDK's name."""
        return self.link.endpoint

    @property
    def objects(self) -> ObjectClient:
        """The object cache of this connection's configuration; closed with it.

        Raises:
            MissingExtraError: the extra ``cache`` is not installed.
        """
        return client_of(self.link)

    def stats(self) -> ConnectionStats:
        """Return what was counted so far."""
        return self.link.stats()

    def on_retry(self, observer: Callable[[RetryDetails], object]) -> Callable[[], None]:
        """Call ``observer`` before each repeat of a call; returns the undo.

        It runs on the thread ``flamepy-completions``, so it may run a moment later.
        """

        async def add() -> Callable[[], None]:
            worker = completions(self.link)

            def pass_on(details: RetryDetails) -> None:
                worker.put((observer, details))

            return self.link.on_retry(pass_on)

        return self.link.run(add())

    def register_application(
        self,
        name: str,
        app_attrs: ApplicationAttributes | Mapping[str, Any],
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        """Register an application. Raises AlreadyExistsError, InvalidArgumentError."""
        self.link.run(self._aio.register_application(name, app_attrs, timeout=timeout, retry=retry))

    def update_application(
        self,
        name: str,
        app_attrs: ApplicationAttributes | Mapping[str, Any],
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        """Replace an application. Raises ApplicationNotFoundError, InvalidStateError."""
        self.link.run(self._aio.update_application(name, app_attrs, timeout=timeout, retry=retry))

    def unregister_application(
        self, name: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> None:
        """Remove an application. Raises ApplicationNotFoundError, InvalidStateError."""
        self.link.run(self._aio.unregister_application(name, timeout=timeout, retry=retry))

    def list_applications(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Application]:
        """Return all applications, by name."""
        return self.link.run(self._aio.list_applications(timeout=timeout, retry=retry))

    def get_application(
        self, name: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Application | None:
        """Return an application, or None when none has that name."""
        return self.link.run(self._aio.get_application(name, timeout=timeout, retry=retry))

    def list_executors(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Executor]:
        """Return all executors, by id."""
        return self.link.run(self._aio.list_executors(timeout=timeout, retry=retry))

    def list_nodes(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Node]:
        """Return all nodes, by name."""
        return self.link.run(self._aio.list_nodes(timeout=timeout, retry=retry))

    def get_node(
        self, name: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Node:
        """Return a node. Raises NotFoundError."""
        return self.link.run(self._aio.get_node(name, timeout=timeout, retry=retry))

    def create_session(
        self,
        application: str | SessionAttributes,
        common_data: bytes | None = None,
        session_id: str | None = None,
        min_instances: int = 0,
        max_instances: int | None = None,
        batch_size: int = 1,
        resreq: ResourceRequirement | None = None,
        *,
        priority: int = 0,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> Session:
        """Create a session of an application (its name, or a whole ``SessionAttributes``).

        Without an id one is made: the application's name and six random characters.

        Raises:
            InvalidArgumentError: a value breaks a rule.
            ApplicationNotFoundError: no such application.
            AlreadyExistsError: the id is taken, also by a closed session.
        """
        made = self._aio.create_session(
            application,
            common_data,
            session_id,
            min_instances,
            max_instances,
            batch_size,
            resreq,
            priority=priority,
            timeout=timeout,
            retry=retry,
        )
        return Session(self.link, self.link.run(made))

    def open_session(
        self,
        session_id: str,
        spec: SessionAttributes | None = None,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> Session:
        """Return an open session; with ``spec`` it is created if absent."""
        opened = self._aio.open_session(session_id, spec, timeout=timeout, retry=retry)
        return Session(self.link, self.link.run(opened))

    def get_session(
        self, session_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Session:
        """Return a session, open or closed, with its events. Raises SessionNotFoundError."""
        found = self._aio.get_session(session_id, timeout=timeout, retry=retry)
        return Session(self.link, self.link.run(found))

    def list_sessions(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Session]:
        """Return all sessions that the engine keeps, by id."""
        found = self.link.run(self._aio.list_sessions(timeout=timeout, retry=retry))
        return [Session(self.link, one) for one in found]

    def close_session(
        self, session_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Session:
        """Close a session. Raises SessionBusyError while a task runs, SessionNotFoundError."""
        closed = self._aio.close_session(session_id, timeout=timeout, retry=retry)
        return Session(self.link, self.link.run(closed))

    def delete_session(
        self, session_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Session:
        """Delete a closed session. Raises InvalidStateError, SessionNotFoundError."""
        deleted = self._aio.delete_session(session_id, timeout=timeout, retry=retry)
        return Session(self.link, self.link.run(deleted))

    def close(self) -> None:
        """Close the connection and end its thread; waits of others end with an error."""
        close_link(self.link)

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
