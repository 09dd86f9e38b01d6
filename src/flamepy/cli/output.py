"""Records as a table for people or as JSON for programs.

A record is a mapping of plain values. In a terminal a command shows some of its keys as a table;
in a pipe, or with ``--json``, all of them as one JSON array. What other people wrote (ids, error
texts) cannot reach the terminal as control characters.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from enum import Enum
from typing import Any, Literal, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
Record = Mapping[str, object]
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_PIPE_WIDTH = 80  # columns of a table that is not in a terminal
_BLANKS = re.compile(r" +(?=(\x1b\[[0-9;]*m)*$)")  # at the end of a line, and of its style
_LONGEST = 240  # characters of a text in a table; of a longer one both ends are shown


def format_option(command: F) -> F:
    """Add ``--json/--table``, as the parameter ``as_json``: True, False or None (look)."""
    option = click.option(
        "--json/--table",
        "as_json",
        default=None,
        help="JSON or a table; default: a table in a terminal, JSON in a pipe.",
    )
    return option(command)


def show(records: Sequence[Record], columns: Sequence[str], *, as_json: bool | None) -> None:
    """Print the records to standard output.

    Args:
        records: each with the keys of ``columns``, and more.
        columns: the keys that a table shows; ``creation_time`` is shown as the age.
        as_json: None looks whether standard output is a terminal.
    """
    if as_json or (as_json is None and not sys.stdout.isatty()):
        click.echo(json.dumps([_plain(record) for record in records], indent=2))
    else:
        _show_table(records, columns)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, datetime):
        return value.isoformat()
    return value


def _show_table(records: Sequence[Record], columns: Sequence[str]) -> None:
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        raise SystemExit(
            'flamepy: tables need rich: run pip install "flamepy-informers[cli]", or use --json'
        ) from None
    now = datetime.now(timezone.utc)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for key in columns:
        title = "AGE" if key == "creation_time" else key.upper().replace("_", " ")
        justify: Literal["left", "right"] = "right" if _is_number(records, key) else "left"
        # Long values wrap: cutting ids would make them useless.
        table.add_column(title, overflow="fold", justify=justify)
    for record in records:
        table.add_row(*(Text(cell(record[key], now)) for key in columns))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        click.echo(_BLANKS.sub("", line))


def _is_number(records: Sequence[Record], key: str) -> bool:
    values = [record[key] for record in records]
    return any(isinstance(one, (int, float)) and not isinstance(one, Enum) for one in values)


def cell(value: object, now: datetime) -> str:
    """Return a value as the text of a table's cell; a time is shown as the age at ``now``."""
    if value is None:
        return "-"
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, datetime):
        return age((now - value).total_seconds())
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(one, now) for one in value) or "-"
    return _cut(printable(str(value)))


def _cut(text: str) -> str:
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} ... {text[-half:]}"


def printable(text: str) -> str:
    """Return the text with everything that would move a terminal's cursor escaped."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def age(seconds: float) -> str:
    """Return a duration in its largest unit: ``12s``, ``3m``, ``5h``, ``9d``."""
    whole = max(int(seconds), 0)
    for size, unit in _UNITS:
        if whole >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"
