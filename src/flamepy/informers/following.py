"""``session.run(data, informer=x)``: x is told one task's changes, without a ``Reactor``.

The task's present state comes first, then each observed change until the end, with payloads. The
same informer in several runs is one queue and one thread, which ends when nothing is followed any
more. ``core`` calls ``follow_task``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from flamepy.errors import FlameError
from flamepy.informers.dispatch import Worker
from flamepy.informers.informer import Callbacks, TaskInformer
from flamepy.types import Task
from flamepy.watching.events import EventKind, EventSource, TaskEvent
from flamepy.watching.hub import Hub

if TYPE_CHECKING:
    from flamepy.rpc.link import Link


def follow_task(link: Link, informer: TaskInformer, task: Task) -> None:
    """Tell ``informer`` the task's present state, then its changes; returns at once.

    May be called from any thread. A wait that ends without the task's end is told by
    ``on_error``.

    Raises:
        InvalidArgumentError: it is not an informer.
        ConnectionClosedError: the link is closed.
    """
    assert link.reactor is not None  # core has synchronous links only
    Callbacks(informer, _refuse)  # a wrong argument is the caller's, so it is told here
    link.reactor.call_soon(_follow, link, informer, task)


def _refuse(method: object, arguments: tuple[object, ...]) -> None:
    """Never called: the callbacks above are only checked."""


def _follow(link: Link, informer: TaskInformer, task: Task) -> None:
    link.attachment("informers.following", Following).follow(informer, task)


class Following:
    """The followed runs of one link; lives on its loop."""

    def __init__(self, link: Link) -> None:
        self._hub = Hub.of(link)
        self._endpoint = link.endpoint
        self._followers: dict[int, _Follower] = {}
        self._jobs: set[asyncio.Task[None]] = set()

    def follow(self, informer: TaskInformer, task: Task) -> None:
        """Start following one task for an informer."""
        follower = self._followers.get(id(informer))
        if follower is None:
            follower = self._followers[id(informer)] = _Follower(informer)
        follower.tasks += 1
        job = asyncio.get_running_loop().create_task(self._run(follower, task))
        self._jobs.add(job)
        job.add_done_callback(lambda done: self._ended(done, follower))

    async def _run(self, follower: _Follower, task: Task) -> None:
        old: Task | None = None
        loop = asyncio.get_running_loop()
        try:
            async for now in self._hub.watch(task.session_id, task.id):
                follower.worker.put(
                    TaskEvent(
                        kind=EventKind.ADDED if old is None else EventKind.UPDATED,
                        task=now,
                        old=old,
                        source=EventSource.WATCH,
                        endpoint=self._endpoint,
                        observed_at=loop.time(),
                    )
                )
                old = now
        except FlameError as error:
            follower.worker.put(error)

    def _ended(self, job: asyncio.Task[None], follower: _Follower) -> None:
        self._jobs.discard(job)
        follower.tasks -= 1
        if not follower.tasks:
            self._followers.pop(id(follower.informer), None)

    async def aclose(self) -> None:
        """Stop following; what is queued is still delivered."""
        jobs = list(self._jobs)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


class _Follower:
    """One informer and the thread that its followed runs share."""

    def __init__(self, informer: TaskInformer) -> None:
        self.informer = informer
        self.tasks = 0
        name = f"flamepy-handler-{type(informer).__name__}"
        self.worker = Worker(name, self._handle, lingers=False)
        self._callbacks = Callbacks(informer, self.worker.call)

    def _handle(self, item: object) -> None:
        if isinstance(item, TaskEvent):
            self._callbacks.event(item)
        elif isinstance(item, FlameError):
            self._callbacks.call("on_error", item)
