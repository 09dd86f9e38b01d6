"""A child process, started without fork hooks, whose end is noticed without SIGCHLD.

Signals, handlers and children belong to the program around the cluster. ``subprocess`` without
``preexec_fn`` runs none of Python's fork hooks, and on Linux, by vfork, none of the C library's,
gRPC's among them. An event loop's own way of starting processes may: uvloop forks. The end is
seen by a pidfd in the loop, or by polling the process on systems without pidfds. Both work
whatever the program does about SIGCHLD, and also when another part of it collects the exit status.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flamepy.host.processes import python_subprocess
from flamepy.local.services.orphans import reaped
from flamepy.runtime.clocks import monotonic

LOOK = 0.05  # seconds between two looks where there is no pidfd
COLLECT_LIMIT = 1.0  # seconds that killed processes have to end
_UNKNOWN_PIDFD = (errno.EINVAL, errno.ENOSYS)  # Linux 5.3 opens pidfds and cannot wait for them


@dataclass(frozen=True, slots=True)
class Command:
    """What to start: arguments (the program first), environment, working directory, log files.

    The logs are opened for appending, so that a file that is cut grows on from its new end.
    """

    arguments: Sequence[str]
    environ: Mapping[str, str]
    folder: Path
    stdout: Path
    stderr: Path


class Child:
    """A process in a session and process group of its own, with nothing on standard input.

    Make it on a thread that may block: it returns once the program is loaded. Everything else is
    for the thread of one event loop.

    Args:
        command: what to start.

    Raises:
        OSError: it cannot be started.
        ValueError: a zero byte, or ``=`` in the name of a variable.

    Attributes:
        pid: the process id, and the id of its process group.
        over: True once its end was noticed.
        returncode: the exit status, negative for a signal; None before the end, and after it
            where another part of this program collected the status.
    """

    def __init__(self, command: Command) -> None:
        self.over = False
        self.returncode: int | None = None
        self._collected = False  # the system may give the number away
        self._since = monotonic()
        with command.stdout.open("ab") as out, command.stderr.open("ab") as err:
            process = python_subprocess().Popen(
                command.arguments,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=command.folder,
                env=dict(command.environ),
                start_new_session=True,
            )
        self.pid = process.pid
        process.returncode = 0  # this class waits, and not subprocess at some later moment
        self._pidfd = _open_pidfd(self.pid)

    async def wait(self) -> None:
        """Return when the process has ended; what is left in its group is killed first.

        Kill before the exit status is collected: until then no other process has the number.
        """
        await self.until_end()
        self.signal_group(signal.SIGKILL)
        self._collect()
        self.over = True
        self.close()
        await self._collect_group()

    async def _collect_group(self) -> None:
        """Collect those of its group that became children of this process, as process 1."""
        if self._collected and _exists(self.pid):
            return  # the number is another process's now
        limit = monotonic() + COLLECT_LIMIT
        with contextlib.suppress(ChildProcessError):  # none, as nearly always
            while monotonic() < limit:
                if os.waitpid(-self.pid, os.WNOHANG)[0] == 0:
                    await asyncio.sleep(LOOK)  # killed, and not gone yet

    def close(self) -> None:
        """Close the pidfd, of a process that is not awaited any more. Idempotent."""
        if self._pidfd is not None:
            pidfd, self._pidfd = self._pidfd, None
            os.close(pidfd)

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the process and what it started, unless all of that has ended."""
        if self.over or self._number_is_anothers():
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _number_is_anothers(self) -> bool:
        """Return True if the process was collected and another one has its number."""
        if self._pidfd is not None:
            try:
                signal.pidfd_send_signal(self._pidfd, 0)
            except ProcessLookupError:
                self._collected = True
            except OSError:
                return False  # a sandbox
        return self._collected and _exists(self.pid)

    async def until_end(self) -> None:
        """Return when the process itself has ended; nothing is killed or collected yet."""
        if self._pidfd is None:
            while not self._has_ended():
                await asyncio.sleep(LOOK)
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._pidfd)

    def peek(self) -> int | None:
        """Return the exit status of an ended process that is not collected yet, if it is known."""
        if self.returncode is None and not self._collected and hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):
                found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if found is not None:
                    exited = found.si_code == os.CLD_EXITED
                    return found.si_status if exited else -found.si_status
        return self.returncode

    def _has_ended(self) -> bool:
        try:
            if hasattr(os, "waitid"):  # leaves the status, and with it the number
                flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
                return os.waitid(os.P_PID, self.pid, flags) is not None
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            self._collected = True
            return True
        if pid:
            self._collected = True
            self.returncode = os.waitstatus_to_exitcode(status)
        return bool(pid)

    def _collect(self) -> None:
        if self.returncode is None:
            try:
                self.returncode = self._status()
            except ChildProcessError:  # collected elsewhere, or SIGCHLD is ignored
                self.returncode = reaped.take(self.pid, self._since)
        self._collected = True

    def _status(self) -> int | None:
        if self._pidfd is not None and hasattr(os, "P_PIDFD"):
            try:
                found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
            except OSError as error:
                if error.errno not in _UNKNOWN_PIDFD:
                    raise
            else:
                if found is None:
                    return None
                exited = found.si_code == os.CLD_EXITED
                return found.si_status if exited else -found.si_status
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None


def _open_pidfd(pid: int) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:  # an old kernel, a sandbox, no descriptor left, or it is gone already
        return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
