"""The load of ``flamepy up --demo``: a client that submits some tasks a second.

It is an ordinary client on the thread ``flamepy-demo``. Its sessions stay few: each gets
``SESSION_TASKS`` tasks and is closed, and the oldest is deleted.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from flamepy.config import FlameContext
from flamepy.errors import FlameError
from flamepy.runtime import threads
from flamepy.runtime.flags import Flag
from flamepy.types import ApplicationAttributes

if TYPE_CHECKING:
    from flamepy.core import Connection, Session

APPLICATION = "byte-service"
ATTRIBUTES = ApplicationAttributes(
    command=sys.executable,
    arguments=["-m", "flamepy.tools.byte_service"],
    description="gives back what it gets, in capitals; an empty input fails",
)
INPUTS = (b"hello", b"slowly does it", b"world", b"slowly now", b"flame", b"")  # the last fails
PAUSE = 0.5  # seconds between two tasks
SESSION_TASKS = 240
KEPT = 3  # sessions

logger = logging.getLogger(__name__)


class Demo:
    """Submits tasks to the cluster of ``context`` from ``start`` to ``stop``."""

    def __init__(self, context: FlameContext) -> None:
        self._context = context
        self._stopped = Flag()
        self._numbers = 0
        self._sessions: list[str] = []

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread = threads.start(self._run, name="flamepy-demo")

    def stop(self) -> None:
        """Submit nothing more; returns when the thread has ended, 5 s later at most."""
        self._stopped.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        from flamepy.core import connect

        try:
            with connect(context=self._context) as connection:
                while not self._stopped.is_set():
                    self._load(connection, self._session(connection))
        except FlameError as error:
            if not self._stopped.is_set():
                logger.warning("the demo ends: %s", error.message)

    def _session(self, connection: Connection) -> Session:
        """Return a new session; there are ``KEPT`` at most."""
        made = connection.create_session(APPLICATION, b"you said ", max_instances=2)
        self._sessions.append(made.id)
        while len(self._sessions) > KEPT:
            with suppress(FlameError):  # a user of the demo deleted it
                connection.delete_session(self._sessions.pop(0))
        return made

    def _load(self, connection: Connection, session: Session) -> None:
        for number in range(SESSION_TASKS):
            if self._stopped.wait(PAUSE):
                return
            try:
                session.create_task(INPUTS[number % len(INPUTS)])
            except FlameError:
                if session.refresh().state.name != "OPEN":
                    return  # a user of the demo closed it
                raise
        session.close()
