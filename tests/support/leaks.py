"""What is there: threads, open files, and objects of ours by class. Two counts tell a leak."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from pathlib import Path

OURS = ("flamepy.", "asyncio", "_asyncio", "uvloop", "concurrent.", "blinker", "tenacity")


def things() -> Counter[str]:
    """Count what is there: threads, open files, and objects of ours and of asyncio by class."""
    gc.collect()
    names = (f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    found = Counter(name for name in names if name.startswith(OURS))
    files = Path("/proc/self/fd")
    found["files"] = len(list(files.iterdir())) if files.is_dir() else 0
    found["threads"] = threading.active_count()
    return found


def grown(first: Counter[str], last: Counter[str]) -> dict[str, tuple[int, int]]:
    """Return of what there is more than at the first count."""
    return {name: (first[name], last[name]) for name in last if last[name] > first[name]}
