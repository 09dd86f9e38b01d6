"""An extension of griffe: what docstrings have of reStructuredText becomes Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe

TABLE = re.compile(r"^(=+(?: +=+)+)\n(?:.*\n)*?\1\n(?:.*\n)*?\1$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Changes ``::`` before a code block, and tables of equals signs."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """Return a docstring as Markdown."""
    text = TABLE.sub(lambda found: indented(found[0]), text)
    text = re.sub(r"^::$\n", "", text, flags=re.MULTILINE)
    return re.sub(r"::$", ":", text, flags=re.MULTILINE)


def indented(table: str) -> str:
    """Return a table as a block of code, which keeps its columns."""
    return "\n".join(f"    {line}" for line in table.splitlines())
