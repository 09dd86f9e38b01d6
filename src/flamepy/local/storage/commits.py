"""Changes of the state, each written before it is made: which change waits for which, on the loop.

A method of ``state`` that changes something is a generator (``Steps``): it checks, yields how the
change is written, and makes it when that is durable. ``Commits`` drives it: the write is done by
``thread``, and reads are answered meanwhile from what was made before. Without storage a
change is made at once.

Changes that touch the same thing name it by a key. Those that are ``alone`` at a key (a session is
closed) wait for all that were begun there, and those that share it (its tasks start and end) wait
for them, in the order in which they come. So what is checked is never out of date when it is made.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from flamepy.local.state.journal import Committer, Steps, make_now

T = TypeVar("T")
Key = tuple[str, str]


def session_key(session_id: str) -> Key:
    """Return the key of a session, whether it is there or not."""
    return "session", session_id


def application_key(name: str) -> Key:
    """Return the key of an application, whether it is there or not."""
    return "application", name


class Commits:
    """Runs the changes of the state in a safe order. Used on one loop.

    Args:
        storage: writes the changes; None for a cluster that lives in memory only.
    """

    def __init__(self, storage: Committer | None = None) -> None:
        self._storage = storage
        self._keys: dict[Key, _Holders] = {}

    @property
    def is_written(self) -> bool:
        """True if changes are written down, so that it pays to make several together."""
        return self._storage is not None

    def is_changing(self, key: Key) -> bool:
        """True if a change that is alone at a key is in progress, or waits."""
        holders = self._keys.get(key)
        return holders is not None and (holders.alone or bool(holders.waiting))

    async def make(
        self, steps: Steps[T], *, alone: Sequence[Key] = (), shared: Iterable[Key] = ()
    ) -> T:
        """Make a change; return when it is durable and made.

        A caller that is cancelled leaves a change that was begun to its end.

        Args:
            steps: of the state.
            alone: what no other change may touch meanwhile; before ``shared`` in the order of
                keys that all callers keep: sessions by their ids, then an application.
            shared: what changes may touch that share it as well.

        Raises:
            Refusal: it breaks a rule.
            StorageRefusal: it could not be written down, and was not made.
        """
        if self._storage is None:
            return make_now(steps)
        held: list[_Hold] = []
        try:
            for key in alone:
                await self._acquire(key, held, alone=True)
            for key in shared:
                await self._acquire(key, held, alone=False)
            write = next(steps)
        except StopIteration as end:
            self._release(held)
            value: T = end.value
            return value
        except BaseException:
            self._release(held)
            raise
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._storage.commit(write, lambda error: self._settle(steps, done, held, error))
        return await asyncio.shield(done)

    def _settle(
        self,
        steps: Steps[T],
        done: asyncio.Future[T],
        held: list[_Hold],
        error: Exception | None,
    ) -> None:
        """Make what is durable now, in the order of the commits."""
        try:
            if error is None:
                next(steps)
            else:
                steps.throw(error)
        except StopIteration as end:
            done.set_result(end.value)
        except Exception as failure:
            done.set_exception(failure)
        finally:
            self._release(held)

    # ------------------------------------------------------------------ keys

    async def _acquire(self, key: Key, held: list[_Hold], *, alone: bool) -> None:
        """Add a hold of a key to ``held``, when its turn comes."""
        holders = self._keys.get(key)
        if holders is None:
            holders = self._keys[key] = _Holders()
        hold = _Hold(key, alone)
        if not holders.waiting and holders.admits(alone):
            holders.take(alone)
            held.append(hold)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        holders.waiting.append((turn, alone))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release([hold])  # its turn came at the same moment
            else:
                holders.waiting.remove((turn, alone))
                self._admit(key, holders)
            raise
        held.append(hold)

    def _release(self, held: list[_Hold]) -> None:
        for key, alone in held:
            holders = self._keys[key]
            if alone:
                holders.alone = False
            else:
                holders.shared -= 1
            self._admit(key, holders)
        held.clear()

    def _admit(self, key: Key, holders: _Holders) -> None:
        while holders.waiting:
            turn, alone = holders.waiting[0]
            if not turn.done():
                if not holders.admits(alone):
                    return
                holders.take(alone)
                turn.set_result(None)
                holders.waiting.popleft()
                continue
            return  # it was cancelled, and takes itself out
        if not holders.shared and not holders.alone:
            self._keys.pop(key, None)


class _Hold(NamedTuple):
    key: Key
    alone: bool


class _Holders:
    """The changes that have a key, and those that wait for it."""

    def __init__(self) -> None:
        self.shared = 0
        self.alone = False
        self.waiting: deque[tuple[asyncio.Future[None], bool]] = deque()

    def admits(self, alone: bool) -> bool:
        return not self.alone and not (alone and self.shared)

    def take(self, alone: bool) -> None:
        if alone:
            self.alone = True
        else:
            self.shared += 1
