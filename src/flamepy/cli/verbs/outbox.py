"""``flamepy outbox``: events that sinks are to send, in the file of a reactor.

Works beside the process that has the file, which acts on it within about a second, and without one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flamepy.cli.checkpoint_option import checkpoint_option, completing_file, entry_ids, sink_names
from flamepy.cli.engine import failure
from flamepy.cli.groups import CommandGroup
from flamepy.cli.showing.forms import Form, output_option
from flamepy.cli.showing.output import printable, show
from flamepy.errors import FlameError

if TYPE_CHECKING:
    from flamepy.informers.outbox.box import OutboxFile

F = TypeVar("F", bound=Callable[..., Any])  # Any: a command
T = TypeVar("T")

COLUMNS = ("id", "sink", "destination", "key", "attempts", "error", "created", "due")


def _choice(command: F) -> F:
    for add in (
        click.argument(
            "numbers",
            metavar="[ID]...",
            type=click.IntRange(min=1),
            nargs=-1,
            shell_complete=completing_file(entry_ids),
        ),
        click.option(
            "--sink",
            metavar="NAME",
            help="All of this sink.",
            shell_complete=completing_file(sink_names),
        ),
        click.option("--all", "everything", is_flag=True, help="All of every sink."),
    ):
        command = add(command)
    return command


@click.group(cls=CommandGroup)
def outbox() -> None:
    """Show, send and drop events that wait in outboxes."""


@outbox.command("list")
@checkpoint_option
@click.option(
    "--sink",
    metavar="NAME",
    help="Only those of this sink.",
    shell_complete=completing_file(sink_names),
)
@click.option(
    "--limit", type=click.IntRange(min=1), default=200, show_default=True, help="The number shown."
)
@output_option()
def list_entries(path: Path, sink: str | None, limit: int, form: Form | None) -> None:
    """List what waits, the oldest first; which sinks are disabled, and what was dropped."""
    entries, counts, states = _in(
        path, lambda box: (box.list(sink, limit=limit), box.counts(), box.states())
    )
    times = [{"created": one.created, "due": one.due} for one in entries]
    records = [{**one.to_dict(), **at} for one, at in zip(entries, times, strict=True)]
    show(records, COLUMNS, form)
    total = sum(counts.values()) if sink is None else counts.get(sink, 0)
    if total > len(entries):
        click.echo(f"{total - len(entries)} more: --limit {total} shows them", err=True)
    for name, state in sorted(states.items()):
        if sink not in (None, name):
            continue
        for destination, reason in state.disabled.items():
            to = "" if destination == "*" else f" for {destination}"
            text = (
                f"{name} is disabled{to}: {reason}; flamepy outbox retry --sink {name} enables it"
            )
            click.echo(printable(text), err=True)
        if state.dropped:
            click.echo(printable(f"{name} has dropped {state.dropped} events unsent"), err=True)


@outbox.command()
@checkpoint_option
@_choice
def retry(path: Path, numbers: tuple[int, ...], sink: str | None, everything: bool) -> None:
    """Have events sent as soon as they can be, and enable their sinks."""
    known = _chosen(path, numbers, sink, everything)
    if everything:
        done = _in(path, lambda box: sum(box.retry(sink=one) for one in _sinks(box)))
    else:
        done = _in(path, lambda box: box.retry(*known, sink=sink)) if known or sink else 0
    _finish(path, done, "will be sent as soon as they can be", numbers, known)


@outbox.command()
@checkpoint_option
@_choice
def drop(path: Path, numbers: tuple[int, ...], sink: str | None, everything: bool) -> None:
    """Delete events unsent."""
    known = _chosen(path, numbers, sink, everything)
    if everything:
        done = _in(path, lambda box: sum(box.drop(sink=one) for one in _sinks(box)))
    else:
        done = _in(path, lambda box: box.drop(*known, sink=sink)) if known or sink else 0
    _finish(path, done, "deleted", numbers, known)


def _sinks(box: OutboxFile) -> list[str]:
    return sorted({*box.counts(), *box.states()})


def _chosen(
    path: Path, numbers: tuple[int, ...], sink: str | None, everything: bool
) -> tuple[int, ...]:
    """Return the ids of those that are there; a choice that is not exactly one ends the command."""
    if bool(numbers) + (sink is not None) + everything != 1:
        raise failure("give ids, or --sink NAME, or --all", 2)
    if not numbers:
        return ()
    missing = _in(path, lambda box: box.missing(numbers))
    return tuple(one for one in dict.fromkeys(numbers) if one not in missing)


def _finish(
    path: Path, done: int, what: str, numbers: tuple[int, ...], known: tuple[int, ...]
) -> None:
    unknown = [str(one) for one in dict.fromkeys(numbers) if one not in known]
    if done or not unknown:
        click.echo(f"{done} {what}")
    if unknown:
        raise failure(
            f"nothing waits with the id {', '.join(unknown)}; flamepy outbox list shows what does"
        )


def _in(path: Path, act: Callable[[OutboxFile], T]) -> T:
    from flamepy.informers.checkpoint.file import SharedFile
    from flamepy.informers.outbox.box import OutboxFile

    try:
        return act(OutboxFile(SharedFile(path)))
    except FlameError as error:
        raise failure(error) from None
