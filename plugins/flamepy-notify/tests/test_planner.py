"""What a batch becomes: messages, entries that wait, and when a problem is over."""

from __future__ import annotations

import pytest
from events import START, at, failed, overdue, succeeded, task_event
from events import facts as facts_of
from flamepy_notify.planner import Draft, Plan, Planner
from flamepy_notify.rate_limit import RateLimit

from flamepy.informers import OverdueEvent, TaskEvent
from flamepy.types import TaskState

NOW = START.timestamp()


class Desk:
    """A planner whose messages are all sent at once, and the entries that it was given."""

    def __init__(self, *, group_by: str = "application", recover_after: float | None = 300) -> None:
        self.planner = Planner(group_by=group_by, recover_after=recover_after, rate=None)
        self._next = 1

    def plan(self, *events: TaskEvent | OverdueEvent, seconds: float = 0, again: int = 0) -> Plan:
        """Plan new entries, or with ``again`` one that waited."""
        first = again or self._next
        self._next = max(self._next, first + len(events))
        facts = facts_of(*events, first=first, seconds=0 if again else seconds)
        return self.planner.plan(facts, now=NOW + seconds)

    def send(self, *events: TaskEvent | OverdueEvent, seconds: float = 0, again: int = 0) -> Plan:
        plan = self.plan(*events, seconds=seconds, again=again)
        for draft in plan.drafts:
            self.planner.sent(draft, now=NOW + seconds)
        return plan


def names(drafts: list[Draft]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(one.template, one.values["scope"], one.entries) for one in drafts]


def test_one_message_for_each_application_names_its_entries() -> None:
    plan = Desk().plan(failed("1"), succeeded("2"), failed("3", application="mix"), failed("4"))
    assert names(plan.drafts) == [("failed", "render", (1, 4)), ("failed", "mix", (3,))]
    assert plan.waiting == {}


def test_overdue_tasks_are_grouped_by_their_rule() -> None:
    plan = Desk().plan(overdue("1"), overdue("2"), failed("3"))
    assert names(plan.drafts) == [("overdue", "render", (1, 2)), ("failed", "render", (3,))]
    assert plan.drafts[0].values["rule"] == "end(within=600)"


def test_what_is_no_problem_makes_no_message() -> None:
    running = task_event(TaskState.RUNNING)
    before = task_event(TaskState.FAILED, error="old", initial=True)
    assert Desk().plan(running, before, succeeded("1")) == Plan()


def test_a_success_is_a_recovery_when_it_lasts() -> None:
    desk = Desk()
    desk.send(failed("1"), failed("2"))
    early = desk.send(succeeded("3"), seconds=60)
    assert (early.drafts, early.waiting) == ([], {3: 240})
    assert desk.send(succeeded("4"), seconds=100) == Plan(), "one success at a time waits"
    late = desk.send(succeeded("3"), seconds=300, again=3)
    assert names(late.drafts) == [("recovered", "render", (3,))]
    values = late.drafts[0].values
    assert (values["count"], values["summary"]) == ("2", "the last was s1/3")
    assert desk.send(succeeded("5"), seconds=400) == Plan(), "it is said once"


def test_a_failure_after_the_success_begins_the_wait_anew() -> None:
    desk = Desk()
    desk.send(failed("1"))
    assert desk.send(succeeded("2"), seconds=60).waiting == {2: 240}
    desk.send(failed("3"), seconds=200)
    assert desk.send(succeeded("2"), seconds=300, again=2) == Plan(), "it is older than a failure"
    assert desk.send(succeeded("4"), seconds=310).waiting == {4: 190}
    late = desk.send(succeeded("4"), seconds=500, again=4)
    assert [one.template for one in late.drafts] == ["recovered"]


def test_a_success_of_another_application_says_nothing() -> None:
    desk = Desk()
    desk.send(failed("1"))
    assert desk.send(succeeded("2", application="mix"), seconds=400) == Plan()


def test_a_waiting_success_that_was_dropped_is_replaced_by_a_later_one() -> None:
    desk = Desk()
    desk.send(failed("1"))
    desk.send(succeeded("2"), seconds=60)
    late = desk.send(succeeded("3"), seconds=500)
    assert names(late.drafts) == [("recovered", "render", (3,))]


def test_without_recover_messages_there_are_none() -> None:
    desk = Desk(recover_after=None)
    desk.send(failed("1"), overdue("2"))
    assert desk.send(succeeded("2"), seconds=4000) == Plan()


def test_overdue_tasks_have_recovered_when_the_last_of_them_has_ended() -> None:
    desk = Desk()
    desk.send(overdue("1"), overdue("2"))
    assert desk.send(succeeded("1"), seconds=10) == Plan()
    plan = desk.send(task_event(TaskState.CANCELLED, "2"), seconds=20)
    assert names(plan.drafts) == [("recovered", "render", (4,))]
    assert plan.drafts[0].values["rule"] == "end(within=600)"
    assert desk.send(succeeded("2"), seconds=30) == Plan()


def test_an_end_before_it_was_overdue_is_none() -> None:
    desk = Desk()
    plan = desk.plan(task_event(TaskState.CANCELLED, "1"), overdue("1"))
    assert [one.template for one in plan.drafts] == ["overdue"]


def test_the_end_comes_again_when_its_message_was_not_sent() -> None:
    desk = Desk()
    desk.send(overdue("1"))
    first = desk.plan(succeeded("1"), seconds=10)
    again = desk.plan(succeeded("1"), seconds=20, again=2)
    assert names(first.drafts) == names(again.drafts) == [("recovered", "render", (2,))]


def test_a_problem_whose_entries_were_dropped_is_forgotten() -> None:
    desk = Desk()
    (draft,) = desk.plan(failed("1")).drafts
    desk.planner.held(draft, until=NOW + 100)
    assert desk.plan(succeeded("2"), seconds=50).waiting == {2: 250}
    assert desk.plan(succeeded("3"), seconds=1000) == Plan()


def test_a_restart_continues_with_what_was_reported() -> None:
    desk, other = Desk(), Desk()
    desk.send(failed("1"), overdue("2"))
    other.planner.load(desk.planner.dump())
    plan = other.planner.plan(facts_of(succeeded("2"), first=9, seconds=400), now=NOW + 400)
    assert sorted(one.template for one in plan.drafts) == ["recovered", "recovered"]
    assert plan.drafts[0].problem.announced


@pytest.mark.parametrize(
    "text", [None, "", "x", "[]", '{"version": 2}', '{"version":1,"problems":[{}]}']
)
def test_a_state_that_cannot_be_read_is_none(text: str | None) -> None:
    planner = Planner(group_by="none", recover_after=1, rate=RateLimit("1/hour"))
    planner.load(text)
    assert list(planner.problems) == []


def test_open_problems_are_bounded() -> None:
    desk = Desk(group_by="session")
    for number in range(1200):
        desk.send(failed("1", session=f"s{number}"))
    assert len(list(desk.planner.problems)) == 1000
    assert at(0) == START
