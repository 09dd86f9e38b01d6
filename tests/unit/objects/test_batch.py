"""``put_many`` and ``get_many``: in order, several at a time, and nothing that was done is lost."""

from __future__ import annotations

import itertools
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from support.objects import client_of
from support.waiting import eventually

from flamepy.errors import (
    DeadlineExceededError,
    FlameErrorCode,
    InvalidArgumentError,
    InvalidStateError,
    ObjectBatchError,
    ObjectNotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from flamepy.objects.batch import AHEAD, Batch, BatchOptions
from flamepy.objects.client import ObjectClient
from flamepy.rpc.transport.loop_thread import ReactorLoop
from flamepy.runtime import threads
from flamepy.wire.objects import ObjectRef


def threads_left() -> list[str]:
    found = (one.name for one in threading.enumerate())
    return [name for name in found if name.startswith("flamepy-objects-batch-")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    eventually(lambda: not threads_left())


def batch(items: Any, call: Callable[[Any], Any], **options: Any) -> Batch[Any, Any]:
    return Batch("get_objects", items, lambda item, _: call(item), BatchOptions(**options))


def fails_at(*places: int) -> Callable[[int], int]:
    def call(item: int) -> int:
        if item in places:
            raise ObjectNotFoundError(f"object <{item}> not found")
        return item * 10

    return call


class TestAgainstACache:
    def test_objects_come_back_in_the_order_of_their_references(self, client: ObjectClient) -> None:
        values = [list(range(number)) for number in range(40)]
        refs = client.put_many("a/s", values)
        assert client.get_many(refs) == values
        assert client.get_many(reversed(refs), parallel=3) == values[::-1]
        assert [client.get(ref) for ref in refs] == values

    def test_none_is_nothing(self, client: ObjectClient) -> None:
        assert client.put_many("a/s", []) == []
        assert client.get_many([]) == []

    def test_each_is_read_as_one_is(self, client: ObjectClient) -> None:
        refs = client.put_many("a/s", [np.zeros(3), np.ones(3)])
        first, _ = client.get_many(refs, copy=True)
        first[0] = 5.0
        refs = [client.patch(ref, 1) for ref in refs]
        assert client.get_many(refs, lambda base, more: (base.sum(), more)) == [
            (0.0, [1]),
            (3.0, [1]),
        ]
        (given,) = client.put_many("a/s", [threads_left])
        with pytest.raises(ObjectBatchError, match=r"object 0: .*pickle") as caught:
            client.get_many([given], allow_pickle=False)
        assert caught.value.code is FlameErrorCode.INVALID_ARGUMENT

    def test_errors_may_be_results(self, client: ObjectClient) -> None:
        refs = client.put_many("a/s", ["a", "b", "c"])
        client.delete(refs[1].key)
        first, error, last = client.get_many(refs, return_exceptions=True)
        assert (first, last) == ("a", "c")
        assert isinstance(error, ObjectNotFoundError)

    def test_what_was_put_before_a_failure_is_there(self, client: ObjectClient) -> None:
        objects = [1, 2, (one for one in ()), 4]  # a generator cannot be pickled
        with pytest.raises(ObjectBatchError) as caught:
            client.put_many("a/s", objects, parallel=1)
        error = caught.value
        assert {place: client.get(ref) for place, ref in error.results.items()} == {0: 1, 1: 2}
        assert list(error.errors) == [2]
        assert isinstance(error.__cause__, InvalidArgumentError)
        assert len(client.list()) == 2
        assert "put_objects stopped: 2 done, 1 failed, 1 not begun; object 2:" in error.message

    def test_a_cache_that_cannot_be_reached(self) -> None:
        with client_of("grpc://127.0.0.1:1", patience=0.0) as client:
            with pytest.raises(ObjectBatchError) as caught:
                client.put_many("a/s", range(100), parallel=1)
            assert isinstance(caught.value.__cause__, UnavailableError)
            assert list(caught.value.errors) == [0]
            assert caught.value.retryable

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"parallel": 0}, "parallel must be a whole number of calls, 1 or more, got 0"),
            ({"parallel": True}, "parallel must be"),
            ({"timeout": -1}, "timeout must be seconds"),
            ({"retry": 3}, "retry must be"),
        ],
    )
    def test_a_wrong_option_is_refused_before_anything_is_sent(
        self, client: ObjectClient, options: dict[str, Any], match: str
    ) -> None:
        with pytest.raises(InvalidArgumentError, match=match):
            client.put_many("a/s", [1], **options)
        with pytest.raises(InvalidArgumentError, match=match):
            client.get_many([], **options)
        assert client.list() == []

    @pytest.mark.parametrize("single", [b"bytes", "text", {"a": 1}, 7])
    def test_what_is_no_series_of_objects_is_refused(
        self, client: ObjectClient, single: Any
    ) -> None:
        with pytest.raises(InvalidArgumentError, match=r"objs must be an iterable.*write \[x\]"):
            client.put_many("a/s", single)
        with pytest.raises(InvalidArgumentError, match="refs must be an iterable"):
            client.get_many(single)

    def test_the_prefix_is_checked_first(self, client: ObjectClient) -> None:
        with pytest.raises(InvalidArgumentError, match="Invalid key component"):
            client.put_many("", [])

    def test_the_reactors_thread_is_refused(self, client: ObjectClient) -> None:
        async def use() -> None:
            client.get_many([ObjectRef("", "a/b/c")])

        loop = ReactorLoop()
        try:
            with pytest.raises(InvalidStateError, match="would hold up everything"):
                loop.run(use())
        finally:
            loop.stop()


