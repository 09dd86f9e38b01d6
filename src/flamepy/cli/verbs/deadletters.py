"""``flamepy deadletters``: events whose handling failed for good, in the file of a reactor.

Works beside the process that has the file, and without one. What ``retry`` marks is handled by
the running reactor within about a second, or by the next one when it starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from flamepy.cli.checkpoint_option import (
    checkpoint_option,
    completing_file,
    letter_ids,
    letter_informers,
)
from flamepy.cli.engine import failure
from flamepy.cli.groups import CommandGroup
from flamepy.cli.showing.forms import Form, output_option
from flamepy.cli.showing.output import printable, show, show_one
from flamepy.errors import FlameError, NotFoundError

if TYPE_CHECKING:
    from flamepy.informers.dead_letters.box import DeadLetters

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

COLUMNS = ("id", "informer", "callback", "session", "task", "attempts", "error", "failed_at")


def _choice(command: F) -> F:
    for add in (
        click.argument(
            "numbers",
            metavar="[ID]...",
            type=click.IntRange(min=0),
            nargs=-1,
            shell_complete=completing_file(letter_ids),
        ),
        click.option(
            "--informer",
            metavar="NAME",
            help="All of this informer.",
            shell_complete=completing_file(letter_informers),
        ),
        click.option("--all", "everything", is_flag=True, help="All of every informer."),
    ):
        command = add(command)
    return command


@click.group(cls=CommandGroup)
def deadletters() -> None:
    """Show, retry and drop events that could not be handled."""


@deadletters.command("list")
@checkpoint_option
@click.option(
    "--informer",
    metavar="NAME",
    help="Only those of this informer.",
    shell_complete=completing_file(letter_informers),
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=200, show_default=True, help="The number shown."
)
@output_option()
def list_letters(path: Path, informer: str | None, limit: int, form: Form | None) -> None:
    """List dead letters, the oldest first."""
    letters, found = _in(path, lambda box: (box.list(informer, limit=limit), box.counts()))
    records = [
        {**one.to_dict(), "session": one.session, "task": one.task, "failed_at": one.failed_at}
        for one in letters
    ]
    show(records, COLUMNS, form)
    total = sum(found.values()) if informer is None else found.get(informer, 0)
    if total > len(letters):
        click.echo(f"{total - len(letters)} more: --limit {total} shows them", err=True)


@deadletters.command("show")
@checkpoint_option
@click.argument(
    "number", metavar="ID", type=click.IntRange(min=0), shell_complete=completing_file(letter_ids)
)
@output_option()
def show_letter(path: Path, number: int, form: Form | None) -> None:
    """Show one dead letter: its event, and the traceback of its last failure."""
    letter = _in(path, lambda box: box.get(number))
    if form is not None and form.kind not in ("table", "wide"):
        show_one(letter.to_dict(), form)
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
@checkpoint_option
@_choice
def retry(path: Path, numbers: tuple[int, ...], informer: str | None, everything: bool) -> None:
    """Have dead letters handled again; those that fail again stay."""
    _each(
        path, numbers, informer, everything, _Verb("will be handled again", lambda box: box.retry)
    )


@deadletters.command()
@checkpoint_option
@_choice
def drop(path: Path, numbers: tuple[int, ...], informer: str | None, everything: bool) -> None:
    """Delete dead letters."""
    _each(path, numbers, informer, everything, _Verb("deleted", lambda box: box.drop))


class _Verb(NamedTuple):
    """What is done with letters: what is printed after their number, and the method of it."""

    done: str
    method: Callable[[DeadLetters], Callable[..., int]]


def _each(
    path: Path, numbers: tuple[int, ...], informer: str | None, everything: bool, verb: _Verb
) -> None:
    """Act on the chosen letters and say how many; unknown ids end the command with status 1."""
    chosen = bool(numbers) + (informer is not None) + everything
    if chosen != 1:
        raise failure("give ids, or --informer NAME, or --all", 2)
    if numbers:
        known, unknown = _in(path, lambda box: _split(box, numbers))
        count = _in(path, lambda box: verb.method(box)(*known)) if known else 0
    elif everything:
        unknown = []
        count = _in(path, lambda box: sum(verb.method(box)(informer=one) for one in box.counts()))
    else:
        unknown = []
        count = _in(path, lambda box: verb.method(box)(informer=informer))
    if count or not unknown:
        click.echo(f"{count} {verb.done}")
    if unknown:
        none = "there is no dead letter" if len(unknown) == 1 else "there are no dead letters"
        ids = ", ".join(map(str, unknown))
        raise failure(f"{none} {ids}; flamepy deadletters list shows the others")


def _split(box: DeadLetters, numbers: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Return the ids that there are, and the others."""
    known: list[int] = []
    unknown: list[int] = []
    for number in dict.fromkeys(numbers):
        try:
            known.append(box.get(number).id)
        except NotFoundError:
            unknown.append(number)
    return known, unknown


def _in(path: Path, act: Callable[[DeadLetters], T]) -> T:
    from flamepy.informers.checkpoint.file import SharedFile
    from flamepy.informers.dead_letters.box import DeadLetters

    try:
        return act(DeadLetters(SharedFile(path)))
    except FlameError as error:
        raise failure(error) from None
