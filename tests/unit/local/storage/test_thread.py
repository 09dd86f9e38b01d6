"""The thread of the disk: in order, together, bounded; the loop waits for nothing of it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from flamepy.errors import ConfigError, InvalidStateError
from flamepy.local.state.applications import default_set
from flamepy.local.state.journal import Journal, Write
from flamepy.local.state.refusal import StorageRefusal
from flamepy.local.storage.folder import DataFolder
from flamepy.local.storage.thread import BATCH, NAME, StorageThread
from flamepy.types import Application

T = TypeVar("T")
ONE = default_set(0)[0]


def put(name: str) -> Write:
    made = Application(name, name, ONE.state, ONE.creation_time)
    return lambda journal: journal.application_put(made)


def broken(journal: Journal) -> None:
    raise OverflowError("too large")


async def committed(thread: StorageThread, *writes: Write) -> list[Exception | None]:
    """Return what is said of each, all asked for in one turn of the loop."""
    said: list[Exception | None] = []
    done = asyncio.Event()

    def settled(error: Exception | None) -> None:
        assert threading.current_thread() is threading.main_thread()
        said.append(error)
        if len(said) == len(writes):
            done.set()

    for write in writes:
        thread.commit(write, settled)
    await done.wait()
    return said


def with_thread(folder: Path, act: Callable[[StorageThread], Awaitable[T]]) -> T:
    async def go() -> T:
        thread = StorageThread(DataFolder(folder))
        try:
            await thread.open(default_set(0))
            return await act(thread)
        finally:
            await thread.aclose()
            await thread.aclose()

    found = asyncio.run(asyncio.wait_for(go(), 60.0))
    assert NAME not in {one.name for one in threading.enumerate() if one.is_alive()}
    return found


def names(folder: Path) -> list[str]:
    async def look() -> list[str]:
        thread = StorageThread(DataFolder(folder))
        try:
            return [one.name for one in (await thread.open(())).applications]
        finally:
            await thread.aclose()

    return sorted(asyncio.run(look()))


DEFAULTS = sorted(one.name for one in default_set(0))


def test_what_waits_is_one_transaction_and_is_told_in_its_order(tmp_path: Path) -> None:
    async def act(thread: StorageThread) -> list[str]:
        said: list[str] = []
        held = threading.Event()

        def hold(journal: Journal) -> None:
            journal._database.set_trace_callback(said.append)  # type: ignore[attr-defined]  # it is the storage
            held.wait()

        writes = [hold, *(put(f"a{n}") for n in range(BATCH))]
        job = asyncio.ensure_future(committed(thread, *writes))
        await asyncio.sleep(0)
        held.set()
        assert await job == [None] * len(writes)
        return said

    said = with_thread(tmp_path, act)
    assert said.count("COMMIT") <= 3
    assert names(tmp_path) == sorted([*DEFAULTS, *(f"a{n}" for n in range(BATCH))])


def test_what_cannot_be_written_takes_nothing_with_it(tmp_path: Path) -> None:
    async def act(thread: StorageThread) -> list[Exception | None]:
        return await committed(thread, put("a"), broken, put("b"))

    first, failed, last = with_thread(tmp_path, act)
    assert (first, last) == (None, None)
    assert isinstance(failed, OverflowError)
    assert names(tmp_path) == sorted([*DEFAULTS, "a", "b"])


def test_the_loop_goes_on_and_the_stop_is_prompt_while_another_program_has_the_lock(
    tmp_path: Path,
) -> None:
    async def act(thread: StorageThread) -> list[Exception | None]:
        other = sqlite3.connect(tmp_path / "flame.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            waiting = asyncio.ensure_future(committed(thread, put("a"), put("b")))
            for _ in range(20):
                await asyncio.sleep(0.001)  # the loop is free
            assert not waiting.done()
            await thread.aclose()  # after five seconds they would be refused as well
            return await waiting
        finally:
            other.close()

    for said in with_thread(tmp_path, act):
        assert isinstance(said, StorageRefusal)
        assert "database is locked; nothing was changed: end the other program" in said.message
    assert names(tmp_path) == DEFAULTS


def test_after_the_stop_nothing_is_taken(tmp_path: Path) -> None:
    async def act(thread: StorageThread) -> list[Exception | None]:
        await thread.aclose()
        return await committed(thread, put("a"))

    (said,) = with_thread(tmp_path, act)
    assert isinstance(said, StorageRefusal)


def test_a_folder_that_cannot_be_used_is_an_error_of_the_opening(tmp_path: Path) -> None:
    async def act(first: StorageThread) -> None:
        second = StorageThread(DataFolder(tmp_path))
        with pytest.raises(InvalidStateError, match="is in use"):
            await second.open(())
        await second.aclose()

    with_thread(tmp_path, act)
    (tmp_path / "flame.db").write_bytes(b"x" * 200)
    with pytest.raises(ConfigError, match="left as it is"):
        names(tmp_path)


def test_an_opening_that_is_cut_leaves_the_folder_free(tmp_path: Path) -> None:
    async def go() -> None:
        thread = StorageThread(DataFolder(tmp_path))
        opening = asyncio.ensure_future(thread.open(default_set(0)))
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await thread.aclose()

    asyncio.run(asyncio.wait_for(go(), 60.0))
    assert names(tmp_path) == DEFAULTS
