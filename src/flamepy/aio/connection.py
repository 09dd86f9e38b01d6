"""``Connection``: every call of the engine as a coroutine, checked before it is sent.

Objects that stand for a session are made in ``session``. Errors are FlameErrors, deadlines are
seconds; see ``rpc.requests.frontend`` for what each call may raise.
"""

from __future__ import annotations

import logging
import secrets
import string
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from flamepy.aio.cache import Objects
from flamepy.aio.close_errors import explained
from flamepy.aio.session import Session
from flamepy.call_options import (
    CallOptions,
    Interceptor,
    Metadata,
    MetadataSource,
    TokenSource,
)
from flamepy.config import FlameClientTls, FlameContext
from flamepy.errors import ApplicationNotFoundError, InvalidArgumentError, SessionBusyError
from flamepy.html_cards import card
from flamepy.rpc.link import PATIENCE, Link
from flamepy.rpc.retry.call_limits import VERIFY
from flamepy.runtime.repeats import RepeatedLog, kind_of
from flamepy.texts import repr_of, text_of
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
from flamepy.wire import validation

logger = logging.getLogger(__name__)
_ALPHABET = string.ascii_lowercase + string.digits  # engines after 0.6 take no capitals


def short_name(prefix: str, length: int = 6) -> str:
    """Return ``prefix-`` and ``length`` random lower-case letters and digits."""
    return f"{prefix}-{''.join(secrets.choice(_ALPHABET) for _ in range(length))}"


