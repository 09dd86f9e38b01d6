"""``--context``, of the commands that read ``flame.yaml``, completed with the file's contexts."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from flamepy.config.file import context_names
from flamepy.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])  # Any: a command


def context_option(command: F) -> F:
    """Add ``--context``."""
    option = click.option(
        "--context",
        metavar="NAME",
        help="The context of flame.yaml; default: its current.",
        shell_complete=_complete,
    )
    return option(command)


def _complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    try:
        found = context_names(context.params.get("config"), os.environ)
    except ConfigError:
        return []
    return sorted(name for name in found if name.startswith(begun))
