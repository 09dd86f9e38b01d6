"""``flamepy doctor``: what stands between this machine and an engine, one line a check.

A check needs the ones before it: after a name without address no port is tried. Nothing is
changed at the engine. Exit status 1 if any check failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import click

from flamepy.cli.checks import installation
from flamepy.cli.checks.findings import COLOURS, Finding, Verdict, failed, passed, skipped
from flamepy.cli.checks.hints import found_hints
from flamepy.cli.engine import endpoint_option, silence_grpc
from flamepy.cli.showing.output import printable, styled
from flamepy.cli.values import SECONDS
from flamepy.config import FlameContext
from flamepy.errors import ConfigError

NETWORK = ("dns", "port", "tls", "frontend", "dialect", "port + 1", "clock", "keepalive")


@click.command()
@endpoint_option
@click.option(
    "--timeout", type=SECONDS, default=5.0, show_default=True, metavar="SECONDS", help="Per check."
)
def doctor(endpoint: str | None, timeout: float) -> None:
    """Check this installation and the way to the engine.

    One line a check, with what to do about a failure; exit status 1 if any failed. Hints follow:
    what is odd at the engine, and what to try next.
    """
    silence_grpc()
    broken = asyncio.run(_report(endpoint, timeout))
    raise SystemExit(1 if broken else 0)


async def _report(endpoint: str | None, timeout: float) -> bool:
    broken = False
    async for finding in examine(endpoint, timeout):
        colour = COLOURS.get(finding.verdict)
        line = printable(str(finding))
        click.echo(click.style(line[:5], fg=colour) + line[5:])
        broken |= finding.verdict is Verdict.FAILED
    if not broken:
        for hint in await found_hints(FlameContext(endpoint), timeout):
            click.echo(f"{styled('hint', 'cyan')} {printable(hint)}")
    return broken


async def examine(endpoint: str | None, timeout: float) -> AsyncIterator[Finding]:
    """Yield the findings, each as soon as it is known."""
    yield installation.versions()
    yield installation.official_sdk()
    try:
        context = FlameContext(endpoint)
    except ConfigError as error:
        yield failed("address", error.message, "see docs/configuration.md")
        return
    source = context.sources["endpoint"]
    yield passed("address", f"{context.address.url} (from: {source})")
    yield installation.proxy(context)
    done = []
    async for finding in _way(context, timeout):
        yield finding
        done.append(finding.check)
    for check in NETWORK[len(done) :]:
        yield skipped(check, f"not tried: it needs {done[-1]}")


async def _way(context: FlameContext, timeout: float) -> AsyncIterator[Finding]:
    from flamepy.cli.checks import answers, network

    finding, addresses = await network.dns(context, timeout)
    yield finding
    if not addresses:
        return
    finding = await network.port(context, addresses, timeout)
    if finding.verdict is Verdict.FAILED:
        beside = await answers.frontend_beside(context)
        hint = f"; an engine's frontend answers at port {beside}" if beside is not None else ""
        yield replace(finding, says=finding.says + hint)
        return
    yield finding
    finding = await network.tls(context, timeout)
    yield finding
    if finding.verdict is Verdict.FAILED:
        return
    finding = await answers.frontend(context, timeout)
    yield finding
    if finding.verdict is Verdict.FAILED:
        return
    yield await answers.dialect(context, timeout)
    yield await network.port_above(context, addresses, timeout)
    yield await answers.clock(context, timeout)
    yield await answers.keepalive(context, timeout)
