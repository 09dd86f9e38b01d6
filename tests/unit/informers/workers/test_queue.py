"""The queue to a callback's thread: ordered, bounded, and nothing terminal is lost (G8)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from support.made import made_session, made_task

from flamepy.informers.workers.queue import Mailbox, fold
from flamepy.types import TaskCounts, TaskState
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent


def event(number: int, state: TaskState, old: TaskState | None = None, **more: object) -> TaskEvent:
    before = None if old is None else made_task(number, old)
    kind = EventKind.ADDED if old is None else EventKind.UPDATED
    return replace(TaskEvent(kind=kind, task=made_task(number, state), old=before), **more)


def handled(mailbox: Mailbox, most: int = 64) -> list[object]:
    """Take items and say of each that it was handled."""
    items: list[object] = []
    for work in mailbox.take(0, most):
        items += mailbox.open(work)
        mailbox.finish(work)
    return items


class TestFold:
    def test_two_changes_become_one_that_says_so(self) -> None:
        first = event(1, TaskState.PENDING, initial=True)
        second = event(1, TaskState.RUNNING, TaskState.PENDING)
        folded = fold(first, second)
        assert folded is not None
        assert (folded.kind, folded.old, folded.initial) == (EventKind.ADDED, None, False)
        assert (folded.task.state, folded.coalesced) == (TaskState.RUNNING, 1)

    def test_an_end_and_another_incarnation_are_never_folded_away(self) -> None:
        ended = event(1, TaskState.SUCCEED, TaskState.RUNNING)
        again = event(1, TaskState.PENDING)
        assert fold(ended, again) is None
        assert fold(event(1, TaskState.PENDING), again) is None
        other = replace(again, task=made_task(1, born=5), kind=EventKind.UPDATED)
        assert fold(event(1, TaskState.PENDING), other) is None


HISTORY = [TaskState.PENDING, TaskState.RUNNING, TaskState.PENDING, TaskState.RUNNING]


@given(st.integers(1, 5), st.lists(st.integers(1, 4), max_size=40), st.data())
def test_a_slow_reader_gets_every_task_and_its_end_in_order(limit, puts, data) -> None:
    """However full the queue: per task an ordered part of what happened, its end included."""
    mailbox = Mailbox(limit)
    step = dict.fromkeys(range(1, 5), 0)
    got: list[TaskEvent] = []
    for number in puts:
        if step[number] > len(HISTORY):
            continue
        states = [*HISTORY, TaskState.SUCCEED]
        old = states[step[number] - 1] if step[number] else None
        if mailbox.put(event(number, states[step[number]], old)):
            step[number] += 1
        if data.draw(st.booleans()) and len(mailbox):
            got += handled(mailbox, 1)
    while len(mailbox):
        got += handled(mailbox, 1)
    for number, done in step.items():
        told = [one for one in got if one.task.id == str(number)]
        if done:
            assert told[-1].task.state == [*HISTORY, TaskState.SUCCEED][done - 1]
            assert sum(1 + one.coalesced for one in told) == done
        for before, after in pairwise(told):
            assert after.old is not None
            assert after.old.state == before.task.state


def test_at_its_limit_changes_are_folded_and_what_cannot_be_is_refused() -> None:
    mailbox = Mailbox(2)
    for _ in range(100):
        for number in (1, 2, 3):
            taken = mailbox.put(event(number, TaskState.RUNNING, TaskState.PENDING))
            assert taken == (number < 3)
    assert len(mailbox) == 2
    assert mailbox.coalesced == 198
    assert not mailbox.room
    assert mailbox.put("a marker"), "what is no event is few and always taken"


class TestDepth:
    """What was taken counts until it was handled, towards the limit until that begins."""

    def test_what_was_taken_is_counted_until_it_is_finished(self) -> None:
        mailbox = Mailbox(10)
        for number in range(5):
            mailbox.put(event(number, TaskState.RUNNING))
        oldest = mailbox.oldest
        first, *others = mailbox.take(0)
        assert len(others) == 4
        assert (len(mailbox), mailbox.unfinished, mailbox.waiting, mailbox.room) == (0, 5, 5, 5)
        assert mailbox.oldest == oldest
        mailbox.open(first)
        assert (mailbox.unfinished, mailbox.waiting) == (5, 4)
        mailbox.finish(first)
        assert (mailbox.unfinished, mailbox.waiting) == (4, 4)
        assert mailbox.oldest is not None
        assert oldest is not None
        assert mailbox.oldest > oldest

    def test_the_limit_holds_for_what_was_taken_too(self) -> None:
        mailbox = Mailbox(2)
        for number in (1, 2):
            assert mailbox.put(event(number, TaskState.RUNNING))
        first, _ = mailbox.take(0)
        assert not mailbox.put(event(3, TaskState.RUNNING))
        mailbox.open(first)
        assert mailbox.put(event(3, TaskState.RUNNING)), "the one that is handled takes no place"
        assert not mailbox.put(event(4, TaskState.RUNNING))

    def test_what_was_taken_and_not_opened_is_still_coalesced(self) -> None:
        mailbox = Mailbox(1)
        assert mailbox.put(event(1, TaskState.RUNNING, TaskState.PENDING))
        (work,) = mailbox.take(0)
        assert mailbox.put(event(1, TaskState.SUCCEED, TaskState.RUNNING))
        (item,) = mailbox.open(work)
        assert isinstance(item, TaskEvent)
        assert (item.task.state, item.coalesced) == (TaskState.SUCCEED, 1)

    def test_what_is_kept_waits_until_it_is_handled_with_the_others(self) -> None:
        mailbox = Mailbox(4)
        for number in range(4):
            mailbox.put(event(number, TaskState.RUNNING))
        first, second, third, _ = mailbox.take(0)
        for work in (first, second):
            mailbox.open(work)
            mailbox.keep(work)
        assert (mailbox.unfinished, mailbox.waiting) == (4, 4)
        mailbox.open(third)  # which is handled alone
        mailbox.finish(third)
        assert (mailbox.unfinished, mailbox.waiting) == (3, 3)
        mailbox.resume(first, second)
        assert (mailbox.unfinished, mailbox.waiting) == (3, 1)
        mailbox.finish(first)
        mailbox.finish(second)
        assert (mailbox.unfinished, mailbox.waiting) == (1, 1)

    def test_two_moves_of_a_session_take_one_place_and_are_two_events(self) -> None:
        mailbox = Mailbox(1)
        mailbox.put(moved(SessionEventKind.PROGRESS, 1))
        mailbox.put(moved(SessionEventKind.DRAINED, 1))
        (work,) = mailbox.take(0)
        assert mailbox.unfinished == 1
        assert len(mailbox.open(work)) == 2

    def test_nothing_waits_after_a_close_that_drops_all(self) -> None:
        mailbox = Mailbox()
        for number in range(3):
            mailbox.put(number)
        first, _ = mailbox.take(0, 2)
        mailbox.open(first)
        mailbox.close(discard=True)
        assert (mailbox.unfinished, mailbox.waiting) == (1, 0), "one is being handled"
        mailbox.finish(first)
        assert mailbox.unfinished == 0


def moved(kind: SessionEventKind, done: int = 0, old: int = 0, *, born: int = 0) -> SessionEvent:
    return SessionEvent(
        kind=kind,
        session=made_session(counts=TaskCounts(succeed=done), born=born),
        old=made_session(counts=TaskCounts(succeed=old), born=born),
    )


class TestSessions:
    """Of its moves the last is left, behind it a drain that still holds; the rest is told."""

    def test_a_session_that_drains_again_and_again_takes_one_place(self) -> None:
        mailbox = Mailbox(1)
        mailbox.put(moved(SessionEventKind.OPENED))
        for number in range(1, 101):
            mailbox.put(moved(SessionEventKind.PROGRESS, number, number - 1))
            mailbox.put(moved(SessionEventKind.DRAINED, number, number))
        assert len(mailbox) == 2
        opened, progress, drained = handled(mailbox, 2)
        assert isinstance(opened, SessionEvent)
        assert isinstance(progress, SessionEvent)
        assert isinstance(drained, SessionEvent)
        assert opened.kind is SessionEventKind.OPENED
        assert (progress.counts.succeed, drained.counts.succeed) == (100, 100)
        assert progress.old is not None
        assert (progress.old.counts.succeed, drained.old.counts.succeed) == (0, 100)
        assert mailbox.coalesced == progress.coalesced + drained.coalesced == 198

    def test_a_drain_that_holds_no_more_is_not_told(self) -> None:
        mailbox = Mailbox(1)
        mailbox.put(moved(SessionEventKind.DRAINED, 1))
        mailbox.put(moved(SessionEventKind.PROGRESS, 2, 1))
        (left,) = handled(mailbox)
        assert isinstance(left, SessionEvent)
        assert (left.kind, left.coalesced) == (SessionEventKind.PROGRESS, 1)

    def test_everything_else_is_told_and_ends_the_folding(self) -> None:
        mailbox = Mailbox(1)
        kinds = [
            *(SessionEventKind.OPENED, SessionEventKind.PROGRESS, SessionEventKind.EVENT),
            *(SessionEventKind.PROGRESS, SessionEventKind.CLOSED, SessionEventKind.DELETED),
        ]
        for kind in kinds:
            mailbox.put(moved(kind))
        mailbox.put(moved(SessionEventKind.PROGRESS, born=5))
        mailbox.put(moved(SessionEventKind.PROGRESS))
        took = [one.kind for one in handled(mailbox) if isinstance(one, SessionEvent)]
        assert took == [*kinds, SessionEventKind.PROGRESS, SessionEventKind.PROGRESS]
        assert mailbox.coalesced == 0


def test_what_is_deleted_was_added_first() -> None:
    added = event(1, TaskState.PENDING)
    gone = replace(event(1, TaskState.PENDING, TaskState.PENDING), kind=EventKind.DELETED)
    assert fold(added, gone) is None
    updated = event(1, TaskState.RUNNING, TaskState.PENDING)
    folded = fold(updated, gone)
    assert folded is not None
    assert folded.kind is EventKind.DELETED


def test_items_of_any_kind_come_out_as_they_went_in() -> None:
    mailbox = Mailbox()
    for item in [("a", "pair"), None, 3]:
        mailbox.put(item)
    assert handled(mailbox) == [("a", "pair"), None, 3]


def test_whoever_does_not_wait_is_told_of_news_and_of_the_close() -> None:
    told: list[int] = []
    mailbox = Mailbox(ready=lambda: told.append(len(mailbox)))
    mailbox.put(1)
    mailbox.put(2)
    mailbox.close(discard=True)
    assert told == [1, 2, 0]


def test_after_the_close_nothing_is_taken() -> None:
    mailbox = Mailbox()
    mailbox.put("a")
    mailbox.close()
    assert not mailbox.put("b")
    assert (handled(mailbox), handled(mailbox)) == (["a"], [])
