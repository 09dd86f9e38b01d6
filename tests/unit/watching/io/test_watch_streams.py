"""Who gets a stream, of those that wait for a task."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from flamepy.errors import FlameError
from flamepy.types import Task
from flamepy.watching.io.watch_streams import WatchStreams
from flamepy.watching.policy.completion_planner import FEW
from flamepy.watching.state.waiters import Waiters


class Waiting:
    """Somebody who is not told here."""

    def changed(self, task: Task) -> None:
        raise AssertionError(task)

    def lost(self, error: FlameError) -> None:
        raise error


class Streams:
    """A collector of tasks that are awaited together, and how many streams it opens."""

    def __init__(self, awaited: int) -> None:
        nothing: Any = None
        self.opened = self.crowded = 0
        self.interests = Waiters()
        self.collector = WatchStreams(
            self.interests, nothing, nothing, observe=nothing, clock=lambda: 0.0, spawn=self.spawn
        )
        for number in range(1, awaited + 1):
            self.collector.add("s", number, Waiting(), alone=False)
        self.collector.crowded = self.crowd

    def spawn(self, watch: Coroutine[object, object, None]) -> Any:
        watch.close()
        self.opened += 1
        return self

    def add_done_callback(self, function: object) -> None:
        """Never end."""

    def crowd(self) -> None:
        self.crowded += 1


def test_who_is_awaited_among_others_gets_a_stream_once_a_caller_blocks() -> None:
    streams = Streams(FEW)
    assert streams.opened == 0, "it may have ended before anybody looks"
    for _ in range(2):
        streams.collector.hasten("s", 2)
    assert (streams.opened, streams.crowded) == (1, 0)
    streams.collector.hasten("s", FEW + 1)
    streams.collector.hasten("another", 1)
    assert streams.opened == 1, "nobody waits for those"


def test_who_blocks_gets_no_other_stream_where_streams_were_no_use() -> None:
    streams = Streams(1)
    useless = streams.interests.get("s", 1)
    assert useless is not None
    useless.useless = True
    streams.collector.hasten("s", 1)
    assert streams.opened == 0


def test_in_a_crowd_who_blocks_is_gathered_with_the_others() -> None:
    streams = Streams(FEW + 1)
    streams.collector.hasten("s", 2)
    assert (streams.opened, streams.crowded) == (0, 1)
    assert streams.interests.blocking_in("s") == 1


def test_streams_are_shared_up_to_a_number() -> None:
    streams = Streams(3 * FEW)
    for _ in range(2):
        streams.collector.share("s", FEW)
    assert streams.opened == FEW
    streams.collector.share("s")
    assert streams.opened == 3 * FEW
