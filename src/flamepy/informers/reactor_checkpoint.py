"""The checkpoint of one reactor's registrations: each one's past is loaded once.

A registration may come before the reactor starts or after, on any thread; its memory is loaded once
the checkpoint is open. ``store`` has the file, ``inbox`` goes by the memory.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from flamepy.errors import InvalidStateError
from flamepy.informers.arguments import StateFile
from flamepy.informers.dead_letter_retries import DeadLetterRetries
from flamepy.informers.delivery.registration import Registration
from flamepy.informers.outbox.sink import Sink
from flamepy.runtime.clocks import monotonic

if TYPE_CHECKING:
    from flamepy.informers.checkpoint.store import CheckpointStore
    from flamepy.informers.dead_letters.box import DeadLetters
    from flamepy.informers.dead_letters.letter import DeadLetter

logger = logging.getLogger(__name__)


class ReactorCheckpoint:
    """The file of one reactor, for deliveries, dead letters or both; or none.

    Args:
        file: where it is, and what it is for.
        retain: finished tasks that are remembered one by one, of each informer.
    """

    def __init__(self, file: StateFile, *, retain: int) -> None:
        self._path = file.path
        self.remembers = file.remembers
        self.letters = file.letters
        self._retries: DeadLetterRetries | None = None
        self._retain = retain
        self._store: CheckpointStore | None = None
        self.reset_after_fork()

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

    def start(self, registrations: Callable[[], Iterable[Registration]]) -> None:
        """Give dead letters that wait for it to their informers, from now on."""
        with self._guard:
            if self._store is None or not self.letters:
                return
            self._retries = DeadLetterRetries(self._store, registrations)
        self._retries.start()

    @property
    def dead_letters(self) -> DeadLetters:
        """The dead letters of the file.

        Raises:
            InvalidStateError: there is no file for them, or it is not open yet.
        """
        if self._path is None or not self.letters:
            raise InvalidStateError(
                "this reactor stores no dead letters: give it checkpoint='state.db', or "
                "dead_letters='dead.db'"
            )
        store = self._store
        if store is None:
            raise InvalidStateError("this reactor has not started yet; wait for start()")
        from flamepy.informers.dead_letters.box import DeadLetters

        return DeadLetters(store, self._look_soon)

    def _look_soon(self) -> None:
        if self._retries is not None:
            self._retries.look_soon()

    def put_dead(self, letters: list[DeadLetter]) -> None:
        """Store letters of an informer that is not remembered. Raises InvalidStateError."""
        if self._store is None:
            raise InvalidStateError("the file is not open")
        self._store.put_dead(letters)

    def keep_paused(self, uid: str, reason: str | None) -> None:
        """Store why an informer is paused, or that it is not."""
        if self._store is None or not self.remembers:
            return
        from flamepy.informers.checkpoint.tables import pause

        try:
            self._store.transact(lambda database: pause(database, uid, reason))
        except InvalidStateError as error:
            logger.warning("whether %s is paused could not be stored: %s", uid, error.message)

    def resolved(self, number: int) -> None:
        """Delete a letter that was handled after all."""
        if self._store is not None:
            self._store.resolved(number)

    def prepare(self, registration: Registration) -> None:
        """Load what an earlier process delivered to a registration; on the caller's thread."""
        self._remember(registration)
        sink = registration.informer
        if isinstance(sink, Sink) and registration.outlet is None:
            durable = sink.durable
            if not durable or self._store is not None:
                from flamepy.informers.senders.binding import outbox_of

                outbox = outbox_of(registration, self._store if durable else None)
                registration.send_by(outbox, outbox)

    def _remember(self, registration: Registration) -> None:
        with self._guard:
            store = self._store
            if store is None or registration.is_prepared or not self.remembers:
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

    def close(self, registrations: Iterable[Registration] = (), timeout: float = 0.0) -> None:
        """End the outboxes within ``timeout`` seconds, and release the file. Idempotent."""
        limit = monotonic() + timeout
        for registration in registrations:
            if registration.outlet is not None:
                registration.outlet.stop(max(0.0, limit - monotonic()))
        if self._retries is not None:
            self._retries.stop()
        if self._store is not None:
            self._store.close()

    def reset_after_fork(self) -> None:
        """Reset to closed, in a forked child: the file is the parent's."""
        self._retries = None
        if self._store is not None:
            self._store.reset_after_fork()
            self._store = None
        self._guard = threading.RLock()  # guards _store, and what it gives to whom
