"""Problems that were reported and are not over: what a recover message needs. Pure.

They survive a restart as a text (``dump``, ``load``): without it no message would say that what was
reported by the process before is over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields

from flamepy_notify.facts import Fact, Kind

MEMBERS = 1000  # overdue tasks that a problem waits for by name
LIMIT = 1000  # problems; the oldest is dropped for one more


@dataclass(slots=True, kw_only=True)
class Problem:
    """Something that is broken, or was a short while ago.

    Attributes:
        kind: of the problem's facts.
        scope: what it is grouped by.
        first, last: wall-clock seconds of its first and last fact.
        last_entry: the id of its last fact's entry: a success must be newer.
        count: facts that messages have named.
        announced: a message has named it.
        rule: the rule that overdue tasks broke; else "".
        members: overdue tasks and sessions that have not ended: place to entry.
        entries_until: wall-clock seconds until when facts that no message has named are in the
            outbox; 0.0 for none.
        awaited: the entry of a success that waits to see whether it lasts.
        awaited_until: wall-clock seconds when it is looked at again.
    """

    kind: str
    scope: str
    rule: str = ""
    first: float
    last: float
    last_entry: int = 0
    count: int = 0
    announced: bool = False
    members: dict[str, int] = field(default_factory=dict)
    entries_until: float = 0.0
    awaited: int | None = None
    awaited_until: float = 0.0

    def add(self, facts: Iterable[Fact]) -> None:
        """Record more facts; those of an entry that comes again change nothing."""
        for fact in facts:
            at = fact.at.timestamp()
            self.first, self.last = min(self.first, at), max(self.last, at)
            self.last_entry = max(self.last_entry, fact.entry)
            known = fact.place in self.members or len(self.members) < MEMBERS
            if fact.kind is Kind.OVERDUE and known:
                self.members[fact.place] = fact.entry

    @property
    def key(self) -> str:
        """What no second problem has."""
        return f"{self.kind}:{self.scope}:{self.rule}"


class Problems:
    """The open problems by kind and scope."""

    def __init__(self) -> None:
        self._open: dict[str, Problem] = {}

    def add(self, kind: Kind, scope: str, rule: str, facts: list[Fact]) -> Problem:
        """Record facts of one problem, which begins with them if it is new."""
        at = facts[0].at.timestamp()
        made = Problem(kind=kind.value, scope=scope, rule=rule, first=at, last=at)
        problem = self._open.get(made.key)
        if problem is None:
            if len(self._open) >= LIMIT:
                self._open.pop(next(iter(self._open)))
            problem = self._open[made.key] = made
        problem.add(facts)
        return problem

    def close(self, problem: Problem) -> None:
        """Remove a problem that is over."""
        self._open.pop(problem.key, None)

    def __iter__(self) -> Iterator[Problem]:
        return iter(list(self._open.values()))

    def dump(self) -> list[dict[str, object]]:
        """Return every problem as JSON takes it."""
        return [asdict(one) for one in self._open.values()]

    def load(self, state: object) -> None:
        """Continue from ``dump``; what this release cannot read is left out."""
        names = {one.name for one in fields(Problem)}
        for given in state if isinstance(state, list) else ():
            if isinstance(given, dict) and set(given) == names:
                problem = Problem(**given)
                self._open[problem.key] = problem


def dumped(**parts: object) -> str:
    """Return the text that is stored."""
    return json.dumps({"version": 1, **parts}, separators=(",", ":"))


def loaded(text: str | None) -> dict[str, object]:
    """Return what ``dumped`` wrote; nothing of a text that is not that."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) and found.get("version") == 1 else {}
