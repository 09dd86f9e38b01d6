"""Changes that touch the same thing come one after the other; the others do not wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from flamepy.local.state.journal import Settled, Steps, Write
from flamepy.local.state.refusal import StorageRefusal
from flamepy.local.storage.commits import Commits, session_key

A, B = session_key("a"), session_key("b")


class Disk:
    """Writes down what it is given when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Settled] = []

    def commit(self, write: Write, settled: Settled) -> None:
        self.waiting.append(settled)

    async def settle(self, error: Exception | None = None) -> None:
        """Write down the first that waits, and let all that follows from it happen."""
        self.waiting.pop(0)(error)
        await turns()


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Scene:
    def __init__(self) -> None:
        self.disk = Disk()
        self.commits = Commits(self.disk)
        self.said: list[str] = []

    def change(self, name: str) -> Steps[str]:
        self.said.append(f"check {name}")
        try:
            yield lambda journal: None
        except StorageRefusal:
            self.said.append(f"undo {name}")
            raise
        self.said.append(f"make {name}")
        return name

    def nothing(self, name: str) -> Steps[str]:
        self.said.append(f"see {name}")
        return name
        yield  # a generator without a change

    def begin(self, name: str, **keys: tuple[tuple[str, str], ...]) -> asyncio.Task[str]:
        return asyncio.ensure_future(self.commits.make(self.change(name), **keys))


def scene(play: Callable[[Scene], Awaitable[None]]) -> Scene:
    async def go() -> Scene:
        made = Scene()
        await play(made)
        return made

    return asyncio.run(go())


def test_a_change_is_made_when_it_is_durable_and_only_then() -> None:
    async def play(one: Scene) -> None:
        made = one.begin("x", shared=(A,))
        await turns()
        assert one.said == ["check x"]
        await one.disk.settle()
        assert await made == "x"
        assert one.said == ["check x", "make x"]

    scene(play)


def test_a_change_that_cannot_be_written_is_not_made_and_lets_others_go_on() -> None:
    async def play(one: Scene) -> None:
        lost, following = one.begin("x", alone=(A,)), one.begin("y", alone=(A,))
        await turns()
        await one.disk.settle(StorageRefusal("full"))
        with pytest.raises(StorageRefusal, match="full"):
            await lost
        await one.disk.settle()
        assert await following == "y"
        assert one.said == ["check x", "undo x", "check y", "make y"]

    scene(play)


def test_those_that_share_a_key_are_written_together_and_one_alone_waits_for_them() -> None:
    async def play(one: Scene) -> None:
        begun = [one.begin("1", shared=(A,)), one.begin("2", shared=(A,))]
        begun.append(one.begin("close", alone=(A,)))
        begun.append(one.begin("3", shared=(A,)))
        begun.append(one.begin("other", alone=(B,)))
        await turns()
        assert one.said == ["check 1", "check 2", "check other"]
        assert one.commits.is_changing(A)
        for _ in range(3):
            await one.disk.settle()
        assert one.said[3:] == ["make 1", "make 2", "check close", "make other"]
        await one.disk.settle()
        assert one.said[7:] == ["make close", "check 3"]
        await one.disk.settle()
        await asyncio.gather(*begun)
        assert not one.commits._keys, "nothing is kept of a key that nobody has"

    scene(play)


def test_a_caller_that_goes_leaves_its_change_to_its_end() -> None:
    async def play(one: Scene) -> None:
        begun, waiting = one.begin("x", alone=(A,)), one.begin("y", alone=(A,))
        await turns()
        begun.cancel()
        waiting.cancel()
        await asyncio.gather(begun, waiting, return_exceptions=True)
        following = one.begin("z", alone=(A,))
        await turns()
        assert one.said == ["check x"], "the one that waited does not begin"
        await one.disk.settle()
        await one.disk.settle()
        assert await following == "z"
        assert one.said == ["check x", "make x", "check z", "make z"]

    scene(play)


def test_one_whose_turn_comes_as_it_is_cancelled_passes_it_on() -> None:
    async def play(one: Scene) -> None:
        begun = [one.begin(name, alone=(A,)) for name in "xyz"]
        await turns()
        one.disk.waiting.pop(0)(None)  # it is y's turn, which does not run before it is cancelled
        begun[1].cancel()
        await turns()
        await one.disk.settle()
        assert await begun[2] == "z"
        assert one.said == ["check x", "make x", "check z", "make z"]

    scene(play)


def test_what_changes_nothing_is_not_written() -> None:
    async def play(one: Scene) -> None:
        assert await one.commits.make(one.nothing("x"), shared=(A,)) == "x"
        assert not one.disk.waiting
        assert not one.commits._keys

    scene(play)


def test_without_storage_a_change_is_made_at_once() -> None:
    async def play(one: Scene) -> None:
        call = Commits().make(one.change("x"), alone=(A,))
        with pytest.raises(StopIteration) as end:
            call.send(None)  # type: ignore[attr-defined]  # a coroutine
        assert end.value.value == "x"

    scene(play)
