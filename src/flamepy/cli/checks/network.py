"""Checks of ``flamepy doctor`` below gRPC: the name, the port, TLS, the port above it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Any, cast

from flamepy.cli.checks.findings import Finding, failed, passed, skipped, warned
from flamepy.config import FlameContext
from flamepy.rpc.transport.tls_probe import shake

EXPIRES_SOON = 14 * 86_400.0


async def dns(context: FlameContext, timeout: float) -> tuple[Finding, list[str]]:
    """Whether the host has addresses; returns them as well."""
    address = context.address
    loop = asyncio.get_running_loop()
    looked_up = loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.wait_for(looked_up, timeout)
    except (OSError, asyncio.TimeoutError) as error:
        why = str(error) or f"no answer in {timeout:g} s"
        finding = failed(
            "dns",
            f"{address.host} has no address ({why})",
            f"check its spelling (from: {context.sources['endpoint']}) and this machine's DNS",
        )
        return finding, []
    # Any: the addresses of getaddrinfo are tuples of a length that depends on the family.
    addresses = list(dict.fromkeys(str(cast(Any, one)[4][0]) for one in found))
    return passed("dns", f"{address.host} is {', '.join(addresses)}"), addresses


async def port(context: FlameContext, addresses: list[str], timeout: float) -> Finding:
    """Whether anything listens; one address of several that does is enough."""
    address = context.address
    refusals = {}
    for one in addresses:
        why = await _refusal(one, address.port, timeout)
        if why is None:
            return passed("port", f"{one} port {address.port} is open")
        refusals[one] = why
    listed = ", ".join(f"{one}: {why}" for one, why in refusals.items())
    source = context.sources["endpoint"]
    advice = (
        f"start the engine or `flamepy up --port {address.port}`, open the firewall, or correct "
        f"the address (from: {source})"
    )
    return failed("port", f"nothing answers at port {address.port} ({listed})", advice)


async def port_above(context: FlameContext, addresses: list[str], timeout: float) -> Finding:
    """Whether the port of the executors is open; a client needs it not, and it is good to know."""
    number = context.address.port + 1
    if number > 65535:
        return skipped("port + 1", "no port is above 65535")
    for one in addresses:
        if await _refusal(one, number, timeout) is None:
            return passed("port + 1", f"{number} is open: executors of an engine connect there")
    return passed(
        "port + 1",
        f"{number} is closed: right for `flamepy up`; an engine's executors must reach theirs",
    )


async def _refusal(address: str, number: int, timeout: float) -> str | None:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, number), timeout)
    except asyncio.TimeoutError:
        return f"no answer in {timeout:g} s"
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)
    await _close(writer)
    return None


async def tls(context: FlameContext, timeout: float) -> Finding:
    """Whether a TLS connection can be made, for how long its certificate lasts, and HTTP/2."""
    address = context.address
    if not address.tls:
        return skipped("tls", "not used: the address is http")
    found = await shake(address, context.tls, timeout)
    if found.problem:
        return failed("tls", found.problem, found.advice)
    return _judge(found.protocol, found.lasts)


def _judge(chosen: str | None, seconds: float) -> Finding:
    if chosen != "h2":
        return failed(
            "tls",
            f"the other side chose {chosen or 'no protocol'}, not HTTP/2 (h2)",
            "a proxy in front of the engine must offer h2 for gRPC",
        )
    days = f"the certificate is good for {seconds / 86_400:.0f} days"
    if seconds < EXPIRES_SOON:
        return warned("tls", days, "renew it")
    return passed("tls", days)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
