"""Which tasks of a session its stream of WatchTasks has, and when it is not believed. Pure.

Engines after 0.6 push the changes of the tasks that were registered on a session's stream, each
in its present state first (docs/protocol.md#dialects). ``io.session_streams`` carries it out.
"""

from __future__ import annotations

from collections.abc import Iterable

SILENCE = 1.0  # seconds in which a change that the counters show must have been pushed
SAFETY = 30.0  # seconds after which counters that never agree are looked into all the same


class PushPlan:
    """The registrations on one stream.

    Attributes:
        registered: when each task was registered that has not ended since.
    """

    def __init__(self) -> None:
        self.registered: dict[int, float] = {}
        self._wanted: dict[int, None] = {}

    @property
    def complete(self) -> bool:
        """True while no task waits to be registered."""
        return not self._wanted

    @property
    def empty(self) -> bool:
        """True while nothing is registered or waits to be."""
        return not (self._wanted or self.registered)

    def has(self, number: int) -> bool:
        """Return True if a task is registered, or waits to be."""
        return number in self.registered or number in self._wanted

    def want(self, numbers: Iterable[int]) -> bool:
        """Add tasks that a reply of the engine has shown; return True if any is new."""
        fresh = [number for number in numbers if number not in self.registered]
        before = len(self._wanted)
        self._wanted.update(dict.fromkeys(fresh))
        return len(self._wanted) > before

    def take(self, now: float) -> int | None:
        """Return the next task to register, which counts as registered then, or None.

        Args:
            now: in loop seconds.
        """
        if not self._wanted:
            return None
        number = next(iter(self._wanted))
        del self._wanted[number]
        self.registered[number] = now
        return number

    def since(self, number: int) -> float:
        """Return when a task was registered; -inf if it is not."""
        return self.registered.get(number, float("-inf"))

    def ended(self, number: int) -> None:
        """Record that the stream showed the end of a task, and has it no longer."""
        self.registered.pop(number, None)
        self._wanted.pop(number, None)

    def broke(self) -> None:
        """Record that the stream is over: the next one has to have the same tasks."""
        self._wanted = dict.fromkeys([*self.registered, *self._wanted])
        self.registered.clear()


class PushTrust:
    """Whether what the counters show and the stream did not is left to the stream.

    The counters are older than what it showed, or it is about to show what they say. A re-queue
    is not announced, and a half-dead stream shows nothing: then the session is read as without one.
    """

    def __init__(self) -> None:
        self._since: float | None = None  # the counters disagree

    def holds(self, now: float, *, settled: bool, heard: float) -> bool:
        """Return False if the session has to be read.

        Args:
            now: in loop seconds.
            settled: the known tasks account for the counters.
            heard: when the stream last had a message.
        """
        if settled:
            self._since = None
            return True
        if self._since is None:
            self._since = now
        silent = now - max(self._since, heard)
        if silent < SILENCE and now - self._since < SAFETY:
            return True
        self._since = None
        return False
