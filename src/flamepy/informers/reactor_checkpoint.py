"""The checkpoint of one reactor's registrations: each one's past is loaded once.

A registration may come before the reactor starts or after, on any thread; its memory is loaded once
the checkpoint is open. ``store`` has the file, ``inbox`` goes by the memory.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from flamepy.informers.delivery.registration import Registration

if TYPE_CHECKING:
    from flamepy.informers.checkpoint.store import CheckpointStore

logger = logging.getLogger(__name__)


class ReactorCheckpoint:
    """The checkpoint of one reactor, or none.

    Args:
        path: the file; None for a reactor that remembers nothing.
        retain: finished tasks that are remembered one by one, of each informer.
    """

    def __init__(self, path: Path | None, *, retain: int) -> None:
        self._path = path
        self._retain = retain
        self._store: CheckpointStore | None = None
        self.reset_after_fork()

    @property
    def remembers(self) -> bool:
        """Whether a file was given; without one a registration is prepared at once."""
        return self._path is not None

    @property
    def works(self) -> bool | None:
        """False while the file cannot be written, None without one."""
        return self._store.works if self._store is not None else None

    def open(self, registrations: Iterable[Registration]) -> None:
        """Open the file and load the past of the registrations.

        Raises:
            InvalidStateError: another reactor has it.
        """
        if self._path is None:
            return
        # Here, because few processes need SQLite.
        from flamepy.informers.checkpoint.store import CheckpointStore

        with self._guard:
            self._store = CheckpointStore(self._path, retain=self._retain)
            self._store.open()
        for registration in registrations:
            self.prepare(registration)

    def prepare(self, registration: Registration) -> None:
        """Load what an earlier process delivered to a registration; on the caller's thread."""
        with self._guard:
            store = self._store
            if store is None or registration.is_prepared:
                return
            memory = None
            options = registration.options
            if registration.uid is not None and registration.resumes:
                memory = store.memory(
                    registration.uid, replay=options.replay, scope=registration.scope
                )
            elif registration.resumes:
                logger.warning(
                    "%s is not remembered in the checkpoint, because it has no uid: register it "
                    "with uid='a-name', or with resume=False if that is meant",
                    registration.name,
                )
            registration.prepare(memory)

    def close(self) -> None:
        """Release the file. Idempotent."""
        if self._store is not None:
            self._store.close()

    def reset_after_fork(self) -> None:
        """Reset to closed, in a forked child: the file is the parent's."""
        if self._store is not None:
            self._store.reset_after_fork()
            self._store = None
        self._guard = threading.RLock()  # guards _store, and what it gives to whom
