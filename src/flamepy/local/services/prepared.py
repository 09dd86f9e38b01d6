"""``PreparedInstance``: a service process whose package is installed before it starts."""

from __future__ import annotations

from collections.abc import Callable

from flamepy.local.services.installation import Installations, Installed
from flamepy.local.services.instance import Instance, TaskOutcome
from flamepy.types import Application, SessionInfo, TaskContext


class PreparedInstance:
    """An ``Instance`` that installs first; for the cluster's loop.

    Args:
        application: whose service it is.
        installations: of the cluster.
        make: returns the instance, given where the package is.
    """

    def __init__(
        self,
        application: Application,
        installations: Installations,
        make: Callable[[Installed | None], Instance],
    ) -> None:
        self._application = application
        self._installations = installations
        self._make = make
        self._made: Instance | None = None

    @property
    def alive(self) -> bool:
        """True while the service runs and can be called."""
        return self._made is not None and self._made.alive

    async def start(self) -> None:
        """Install the package, then start the service. Raises BindFailure."""
        installed = await self._installations.install(self._application)
        self._made = self._make(installed)
        await self._made.start()

    async def enter(self, session: SessionInfo, application: Application) -> None:
        """Enter the session. Raises BindFailure."""
        await self._service.enter(session, application)

    async def invoke(self, task: TaskContext) -> TaskOutcome:
        """Run a task. Raises TaskNotBegun."""
        return await self._service.invoke(task)

    async def leave(self) -> None:
        """Leave the session."""
        await self._service.leave()

    async def stop(self) -> None:
        """End the service, if there is one."""
        if self._made is not None:
            await self._made.stop()

    @property
    def _service(self) -> Instance:
        assert self._made is not None  # after start
        return self._made
