"""The asyncio tasks of one hub: started here, and ended together. Runs on the link's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine


class Jobs:
    """Owns the tasks that it starts.

    Args:
        ended: called after a task ended, with the error that ended it, or None.
    """

    def __init__(self, ended: Callable[[BaseException | None], None]) -> None:
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._running: set[asyncio.Task[None]] = set()

    def __bool__(self) -> bool:
        return bool(self._running)

    def spawn(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Start a coroutine."""
        job = self._loop.create_task(coroutine)
        self._running.add(job)
        job.add_done_callback(self._discard)
        return job

    def _discard(self, job: asyncio.Task[None]) -> None:
        self._running.discard(job)
        self._ended(None if job.cancelled() else job.exception())

    def cancel(self) -> None:
        """Cancel all that run."""
        for job in self._running:
            job.cancel()

    async def aclose(self) -> None:
        """Cancel all, those too that are started meanwhile, and wait until they have ended."""
        while self._running:
            jobs = list(self._running)
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            # Since Python 3.12 the wait for jobs that are over does not yield to their callbacks,
            # which take them out: without this the loop would never run again.
            self._running.difference_update(jobs)
