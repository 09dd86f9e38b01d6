"""``Pump``: many inputs into one session, a bounded number at a time; what becomes of them out.

On the link's loop, without an asyncio task for each input: a few workers make the tasks, one
listener waits for an end, and what has ended is handed on together: in the next turn of the loop,
or of many some ms later. ``mapping`` feeds it on the same loop, ``core.mapping`` from elsewhere.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from flamepy.aio.outcomes import outcome
from flamepy.aio.result_order import AsCompleted, InOrder, Result
from flamepy.errors import ConnectionClosedError, FlameError
from flamepy.rpc.link import Link
from flamepy.rpc.requests.create_task import CreatedTask, Series
from flamepy.types import RetryPolicy, Task
from flamepy.watching.hub import Hub
from flamepy.watching.state.waiters import Interest

AT_ONCE = 128  # CreateTasks in flight: more of them make no engine faster
MANY = 16  # inputs in flight from which on results are handed on in batches
PAUSE = 10e-6  # seconds between two batches for each input in flight
LONGEST = 0.01  # seconds between two batches at most

Input = tuple[int, "bytes | FlameError"]  # its place, and why it cannot be sent if it cannot
Notice = Callable[[str, str], object]  # gets the ids of a session and of a task just made
Launch = Callable[[Hub, str, CreatedTask], Any]  # what is handed on for a task that was just made


class Pump:
    """Runs many inputs in one session, a bounded number at a time.

    Args:
        link: of the session.
        session_id: which session.
        series: makes its tasks.
        ordered: hand on in the order of the inputs.
        deliver: gets what has become of inputs, on the loop; never raises.
        launch: makes of a task that was made what is handed on at once; None: the task's output is
            handed on when it has ended.
        made: is called for each task that was made, on the loop; never raises.
    """

    def __init__(
        self,
        link: Link,
        session_id: str,
        series: Series,
        *,
        ordered: bool,
        deliver: Callable[[list[Result]], None],
        launch: Launch | None = None,
        made: Notice | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._link = link
        self._session_id = session_id
        self._series = series
        self._order = InOrder() if ordered else AsCompleted()
        self._deliver = deliver
        self._launch = launch
        self._made = made
        self._backlog: deque[tuple[int, bytes]] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._places: set[_Place] = set()
        self._ready: list[Result] = []
        self._handed_on = 0.0  # the loop's time
        self._stopped = False

    @classmethod
    async def open(
        cls,
        link: Link,
        session_id: str,
        *,
        ordered: bool,
        deliver: Callable[[list[Result]], None],
        launch: Launch | None = None,
        made: Notice | None = None,
        retry: RetryPolicy | None = None,
        on_ambiguous: str | None = None,
    ) -> Pump:
        """Return a pump of a session; the options are those of ``Session.create_task``.

        Raises:
            SessionNotFoundError: there is no such session.
        """
        mode = link.on_ambiguous if on_ambiguous is None else on_ambiguous
        series = await link.frontend.create_tasks(session_id, retry=retry, on_ambiguous=mode)
        return cls(
            link, session_id, series, ordered=ordered, deliver=deliver, launch=launch, made=made
        )

    def submit(self, inputs: Sequence[Input]) -> None:
        """Take inputs over; each has one result, unless the pump is stopped."""
        for index, payload in inputs:
            if isinstance(payload, FlameError):
                self._hand_on(Result(index, error=payload))
            elif not self._stopped:
                self._backlog.append((index, payload))
        for _ in range(min(AT_ONCE - len(self._workers), len(self._backlog))):
            worker = self.loop.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    def stop(self) -> None:
        """Send nothing more and wait for nothing; what was sent is acknowledged and runs."""
        self._stopped = True
        self._backlog.clear()
        places, self._places = self._places, set()
        for place in places:
            place.leave()

    async def _work(self) -> None:
        while self._backlog:
            index, payload = self._backlog.popleft()
            try:
                made = await self._series.create(payload)
                if not self._stopped:
                    self._take(index, made)
            except asyncio.CancelledError:
                self._fail(index, ConnectionClosedError("the connection was closed meanwhile"))
                self._flush()  # the loop may not turn again
                raise
            except Exception as error:
                self._fail(index, error)

    def _take(self, index: int, made: CreatedTask) -> None:
        hub = Hub.of(self._link)
        if self._made is not None:
            self._made(self._session_id, str(made.number))
        if self._launch is not None:
            self._hand_on(Result(index, self._launch(hub, self._session_id, made)))
            return
        place = _Place(self, index)
        self._places.add(place)
        place.wait(hub, hub.expect(self._session_id, made.number, place, born=made.born))

    def _fail(self, index: int, error: Exception) -> None:
        self._backlog.clear()
        self._hand_on(Result(index, error=error, fatal=True))

    def over(self, place: _Place, result: Result) -> None:
        """Record the result of an input that waited."""
        self._places.discard(place)
        self._hand_on(result)

    def _hand_on(self, result: Result) -> None:
        if not self._ready:
            self._flush_soon()
        self._ready.append(result)

    def _flush_soon(self) -> None:
        """Hand on in the next turn; of many not in each, as each batch wakes the consumer."""
        under_way = len(self._places) + len(self._workers) + len(self._backlog)
        if under_way > MANY:
            pause = min(PAUSE * under_way, LONGEST)
            self.loop.call_at(self._handed_on + pause, self._flush)
        else:
            self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._handed_on = self.loop.time()
        ready, self._ready = self._ready, []
        turn = [one for result in ready for one in self._order.add(result)]
        if turn and not self._stopped:
            self._deliver(turn)


class _Place:
    """Waits for the end of one input's task; a ``interests.Listener``."""

    __slots__ = ("_hub", "_index", "_interest", "_pump")

    def __init__(self, pump: Pump, index: int) -> None:
        self._pump = pump
        self._index = index
        self._hub: Hub | None = None
        self._interest: Interest | None = None

    def wait(self, hub: Hub, interest: Interest) -> None:
        """Keep what ``leave`` needs."""
        self._hub, self._interest = hub, interest

    def leave(self) -> None:
        """Wait no longer."""
        if self._hub is not None and self._interest is not None:
            self._hub.leave(self._interest, self)

    def changed(self, task: Task) -> None:
        """Hand on the outcome if the task has ended."""
        if not task.state.is_terminal:
            return
        try:
            result = Result(self._index, outcome(task))
        except FlameError as error:
            result = Result(self._index, error=error)
        self._pump.over(self, result)

    def lost(self, error: FlameError) -> None:
        """Hand on that the outcome is unknown."""
        self._pump.over(self, Result(self._index, error=error))