async def connect(
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
        patience: seconds for which calls and waits ride out an engine that cannot be reached.
        on_ambiguous: see ``Session.create_task``.
        metadata: pairs of key and value that are sent with every call, or a function that returns
            them, plain or ``async``; docs/calls.md.
        token: for a proxy that asks who calls: text, or a function that returns it, plain or
            ``async``. Sent as ``authorization: Bearer TOKEN``, and never shown.
        interceptors: functions of ``(call, proceed)`` around every call, the outermost first.

    Raises:
        ConfigError: the address or a TLS file is unusable.
        UnavailableError: nothing usable answered; names the endpoint and why.
    """
    link = Link(
        context or FlameContext(addr, tls=tls_config, keepalive=keepalive, workspace=workspace),
        patience=patience,
        policy=retry,
        on_ambiguous=on_ambiguous,
        options=CallOptions.checked(metadata, token, interceptors),
    )
    connection = Connection(link)
    try:
        await connection.link.connect(timeout)
    except BaseException:
        await connection.close()
        raise
    return connection


class Connection:
    """The calls of one engine; ``async with`` closes it.

    Each call takes ``timeout=`` seconds, and ``retry=``, a policy instead of the connection's.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self._log = RepeatedLog(logger)

    def _repr_html_(self) -> str:
        state = "closed" if self.link.closed else self.link.state
        rows = [("engine", self.link.endpoint), ("state", state), ("dialect", self.dialect)]
        return card("Connection", rows)

    def __repr__(self) -> str:
        state = "closed" if self.link.closed else self.link.state
        return f"<flamepy.aio.Connection {self.link.endpoint} {state}>"

    @property
    def endpoint(self) -> str:
        """The engine's URL."""
        return self.link.endpoint

    @property
    def workspace(self) -> str:
        """In which workspace everything is; engine 0.6 has no workspaces."""
        return self.link.context.workspace

    @property
    def dialect(self) -> Dialect:
        """What the engine speaks, as far as its answers have shown it; from any thread."""
        return self.stats().dialect

    @property
    def objects(self) -> Objects:
        """The object cache of this connection's configuration."""
        return Objects(self.link)

    def stats(self) -> ConnectionStats:
        """Return what was counted so far; from any thread."""
        return self.link.stats()

    def on_retry(self, observer: Callable[[RetryDetails], object]) -> Callable[[], None]:
        """Call ``observer`` on the loop before each repeat of a call; returns the undo."""

        def notify(details: RetryDetails) -> None:
            try:
                observer(details)
            except Exception as error:
                text = "a function of on_retry raised"
                self._log.log(logging.ERROR, kind_of(error), text, error=error)

        return self.link.on_retry(notify)

    # ------------------------------------------------------------------ applications

    async def register_application(
        self,
        name: str,
        app_attrs: ApplicationAttributes | Mapping[str, Any],
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        """Register an application.

        Raises:
            InvalidArgumentError: the name or an attribute breaks a rule.
            AlreadyExistsError: the name is taken.
        """
        validation.application_name(name)
        attributes = _application(app_attrs)
        await self.link.frontend.register_application(
            name, attributes, timeout=validation.timeout(timeout), retry=retry
        )

    async def update_application(
        self,
        name: str,
        app_attrs: ApplicationAttributes | Mapping[str, Any],
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        """Replace an application's attributes, all of them.

        Raises:
            ApplicationNotFoundError: no such application.
            InvalidStateError: it has open sessions.
        """
        validation.application_name(name)
        attributes = _application(app_attrs)
        await self.link.frontend.update_application(
            name, attributes, timeout=validation.timeout(timeout), retry=retry
        )

    async def unregister_application(
        self, name: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> None:
        """Remove an application, and with it its closed sessions and their tasks.

        Raises:
            ApplicationNotFoundError: no such application.
            InvalidStateError: it has open sessions.
        """
        validation.application_name(name)
        await self.link.frontend.unregister_application(
            name, timeout=validation.timeout(timeout), retry=retry
        )

    async def list_applications(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Application]:
        """Return all applications, by name."""
        return await self.link.frontend.list_applications(
            timeout=validation.timeout(timeout), retry=retry
        )

    async def get_application(
        self, name: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Application | None:
        """Return an application, or None when none has that name."""
        validation.application_name(name)
        try:
            return await self.link.frontend.get_application(
                name, timeout=validation.timeout(timeout), retry=retry
            )
        except ApplicationNotFoundError:
            return None

    # ------------------------------------------------------------------ cluster

    async def list_executors(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Executor]:
        """Return all executors, by id."""
        return await self.link.frontend.list_executors(
            timeout=validation.timeout(timeout), retry=retry
        )

    async def list_nodes(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Node]:
        """Return all nodes, by name."""
        return await self.link.frontend.list_nodes(timeout=validation.timeout(timeout), retry=retry)

    async def get_node(
        self, name: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Node:
        """Return a node. Raises NotFoundError."""
        return await self.link.frontend.get_node(
            name, timeout=validation.timeout(timeout), retry=retry
        )

    # ------------------------------------------------------------------ sessions

    async def create_session(
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
        attributes = application
        if not isinstance(attributes, SessionAttributes):
            attributes = SessionAttributes(
                application=validation.application_name(application),
                id=session_id,
                common_data=common_data,
                min_instances=min_instances,
                max_instances=max_instances,
                batch_size=batch_size,
                resreq=resreq,
                priority=priority,
            )
        attributes = validation.session_attributes(attributes)
        chosen = attributes.id
        if chosen is None:
            chosen = short_name(attributes.application[: validation.SESSION_ID_LIMIT - 7])
        info = await self.link.frontend.create_session(
            validation.session_id(chosen),
            attributes,
            timeout=validation.timeout(timeout),
            retry=retry,
        )
        return Session(self.link, info)

    async def open_session(
        self,
        session_id: str,
        spec: SessionAttributes | None = None,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> Session:
        """Return an open session; with ``spec`` it is created if absent.

        Raises:
            SessionNotFoundError: no such session and no spec.
            SessionClosedError: it is closed.
            InvalidArgumentError: it is open with another spec; the message says what differs.
        """
        validation.session_id(session_id)
        attributes = None if spec is None else validation.session_attributes(spec)
        info = await self.link.frontend.open_session(
            session_id, attributes, timeout=validation.timeout(timeout), retry=retry
        )
        return Session(self.link, info)

    async def get_session(
        self, session_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Session:
        """Return a session, open or closed, with its events. Raises SessionNotFoundError."""
        validation.session_id(session_id)
        info = await self.link.frontend.get_session(
            session_id, timeout=validation.timeout(timeout), retry=retry
        )
        return Session(self.link, info)

    async def list_sessions(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Session]:
        """Return all sessions that the engine keeps, by id."""
        infos = await self.link.frontend.list_sessions(
            timeout=validation.timeout(timeout), retry=retry
        )
        return [Session(self.link, info) for info in infos]

    async def close_session(
        self, session_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Session:
        """Close a session; its pending tasks are cancelled.

        Raises:
            SessionNotFoundError: no such session.
            SessionBusyError: a task is running; ``Session.close`` waits for it.
        """
        validation.session_id(session_id)
        seconds = validation.timeout(timeout)
        try:
            info = await self.link.frontend.close_session(session_id, timeout=seconds, retry=retry)
        except SessionBusyError as refused:
            raise await explained(self.link, session_id, refused) from refused
        return Session(self.link, info)

    async def delete_session(
        self, session_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Session:
        """Delete a closed session and its tasks; return it as it was.

        Raises:
            SessionNotFoundError: no such session.
            InvalidStateError: it is open, or has tasks that have not ended.
        """
        validation.session_id(session_id)
        info = await self.link.frontend.delete_session(
            session_id, timeout=validation.timeout(timeout), retry=retry
        )
        return Session(self.link, info)

    # ------------------------------------------------------------------ life

    async def close(self) -> None:
        """Close the connection; waits of others end with an error. Idempotent."""
        await self.link.aclose()
        self._log.flush(everything=True)

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _application(value: ApplicationAttributes | Mapping[str, Any]) -> ApplicationAttributes:
    if not isinstance(value, ApplicationAttributes):
        try:
            value = ApplicationAttributes(**value)
        except TypeError as error:
            raise InvalidArgumentError(
                f"application attributes {repr_of(value)}: {text_of(error)}; see "
                "ApplicationAttributes"
            ) from error
    return validation.application_attributes(value)
