"""The cluster's state and storage without a loop or a thread: each change is made at once."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, TypeVar

from flamepy.local.state.cluster_state import ClusterState
from flamepy.local.state.journal import Settled, Steps, Write
from flamepy.local.storage.storage import Storage

T = TypeVar("T")


def finish(steps: Steps[T], storage: Storage | None = None) -> T:
    """Make a change, written down in a transaction of its own. Raises Refusal."""
    try:
        write = next(steps)
        error = storage.commit([write])[0] if storage is not None else None
        if error is None:
            next(steps)
        else:
            steps.throw(error)
    except StopIteration as end:
        value: T = end.value
        return value
    raise AssertionError("a change is written once")


class Written:
    """A state whose changes are made when they are called."""

    def __init__(self, state: ClusterState, storage: Storage | None = None) -> None:
        self.state = state
        self.storage = storage

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.state, name)
        if not callable(found):
            return found

        def call(*arguments: Any) -> Any:
            result = found(*arguments)
            return finish(result, self.storage) if isinstance(result, Generator) else result

        return call


class PromptCommitter:
    """Writes down at once, and says so some turns of the loop later."""

    def __init__(self, storage: Storage, turns: int = 1) -> None:
        self._storage = storage
        self._turns = turns

    def commit(self, write: Write, settled: Settled) -> None:
        """Begin to; ``settled`` is told later."""
        (error,) = self._storage.commit([write])
        self._later(self._turns, settled, error)

    def _later(self, turns: int, settled: Settled, error: Exception | None) -> None:
        loop = asyncio.get_running_loop()
        if turns > 0:
            loop.call_soon(self._later, turns - 1, settled, error)
        else:
            settled(error)
