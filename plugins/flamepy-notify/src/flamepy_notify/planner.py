"""From a batch of entries to messages: which entries each one names, and which have to wait. Pure.

An entry counts as sent only when the message that names it was. So what waits - for the quiet
hours to end, for the rate limit, for a recovery to last - stays in the outbox and comes again; the
planner keeps no entry. What it keeps is which problems are open (``problems``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from flamepy_notify import groups
from flamepy_notify.facts import PROBLEMS, Fact, Kind
from flamepy_notify.problems import Problem, Problems, dumped, loaded
from flamepy_notify.rate_limit import RateLimit

BY_SUCCESS = ("failed", "event")  # kinds of problems that a success ends
ENDING = frozenset({Kind.SUCCESS, Kind.FAILED, Kind.END})
UNANNOUNCED_DELAY = 30.0  # seconds until a recovery is tried again whose problem was not reported


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message to send.

    Attributes:
        template: ``failed``, ``overdue``, ``event`` or ``recovered``.
        values: of the template's fields.
        entries: ids of the entries that count as sent with it.
        problem: what it reports, or the end of what.
    """

    template: str
    values: Mapping[str, str]
    entries: tuple[int, ...]
    problem: Problem


@dataclass(slots=True)
class Plan:
    """What is to be done with a batch; entries that it does not name need no message.

    Attributes:
        drafts: messages, in the order in which they are to be sent.
        waiting: entry to the seconds for which it waits: a success that may not last.
    """

    drafts: list[Draft] = field(default_factory=list)
    waiting: dict[int, float] = field(default_factory=dict)


class Planner:
    """Plans messages.

    Args:
        group_by: ``application``, ``session`` or ``none``.
        recover_after: seconds without a problem after which a success ends it; None for no recover
            messages.
        rate: the rate limit, or None.
    """

    def __init__(
        self, *, group_by: str, recover_after: float | None, rate: RateLimit | None
    ) -> None:
        self._group_by = group_by
        self._recover_after = recover_after
        self.rate = rate
        self.problems = Problems()

    def plan(self, facts: Sequence[Fact], *, now: float) -> Plan:
        """Return what to do with facts, in the order of their entries, at a wall-clock time."""
        plan = Plan()
        facts = sorted(facts, key=lambda one: one.entry)
        found: dict[tuple[Kind, str, str], list[Fact]] = {}
        for fact in facts:
            if fact.kind in PROBLEMS:
                rule = fact.text if fact.kind is Kind.OVERDUE else ""
                scope = groups.scope_of(fact, self._group_by)
                found.setdefault((fact.kind, scope, rule), []).append(fact)
        for (kind, scope, rule), problems in found.items():
            problem = self.problems.add(kind, scope, rule, problems)
            values = {**groups.fields(problems, scope=scope), "rule": rule}
            entries = tuple(one.entry for one in problems)
            plan.drafts.append(
                Draft(template=kind.value, values=values, entries=entries, problem=problem)
            )
        if self._recover_after is not None:
            for problem in self.problems:
                self._recover(plan, problem, facts, now)
        return plan

    def _recover(self, plan: Plan, problem: Problem, facts: Sequence[Fact], now: float) -> None:
        planned = any(one.problem is problem for one in plan.drafts)
        if not problem.announced and not planned and now > problem.entries_until:
            self.problems.close(problem)  # its entries were dropped from the outbox
            return
        if problem.kind in BY_SUCCESS:
            self._recover_by_success(plan, problem, facts, now)
        else:
            self._recover_by_ends(plan, problem, facts)

    def _recover_by_success(
        self, plan: Plan, problem: Problem, facts: Sequence[Fact], now: float
    ) -> None:
        assert self._recover_after is not None
        newer = [
            one
            for one in facts
            if one.kind is Kind.SUCCESS
            and one.entry > problem.last_entry
            and groups.scope_of(one, self._group_by) == problem.scope
        ]
        others = [one for one in newer if one.entry != problem.awaited]
        # One success at a time waits; unless it was dropped from the outbox it comes again.
        if not newer or (len(others) == len(newer) and self._awaits(problem, now)):
            return
        latest = newer[-1]
        wait = problem.last + self._recover_after - now
        if wait > 0:
            problem.awaited, problem.awaited_until = latest.entry, now + wait
            plan.waiting[latest.entry] = wait
        else:
            plan.drafts.append(_recovered(problem, latest))

    def _awaits(self, problem: Problem, now: float) -> bool:
        return (
            problem.awaited is not None
            and problem.awaited > problem.last_entry
            and now < problem.awaited_until + UNANNOUNCED_DELAY * 2
        )

    def _recover_by_ends(self, plan: Plan, problem: Problem, facts: Sequence[Fact]) -> None:
        last: Fact | None = None
        for fact in facts:
            ends = fact.kind in ENDING and fact.entry > problem.members.get(fact.place, fact.entry)
            if ends:
                del problem.members[fact.place]
                last = fact
            elif fact.entry == problem.awaited:
                last = fact
        if last is not None and not problem.members:
            problem.awaited = last.entry
            plan.drafts.append(_recovered(problem, last))

    def sent(self, draft: Draft, *, now: float) -> None:
        """Record that a message was sent, or that the channel refused it for good."""
        if draft.template == "recovered":
            self.problems.close(draft.problem)
        else:
            draft.problem.announced = True
            draft.problem.count += len(draft.entries)
        if self.rate is not None:
            self.rate.take(now)

    def held(self, draft: Draft, *, until: float) -> None:
        """Record that a message waits, its entries with it, until a wall-clock time."""
        draft.problem.entries_until = until + 2 * UNANNOUNCED_DELAY

    def dump(self) -> str:
        """Return what a new process needs."""
        rate = None if self.rate is None else self.rate.dump()
        return dumped(problems=self.problems.dump(), rate=rate)

    def load(self, text: str | None) -> None:
        """Continue from ``dump``; nothing of a text that another release cannot read."""
        state = loaded(text)
        self.problems.load(state.get("problems"))
        if self.rate is not None:
            self.rate.load(state.get("rate"))


def _recovered(problem: Problem, latest: Fact) -> Draft:
    values = {
        "count": str(problem.count),
        "tasks": "task" if problem.count == 1 else "tasks",
        "scope": problem.scope if problem.scope != "*" else "all applications",
        "applications": latest.application,
        "summary": f"the last was {latest.place}",
        "details": "",
        "rule": problem.rule,
        "first": groups.clock(_utc(problem.first)),
        "last": groups.clock(_utc(problem.last)),
        "duration": groups.duration(latest.at.timestamp() - problem.first),
    }
    return Draft(template="recovered", values=values, entries=(latest.entry,), problem=problem)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.utc)
