"""``flamepy check-service``: does a service keep the Instance protocol, in whatever language it is?

It starts the command as an executor does, several times, makes all calls, also those that are
rare, and says one line a check: what came, and what to do about it (docs/services.md).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from flamepy.cli.checks.findings import COLOURS, Finding, Verdict
from flamepy.cli.engine import failure, silence_grpc
from flamepy.cli.showing.output import printable
from flamepy.cli.values import SECONDS
from flamepy.errors import FlameError

if TYPE_CHECKING:
    from flamepy.cli.checks.service_examination import Wanted


@click.command("check-service", context_settings={"allow_interspersed_args": False})
@click.option("--input", "text", metavar="TEXT", help="An input with which a task has to succeed.")
@click.option("--common-data", metavar="TEXT", help="The common data of its sessions.")
@click.option(
    "--timeout", type=SECONDS, default=30.0, show_default=True, metavar="SECONDS", help="Per call."
)
@click.option(
    "--bind-timeout",
    type=SECONDS,
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Time that it has to open its socket.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object in the place of lines.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def check_service(
    text: str | None,
    common_data: str | None,
    timeout: float,
    bind_timeout: float,
    as_json: bool,
    command: tuple[str, ...],
) -> None:
    """Start the service COMMAND as an executor does, and call it.

    One line a check, with what to do about a failure; exit status 1 if any failed. Options
    of this check come before COMMAND, its own arguments after it.
    """
    silence_grpc()
    from flamepy.cli.checks.service_examination import Wanted

    wanted = Wanted(command, _bytes(text), _bytes(common_data), timeout, bind_timeout)
    try:
        found = asyncio.run(_report(wanted, say=_silent if as_json else _line))
    except FlameError as error:
        raise failure(error) from None
    broken = any(one.verdict is Verdict.FAILED for one in found)
    if as_json:
        click.echo(json.dumps(_plain(wanted, found, ok=not broken), indent=2))
    raise SystemExit(1 if broken else 0)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def _silent(finding: Finding) -> None:
    """Print nothing: all of it is printed at the end."""


def _line(finding: Finding) -> None:
    line = printable(str(finding))
    click.echo(click.style(line[:5], fg=COLOURS.get(finding.verdict)) + line[5:])


def _plain(wanted: Wanted, found: list[Finding], *, ok: bool) -> dict[str, object]:
    findings = [
        {"check": one.check, "verdict": one.verdict.name, "says": one.says, "advice": one.advice}
        for one in found
    ]
    return {"ok": ok, "command": list(wanted.command), "findings": findings}


async def _report(wanted: Wanted, *, say: Callable[[Finding], None]) -> list[Finding]:
    from flamepy.cli.checks.service_examination import examine

    found = []
    async for finding in examine(wanted):
        say(finding)
        found.append(finding)
    return found
