"""``RpcCaller``: making one call - its terms, its tries, its errors; ``frontend`` has the calls."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc.aio
from google.protobuf.message import Message

from flamepy._proto import types_pb2
from flamepy.errors import DeadlineExceededError, FlameError
from flamepy.rpc.requests.adoption import Claims
from flamepy.rpc.retry.call_limits import DEFAULT_TIMEOUT, Terms, check_policy
from flamepy.rpc.retry.classifier import Failure, is_retryable
from flamepy.rpc.retry.retrier import Retrier
from flamepy.rpc.transport.calls import Calls, Left
from flamepy.rpc.transport.status import Call, from_result, from_rpc
from flamepy.rpc.transport.streams import Outcome, ignore
from flamepy.rpc.transport.ways_out import start_one
from flamepy.types import RetryDetails, RetryPolicy, SessionInfo
from flamepy.wire.services import FRONTEND
from flamepy.wire.sessions import decode_session

M = TypeVar("M", bound=Message)
A = TypeVar("A", bound="RpcCaller")
T = TypeVar("T")
Resolve = Callable[[FlameError, float], Awaitable[T | None]]


class RpcCaller:
    """What makes the calls of one channel.

    Args:
        calls: the channel and its calls.
        endpoint: the engine's URL, for messages.
        policy: how repeatable calls are repeated.
        patience: seconds that a call waits for an engine that cannot be reached.
        outcome: called after each attempt with its error, None for an answer, and its start time.
        scheduled: called before each repeat.
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
        self.retrier = Retrier(policy, way_out=start_one(endpoint), scheduled=scheduled)
        self.claims = Claims()
        self.endpoint = endpoint
        self._policy = policy
        self._patience = patience
        self._outcome = outcome

    def hasty(self: A, policy: RetryPolicy) -> A:
        """Return the same calls without patience: an outage is an error at once."""
        other = copy.copy(self)
        other._policy, other._patience = policy, 0.0
        return other

    def _call(
        self,
        name: str,
        session_id: str | None = None,
        task_id: str | None = None,
        application: str | None = None,
    ) -> Call:
        return Call(name, self.endpoint, session_id, task_id, application=application)

    def _terms(
        self,
        timeout: float | None,
        retry: RetryPolicy | None,
        default: float = DEFAULT_TIMEOUT,
    ) -> Terms:
        policy = self._policy if retry is None else check_policy(retry)
        return Terms(policy, self._patience, timeout, default)

    async def _session(
        self,
        name: str,
        session_id: str,
        terms: Terms,
        resolve: Resolve[SessionInfo] | None = None,
        /,
        **fields: object,
    ) -> SessionInfo:
        spec = fields.get("session")
        application = spec.application if isinstance(spec, types_pb2.SessionSpec) else None
        call = self._call(name, session_id, application=application)
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
        name = fields.get("name")
        call = self._call(rpc, application=name if isinstance(name, str) else None)
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
            failure = from_rpc(error, call, size=request.ByteSize())
            self._outcome(failure, began)
            raise failure from error
        except Left:
            late = DeadlineExceededError(  # without ``failure``: still in flight, so not repeated
                f"{call.name} at {call.endpoint} did not answer within {leave:.3g} s; "
                "what it asked for may still happen",
                retryable=is_retryable(call.name, Failure.DEADLINE),
            )
            self._outcome(late, began)
            raise late from None
        self._outcome(None, began)
        return reply

    async def attempt_whole(self, call: Call, request: Message, left: float) -> Any:
        """Make a call once, for a caller that is not cancelled; see ``Calls.whole``."""
        began = asyncio.get_running_loop().time()
        try:
            reply = await self.calls.whole(call.name, request, left)
        except grpc.aio.AioRpcError as error:
            failure = from_rpc(error, call, size=request.ByteSize())
            self._outcome(failure, began)
            raise failure from error
        self._outcome(None, began)
        return reply
