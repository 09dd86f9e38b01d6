"""``flamepy deadletters``: events whose handling failed for good, in the file of a reactor.

Works beside the process that has the file, and without one. What ``retry`` marks is handled by
the running reactor within about a second, or by the next one when it starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flamepy.cli.engine import failure
from flamepy.cli.output import format_option, printable, show
from flamepy.errors import FlameError

if TYPE_CHECKING:
    from flamepy.informers.dead_letters.box import DeadLetters

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

COLUMNS = ("id", "informer", "callback", "session", "task", "attempts", "error", "failed_at")


def _file_option(command: F) -> F:
    option = click.option(
        "--checkpoint",
        "path",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        envvar="FLAME_CHECKPOINT",
        required=True,
        help="The reactor's file: of checkpoint=, or dead_letters=. Default: FLAME_CHECKPOINT.",
    )
    return option(command)


def _choice(command: F) -> F:
    for add in (
        click.argument("numbers", metavar="[ID]...", type=click.IntRange(min=0), nargs=-1),
        click.option("--informer", metavar="NAME", help="All of this informer."),
        click.option("--all", "everything", is_flag=True, help="All of every informer."),
    ):
        command = add(command)
    return command


@click.group()
def deadletters() -> None:
    """Show, retry and drop events that informers could not handle."""


@deadletters.command("list")
@_file_option
@click.option("--informer", metavar="NAME", help="Only those of this informer.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=200, show_default=True, help="The number shown."
)
@format_option
def list_letters(path: Path, informer: str | None, limit: int, as_json: bool | None) -> None:
    """List dead letters, the oldest first."""
    letters, found = _in(path, lambda box: (box.list(informer, limit=limit), box.counts()))
    records = [
        {**one.to_dict(), "session": one.session, "task": one.task, "failed_at": one.failed_at}
        for one in letters
    ]
    show(records, COLUMNS, as_json=as_json)
    total = sum(found.values()) if informer is None else found.get(informer, 0)
    if total > len(letters):
        click.echo(f"{total - len(letters)} more: --limit {total} shows them", err=True)


@deadletters.command("show")
@_file_option
@click.argument("number", metavar="ID", type=click.IntRange(min=0))
@format_option
def show_letter(path: Path, number: int, as_json: bool | None) -> None:
    """Show one dead letter: its event, and the traceback of its last failure."""
    letter = _in(path, lambda box: box.get(number))
    if as_json:
        click.echo(json.dumps(letter.to_dict(), indent=2))
        return
    click.echo(f"{letter.id}: {printable(letter.informer)}.{letter.callback} at {letter.key}")
    click.echo(f"failed {letter.failed_at.isoformat(timespec='seconds')}", nl=False)
    click.echo(f", {letter.attempts} attempts: {printable(letter.error)}")
    if letter.retrying:
        click.echo("waits to be handled again")
    click.echo(json.dumps(letter.event, indent=2))
    for line in letter.traceback.splitlines():
        click.echo(printable(line))


@deadletters.command()
@_file_option
@_choice
def retry(path: Path, numbers: tuple[int, ...], informer: str | None, everything: bool) -> None:
    """Have dead letters handled again; those that fail again stay."""
    count = _each(path, numbers, informer, everything, lambda box: box.retry)
    click.echo(f"{count} will be handled again")


@deadletters.command()
@_file_option
@_choice
def drop(path: Path, numbers: tuple[int, ...], informer: str | None, everything: bool) -> None:
    """Delete dead letters."""
    count = _each(path, numbers, informer, everything, lambda box: box.drop)
    click.echo(f"{count} deleted")


def _each(
    path: Path,
    numbers: tuple[int, ...],
    informer: str | None,
    everything: bool,
    verb: Callable[[DeadLetters], Callable[..., int]],
) -> int:
    chosen = bool(numbers) + (informer is not None) + everything
    if chosen != 1:
        raise failure("give ids, or --informer NAME, or --all", 2)
    if not everything:
        return _in(path, lambda box: verb(box)(*numbers, informer=informer))
    return _in(path, lambda box: sum(verb(box)(informer=one) for one in box.counts()))


def _in(path: Path, act: Callable[[DeadLetters], T]) -> T:
    from flamepy.informers.checkpoint.file import SharedFile
    from flamepy.informers.dead_letters.box import DeadLetters

    try:
        return act(DeadLetters(SharedFile(path)))
    except FlameError as error:
        raise failure(error.message) from None
