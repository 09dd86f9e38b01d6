"""What a notebook shows of an object: a title and a small table, as HTML. Pure.

Texts are escaped and cut: a task's error is another program's text. Imports nothing of flamepy.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

LONGEST = 500  # characters of one cell
_CELL = "text-align:left;padding:1px 12px 1px 0;vertical-align:top;white-space:pre-wrap"


def card(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """Return the HTML of a title over a table of two columns.

    Args:
        title: plain text.
        rows: what and how much; rows of None or an empty text are left out.
    """
    shown = "".join(
        f'<tr><th style="{_CELL}">{_text(name)}</th><td style="{_CELL}">{_text(value)}</td></tr>'
        for name, value in rows
        if value is not None and value != ""
    )
    return f"<div><strong>{_text(title)}</strong><table>{shown}</table></div>"


def _text(value: object) -> str:
    text = str(value)
    return escape(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")
