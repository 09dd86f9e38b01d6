"""One async method per RPC of ``flame.v1.Frontend``: dataclasses in, dataclasses out.

Every call has a deadline, repeats by ``retry`` and raises by ``status``. ``link`` makes it;
``aio`` checks what users give before it comes here, ``watching`` reads through it.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from flamepy._proto import types_pb2
from flamepy.errors import DeadlineExceededError, FlameError
from flamepy.rpc.calls import Calls, Left
from flamepy.rpc.claims import Claims
from flamepy.rpc.creating import Creation
from flamepy.rpc.retry import Retrier
from flamepy.rpc.status import Call, from_result, from_rpc
from flamepy.rpc.streams import Outcome, TaskStream, ignore
from flamepy.rpc.terms import DEFAULT_TIMEOUT, VERIFY, Terms, check_policy
from flamepy.rpc.writing import Resolver
from flamepy.types import (
    Application,
    ApplicationAttributes,
    Executor,
    Node,
    RetryDetails,
    RetryPolicy,
    SessionAttributes,
    SessionInfo,
    Task,
)
from flamepy.wire.applications import decode_application, encode_application_spec
from flamepy.wire.cluster import decode_executor, decode_node
from flamepy.wire.services import FRONTEND
from flamepy.wire.sessions import decode_session, encode_session_spec
from flamepy.wire.tasks import decode_task

M = TypeVar("M", bound=Message)
T = TypeVar("T")
Resolve = Callable[[FlameError, float], Awaitable[T | None]]


class Frontend:
    """The engine's frontend behind one channel. Each call takes ``timeout`` and ``retry``.

    Args:
        calls: the channel and its calls.
        endpoint: the engine's URL, for messages.
        policy: how repeatable calls are repeated.
        patience: seconds that a call waits for an engine that cannot be reached.
        outcome: is told how each attempt ended, None for an answer, and when it began.
        scheduled: is told of each call that will be made again.
    """

    def __init__(
        self,
        calls: Calls,
        endpoint: str,
        policy: RetryPolicy,
        *,
        patience: float = 0.0,
        outcome: Outcome = ignore,
        scheduled: Callable[[RetryDetails], None] = lambda _: None,
    ) -> None:
        self.calls = calls
        self.retrier = Retrier(policy, scheduled=scheduled)
        self.claims = Claims()
        self.endpoint = endpoint
        self._policy = policy
        self._patience = patience
        self._outcome = outcome

    def hasty(self, policy: RetryPolicy) -> Frontend:
        """Return the same calls without patience: an outage is an error at once."""
        other = copy.copy(self)
        other._policy, other._patience = policy, 0.0
        return other

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
        spec = encode_application_spec(attributes)
        resolver = Resolver(self, retry)
        await self._result(
            "RegisterApplication",
            self._terms(timeout, retry),
            lambda _, left: resolver.registered(name, attributes, left),
            name=name,
            application=spec,
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
        spec = encode_application_spec(attributes)
        resolver = Resolver(self, retry)
        await self._result(
            "UpdateApplication",
            self._terms(timeout, retry),
            lambda _, left: resolver.updated(name, attributes, left),
            name=name,
            application=spec,
        )

    async def unregister_application(
        self, name: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> None:
        """Remove an application and its sessions. Raises InvalidStateError while one is open."""
        resolver = Resolver(self, retry)
        await self._result(
            "UnregisterApplication",
            self._terms(timeout, retry),
            lambda _, left: resolver.unregistered(name, left),
            name=name,
        )

    async def get_application(
        self, name: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Application:
        """Return an application. Raises ApplicationNotFoundError."""
        call = self._call("GetApplication")
        return decode_application(
            await self._one(types_pb2.Application, call, self._terms(timeout, retry), name=name)
        )

    async def list_applications(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Application]:
        """Return all applications, by name."""
        call = self._call("ListApplication")
        reply = await self._one(types_pb2.ApplicationList, call, self._terms(timeout, retry))
        return sorted(map(decode_application, reply.applications), key=lambda one: one.name)

    # ------------------------------------------------------------------ cluster

    async def list_executors(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Executor]:
        """Return all executors, by id."""
        call = self._call("ListExecutor")
        reply = await self._one(types_pb2.ExecutorList, call, self._terms(timeout, retry))
        return sorted(map(decode_executor, reply.executors), key=lambda one: one.id)

    async def list_nodes(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Node]:
        """Return all nodes, by name."""
        reply = await self._one(
            types_pb2.NodeList, self._call("ListNodes"), self._terms(timeout, retry)
        )
        return sorted(map(decode_node, reply.nodes), key=lambda one: one.name)

    async def get_node(
        self, name: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Node:
        """Return a node. Raises NotFoundError."""
        call = self._call("GetNode")
        reply = await self._one(
            FRONTEND["GetNode"].response, call, self._terms(timeout, retry), name=name
        )
        node: types_pb2.Node = reply.node  # type: ignore[attr-defined]  # class from the table
        return decode_node(node)

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
        spec = encode_session_spec(attributes)
        resolver = Resolver(self, retry)
        return await self._session(
            "CreateSession",
            session_id,
            self._terms(timeout, retry),
            lambda _, left: resolver.created(session_id, attributes, left),
            session=spec,
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
        spec = None if attributes is None else encode_session_spec(attributes)
        terms = self._terms(timeout, retry)
        return await self._session("OpenSession", session_id, terms, session=spec)

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
        # Read first: only so can it be told later whether this very session is gone.
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
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[SessionInfo]:
        """Return all sessions with counters and events, by id."""
        reply = await self._one(
            types_pb2.SessionList, self._call("ListSession"), self._terms(timeout, retry)
        )
        found = sorted(map(decode_session, reply.sessions), key=lambda one: one.id)
        for info in found:
            self.claims.saw(info)
        return found

    # ------------------------------------------------------------------ tasks

    async def create_task(
        self,
        session_id: str,
        payload: bytes | None,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        on_ambiguous: str = VERIFY,
    ) -> Task:
        """Create a task; see ``creating``. Raises SessionNotFoundError, SessionClosedError."""
        creation = Creation(self, session_id, payload, on_ambiguous)
        return await creation.run(self._terms(timeout, retry), retry)

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
        reply = await self._one(types_pb2.Task, call, terms, session_id=session_id, task_id=task_id)
        return decode_task(reply)

    def list_tasks(
        self, session_id: str, *, payloads: bool = True, timeout: float | None = None
    ) -> TaskStream:
        """Open a stream of a snapshot of a session's tasks, in any order."""
        request = FRONTEND["ListTask"].request(session_id=session_id)
        stream = self.calls.stream("ListTask", request, timeout or 10 * DEFAULT_TIMEOUT)
        call = self._call("ListTask", session_id)
        return TaskStream(stream, call, payloads=payloads, outcome=self._outcome)

    async def collect_tasks(
        self, session_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> list[Task]:
        """Return a session's tasks, in any order; a list that broke off is begun anew."""
        terms = self._terms(timeout or 10 * DEFAULT_TIMEOUT, retry)

        async def attempt(left: float) -> list[Task]:
            return [task async for task in self.list_tasks(session_id, timeout=left)]

        return await self.retrier.run("ListTask", terms, attempt)

    def watch_task(self, session_id: str, task_id: str) -> TaskStream:
        """Open a stream of one task's changes; it has no deadline (docs/protocol.md#watch)."""
        request = FRONTEND["WatchTask"].request(session_id=session_id, task_id=task_id)
        stream = self.calls.stream("WatchTask", request, None)
        call = self._call("WatchTask", session_id, task_id)
        return TaskStream(stream, call, outcome=self._outcome)

    # ------------------------------------------------------------------ one call

    def _call(self, name: str, session_id: str | None = None, task_id: str | None = None) -> Call:
        return Call(name, self.endpoint, session_id, task_id)

    def _terms(self, timeout: float | None, retry: RetryPolicy | None) -> Terms:
        policy = self._policy if retry is None else check_policy(retry)
        return Terms(policy, self._patience, timeout)

    async def _session(
        self,
        name: str,
        session_id: str,
        terms: Terms,
        resolve: Resolve[SessionInfo] | None = None,
        /,
        **fields: object,
    ) -> SessionInfo:
        call = self._call(name, session_id)
        request = FRONTEND[name].request(session_id=session_id, **fields)

        async def attempt(left: float) -> SessionInfo:
            reply: types_pb2.Session = await self.attempt(call, request, left)
            return decode_session(reply)

        info = await self.retrier.run(name, terms, attempt, resolve)
        self.claims.saw(info)
        return info

    async def _result(
        self, rpc: str, terms: Terms, resolve: Resolve[bool], /, **fields: object
    ) -> None:
        call = self._call(rpc)
        request = FRONTEND[rpc].request(**fields)

        async def attempt(left: float) -> bool:
            reply: types_pb2.Result = await self.attempt(call, request, left)
            if reply.return_code != 0:
                raise from_result(reply.message or f"return code {reply.return_code}", call)
            return True

        await self.retrier.run(rpc, terms, attempt, resolve)

    async def _one(self, kind: type[M], call: Call, terms: Terms, /, **fields: object) -> M:
        request = FRONTEND[call.name].request(**fields)

        async def attempt(left: float) -> M:
            reply: M = await self.attempt(call, request, left)
            return reply

        return await self.retrier.run(call.name, terms, attempt)

    async def attempt(
        self,
        call: Call,
        request: Message,
        left: float,
        *,
        leave: float | None = None,
        detached: Callable[[Any], None] = lambda _: None,
    ) -> Any:
        """Make a call once; its answer is of the type that belongs to it.

        Args:
            call: which one.
            request: its message.
            left: seconds.
            leave: see ``Calls.unary``, as for ``detached``.
            detached: gets the answer of a call that was left.
        """
        began = asyncio.get_running_loop().time()
        try:
            reply = await self.calls.unary(call.name, request, left, leave=leave, detached=detached)
        except grpc.aio.AioRpcError as error:
            failure = from_rpc(error, call)
            self._outcome(failure, began)
            raise failure from error
        except Left:
            late = DeadlineExceededError(  # without ``failure``: it goes on, so it is not repeated
                f"{call.name} at {call.endpoint} did not answer within {leave:.3g} s; "
                "what it asked for may still happen",
                retryable=True,
            )
            self._outcome(late, began)
            raise late from None
        self._outcome(None, began)
        return reply
