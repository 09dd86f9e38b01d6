"""Write the JSON Schema of flame.yaml, and its tables in docs/configuration.md."""

from __future__ import annotations

import sys
from pathlib import Path

from flamepy.config.schema.published import FILE, markdown, printed_schema

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
BEGIN, END = "do not edit -->\n", "<!-- end -->"


def printed(text: str) -> str:
    """Return the page with the tables as they are now."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{markdown()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    FILE.write_text(printed_schema())
    PAGE.write_text(printed(PAGE.read_text()))
    sys.exit(0)
