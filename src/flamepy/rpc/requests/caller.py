"""``RpcCaller``: what each request of the frontend is made of: terms, a message, an attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from flamepy._proto import types_pb2
from flamepy.errors import FlameError
from flamepy.rpc.requests.adoption import Claims
from flamepy.rpc.retry.call_limits import DEFAULT_TIMEOUT, Terms, check_policy
from flamepy.rpc.retry.retrier import Retrier
from flamepy.rpc.transport.attempt import Attempt, Transport
from flamepy.rpc.transport.calls import Calls
from flamepy.rpc.transport.status import Call, from_result
from flamepy.rpc.transport.ways_out import start_one
from flamepy.types import RetryPolicy, SessionInfo
from flamepy.wire.services import FRONTEND
from flamepy.wire.sessions import decode_session

A = TypeVar("A", bound="RpcCaller")
T = TypeVar("T")
Resolve = Callable[[FlameError, float], Awaitable[T | None]]


class RpcCaller:
    """What makes the calls of one link.

    Args:
        transport: sends them.
        retrier: repeats them.
        claims: knows whose task is whose.
        policy: how repeatable calls are repeated.
        patience: seconds that a call waits for an engine that cannot be reached.
    """

    def __init__(
        self,
        transport: Transport,
        retrier: Retrier,
        claims: Claims,
        policy: RetryPolicy,
        patience: float = 0.0,
    ) -> None:
        self.transport = transport
        self.retrier = retrier
        self.claims = claims
        self.endpoint = transport.endpoint
        self._policy = policy
        self._patience = patience
        self._usual = Terms(policy, patience)

    @classmethod
    def of(cls: type[A], calls: Calls, endpoint: str, policy: RetryPolicy) -> A:
        """Return the calls of a channel without a link, such as one that is being examined."""
        retrier = Retrier(policy, way_out=start_one(endpoint))
        return cls(Transport(calls, endpoint), retrier, Claims(), policy)

    def hasty(self: A, policy: RetryPolicy) -> A:
        """Return the same calls without patience: an outage is an error at once."""
        return type(self)(self.transport, self.retrier, self.claims, policy)

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
        if timeout is None and retry is None and default == DEFAULT_TIMEOUT:
            return self._usual
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
        attempt = Attempt(self.transport, call, request, decode_session)
        info = await self.retrier.run(name, terms, attempt.run, resolve)
        self.claims.saw(info)
        return info

    async def _result(
        self, rpc: str, terms: Terms, resolve: Resolve[bool], /, **fields: object
    ) -> None:
        name = fields.get("name")
        call = self._call(rpc, application=name if isinstance(name, str) else None)
        request = FRONTEND[rpc].request(**fields)
        attempt = Attempt(self.transport, call, request, partial(_done, call))
        await self.retrier.run(rpc, terms, attempt.run, resolve)

    async def _one(
        self, decode: Callable[[Any], T], call: Call, terms: Terms, /, **fields: object
    ) -> T:
        request = FRONTEND[call.name].request(**fields)
        attempt = Attempt(self.transport, call, request, decode)
        return await self.retrier.run(call.name, terms, attempt.run)


def _done(call: Call, reply: types_pb2.Result) -> bool:
    if reply.return_code != 0:
        raise from_result(reply.message or f"return code {reply.return_code}", call)
    return True
