"""Which awaited tasks get a stream."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from flamepy.errors import FlameError
from flamepy.types import Task
from flamepy.watching.io.context import WatchContext
from flamepy.watching.io.outages import Outages
from flamepy.watching.io.wakeups import FASTEST_GATHER, Wakeups
from flamepy.watching.io.watch_streams import WatchStreams
from flamepy.watching.policy.completion_planner import FEW
from flamepy.watching.state.store import Store
from flamepy.watching.state.subscriptions import Subscribers
from flamepy.watching.state.waiters import Waiters


class Unnotified:
    """A listener that nothing is delivered to here."""

    def changed(self, task: Task) -> None:
        raise AssertionError(task)

    def lost(self, error: FlameError) -> None:
        raise error


class Case:
    """The streams of tasks that are awaited together: how many open, how often rounds are asked."""

    def __init__(self, awaited: int) -> None:
        nothing: Any = None
        self.opened = 0
        self.waiters = Waiters()
        context = WatchContext(
            engine=nothing,
            store=Store(),
            subscribers=Subscribers(),
            waiters=self.waiters,
            wakeups=Wakeups(),
            clock=lambda: 0.0,
            spawn=self.spawn,
            endpoint="http://nowhere",
        )
        self.pulse = context.wakeups.gather
        self.streams = WatchStreams(context, nothing, Outages(context, 120.0))
        for number in range(1, awaited + 1):
            self.streams.add("s", number, Unnotified(), alone=False)
        self.pulse.interval = 1.0

    @property
    def gathers(self) -> bool:
        """True once a round of the gatherer was asked for."""
        return self.pulse.interval == self.pulse.shortest

    def spawn(self, watch: Coroutine[object, object, None]) -> Any:
        watch.close()
        self.opened += 1
        return self

    def add_done_callback(self, function: object) -> None:
        """Never end."""


def test_a_task_awaited_among_others_gets_a_stream_once_a_caller_blocks() -> None:
    case = Case(FEW)
    assert case.opened == 0, "it may have ended before the first read"
    for _ in range(2):
        case.streams.hasten("s", 2)
    assert (case.opened, case.gathers) == (1, False)
    case.streams.hasten("s", FEW + 1)
    case.streams.hasten("another", 1)
    assert case.opened == 1, "no caller waits for those"


def test_a_caller_that_blocks_gets_no_second_stream_where_streams_were_useless() -> None:
    case = Case(1)
    useless = case.waiters.get("s", 1)
    assert useless is not None
    useless.useless = True
    case.streams.hasten("s", 1)
    assert case.opened == 0


def test_among_many_the_task_that_a_caller_blocks_on_is_gathered_with_the_others() -> None:
    case = Case(FEW + 1)
    case.streams.hasten("s", 2)
    assert (case.opened, case.gathers) == (0, True)
    assert case.waiters.blocking_in("s") == 1


def test_the_first_caller_that_blocks_ends_the_rest_of_the_gatherer() -> None:
    case = Case(3 * FEW)
    for number, wakes in ((2, True), (2, False), (3, False)):
        case.pulse.round_begins()
        case.pulse.interval = FASTEST_GATHER
        case.streams.hasten("s", number)
        assert case.pulse._wakeup.is_set() is wakes, "the first of several, and once"


def test_streams_are_shared_up_to_a_number() -> None:
    case = Case(3 * FEW)
    for _ in range(2):
        case.streams.share("s", FEW)
    assert case.opened == FEW
    case.streams.share("s")
    assert case.opened == 3 * FEW


def test_a_wait_that_leaves_while_no_stream_is_free_leaves_the_queue() -> None:
    case = Case(0)
    case.streams.resize(1)
    first, second, third = Unnotified(), Unnotified(), Unnotified()
    case.streams.add("s", 1, first)
    waits = [case.streams.add("s", 2, second), case.streams.add("s", 3, third)]
    assert case.opened == 1
    case.waiters.remove(waits[0], second)
    assert list(case.streams._queue) == waits[1:]
    case.streams.resize(2)
    assert case.opened == 2
    assert not case.streams._queue
