"""``--checkpoint``, of the commands that work on a reactor's file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])  # Any: a command


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
