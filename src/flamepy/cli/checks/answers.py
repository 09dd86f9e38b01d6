"""Checks of ``flamepy doctor`` by gRPC: the frontend, the clocks, connections that are idle.

They read only; nothing is created at the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timezone

import grpc

from flamepy.cli.checks.findings import Finding, failed, passed, skipped, warned
from flamepy.config import Endpoint, FlameContext
from flamepy.errors import FlameError
from flamepy.rpc.requests.frontend import Frontend
from flamepy.rpc.transport.calls import Calls
from flamepy.rpc.transport.channel import open_channel, open_list_channel
from flamepy.rpc.transport.hooks import CallHooks
from flamepy.rpc.transport.tls_probe import speaks_tls
from flamepy.rpc.transport.user_code import UserCode
from flamepy.types import NodeState, RetryPolicy, SessionInfo

ONCE = RetryPolicy(attempts=1)
# One ping and its answer: a server that has gRPC's own limits takes more for an attack.
PING, PING_TIMEOUT, IDLE = 1.0, 0.5, 1.9  # seconds
SKEW = 2.0  # seconds; stamps are in whole milliseconds, and calls take time
PINGING = {
    "grpc.keepalive_time_ms": int(PING * 1000),
    "grpc.keepalive_timeout_ms": int(PING_TIMEOUT * 1000),
    "grpc.http2.ping_timeout_ms": int(PING_TIMEOUT * 1000),
    "grpc.keepalive_permit_without_calls": 1,
}


@asynccontextmanager
async def calls_of(
    context: FlameContext, address: Endpoint
) -> AsyncIterator[tuple[grpc.aio.Channel, Frontend]]:
    """Give a channel to an address and the calls of a frontend on it."""
    channel = open_channel(address, context.tls, PINGING)
    options = context.call_options
    hooks = CallHooks(options, UserCode(own_loop=False)) if options else None
    try:
        calls = Calls(lambda: channel, lambda: open_list_channel(address, context.tls), address.url)
        around = None if hooks is None else hooks.run_contained
        frontend = Frontend.of(calls, address.url, ONCE, around, workspace=context.workspace)
        yield channel, frontend
    finally:
        if hooks is not None:
            hooks.close()
        await channel.close()


async def frontend(context: FlameContext, timeout: float) -> Finding:
    """Whether an engine's frontend answers."""
    loop = asyncio.get_running_loop()
    try:
        async with calls_of(context, context.address) as (_, calls):
            start = loop.time()
            nodes = await calls.list_nodes(timeout=timeout)
            took = loop.time() - start
    except FlameError as error:
        return failed("frontend", error.message, await _advice(context, error, timeout))
    ready = sum(node.state == NodeState.READY for node in nodes)
    says = f"answered in {took * 1000:.0f} ms; {ready} of {len(nodes)} nodes ready"
    if not ready:
        return warned("frontend", says, "tasks wait until an executor manager joins")
    return passed("frontend", says)


async def dialect(context: FlameContext, timeout: float) -> Finding:
    """What the engine speaks: the names of its calls (docs/protocol.md#dialects)."""
    try:
        async with calls_of(context, context.address) as (_, calls):
            await calls.list_applications(timeout=timeout)
            names = calls.transport.calls.names
    except FlameError as error:
        return failed(
            "dialect", f"applications cannot be listed: {error.message}", "see the engine's log"
        )
    listed = names.first("ListApplication")
    return passed("dialect", f"{names.dialect} ({listed}); workspace {context.workspace}")


async def _advice(context: FlameContext, error: FlameError, timeout: float) -> str:
    address = context.address
    if not address.tls and await speaks_tls(address, timeout):
        return f"the port speaks TLS: write https://{address.target}"
    beside = await frontend_beside(context)
    if beside is not None:
        return f"an engine's frontend answers at port {beside}: write that"
    return "is this the address of an engine's frontend, and is the engine well? see its log"


async def frontend_beside(context: FlameContext) -> int | None:
    """Return the port below or above at which a frontend answers: a usual slip of one."""
    address = context.address
    for number in (address.port - 1, address.port + 1):
        if 0 < number < 65536 and await _answers(context, replace(address, port=number)):
            return number
    return None


async def _answers(context: FlameContext, address: Endpoint) -> bool:
    try:
        async with calls_of(context, address) as (_, calls):
            await calls.list_nodes(timeout=1.0)
    except FlameError:
        return False
    return True


async def clock(context: FlameContext, timeout: float) -> Finding:
    """Whether the engine dates anything in this machine's future."""
    try:
        async with calls_of(context, context.address) as (_, calls):
            sessions = await calls.list_sessions(timeout=timeout)
    except FlameError as error:
        return failed(
            "clock", f"sessions cannot be listed: {error.message}", "see the engine's log"
        )
    return compare_clocks(sessions, datetime.now(timezone.utc))


def compare_clocks(sessions: list[SessionInfo], now: datetime) -> Finding:
    """Return what the dates of ``sessions``, read at ``now``, say about the two clocks."""
    dates = [session.creation_time for session in sessions]
    dates += [session.completion_time for session in sessions if session.completion_time]
    if not dates:
        return skipped("clock", "the engine has no session whose date could be compared")
    ahead = (max(dates) - now).total_seconds()
    if ahead > SKEW:
        return failed(
            "clock",
            f"the engine is at least {ahead:.0f} s ahead of this machine",
            "set both by NTP (timedatectl status)",
        )
    return passed("clock", "the engine dates nothing in this machine's future")


async def keepalive(context: FlameContext, timeout: float) -> Finding:
    """Whether a connection without calls is kept, and its pings are answered."""
    try:
        async with calls_of(context, context.address) as (channel, calls):
            await calls.list_nodes(timeout=timeout)
            await asyncio.sleep(IDLE)
            kept = channel.get_state() is grpc.ChannelConnectivity.READY
    except FlameError as error:
        return failed("keepalive", error.message, "see the engine's log")
    if kept:
        return passed("keepalive", "an idle connection is kept, and its ping is answered")
    return failed(
        "keepalive",
        f"a connection idle for {IDLE:g} s was closed, or its ping was not answered",
        "a proxy in between must let HTTP/2 pings through and keep idle connections",
    )
