"""``python -m flamepy_prometheus alerts|dashboard``: prints a file that goes with the metrics."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "operations"
FILES = {"alerts": FOLDER / "alerts.yml", "dashboard": FOLDER / "dashboard.json"}


def main(arguments: list[str]) -> int:
    """Return 0 after printing the file, 2 for anything but the name of one."""
    if len(arguments) != 1 or arguments[0] not in FILES:
        print(f"usage: python -m flamepy_prometheus {'|'.join(FILES)}", file=sys.stderr)
        return 2
    print(FILES[arguments[0]].read_text(encoding="utf-8"), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
