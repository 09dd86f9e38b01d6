"""The object cache as coroutines: on few threads of their own, which go with the connection."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from support.objects import serving
from support.waiting import eventually

from flamepy import aio, core
from flamepy.errors import ConnectionClosedError, ObjectNotFoundError
from flamepy.local import LocalCluster


def workers() -> list[str]:
    return sorted(
        one.name for one in threading.enumerate() if one.name.startswith("flamepy-objects-")
    )


def test_the_calls_of_a_connection(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"bytes")

    async def use() -> None:
        with LocalCluster(executors=1) as cluster:
            async with await aio.connect(context=cluster.context) as connection:
                objects = connection.objects
                ref = await objects.put("a/s", 1)
                ref = await objects.patch(ref, 2)
                assert await objects.get(ref, lambda base, more: base + sum(more)) == 3
                ref = await objects.update(ref, 4)
                assert await objects.get(ref) == 4
                kept = await objects.upload("a/s", tmp_path / "file")
                await objects.download(kept, tmp_path / "copy")
                refs = await objects.put_many("a/s", [5, 6, 7])
                assert await objects.get_many(refs) == [5, 6, 7]
                await objects.delete("a/*")
                with pytest.raises(ObjectNotFoundError):
                    await objects.get(ref)
            assert workers() == []
            with pytest.raises(ConnectionClosedError):
                await objects.put("a/s", 1)

    asyncio.run(use())
    assert (tmp_path / "copy").read_bytes() == b"bytes"


def test_the_functions_from_any_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as cache:
        monkeypatch.setenv("FLAME_CACHE_ENDPOINT", cache.endpoint)
        ref = asyncio.run(aio.put_object("a/s", [1]))
        assert asyncio.run(aio.get_object(ref)) == core.get_object(ref) == [1]
        ref = asyncio.run(aio.patch_object(ref, 2))
        ref = asyncio.run(aio.update_object(ref, 3))
        assert core.get_object(ref) == 3
        refs = asyncio.run(aio.put_objects("a/s", range(9)))
        assert asyncio.run(aio.get_objects(refs)) == core.get_objects(refs) == list(range(9))
        refs = core.put_objects("a/s", iter("ab"))
        assert asyncio.run(aio.get_objects(iter(refs), parallel=1)) == ["a", "b"]
        asyncio.run(aio.delete_objects("a/s"))


def test_many_at_once_take_few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use() -> list[int]:
        return list(await asyncio.gather(*(put_and_get(number) for number in range(50))))

    async def put_and_get(number: int) -> int:
        found = await aio.get_object(await aio.put_object("a/s", number))
        assert isinstance(found, int)
        return found

    with serving() as cache:
        monkeypatch.setenv("FLAME_CACHE_ENDPOINT", cache.endpoint)
        assert asyncio.run(use()) == list(range(50))
        assert workers() == [f"flamepy-objects-{number}" for number in range(4)]


def test_a_cancelled_call_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(base: object, patches: object) -> object:
        started.set()
        go_on.wait(30)
        return base

    async def use() -> None:
        ref = await aio.put_object("a/s", 1)
        reading = asyncio.ensure_future(aio.get_object(ref, slow))
        while not started.is_set():
            await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await aio.get_object(ref) == 1
        go_on.set()

    with serving() as cache:
        monkeypatch.setenv("FLAME_CACHE_ENDPOINT", cache.endpoint)
        asyncio.run(use())
        eventually(lambda: len(workers()) <= 2)


def test_a_cancelled_call_of_many_begins_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    started, go_on = threading.Event(), threading.Event()
    read: list[object] = []

    def slow(base: object, patches: object) -> object:
        read.append(base)
        started.set()
        go_on.wait(30)
        return base

    async def use() -> None:
        refs = await aio.put_objects("a/s", range(20))
        reading = asyncio.ensure_future(aio.get_objects(refs, slow, parallel=1))
        while not started.is_set():
            await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        go_on.set()

    with serving() as cache:
        monkeypatch.setenv("FLAME_CACHE_ENDPOINT", cache.endpoint)
        asyncio.run(use())
        eventually(lambda: not [name for name in workers() if "batch" in name])
        assert read == [0]