class TestAtATime:
    def test_as_many_calls_run_as_are_asked_for_and_no_more(self) -> None:
        together = threading.Barrier(3, timeout=30)
        running: set[int] = set()
        most: list[int] = []

        def call(item: int) -> int:
            running.add(item)
            most.append(len(running))
            together.wait()  # breaks if fewer than three run at a time
            running.discard(item)
            together.wait()
            return item

        assert batch(range(12), call, parallel=3).run() == list(range(12))
        assert max(most) == 3

    def test_items_are_taken_as_they_are_needed(self) -> None:
        ended: list[int] = []
        ahead: list[int] = []

        def items() -> Iterator[int]:
            for item in range(50):
                ahead.append(item - len(ended))
                yield item

        def call(item: int) -> int:
            ended.append(item)
            return item

        assert batch(items(), call, parallel=4).run() == list(range(50))
        assert max(ahead) <= 4 + AHEAD

    def test_a_system_without_room_for_more_threads_makes_do_with_those_that_run(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        start = threads.start

        def few(*arguments: Any, name: str) -> threading.Thread:
            if not name.endswith("-0"):
                raise ResourceExhaustedError("no room")
            return start(*arguments, name=name)

        monkeypatch.setattr(threads, "start", few)
        assert batch(range(9), fails_at(), parallel=4).run() == [item * 10 for item in range(9)]


class TestErrors:
    def test_after_the_first_no_more_are_begun(self) -> None:
        begun: list[int] = []

        def call(item: int) -> int:
            begun.append(item)
            return fails_at(3)(item)

        with pytest.raises(ObjectBatchError) as caught:
            batch(range(100), call, parallel=1).run()
        assert begun == [0, 1, 2, 3]
        assert caught.value.results == {0: 0, 1: 10, 2: 20}
        assert caught.value.code is FlameErrorCode.NOT_FOUND
        assert caught.value.message.startswith(
            "get_objects stopped: 3 done, 1 failed, 96 not begun; object 3: object <3> not found."
        )

    def test_those_that_run_are_awaited(self) -> None:
        begun, failed = threading.Event(), threading.Event()

        def call(item: int) -> int:
            if item == 0:
                assert begun.wait(30)
                failed.set()
                raise ValueError("no")
            begun.set()
            assert failed.wait(30)
            return item

        with pytest.raises(ObjectBatchError, match="object 0: ValueError: no") as caught:
            batch([0, 1], call, parallel=2).run()
        assert caught.value.results == {1: 1}
        assert caught.value.code is FlameErrorCode.INTERNAL
        assert not caught.value.retryable

    def test_all_are_tried_if_errors_may_be_results(self) -> None:
        found = batch(range(5), fails_at(0, 3), parallel=2, return_exceptions=True).run()
        assert [item if isinstance(item, int) else None for item in found] == [
            None,
            10,
            20,
            None,
            40,
        ]

    def test_an_iterable_that_raises_loses_nothing(self) -> None:
        def items() -> Iterator[int]:
            yield from range(3)
            raise OSError("disk")

        with pytest.raises(
            ObjectBatchError, match=r"the rest not begun; .*raised OSError: disk"
        ) as caught:
            batch(items(), fails_at()).run()
        assert caught.value.results == {0: 0, 1: 10, 2: 20}
        assert isinstance(caught.value.__cause__, OSError)

    def test_an_interrupt_is_not_held_up(self) -> None:
        go_on, begun = threading.Event(), threading.Event()

        def call(item: int) -> int:
            begun.set()
            go_on.wait(30)
            return item

        def items() -> Iterator[int]:
            yield 1
            assert begun.wait(30)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            # The thread that is still busy would be waited for at the end of ``run``.
            batch(items(), call, parallel=1).run()
        assert threads_left()
        go_on.set()

    def test_a_time_that_is_over(self) -> None:
        def call(item: int) -> int:
            threading.Event().wait(0.02)
            return item

        with pytest.raises(ObjectBatchError, match=r"did not begin object .* within") as caught:
            batch(itertools.count(), call, parallel=1, timeout=0.01).run()
        assert isinstance(caught.value.__cause__, DeadlineExceededError)
        assert isinstance(caught.value.errors[len(caught.value.results)], DeadlineExceededError)

    def test_a_call_has_the_seconds_that_are_left(self) -> None:
        given: list[float | None] = []
        for seconds in (None, 50.0):
            Batch(
                "get_objects",
                [1],
                lambda _, left: given.append(left),
                BatchOptions(timeout=seconds),
            ).run()
        assert given[0] is None
        assert given[1] is not None
        assert 0 < given[1] <= 50

    def test_one_that_is_stopped_returns_no_part_of_the_results(self) -> None:
        started: list[Batch[Any, Any]] = []

        def call(item: int) -> int:
            started[0].stop()
            return item

        started.append(batch(range(50), call, parallel=1))
        with pytest.raises(ObjectBatchError, match="it was cancelled") as caught:
            started[0].run()
        assert caught.value.results == {0: 0}

    def test_it_crosses_a_process_border(self) -> None:
        with pytest.raises(ObjectBatchError) as caught:
            batch([0, 1], fails_at(1), parallel=1).run()
        back = pickle.loads(pickle.dumps(caught.value))
        assert back.results == {0: 0}
        assert isinstance(back.errors[1], ObjectNotFoundError)


class TestProgress:
    def test_it_is_called_for_each_with_the_number_of_those_that_ended(self) -> None:
        told: list[tuple[int, int | None]] = []
        where: set[int] = set()

        def progress(done: int, total: int | None) -> None:
            told.append((done, total))
            where.add(threading.get_ident())

        batch([1, 2, 3], fails_at(2), return_exceptions=True, progress=progress).run()
        assert told == [(1, 3), (2, 3), (3, 3)]
        assert where == {threading.get_ident()}
        told.clear()
        batch(iter([1, 2]), fails_at(), progress=progress).run()
        assert told == [(1, None), (2, None)]

    def test_what_it_raises_ends_the_call_and_loses_nothing(self) -> None:
        def progress(done: int, total: int | None) -> None:
            if done == 2:
                raise LookupError("enough")

        with pytest.raises(ObjectBatchError, match="raised LookupError: enough") as caught:
            batch(range(100), fails_at(), parallel=1, progress=progress).run()
        assert isinstance(caught.value.__cause__, LookupError)
        assert {0: 0, 1: 10}.items() <= caught.value.results.items()
        assert len(caught.value.results) < 100
