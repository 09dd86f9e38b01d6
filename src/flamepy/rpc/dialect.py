"""Which name of a call an engine knows, as its answers show: no call is made to find out. Pure.

Engines after 0.6 have five calls by another name only (``wire.services.NEW_NAMES``), and nothing
shows which engine it is but UNIMPLEMENTED, which proves that nothing ran. So a call is made by the
name that was known last, and after UNIMPLEMENTED by the other one at once. What is known is of the
engine that answered: after a reconnect there may be another one, and ``doubt`` says so
(docs/protocol.md#dialects).
"""

from __future__ import annotations

from flamepy.connections import Dialect
from flamepy.wire.services import NEW_NAMES, OLD_NAMES

WATCH = "WatchTask"
LISTS = frozenset(NEW_NAMES) - {WATCH}


def other_name(name: str) -> str:
    """Return the other name of a call that has two.

    Args:
        name: one of them.
    """
    return NEW_NAMES.get(name) or OLD_NAMES[name]


class Names:
    """The names that the engine at one endpoint knows. Not locked: of one loop.

    The lists change their names together. So does WatchTask later or at the same time: until it was
    called, it is taken to be as the lists.
    """

    def __init__(self) -> None:
        self._lists = self._watch = Dialect.UNKNOWN
        self._sure = False  # whether this engine has shown the names of lists

    @property
    def dialect(self) -> Dialect:
        """What the engine speaks, UNKNOWN until it has answered a list since the last ``doubt``."""
        return self._lists if self._sure else Dialect.UNKNOWN

    @property
    def watches(self) -> Dialect:
        """Which call for watching the engine probably has; OLD unless it has shown another."""
        known = self._lists if self._watch is Dialect.UNKNOWN else self._watch
        return Dialect.NEXT if known is Dialect.NEXT else Dialect.OLD

    @property
    def shows_old_watch(self) -> bool:
        """Whether the engine has answered WatchTask of 0.6 since the last ``doubt``."""
        return self._watch is Dialect.OLD

    def first(self, call: str) -> str:
        """Return the name by which a call is made.

        Args:
            call: its name in 0.6, of one that has two.
        """
        known = self.watches if call == WATCH else self._lists
        return NEW_NAMES[call] if known is Dialect.NEXT else call

    def answered(self, name: str) -> None:
        """Record that the engine knows a name.

        Args:
            name: the one that was used.
        """
        spoken = Dialect.NEXT if name in OLD_NAMES else Dialect.OLD
        if OLD_NAMES.get(name, name) == WATCH:
            self._watch = spoken
        else:
            self._sure = True
            if spoken is not self._lists:
                self._lists = spoken
                self._watch = Dialect.UNKNOWN  # another engine

    def refused(self, name: str) -> None:
        """Record that the engine does not know a name, where the other one is not tried.

        Args:
            name: the one that was used, of WatchTask.
        """
        self._watch = Dialect.OLD if name in OLD_NAMES else Dialect.NEXT

    def doubt(self) -> None:
        """Record that the connection broke: what comes back may be another engine.

        The names of lists that were known stay the ones that are tried first.
        """
        self._sure = False
        self._watch = Dialect.UNKNOWN
