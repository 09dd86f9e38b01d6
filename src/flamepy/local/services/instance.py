"""What an executor needs of a service, whether it is a process or runs in threads of this one.

``process.ProcessInstance`` and ``threads.ThreadInstance`` implement ``Instance``; ``executor``
drives it: start, enter, invoke one after another, leave, stop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from flamepy.types import Application, SessionInfo, TaskContext

INSTALL_FAILED = 10
SHIM_FAILED = 11
ENTER_FAILED = 12


class BindFailure(Exception):
    """A service could not be bound to a session.

    Attributes:
        return_code: 10 installation, 11 start, 12 ``on_session_enter``.
        detail: the engine's text of it, for event 1001.
        died: True if the service's process ended by itself.
    """

    def __init__(self, return_code: int, detail: str, *, died: bool = False) -> None:
        super().__init__(return_code, detail)
        self.return_code = return_code
        self.detail = detail
        self.died = died


class TaskNotBegun(Exception):
    """A service left before it began a task: another may run it. The text says what is known."""


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """How a task ended: return code 0 is success."""

    return_code: int
    output: bytes | None = None
    message: str | None = None


class Instance(Protocol):
    """One running service, bound to one session for its whole life."""

    @property
    def alive(self) -> bool:
        """False once the service is gone and can take no more tasks."""

    async def start(self) -> None:
        """Start the service and wait until it can be called. Raises BindFailure."""

    async def enter(self, session: SessionInfo, application: Application) -> None:
        """Enter the session. Raises BindFailure."""

    async def invoke(self, task: TaskContext) -> TaskOutcome:
        """Run a task; a service that dies ends it with a text that says how.

        Raises TaskNotBegun where it is certain that the service never looked at it.
        """

    async def leave(self) -> None:
        """Leave the session; a failure is logged only."""

    async def stop(self) -> None:
        """End the service and remove its remains; never raises."""


InstanceFactory = Callable[[Application, str], Instance]
"""Makes the instance of an application for an executor id."""
