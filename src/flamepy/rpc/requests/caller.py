"""``RpcCaller``: what each request of the frontend is made of: terms, a message, an attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from flamepy._proto import types_pb2
from flamepy.errors import FlameError
from flamepy.rpc.requests.adoption import Claims
from flamepy.rpc.retry.call_limits import DEFAULT_TIMEOUT, Terms, check_policy
from flamepy.rpc.retry.retrier import Retrier
from flamepy.rpc.transport.attempt import Around, Attempt, Transport
from flamepy.rpc.transport.calls import Calls
from flamepy.rpc.transport.status import Call, from_result
from flamepy.rpc.transport.ways_out import start_one
from flamepy.types import (
    ApplicationAttributes,
    RetryPolicy,
    SessionAttributes,
    SessionInfo,
)
from flamepy.wire.applications import encode_application_spec
from flamepy.wire.services import FRONTEND
from flamepy.wire.sessions import decode_session, encode_session_spec
from flamepy.workspaces import DEFAULT_WORKSPACE

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
        workspace: in which everything is; engines without workspaces do not read it.
    """

    def __init__(
        self,
        transport: Transport,
        retrier: Retrier,
        claims: Claims,
        policy: RetryPolicy,
        patience: float = 0.0,
        *,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> None:
        self.workspace = workspace
        self.transport = transport
        self.retrier = retrier
        self.claims = claims
        self.endpoint = transport.endpoint
        self._policy = policy
        self._patience = patience
        self._usual = Terms(policy, patience)

    @classmethod
    def of(
        cls: type[A],
        calls: Calls,
        endpoint: str,
        policy: RetryPolicy,
        around: Around | None = None,
        *,
        workspace: str = DEFAULT_WORKSPACE,
    ) -> A:
        """Return the calls of a channel without a link, such as one that is being examined."""
        retrier = Retrier(policy, way_out=start_one(endpoint))
        transport = Transport(calls, endpoint, around=around)
        return cls(transport, retrier, Claims(), policy, workspace=workspace)

    def hasty(self: A, policy: RetryPolicy, around: Around | None = None) -> A:
        """Return the same calls without patience: an outage is an error at once.

        Args:
            policy: how they are repeated.
            around: what is around each try, instead of what is around those of this caller.
        """
        transport = replace(self.transport, around=around or self.transport.around)
        return type(self)(transport, self.retrier, self.claims, policy, workspace=self.workspace)

    def _call(
        self,
        name: str,
        session_id: str | None = None,
        task_id: str | None = None,
        application: str | None = None,
        request: object = None,
    ) -> Call:
        return Call(
            name, self.endpoint, session_id, task_id, application=application, request=request
        )

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
        attributes: SessionAttributes | None = None,
    ) -> SessionInfo:
        application = None if attributes is None else attributes.application
        call = self._call(name, session_id, application=application, request=attributes)
        fields: dict[str, object] = {"session_id": session_id, "workspace": self.workspace}
        if name in ("CreateSession", "OpenSession") and attributes is not None:
            fields["session"] = encode_session_spec(attributes)
        request = FRONTEND[name].request(**fields)
        attempt = Attempt(self.transport, call, request, decode_session)
        info = await self.retrier.run(name, terms, attempt.run, resolve)
        self.claims.saw(info)
        return info

    async def _result(
        self,
        rpc: str,
        name: str,
        terms: Terms,
        resolve: Resolve[bool],
        attributes: ApplicationAttributes | None = None,
    ) -> None:
        call = self._call(rpc, application=name, request=attributes)
        fields: dict[str, object] = {"name": name, "workspace": self.workspace}
        if attributes is not None:
            fields["application"] = encode_application_spec(attributes)
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
