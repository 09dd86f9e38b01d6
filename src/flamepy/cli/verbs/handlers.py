"""``flamepy handlers``: the informers of a running ``flamepy run --http``, paused and resumed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from flamepy.cli.engine import failure
from flamepy.cli.groups import CommandGroup
from flamepy.cli.serving.control import Body, ask
from flamepy.cli.showing.forms import Form, output_option
from flamepy.cli.showing.output import age, chosen, show
from flamepy.errors import FlameError

F = TypeVar("F", bound=Callable[..., Any])

COLUMNS = (
    *("name", "state", "queued", "oldest_age", "running_for", "stuck", "failures"),
    "outbox",
)
WIDE = ("delivered", "retries", "dead")


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


def complete_handlers(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    """Complete the names of the informers of the process."""
    try:
        found = ask(context.params["address"], "GET", "handlers")["handlers"]
    except (FlameError, KeyError):
        return []
    return sorted(one["name"] for one in found if one["name"].startswith(begun))


@click.group(cls=CommandGroup)
def handlers() -> None:
    """Show, pause and resume the informers of a running process."""


@handlers.command("list")
@port_option
@output_option()
def list_handlers(address: str, form: Form | None) -> None:
    """List the informers: what waits, what failed, what is paused and why."""
    found = ask_process(address, "GET", "handlers")["handlers"]
    if chosen(form).kind in ("table", "wide"):
        found = [_row(one) for one in found]
    show(found, COLUMNS, form, wide=WIDE)


def _row(one: dict[str, Any]) -> dict[str, Any]:  # Any: what JSON gives
    ages = {name: one.get(name) for name in ("oldest_age", "running_for")}
    shown = {name: None if value is None else age(value) for name, value in ages.items()}
    return {**one, **shown, "outbox": outbox_text(one.get("outbox"))}


def outbox_text(found: dict[str, Any] | None) -> str:  # Any: what JSON gives
    """Return what a table shows of an outbox; "" of an informer that is no sink."""
    if found is None:
        return ""
    parts = [f"{found['waiting']} waiting"]
    if found["waiting"]:
        parts.append(f"for {found['oldest_age']:.0f} s")
    if found["dropped"]:
        parts.append(f"{found['dropped']} dropped")
    parts += [f"disabled: {reason}" for reason in found["disabled"].values()]
    return ", ".join(parts)


@handlers.command()
@port_option
@click.argument("name", shell_complete=complete_handlers)
@click.option("--reason", help="Shown wherever the informer is.")
def pause(address: str, name: str, reason: str | None) -> None:
    """Deliver nothing to an informer; its events wait."""
    state = ask_process(address, "POST", "handlers", name, "pause", reason=reason)["state"]
    click.echo(f"{name}: {state}")


@handlers.command()
@port_option
@click.argument("name", shell_complete=complete_handlers)
def resume(address: str, name: str) -> None:
    """Deliver to an informer again."""
    click.echo(f"{name}: {ask_process(address, 'POST', 'handlers', name, 'resume')['state']}")


def ask_process(address: str, method: str, *path: str, **query: str | None) -> Body:
    """Return the answer of the process; an error ends the program with one line, status 1."""
    try:
        return ask(address, method, *path, **query)
    except FlameError as error:
        raise failure(error) from None
