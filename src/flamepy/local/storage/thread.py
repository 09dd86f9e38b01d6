"""The thread ``flamepy-storage``: it alone waits for the disk, and for locks on the database.

It takes the data folder, reads what is there, commits changes in the order in which they come -
those that wait by then together - and at the end closes the database and releases the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence

from flamepy.local.state.journal import Settled, Stored, Write
from flamepy.local.state.refusal import StorageRefusal
from flamepy.local.storage.folder import DataFolder
from flamepy.local.storage.storage import Storage
from flamepy.runtime import threads
from flamepy.runtime.queues import Empty, SimpleQueue
from flamepy.types import Application

NAME = "flamepy-storage"
RETURN_LIMIT = 0.2
BATCH = 256  # changes in one transaction at most

_Job = tuple[Write, Settled]


class StorageThread:
    """The thread that writes the cluster's state; a ``journal.Committer``.

    Made and called on a loop.

    Args:
        folder: taken from ``open`` to ``aclose``.
    """

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._storage: Storage | None = None
        self._opened: asyncio.Future[Stored] = self._loop.create_future()
        self._over: asyncio.Future[None] | None = None
        self._stopping = False

    async def open(self, defaults: Sequence[Application]) -> Stored:
        """Take the folder and return what is there.

        Args:
            defaults: the applications of a new database.

        Raises:
            InvalidStateError: another process has the folder.
            ConfigError: the folder or its database cannot be used; it is left as it is.
            ResourceExhaustedError: no thread can be started.
        """
        self._thread = threads.start(self._run, defaults, name=NAME)
        self._over = self._loop.create_future()
        return await self._opened

    def commit(self, write: Write, settled: Settled) -> None:
        """Make a change durable; ``settled`` then receives None, or why it could not be."""
        if self._stopping:
            refusal = StorageRefusal("the cluster is being stopped; nothing was changed")
            self._loop.call_soon(settled, refusal)
        else:
            self._jobs.put((write, settled))

    async def aclose(self) -> None:
        """End when all pending jobs are done, and release the folder. Idempotent.

        A change that waits for another program's lock is refused at once.

        Raises:
            Exception: what closing the database raised.
        """
        if not self._stopping:
            self._stopping = True
            self._jobs.put(None)
        if self._storage is not None:
            self._storage.hurry()
        if self._over is not None:
            try:
                await asyncio.shield(self._over)
            finally:
                if self._thread is not None and self._over.done():
                    self._thread.join(RETURN_LIMIT)  # it returns from its last lines

    # ------------------------------------------------------------------ the thread

    def _run(self, defaults: Sequence[Application]) -> None:
        failure: Exception | None = None
        try:
            try:
                stored = self._open(defaults)
            except Exception as error:
                self._post(_fail, self._opened, error)
                return
            self._post(_succeed, self._opened, stored)
            del stored
            self._work()
        except Exception as error:
            failure = error
        finally:
            try:
                if self._storage is not None:
                    self._storage.close()
            except Exception as error:
                failure = error
            self._folder.release()
            self._post(self._end, failure)

    def _open(self, defaults: Sequence[Application]) -> Stored:
        self._folder.acquire()
        self._storage = Storage(self._folder.path)
        if self._storage.fresh:
            self._storage.begin_with(defaults)
            return Stored(defaults, [])
        return self._storage.load()

    def _work(self) -> None:
        assert self._storage is not None
        more = True
        while more:
            jobs, more = self._take()
            if jobs:
                found = self._storage.commit([write for write, _ in jobs])
                settled = [one for _, one in jobs]
                self._post(_settle, settled, found)

    def _take(self) -> tuple[list[_Job], bool]:
        """Wait for a job; return all that are there, and False if no more will come."""
        jobs: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) == BATCH:
                return jobs, True
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return jobs, True
        return jobs, False

    def _post(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: no caller waits any more
            self._loop.call_soon_threadsafe(call, *arguments)

    # ------------------------------------------------------------------ on the loop

    def _end(self, failure: Exception | None) -> None:
        assert self._over is not None
        if failure is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(failure)


def _settle(settled: Sequence[Settled], found: Sequence[Exception | None]) -> None:
    for one, error in zip(settled, found, strict=True):
        one(error)


def _succeed(opened: asyncio.Future[Stored], stored: Stored) -> None:
    if not opened.done():
        opened.set_result(stored)


def _fail(opened: asyncio.Future[Stored], error: Exception) -> None:
    if not opened.done():
        opened.set_exception(error)
