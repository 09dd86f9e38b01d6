"""One async method per RPC of ``flame.v1.Frontend``: dataclasses in, dataclasses out.

Every call has a deadline, repeats by ``retry`` and raises by ``status``. ``link`` makes it;
``aio`` checks what users give before it comes here, ``watching`` reads through it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import partial
from itertools import count

from google.protobuf.message import Message

from flamepy._proto import frontend_pb2, types_pb2
from flamepy.rpc.requests.caller import RpcCaller
from flamepy.rpc.requests.create_task import Creation, Series
from flamepy.rpc.requests.resolvers import Resolver
from flamepy.rpc.retry.call_limits import VERIFY
from flamepy.rpc.transport.looks import Look
from flamepy.rpc.transport.streams import TaskExchange, TaskStream
from flamepy.types import (
    Application,
    ApplicationAttributes,
    Dialect,
    Executor,
    Node,
    RetryPolicy,
    SessionAttributes,
    SessionInfo,
    SessionState,
    Task,
)
from flamepy.wire.applications import decode_application
from flamepy.wire.cluster import decode_executor, decode_node
from flamepy.wire.services import FRONTEND
from flamepy.wire.sessions import decode_session
from flamepy.wire.tasks import decode_task
from flamepy.wire.times import is_same_moment

LIST_TIMEOUT = 300.0  # seconds of one try of a list of tasks, which may be long


class Frontend(RpcCaller):
    """The calls of the engine's frontend. Each takes ``timeout`` and ``retry``."""

    # ------------------------------------------------------------------ applications

    async def register_application(
        self,
        name: str,
        attributes: ApplicationAttributes,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        """Register an application. Raises AlreadyExistsError, InvalidArgumentError."""
        resolver = Resolver(self, retry)
        await self._result(
            "RegisterApplication",
            name,
            self._terms(timeout, retry),
            lambda _, left: resolver.registered(name, attributes, left),
            attributes,
        )

    async def update_application(
        self,
        name: str,
        attributes: ApplicationAttributes,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        """Replace an application. Raises ApplicationNotFoundError, InvalidStateError."""
        resolver = Resolver(self, retry)
        await self._result(
            "UpdateApplication",
            name,
            self._terms(timeout, retry),
            lambda _, left: resolver.updated(name, attributes, left),
            attributes,
        )

    async def unregister_application(
        self, name: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> None:
        """Remove an application and its sessions. Raises InvalidStateError while one is open."""
        resolver = Resolver(self, retry)
        await self._result(
            "UnregisterApplication",
            name,
            self._terms(timeout, retry),
            lambda _, left: resolver.unregistered(name, left),
        )

    async def get_application(
        self, name: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Application:
        """Return an application. Raises ApplicationNotFoundError."""
        call = self._call("GetApplication", application=name)
        terms = self._terms(timeout, retry)
        return await self._one(decode_application, call, terms, name=name, workspace=self.workspace)

    async def list_applications(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Application]:
        """Return all applications, by name."""
        call, terms = self._call("ListApplication"), self._terms(timeout, retry)
        return await self._one(_applications, call, terms, workspace=self.workspace)

    # ------------------------------------------------------------------ cluster

    async def list_executors(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Executor]:
        """Return all executors, by id."""
        call, terms = self._call("ListExecutor"), self._terms(timeout, retry)
        return await self._one(_executors, call, terms, workspace=self.workspace)

    async def list_nodes(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Node]:
        """Return all nodes, by name."""
        return await self._one(_nodes, self._call("ListNodes"), self._terms(timeout, retry))

    async def get_node(
        self, name: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Node:
        """Return a node. Raises NotFoundError."""
        return await self._one(_node, self._call("GetNode"), self._terms(timeout, retry), name=name)

    # ------------------------------------------------------------------ sessions

    async def create_session(
        self,
        session_id: str,
        attributes: SessionAttributes,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> SessionInfo:
        """Create a session. Raises AlreadyExistsError, ApplicationNotFoundError."""
        resolver = Resolver(self, retry)
        return await self._session(
            "CreateSession",
            session_id,
            self._terms(timeout, retry),
            lambda _, left: resolver.created(session_id, attributes, left),
            attributes=attributes,
        )

    async def open_session(
        self,
        session_id: str,
        attributes: SessionAttributes | None = None,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> SessionInfo:
        """Return an open session; with attributes it is created if absent.

        Raises SessionNotFoundError, SessionClosedError, InvalidArgumentError (other attributes).
        """
        terms = self._terms(timeout, retry)
        return await self._session("OpenSession", session_id, terms, attributes=attributes)

    async def get_session(
        self, session_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> SessionInfo:
        """Return a session with its events. Raises SessionNotFoundError."""
        return await self._session("GetSession", session_id, self._terms(timeout, retry))

    async def close_session(
        self, session_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> SessionInfo:
        """Close a session. Raises SessionBusyError while a task runs, SessionNotFoundError."""
        resolver = Resolver(self, retry)
        return await self._session(
            "CloseSession",
            session_id,
            self._terms(timeout, retry),
            lambda _, left: resolver.closed(session_id, left),
        )

    async def delete_session(
        self, session_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> SessionInfo:
        """Delete a closed session. Raises InvalidStateError, SessionNotFoundError."""
        resolver = Resolver(self, retry)
        start = asyncio.get_running_loop().time()
        # Read first: without it a later read cannot show whether this very session is gone.
        before = await self.get_session(session_id, timeout=timeout, retry=retry)
        if timeout is not None:
            timeout = max(0.001, timeout - (asyncio.get_running_loop().time() - start))
        deleted = await self._session(
            "DeleteSession",
            session_id,
            self._terms(timeout, retry),
            lambda _, left: resolver.deleted(before, left),
        )
        self.claims.forget(session_id)
        return deleted

    async def list_sessions(
        self,
        *,
        application: str | None = None,
        state: SessionState | None = None,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> list[SessionInfo]:
        """Return all sessions with counters and events, by id.

        Args:
            application: of this one alone; engine 0.6 sends the others as well.
            state: in this one alone; likewise.
            timeout: seconds.
            retry: instead of the connection's policy.
        """
        call, terms = self._call("ListSession"), self._terms(timeout, retry)
        chosen = {"application": application, "state": None if state is None else int(state)}
        found = await self._one(_sessions, call, terms, workspace=self.workspace, **chosen)
        self.claims.listed(found)
        if application is None and state is None:
            return found
        return [
            one
            for one in found
            if application in (None, one.application) and state in (None, one.state)
        ]

    # ------------------------------------------------------------------ tasks

    async def create_task(
        self,
        session_id: str,
        payload: bytes | None,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        on_ambiguous: str = VERIFY,
        affinity: Collection[bytes] = (),
    ) -> Task:
        """Create a task; see ``create_task``. Raises SessionNotFoundError, SessionClosedError."""
        creation = Creation(self, session_id, payload, on_ambiguous, retry, affinity)
        return await creation.run(self._terms(timeout, retry))

    async def create_tasks(
        self,
        session_id: str,
        *,
        retry: RetryPolicy | None = None,
        on_ambiguous: str = VERIFY,
    ) -> Series:
        """Return what makes many tasks of a session. Raises SessionNotFoundError."""
        terms = self._terms(None, retry)
        series = Series(self, session_id, terms, retry, on_ambiguous)
        await series.begin()
        return series

    async def get_task(
        self,
        session_id: str,
        task_id: str,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> Task:
        """Return a task with its events. Raises TaskNotFoundError, SessionNotFoundError."""
        call = self._call("GetTask", session_id, task_id)
        terms = self._terms(timeout, retry)
        return await self._one(
            decode_task,
            call,
            terms,
            session_id=session_id,
            task_id=task_id,
            workspace=self.workspace,
        )

    def list_tasks(
        self,
        session_id: str,
        *,
        payloads: bool = True,
        wanted: Callable[[str], bool] | None = None,
        timeout: float | None = None,
        attempt: int = 1,
    ) -> TaskStream:
        """Open a stream of a snapshot of a session's tasks, in any order.

        Args:
            session_id: which session.
            payloads: with inputs and outputs.
            wanted: returns True for the ids of the tasks to decode; the others are left out.
            timeout: seconds for all of it.
            attempt: which try it is.
        """
        request = FRONTEND["ListTask"].request(session_id=session_id, workspace=self.workspace)
        limit = LIST_TIMEOUT if timeout is None else timeout
        call = self._call("ListTask", session_id)
        stream = self.transport.stream(call, request, limit, attempt=attempt)
        return TaskStream(
            stream, call, payloads=payloads, wanted=wanted, outcome=self.transport.outcome
        )

    async def collect_tasks(
        self, session_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Task]:
        """Return a session's tasks, in any order; a list that broke off is begun anew."""
        terms = self._terms(timeout, retry, LIST_TIMEOUT)

        tries = count(1)

        async def attempt(left: float) -> list[Task]:
            stream = self.list_tasks(session_id, timeout=left, attempt=next(tries))
            try:
                return [task async for task in stream]
            finally:
                stream.cancel()

        return await self.retrier.run("ListTask", terms, attempt)

    def watch_task(self, session_id: str, task_id: str) -> TaskStream:
        """Open a stream of one task's changes; it has no deadline (docs/protocol.md#watch).

        An engine after 0.6 sends the present state first, and an error for what it does not know.
        """
        request = self._watch_request(session_id, task_id)
        call = self._call("WatchTask", session_id, task_id)
        stream = self.transport.stream(call, request, None)
        return TaskStream(stream, call, outcome=self.transport.outcome)

    def look(self, task: Task) -> Look[Task] | None:
        """Begin a look at the end of a task that was just made, for its waiting caller.

        It finds an end that needs no further call: a failed task's text is not in its stream.

        Returns:
            None if the task is to be watched on the loop: something is put around each call, or it
            is not sure that the engine watches as 0.6 does.
        """
        calls = self.transport.calls
        if self.transport.around is not None or not calls.names.shows_old_watch:
            return None
        request = self._watch_request(task.session_id, task.id)
        return calls.look("WatchTask", request, partial(_end_of, task))

    @property
    def can_exchange(self) -> bool:
        """Whether the engine probably has ``watch_tasks``, by what it answered so far."""
        return self.transport.calls.names.watches is Dialect.NEXT

    def watch_tasks(self, session_id: str) -> TaskExchange:
        """Open a stream of the changes of many tasks of a session, for engines after 0.6.

        Of another engine it ends with an error before its first task, and ``can_exchange`` is False
        then: look at that, for gRPC may report its own failure to write instead of UNIMPLEMENTED.
        """
        call = self._call("WatchTask", session_id)
        return TaskExchange(
            self.transport.exchange(call),
            call,
            partial(self._watch_request, session_id),
            outcome=self.transport.outcome,
        )

    def _watch_request(self, session_id: str, task_id: str) -> Message:
        return FRONTEND["WatchTask"].request(
            session_id=session_id, task_id=task_id, workspace=self.workspace
        )


def _end_of(task: Task, shown: types_pb2.Task) -> Task | None:
    """Return a task as shown if it has ended without failing; None also for one of its id."""
    now = decode_task(shown)
    if not now.state.is_terminal or now.is_failed():
        return None
    return now if is_same_moment(now.creation_time, task.creation_time) else None


def _applications(reply: types_pb2.ApplicationList) -> list[Application]:
    return sorted(map(decode_application, reply.applications), key=lambda one: one.name)


def _executors(reply: types_pb2.ExecutorList) -> list[Executor]:
    return sorted(map(decode_executor, reply.executors), key=lambda one: one.id)


def _nodes(reply: types_pb2.NodeList) -> list[Node]:
    return sorted(map(decode_node, reply.nodes), key=lambda one: one.name)


def _node(reply: frontend_pb2.GetNodeResponse) -> Node:
    return decode_node(reply.node)


def _sessions(reply: types_pb2.SessionList) -> list[SessionInfo]:
    return sorted(map(decode_session, reply.sessions), key=lambda one: one.id)
