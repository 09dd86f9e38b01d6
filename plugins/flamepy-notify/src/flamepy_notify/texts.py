"""Texts of failures: made safe to show on one line, and compared by what they say. Pure."""

from __future__ import annotations

import re

LINE_LIMIT = 160  # characters of one text in a message
VARIABLE = "…"
_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
# Controls, and characters that reorder, hide or join text: an error could pose as another one.
_INVISIBLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff]"
)
_VARIABLE_PARTS = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"  # a UUID
    r"|0x[0-9a-fA-F]+"  # an address
    r"|\b(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{8,}\b"  # a hash
    r"|\d+(?:[.,:]\d+)*"  # a number, a time, a version
)


def clean(text: str) -> str:
    """Return a text on one line: without controls, escape sequences and reordering characters."""
    plain = _INVISIBLE.sub(" ", _ESCAPE_SEQUENCE.sub("", text))
    return " ".join(plain.split())


def shown(text: str | None, *, limit: int = LINE_LIMIT) -> str:
    """Return the first line of an error that says something, clean, and cut to the limit."""
    lines = (clean(line) for line in (text or "").splitlines())
    return cut(next((line for line in lines if line), "no error text"), limit)


def cut(text: str, limit: int) -> str:
    """Return the text, or its beginning and an ellipsis, no longer than the limit."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def pattern(text: str) -> str:
    """Return what texts have in common that differ in numbers, hashes and ids alone."""
    return _VARIABLE_PARTS.sub(VARIABLE, text)
