"""Dead letters that were asked to be handled again are given to their informers.

``DeadLetterRetries`` has the thread ``flamepy-dead-letters`` of a reactor that has a file for them.
It looks once a second whether another process (``flamepy deadletters retry``) changed the file, and
at once when this one did.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from flamepy.errors import FlameError
from flamepy.informers.dead_letters.letter import DeadLetter, Retried
from flamepy.runtime import threads
from flamepy.runtime.flags import Flag
from flamepy.runtime.queues import Empty, SimpleQueue
from flamepy.runtime.repeats import RepeatedLog, kind_of
from flamepy.texts import text_of

logger = logging.getLogger(__name__)

NAME = "flamepy-dead-letters"
LOOK_INTERVAL = 1.0  # seconds between looks at the file
JOIN_TIMEOUT = 2.0  # seconds


class Source(Protocol):
    """Where dead letters come from: the store of a checkpoint."""

    def foreign_changes(self) -> int | None:
        """Return a number that another process's change makes another."""

    def waiting(self) -> list[DeadLetter]:
        """Return the letters that are to be handled again. Raises FlameError."""


class Taker(Protocol):
    """A registration, as far as it matters here."""

    @property
    def stored_name(self) -> str:
        """What its letters have as ``informer``."""

    def put(self, item: object) -> bool:
        """Queue something for its thread; False if it found no place."""


class DeadLetterRetries:
    """Gives letters to registrations; each one once, until it was handled or failed again.

    Args:
        source: the file.
        registrations: returns those that are there now.
    """

    def __init__(self, source: Source, registrations: Callable[[], Iterable[Taker]]) -> None:
        self._source = source
        self._registrations = registrations
        self._given: dict[int, object] = {}  # what each letter's failure looked like
        self._seen: int | None = None
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._stopped = Flag()
        self._thread: threading.Thread | None = None
        self._log = RepeatedLog(logger)

    def start(self) -> None:
        """Start the thread, which looks at once.

        Raises:
            ResourceExhaustedError: the system has no room for a thread.
        """
        self._thread = threads.start(self._run, name=NAME)

    def look_soon(self) -> None:
        """Look at the file now; from any thread."""
        self._wake.put(True)

    def stop(self) -> None:
        """End the thread. Idempotent."""
        self._stopped.set()
        self._wake.put(False)
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(JOIN_TIMEOUT)

    def _run(self) -> None:
        self.look()
        while not self._stopped.is_set():
            try:
                woken = self._wake.get(timeout=LOOK_INTERVAL)
            except Empty:
                woken = self._foreign()
            if woken and not self._stopped.is_set():
                self.look()

    def _foreign(self) -> bool:
        try:
            now = self._source.foreign_changes()
        except Exception as error:
            self._failed(error)
            return False
        changed = now is not None and now != self._seen
        self._seen = now
        return changed or bool(self._given)

    def look(self) -> None:
        """Give what waits to its informers."""
        try:
            letters = self._source.waiting()
        except FlameError as error:
            self._failed(error)
            return
        waiting = {one.id: one for one in letters}
        for number in set(self._given) - set(waiting):
            del self._given[number]
        takers = {one.stored_name: one for one in self._registrations()}
        for number, letter in waiting.items():
            taker = takers.get(letter.informer)
            if taker is not None and self._given.get(number) != letter.failed_at:
                self._give(taker, letter)

    def _give(self, taker: Taker, letter: DeadLetter) -> None:
        try:
            event = letter.observed()
        except FlameError as error:
            self._failed(error)
            return
        if taker.put(Retried(letter.id, event)):
            self._given[letter.id] = letter.failed_at

    def _failed(self, error: Exception) -> None:
        text = "dead letters cannot be handled again now: %s"
        self._log.log(logging.WARNING, kind_of(error), text, text_of(error))
