"""Ends a cluster's services and removes its folder when the cluster is killed.

A cluster that stops does that itself; SIGKILL leaves it no time. So a small process in a session
of its own holds the other end of a pipe: when that closes, it kills the process groups that the
cluster named. It ends with the cluster, however that ends.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections import deque

from flamepy.host import platforms
from flamepy.host.processes import python_subprocess
from flamepy.local.folders import Folders
from flamepy.local.services import reaper_main
from flamepy.runtime.forks import leak

END_TIMEOUT = 5.0


class Reaper:
    """The process that cleans up after a killed cluster. Used on the cluster's thread.

    Args:
        folders: the cluster's own, with its sockets and private working directories.
    """

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._process: subprocess.Popen[bytes] | None = None
        self._unsent: deque[bytes] = deque()

    def start(self) -> None:
        """Start the process, where there can be service processes. Raises OSError."""
        if platforms.missing(*platforms.SERVICE_PROCESSES):
            return
        self._process = python_subprocess().Popen(
            [
                *(sys.executable, "-I", "-S", str(reaper_main.__file__)),
                str(self._folders.sockets),
                str(self._folders.work),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            start_new_session=True,  # Ctrl-C is for the cluster
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)

    def add(self, group: int) -> None:
        """Note a process group that lives."""
        self._say(f"+{group}\n")

    def discard(self, group: int) -> None:
        """Note that a process group has ended."""
        self._say(f"-{group}\n")

    def _say(self, line: str) -> None:
        """Write a line, and what could not be written before it; never blocks the loop."""
        if self._process is None or self._process.stdin is None:
            return
        self._unsent.append(line.encode())
        with contextlib.suppress(BlockingIOError, BrokenPipeError):  # it is stopped, or was killed
            while self._unsent:  # a line is written whole or not at all, so short it is
                os.write(self._process.stdin.fileno(), self._unsent[0])
                self._unsent.popleft()

    def close(self) -> None:
        """Let it end. Idempotent."""
        if self._process is None:
            return
        process, self._process = self._process, None
        with contextlib.suppress(python_subprocess().TimeoutExpired, BrokenPipeError):
            process.communicate(timeout=END_TIMEOUT)
        if process.poll() is None:
            process.kill()
            process.wait()

    def forget(self) -> None:
        """Leave it to the parent, in a forked child, which must not keep its pipe open."""
        if self._process is not None and self._process.stdin is not None:
            os.close(self._process.stdin.fileno())
            leak(self._process)
