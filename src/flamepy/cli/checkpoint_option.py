"""``--checkpoint``, of the commands that work on a reactor's file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from flamepy.errors import FlameError

if TYPE_CHECKING:
    from flamepy.informers.dead_letters.box import DeadLetters
    from flamepy.informers.outbox.box import OutboxFile

F = TypeVar("F", bound=Callable[..., Any])  # Any: a command
Names = Callable[[Path], Iterable[object]]
OFFERED = 200  # ids that are offered


def checkpoint_option(command: F) -> F:
    """Add ``--checkpoint``, the reactor's file, as the argument ``path``."""
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


def completing_file(names: Names) -> Callable[..., list[str]]:
    """Return what completes a word with what is found in the file of ``--checkpoint``.

    A file that cannot be read completes nothing.
    """

    def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
        path: Path | None = context.params.get("path")
        if path is None:
            return []
        try:
            found = [str(one) for one in names(path)]
        except FlameError:
            return []
        return [one for one in found if one.startswith(begun)]

    return complete


def letter_ids(path: Path) -> Iterable[object]:
    """Return the ids of dead letters, the oldest first."""
    return [one.id for one in _letters(path).list(limit=OFFERED)]


def letter_informers(path: Path) -> Iterable[object]:
    """Return the names of the informers that have dead letters."""
    return sorted(_letters(path).counts())


def entry_ids(path: Path) -> Iterable[object]:
    """Return the ids of events that wait in outboxes, the oldest first."""
    return [one.id for one in _outbox(path).list(limit=OFFERED)]


def sink_names(path: Path) -> Iterable[object]:
    """Return the names of the sinks that have something in the file."""
    box = _outbox(path)
    return sorted({*box.counts(), *box.states()})


def _letters(path: Path) -> DeadLetters:
    from flamepy.informers.checkpoint.file import SharedFile
    from flamepy.informers.dead_letters.box import DeadLetters

    return DeadLetters(SharedFile(path))


def _outbox(path: Path) -> OutboxFile:
    from flamepy.informers.checkpoint.file import SharedFile
    from flamepy.informers.outbox.box import OutboxFile

    return OutboxFile(SharedFile(path))
