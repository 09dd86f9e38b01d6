"""``flamepy handlers``: the informers of a running ``flamepy run --http``, paused and resumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from flamepy.cli.control import Body, ask
from flamepy.cli.engine import failure
from flamepy.cli.output import format_option, show
from flamepy.errors import FlameError

F = TypeVar("F", bound=Callable[..., Any])

COLUMNS = ("name", "state", "queued", "oldest_age", "delivered", "failures", "retries", "dead")


def port_option(command: F) -> F:
    """Add ``--http``, the address of the process."""
    option = click.option(
        "--http",
        "address",
        metavar="HOST:PORT",
        envvar="FLAME_HTTP",
        required=True,
        help="Where the process listens: --http of flamepy run. Default: FLAME_HTTP.",
    )
    return option(command)


@click.group()
def handlers() -> None:
    """Show, pause and resume the informers of a running process."""


@handlers.command("list")
@port_option
@format_option
def list_handlers(address: str, as_json: bool | None) -> None:
    """List the informers: what waits, what failed, what is paused and why."""
    show(_ask(address, "GET", "handlers")["handlers"], COLUMNS, as_json=as_json)


@handlers.command()
@port_option
@click.argument("name")
@click.option("--reason", help="Shown wherever the informer is.")
def pause(address: str, name: str, reason: str | None) -> None:
    """Deliver nothing to an informer; its events wait."""
    state = _ask(address, "POST", "handlers", name, "pause", reason=reason)["state"]
    click.echo(f"{name}: {state}")


@handlers.command()
@port_option
@click.argument("name")
def resume(address: str, name: str) -> None:
    """Deliver to an informer again."""
    click.echo(f"{name}: {_ask(address, 'POST', 'handlers', name, 'resume')['state']}")


def _ask(address: str, method: str, *path: str, **query: str | None) -> Body:
    try:
        return ask(address, method, *path, **query)
    except FlameError as error:
        raise failure(error.message) from None
