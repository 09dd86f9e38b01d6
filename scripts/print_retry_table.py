"""Print the tables of docs/retry.md into it, from the data that the library acts on."""

from __future__ import annotations

import sys
from pathlib import Path

from flamepy.rpc.retry.classifier import markdown

PAGE = Path(__file__).parents[1] / "docs" / "retry.md"
BEGIN, END = "do not edit -->\n", "<!-- end -->"


def printed(text: str) -> str:
    """Return the page with the tables as they are now."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{markdown()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(printed(PAGE.read_text()))
    sys.exit(0)
