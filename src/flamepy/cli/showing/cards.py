"""What ``flamepy describe`` prints: one object as labelled lines and sections.

A card is a record; as JSON or YAML it is printed whole. Control characters of other people's texts
are escaped, and lines are folded to the terminal.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from enum import Enum

import click

from flamepy.cli.showing.forms import Form, Record
from flamepy.cli.showing.output import age, chosen, printable, show_one, styled

LABEL = 16  # columns
WORD = 24  # characters
WORDS = 60  # characters of all words of a list that is one line
SHOWN = 20  # lines of a list; JSON has all


def show_card(card: Record, form: Form | None) -> None:
    """Print one object; in a pipe as JSON."""
    form = chosen(form)
    if form.kind not in ("table", "wide"):
        show_one(card, form)
        return
    columns = shutil.get_terminal_size().columns
    for line in card_lines(card, columns, datetime.now(timezone.utc)):
        click.echo(line)


def card_lines(card: Record, columns: int, now: datetime) -> list[str]:
    """Return the lines of a card for a terminal of some columns."""
    lines, sections = [], []
    for key, value in card.items():
        title = key.replace("_", " ")
        if isinstance(value, Mapping):
            inside = [
                line for one, inner in value.items() for line in _labelled(one, inner, columns, now)
            ]
        elif isinstance(value, (list, tuple)) and not _is_short(value):
            inside = _listed(value, columns, now)
        else:
            lines += _labelled(title, value, columns, now)
            continue
        if inside:
            sections += ["", styled(title.upper(), "cyan"), *inside]
    return lines + sections


def _is_short(values: Sequence[object]) -> bool:
    """Return True for a few words, which are one line."""
    words = [one for one in values if isinstance(one, str) and len(one) <= WORD]
    return len(words) == len(values) and len(", ".join(words)) <= WORDS


def _labelled(label: str, value: object, columns: int, now: datetime) -> list[str]:
    if value is None or value in ("", [], ()):
        return []
    text = _text(value, now)
    width = max(20, columns - LABEL - 1)
    folded = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
    first = f"{styled(printable(label).ljust(LABEL), dim=True)} {folded[0]}"
    return [first, *(f"{'':{LABEL}} {one}" for one in folded[1:])]


def _listed(values: Sequence[object], columns: int, now: datetime) -> list[str]:
    lines = []
    for value in values[:SHOWN]:
        if isinstance(value, Mapping):
            given = [(name, inner) for name, inner in value.items() if inner not in (None, "")]
            text = "  ".join(
                _text(inner, now) if name in ("text", "line") else f"{name}={_text(inner, now)}"
                for name, inner in given
            )
        else:
            text = _text(value, now)
        lines += textwrap.wrap(
            text,
            max(20, columns - 1),
            initial_indent="  ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        ) or [""]
    if len(values) > SHOWN:
        lines.append(f"  {len(values) - SHOWN:,} more: -o json has them")
    return lines


def _text(value: object, now: datetime) -> str:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, datetime):
        shown = value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        return f"{shown} ({age((now - value).total_seconds())} ago)"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(one, now) for one in value)
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else printable(str(value))
