"""``session.run(data, informer=x)``: x receives one task's changes, without a ``Reactor``.

The task's present state comes first, then each observed change until the end, with payloads. The
same informer in several runs is one queue and one thread, which ends when nothing is followed any
more. ``core`` calls ``follow_tasks``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flamepy.errors import FlameError, InternalError
from flamepy.informers.delivery.callbacks import Callbacks
from flamepy.informers.delivery.invocation import CallbackRunner, Failure
from flamepy.informers.informer import TaskInformer
from flamepy.informers.workers.queue import Work
from flamepy.informers.workers.worker import Worker, WorkSource
from flamepy.runtime.repeats import EVERY, RepeatedLog
from flamepy.texts import repr_of
from flamepy.types import Task
from flamepy.watching.hub import Hub
from flamepy.watching.state.events import EventKind, EventSource, TaskEvent
from flamepy.watching.state.memo import MemoHolder

if TYPE_CHECKING:
    from flamepy.rpc.link import Link

logger = logging.getLogger(__name__)


def follow_tasks(
    link: Link, informer: TaskInformer, application: str = ""
) -> Callable[[str, str], None]:
    """Return a function that follows a task, given the ids of its session and itself.

    It delivers the task's present state to ``informer``, then its changes, and returns at once; it
    may be called from any thread. A wait that ends without the task's end is reported by
    ``on_error``.

    Args:
        link: synchronous.
        informer: receives the events.
        application: of the session, for the events.

    Raises:
        InvalidArgumentError: it is not an informer.
    """
    reactor = link.reactor
    assert reactor is not None  # core has synchronous links only
    Callbacks(informer)  # a wrong argument is the caller's, so it raises here

    def follow(session_id: str, task_id: str) -> None:
        reactor.call_soon(_follow, link, informer, _Followed(session_id, task_id, application))

    return follow


def _follow(link: Link, informer: TaskInformer, followed: _Followed) -> None:
    link.attachment("informers.following", Followers).follow(informer, followed)


@dataclass(frozen=True, slots=True)
class _Followed:
    """A task that is followed."""

    session_id: str
    task_id: str
    application: str


class Followers:
    """The followed runs of one link; lives on its loop."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._hub = Hub.of(link)
        self._endpoint = link.endpoint
        self._followers: dict[int, _Follower] = {}
        self._jobs: set[asyncio.Task[None]] = set()
        self._log = RepeatedLog(logger)
        self._timer: asyncio.TimerHandle | None = None

    def follow(self, informer: TaskInformer, task: _Followed) -> None:
        """Start following one task for an informer."""
        follower = self._followers.get(id(informer))
        if follower is None:
            follower = self._followers[id(informer)] = _Follower(informer, self._log)
        self._tick()
        follower.tasks += 1
        job = asyncio.get_running_loop().create_task(self._run(follower, task))
        self._jobs.add(job)
        job.add_done_callback(lambda done: self._ended(done, follower))

    def _tick(self) -> None:
        """Write what failures were counted, now and then while anything is followed."""
        self._log.flush()
        if self._timer is not None:
            self._timer.cancel()
        if self._followers:
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._tick)

    async def _run(self, follower: _Follower, task: _Followed) -> None:
        old: Task | None = None
        loop = asyncio.get_running_loop()
        holder = MemoHolder()
        try:
            async for now in self._hub.watch(task.session_id, task.task_id):
                follower.worker.put(
                    TaskEvent(
                        kind=EventKind.ADDED if old is None else EventKind.UPDATED,
                        task=now,
                        old=old,
                        application=task.application,
                        source=EventSource.WATCH,
                        endpoint=self._endpoint,
                        observed_at=loop.time(),
                        memo_holder=holder,
                    )
                )
                old = now
        except FlameError as error:
            follower.worker.put(error)
        except Exception as error:  # a mistake of ours: the followers are notified nevertheless
            failed = InternalError(f"following task {task.task_id} failed: {repr_of(error)}")
            failed.__cause__ = error
            follower.worker.put(failed)

    def _ended(self, job: asyncio.Task[None], follower: _Follower) -> None:
        self._jobs.discard(job)
        follower.tasks -= 1
        if follower.tasks:
            return
        if follower.worker.thread is None:
            self._retire(follower)
        else:
            # Not before its last callback: a next run must not get a second thread beside it.
            follower.worker.put(_Last(lambda: self._soon_retire(follower)))

    def _soon_retire(self, follower: _Follower) -> None:
        assert self._link.reactor is not None
        with suppress(FlameError):  # the link was closed: nothing is followed any more
            self._link.reactor.call_soon(self._retire, follower)

    def _retire(self, follower: _Follower) -> None:
        if not follower.tasks and self._followers.get(id(follower.informer)) is follower:
            del self._followers[id(follower.informer)]

    async def aclose(self) -> None:
        """Stop following; what is queued is still delivered."""
        jobs = list(self._jobs)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        self._log.flush(everything=True)


class _Follower(WorkSource):
    """One informer and the thread that its followed runs share."""

    def __init__(self, informer: TaskInformer, log: RepeatedLog) -> None:
        self.informer = informer
        self.tasks = 0
        name = f"flamepy-handler-{type(informer).__name__}"
        self._callbacks = Callbacks(informer)
        self.worker = Worker(name, self, lingers=False)
        self._runner = CallbackRunner(
            type(informer).__name__,
            retry=None,
            stopping=self.worker.stopping,
            failed=_logged,
            on_error=self._callbacks.get("on_error"),
            log=log,
        )

    def handle(self, item: object, work: Work) -> None:
        """Call the callbacks that an event goes to."""
        if isinstance(item, TaskEvent):
            for call in self._callbacks.for_task(item):
                self._runner.call(call, item)
            self._call("on_batch", [item])
        elif isinstance(item, FlameError):
            self._call("on_error", item)
        elif isinstance(item, _Last):
            item.reached()

    def ended(self) -> None:
        """End the loop of the coroutines."""
        self._runner.asynchronous.close()

    def _call(self, name: str, item: object) -> None:
        call = self._callbacks.get(name)
        if call is not None:
            self._runner.call(call, item)


@dataclass(frozen=True, slots=True)
class _Last:
    """The marker after the last followed run."""

    reached: Callable[[], None]


def _logged(failure: Failure) -> None:
    """Nothing more to do: ``invocation`` has logged it and called ``on_error``."""
