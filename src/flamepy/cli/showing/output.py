"""Records as a table for people or as JSON for programs.

A record is a mapping of plain values. In a terminal a command shows some of its keys as a table;
in a pipe, or with ``-o json``, all of them as one JSON array; ``forms`` has the other forms. What
other people wrote (ids, error texts) cannot reach the terminal as control characters.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from enum import Enum
from typing import Any, Literal, TypeVar

import click

from flamepy.cli.showing.forms import Form, Record, as_text, line
from flamepy.texts import repr_of

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
LIMIT = 200  # records
NAME_WIDTH = 36  # columns of a name that are not given up for other columns
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))
_PIPE_WIDTH = 80  # columns of a table that is not in a terminal
_BLANKS = re.compile(r" +(?=(\x1b\[[0-9;]*m)*$)")  # at the end of a line, and of its style
_LONGEST = 240  # characters of a text in a table; of a longer one both ends are shown


def show(
    records: Sequence[Record],
    columns: Sequence[str],
    form: Form | None,
    *,
    wide: Sequence[str] = (),
) -> None:
    """Print the records to standard output.

    Args:
        records: each with the keys of ``columns``, and more.
        columns: the keys that a table shows, the name first; ``creation_time`` is shown as the age.
        form: of ``output_option``; None looks whether standard output is a terminal.
        wide: keys that ``-o wide`` shows as well.
    """
    form = chosen(form)
    if form.kind in ("table", "wide"):
        _show_table(records, [*columns, *(wide if form.kind == "wide" else ())])
        return
    if form.kind in ("json", "yaml"):
        click.echo(as_text(records, form))
        return
    for record in records:
        click.echo(record_line(record, form, columns))


def record_line(record: Record, form: Form, columns: Sequence[str]) -> str:
    """Return the line of a record, of the kinds name and template.

    Raises:
        click.UsageError: the template names a key that the record lacks.
    """
    try:
        return line(record, form, columns)
    except KeyError as error:
        known = ", ".join(map(str, record))
        raise click.UsageError(
            f"the template names {repr_of(error.args[0])}; there are: {known}"
        ) from None


def show_one(record: Record, form: Form) -> None:
    """Print one record that has no table, as itself rather than as a list of one."""
    if form.kind in ("json", "yaml"):
        click.echo(as_text(record, form))
    else:
        show([record], [next(iter(record))], form)


def chosen(form: Form | None) -> Form:
    """Return the form, by default a table in a terminal and JSON in a pipe."""
    return form or Form("table" if sys.stdout.isatty() else "json")


def limit_option(command: F) -> F:
    """Add ``--limit`` and ``--last``; ``newest`` does what they say."""
    for option in (
        click.option("--last", type=click.IntRange(1), metavar="N", help="Only the N newest."),
        click.option(
            "--limit",
            type=click.IntRange(0),
            default=LIMIT,
            show_default=True,
            metavar="N",
            help="The N newest, and a line on standard error that says how many more there are; 0 "
            "for all.",
        ),
    ):
        command = option(command)
    return command


def newest(found: Sequence[T], *, limit: int, last: int | None) -> Sequence[T]:
    """Return the newest of what was found, oldest first; say how many were left out."""
    if last is not None:
        return found[-last:]
    if limit and len(found) > limit:
        more = len(found) - limit
        click.echo(f"{more:,} more, older: --limit {len(found)} shows them, too", err=True)
        return found[-limit:]
    return found


def _show_table(records: Sequence[Record], columns: Sequence[str]) -> None:
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        raise SystemExit(
            'flamepy: tables need rich: run pip install "flamepy-informers[cli]", or use -o json'
        ) from None
    now = datetime.now(timezone.utc)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    titles = [title_of(key) for key in columns]
    longest = [
        max([len(title), *(len(cell(one[key], now)) for one in records)])
        for title, key in zip(titles, columns, strict=True)
    ]
    gap = 2 if sum(longest) + 2 * (len(longest) - 1) <= console.width else 1
    name = _name_width(longest, gap, console.width)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, gap, 0, 0))
    for number, (title, key) in enumerate(zip(titles, columns, strict=True)):
        justify: Literal["left", "right"] = "right" if _is_number(records, key) else "left"
        # Long values wrap: cutting ids would make them useless.
        table.add_column(title, overflow="fold", justify=justify, width=None if number else name)
    for record in records:
        table.add_row(*(Text(cell(record[key], now)) for key in columns))
    with console.capture() as printed:
        console.print(table)
    for text in printed.get().splitlines():
        click.echo(_BLANKS.sub("", text))


def _name_width(longest: Sequence[int], gap: int, columns: int) -> int:
    """Return the width of the first column: whole, of a long name what the others leave."""
    left = columns - sum(one + gap for one in longest[1:])
    return min(longest[0], max(NAME_WIDTH, left))


def title_of(key: str) -> str:
    """Return the title of a column."""
    return "AGE" if key == "creation_time" else key.upper().replace("_", " ")


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


def styled(text: str, colour: str | None = None, *, dim: bool = False) -> str:
    """Return a text in a colour; ``click.echo`` removes it in a pipe, ``NO_COLOR`` everywhere."""
    if os.environ.get("NO_COLOR") or (colour is None and not dim):
        return text
    return click.style(text, fg=colour, dim=dim or None)


def counted(number: int, noun: str) -> str:
    """Return ``1 task``, ``2 tasks``, ``1,000 tasks``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def age(seconds: float) -> str:
    """Return a duration in its largest unit: ``12s``, ``3m``, ``5h``, ``9d``."""
    whole = max(int(seconds), 0)
    for size, unit in _UNITS:
        if whole >= 2 * size:
            return f"{whole // size}{unit}"
    return f"{whole}s"
