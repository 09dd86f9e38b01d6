"""Stop a process, so that it answers nothing and keeps its connections."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from support.waiting import eventually


def freeze(pid: int) -> None:
    """Send SIGSTOP, and return once no thread of it runs any more; SIGCONT lets it go on.

    A signal is not yet a stop: on a busy machine a process answers for a moment more.
    """
    os.kill(pid, signal.SIGSTOP)
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():  # the end of the name is the last parenthesis
        eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "the stop")
