"""The folder of ``--data``: made, checked, and held by one process at a time.

Belongs here: who may use the folder. What is in its database is ``database``'s and ``storage``'s.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from typing import TextIO

from flamepy.errors import ConfigError, InvalidArgumentError, InvalidStateError
from flamepy.host import platforms
from flamepy.host.paths import absolute
from flamepy.runtime.forks import leak
from flamepy.texts import repr_of

logger = logging.getLogger(__name__)

LOCK = "lock"


class DataFolder:
    """A folder and the lock on it, which ends with the process however it ends.

    Args:
        path: the folder; made, for this user alone, if it is not there.

    Raises:
        InvalidArgumentError: the path is empty.
        ConfigError: it begins in the home or the working folder, and that does not exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not os.fspath(path):  # an unset variable must not make the working directory one
            raise InvalidArgumentError('data folder "": give a folder, "." for the present one')
        try:
            self.path = absolute(path)
        except FileNotFoundError as error:
            raise ConfigError(
                f"data folder {repr_of(os.fspath(path))}: {error.strerror}"
            ) from error
        self._lock: TextIO | None = None

    def acquire(self) -> None:
        """Make the folder if need be and take it.

        Raises:
            InvalidStateError: another process has it; its pid is named.
            ConfigError: it is no folder, another user's or open to others, or cannot be written
                to or locked, or this platform has no file locks.
        """
        platforms.require(
            f"data folder {self.path}",
            *(*platforms.LOCKS, "os.geteuid"),
            instead="leave data= out; the cluster then keeps nothing when it stops",
        )
        import fcntl

        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_owner()
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
            lock = os.fdopen(os.open(self.path / LOCK, flags, 0o600), "a+", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"data folder {self.path} cannot be used: {error.strerror}; "
                "give a folder that this user may write to"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise InvalidStateError(
                f"data folder {self.path} is in use by the cluster of process {owner}: "
                "stop that one, or give this one a folder of its own"
            ) from error
        except OSError as error:
            lock.close()
            raise ConfigError(
                f"data folder {self.path} cannot be locked: {error.strerror}; "
                "give a folder of a local disk"
            ) from error
        with contextlib.suppress(OSError):  # on a full disk the lock holds, only nameless
            lock.seek(0)
            lock.truncate()
            lock.write(f"{os.getpid()}\n")
            lock.flush()
        self._lock = lock

    def _check_owner(self) -> None:
        """Refuse a folder in which another user could replace or read the database."""
        found = self.path.stat()
        if found.st_uid != os.geteuid():
            raise ConfigError(
                f"data folder {self.path} belongs to another user (uid {found.st_uid}, this is "
                f"{os.geteuid()}): give a folder of this user's"
            )
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o022:
            raise ConfigError(
                f"data folder {self.path} can be written to by others (mode {mode:04o}): "
                "chmod 700 it, or give a folder of its own"
            )
        if mode & 0o055:
            logger.warning(
                "data folder %s can be listed by others (mode %04o), though its files cannot be "
                "read: chmod 700 it",
                self.path,
                mode,
            )

    def release(self) -> None:
        """Let the folder go. Idempotent. The lock's file stays: removing it would be a race."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            lock.close()

    def forget(self) -> None:
        """Leave it to the parent, in a forked child, which must not keep the lock."""
        if self._lock is not None:
            os.close(self._lock.fileno())
            leak(self._lock)
            self._lock = None
