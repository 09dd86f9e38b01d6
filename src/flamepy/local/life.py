"""The thread of a cluster: makes all that the cluster needs, and removes all of it at the end.

Ctrl-C, and other exceptions of signal handlers, hit a program's main thread between any two lines,
so also within ``LocalCluster.start`` and ``stop``. Those only ask and wait, and may be cut and
called again: nothing that has to be undone is made on their thread, and no exception of a handler
reaches this one. Waiting holds no lock, so a handler may call ``stop`` as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine

from flamepy.errors import DeadlineExceededError, InvalidStateError, ResourceExhaustedError
from flamepy.local.folders import Folders, make_folders
from flamepy.local.services.reaper import Reaper
from flamepy.runtime import log_relay
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.forks import abandon_loop, leak
from flamepy.runtime.loops import new_loop, retire, run_forever
from flamepy.runtime.queues import Empty, SimpleQueue
from flamepy.texts import repr_of, text_of

logger = logging.getLogger(__name__)

BEGIN_LIMIT = 0.5  # seconds until a thread that was asked for runs; one that was cut never does
LOOK = 0.01
SLICE = 0.1
BRIEF = 0.001
RETURN_LIMIT = 0.2


class Life:
    """One run of a cluster, from start to stop; used once.

    Args:
        begin: what to do on the loop before ``start`` returns.
        end: undoes it, on the loop, also where ``begin`` failed or was cut.
        clean: what to do on the thread when the loop has stopped.
        name: of the thread.

    Attributes:
        loop: runs on the thread; None before it was made.
        folders: temporary ones, removed at the end.
        reaper: ends services if this process is killed.
        over: True once all is removed.
    """

    def __init__(
        self,
        begin: Callable[[], Coroutine[None, None, None]],
        end: Callable[[], Coroutine[None, None, None]],
        clean: Callable[[], None],
        *,
        name: str,
    ) -> None:
        self._begin = begin
        self._end = end
        self._clean = clean
        self._name = name
        self.loop: asyncio.AbstractEventLoop | None = None
        self.folders: Folders | None = None
        self.reaper: Reaper | None = None
        self.over = False
        self._thread: threading.Thread | None = None
        self._beginning: asyncio.Task[None] | None = None
        self._stop_wanted = False
        self._cut = False
        self._stopping = False
        self._begun: SimpleQueue[BaseException | None] = SimpleQueue()
        self._ended: SimpleQueue[None] = SimpleQueue()
        self._begin_error: BaseException | None = None
        self._end_error: BaseException | None = None

    # ------------------------------------------------------------------ callers

    def start(self) -> None:
        """Start the thread and wait for ``begin``. Raises what that raises, when all is undone.

        An exception in the wait leaves it to the caller to call ``stop``.

        Raises:
            ResourceExhaustedError: no thread can be started.
        """
        log_relay.install()
        try:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        except RuntimeError as error:
            if "start new thread" not in str(error):
                raise  # what a lock makes of an interrupt in its wait; there may be a thread
            self.over = True
            raise ResourceExhaustedError(
                f"the thread {repr_of(self._name)} cannot be started: {text_of(error)}; raise "
                "the limit of threads "
                "(ulimit -u, pids.max), or try again when some have ended"
            ) from error
        failure = self._begun.get()
        if failure is not None:
            raise failure

    def stop(self, limit: float) -> None:
        """End it and wait until all is undone. May be cut, called again, and from any thread.

        Args:
            limit: seconds.

        Raises:
            DeadlineExceededError: it has not ended yet; it still ends later.
            Exception: what ``end`` or ``clean`` raised, once.
        """
        self._stop_wanted = True  # first: a thread that has not begun yet makes nothing then
        loop = self.loop
        if loop is not None and not self.over:
            with contextlib.suppress(RuntimeError):  # it was closed
                loop.call_soon_threadsafe(self._stop_soon)
        self._join(limit)
        error, self._end_error = self._end_error, None
        if error is not None:
            raise error

    def _join(self, limit: float) -> None:
        until = monotonic() + BEGIN_LIMIT
        while self._thread is None and monotonic() < until:
            threading.Event().wait(LOOK)
        if self._thread is None:
            self.over = True  # cut before there was a thread
            return
        if self._thread is threading.current_thread():
            raise InvalidStateError(
                f"the thread {repr_of(self._name)} cannot wait for its own end: stop the cluster "
                "from "
                "another thread"
            )
        self._wait(limit)
        if not self.over:
            raise DeadlineExceededError(
                f"the cluster has not ended within {limit:g} s, and is still ending: call stop() "
                "again to wait for it"
            )

    def _wait(self, limit: float) -> None:
        """Wait for the end of the thread, as ``Thread.join`` cannot do within itself.

        A handler may run between any two lines here, call this as well, or raise: a token that is
        lost so makes the next waiter look once more.
        """
        assert self._thread is not None
        until = monotonic() + limit
        while not self.over and monotonic() < until:
            with contextlib.suppress(Empty):
                self._ended.get(timeout=SLICE)
                self._ended.put(None)
        until = monotonic() + RETURN_LIMIT
        while self.over and self._thread.is_alive() and monotonic() < until:
            threading.Event().wait(BRIEF)  # it returns from its last lines

    def forget(self) -> None:
        """Leave everything to the parent, in a forked child."""
        if self.reaper is not None:
            self.reaper.forget()
        if self.loop is not None:
            abandon_loop(self.loop)
        leak(self)

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        self._thread = threading.current_thread()
        try:
            if not self._stop_wanted:
                self._live()
        except BaseException as error:
            if self._begin_error is None:
                self._end_error = error
        finally:
            self.over = True
            self._ended.put(None)
            self._begun.put(self._begin_error or self._end_error or _stopped_early())

    def _live(self) -> None:
        with contextlib.ExitStack() as undo:
            try:
                self.folders = make_folders()
                undo.callback(self.folders.remove)
                self.reaper = Reaper(self.folders)
                undo.callback(self.reaper.close)
                self.reaper.start()
            except BaseException as error:
                self._begin_error = error
                return
            undo.callback(self._clean)
            loop = new_loop()
            undo.callback(retire, loop)
            loop.call_soon(self._begin_soon)
            self.loop = loop
            run_forever(loop, self._finish)

    def _begin_soon(self) -> None:
        assert self.loop is not None
        if self._stop_wanted:
            self._stop_loop()
            return
        self._beginning = self.loop.create_task(self._begin())
        self._beginning.add_done_callback(self._has_begun)

    def _has_begun(self, beginning: asyncio.Task[None]) -> None:
        if beginning.cancelled():
            self._stop_loop()
        elif (error := beginning.exception()) is not None:
            self._begin_error = error
            self._stop_loop()
        else:
            self._begun.put(None)
            if self._stop_wanted:
                self._stop_loop()

    def _stop_soon(self) -> None:
        if self._stopping:
            return
        if self._beginning is None or self._beginning.done():
            self._stop_loop()
        elif not self._cut:
            self._cut = True  # once: a second one would cut what the first one undoes
            self._beginning.cancel()

    def _stop_loop(self) -> None:
        """Stop the loop, once: it runs again to end what is left, and for others later."""
        if not self._stopping:
            self._stopping = True
            assert self.loop is not None
            self.loop.stop()

    async def _finish(self) -> None:
        try:
            await self._end()
        except BaseException as error:
            if self._begin_error is not None:
                logger.exception("what a start that failed had made was not undone in order")
            else:
                self._end_error = error


def _stopped_early() -> InvalidStateError:
    return InvalidStateError("the cluster was stopped while it started")
