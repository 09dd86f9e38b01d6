"""What an observation changes: order, staleness, the end, and incarnations (contract G3-G7)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.made import made_session, made_task

from flamepy.types import Event, SessionState, TaskCounts, TaskState
from flamepy.watching.state.events import EventKind, EventSource, SessionEventKind, Window
from flamepy.watching.state.history import EPOCHS
from flamepy.watching.state.store import Store, Verdict

PENDING, RUNNING, SUCCEED, FAILED = (
    TaskState.PENDING,
    TaskState.RUNNING,
    TaskState.SUCCEED,
    TaskState.FAILED,
)


def seen(needed: int | None = None) -> Store:
    """Return a store that has seen the session."""
    store = Store("e", needed=lambda: needed)
    store.observe_session(made_session(), Window(0, 0))
    return store


def see(store: Store, state: TaskState, at: float, until: float | None = None, **more: object):
    text = more.pop("text", None)
    task = made_task(state=state, text=text, born=more.pop("born", 0))
    window = Window(at, at if until is None else until)
    return store.observe_task(
        task, window, EventSource.PROBE, text_known=text is not None or state != FAILED
    )


class TestLists:
    @staticmethod
    def listed(store: Store, *tasks, at: float = 1.0, initial: float = 0):
        record = store.session("s1")
        window, events = Window(at, at), []

        def emit(event) -> None:
            assert event.sequence == store.sequence, "the next one is not recorded yet"
            events.append(event)

        rest = store.observe_list(
            record, tasks, window, EventSource.LIST, initial=initial, emit=emit
        )
        return events, rest

    def test_new_tasks_are_added_in_their_order_and_initial_up_to_a_number(self) -> None:
        store = seen()
        tasks = [made_task(2, SUCCEED), made_task(1, RUNNING), made_task(3, PENDING)]
        events, rest = self.listed(store, *tasks, initial=2)
        assert rest == []
        assert [(one.task.id, one.kind, one.initial) for one in events] == [
            ("2", EventKind.ADDED, True),
            ("1", EventKind.ADDED, True),
            ("3", EventKind.ADDED, False),
        ]
        assert [one.sequence for one in events] == sorted({one.sequence for one in events})
        assert store.session("s1").counts == TaskCounts(1, 1, 1)

    def test_an_event_of_a_list_is_that_of_a_single_answer(self) -> None:
        (event,), _ = self.listed(seen(), made_task(1, SUCCEED))
        other = seen().observe_task(made_task(1, SUCCEED), Window(1, 1), EventSource.LIST)
        assert (event,) == other.events

    def test_what_was_delivered_is_no_event_and_what_has_changed_is_left_to_single_answers(
        self,
    ) -> None:
        store = seen()
        self.listed(store, made_task(1, RUNNING), made_task(2, RUNNING))
        moved = made_task(2, SUCCEED)
        before = store.session("s1").counts
        assert self.listed(store, made_task(1, RUNNING), moved, at=2.0) == ([], [moved])
        assert store.session("s1").counts == before, "nothing of it was recorded"

    def test_an_unchanged_list_is_news_of_when_it_was_true(self) -> None:
        store = seen()
        self.listed(store, made_task(1, RUNNING), at=1.0)
        self.listed(store, made_task(1, RUNNING), at=5.0)
        stale = store.observe_task(made_task(1, PENDING), Window(3, 4), EventSource.PROBE)
        assert stale.verdict is Verdict.STALE

    @pytest.mark.parametrize("why", ["failed", "retired", "another", "odd id", "no session"])
    def test_what_needs_a_rule_is_left_to_single_answers(self, why: str) -> None:
        store = Store("e") if why == "no session" else seen()
        task = made_task(1, FAILED if why == "failed" else SUCCEED, born=9)
        if why == "retired":
            see(store, SUCCEED, 0.5)
            store.session("s1").retire(1)
        elif why == "another":
            see(store, SUCCEED, 0.5)
        elif why == "odd id":
            task = replace(task, id="x")
        assert self.listed(store, task) == ([], [task])


class TestTasks:
    def test_the_first_sight_is_an_add_and_later_states_are_updates(self) -> None:
        store = seen()
        (added,) = see(store, PENDING, 1).events
        (updated,) = see(store, SUCCEED, 2).events
        assert (added.kind, added.old) == (EventKind.ADDED, None)
        assert (updated.kind, updated.old.state) == (EventKind.UPDATED, PENDING)
        assert added.sequence < updated.sequence

    def test_the_same_state_again_is_no_event(self) -> None:
        store = seen()
        see(store, RUNNING, 1)
        again = see(store, RUNNING, 2)
        assert (again.verdict, again.events) == (Verdict.UNCHANGED, ())

    def test_an_older_answer_that_disagrees_asks_for_another_look(self) -> None:
        store = seen()
        see(store, RUNNING, 5, 6)
        assert see(store, PENDING, 4, 7).verdict is Verdict.STALE

    def test_a_terminal_state_applies_whenever_it_arrives(self) -> None:
        store = seen()
        see(store, RUNNING, 5, 6)
        assert see(store, SUCCEED, 1, 7).verdict is Verdict.APPLIED

    def test_the_first_terminal_state_is_final(self) -> None:
        store = seen()
        see(store, SUCCEED, 1)
        other = see(store, FAILED, 2, text="late")
        assert (other.verdict, other.events) == (Verdict.DRIFT, ())
        assert see(store, RUNNING, 3).verdict is Verdict.DRIFT

    def test_the_counters_follow_the_engine_after_an_end(self) -> None:
        """What is delivered stays; what is counted is the engine's own state."""
        store = seen()
        see(store, SUCCEED, 1)
        drift = see(store, RUNNING, 2)
        assert (drift.delivered, drift.drift.task.state) == (SUCCEED, RUNNING)
        record = store.session("s1")
        assert (record.counts, list(record.unfinished())) == (TaskCounts(running=1), [1])
        assert record.tasks[1].task.state is SUCCEED
        assert see(store, RUNNING, 3).verdict is Verdict.UNCHANGED, "delivered once"
        see(store, FAILED, 4, text="late")
        assert record.counts == TaskCounts(failed=1)
        assert see(store, SUCCEED, 5).verdict is Verdict.UNCHANGED
        assert record.counts == TaskCounts(succeed=1)

    def test_an_older_answer_deletes_nothing(self) -> None:
        store = seen()
        see(store, RUNNING, 5, 6)
        assert store.delete_task("s1", 1, Window(4, 9)) == ()
        (gone,) = store.delete_task("s1", 1, Window(7, 9))
        assert not gone.final_state_known

    def test_a_task_of_another_creation_time_replaces_the_old_one(self) -> None:
        store = seen()
        see(store, RUNNING, 1)
        gone, added = see(store, PENDING, 2, born=9).events
        assert (gone.kind, gone.final_state_known) == (EventKind.DELETED, False)
        assert (added.kind, added.task.state) == (EventKind.ADDED, PENDING)

    def test_a_failure_waits_for_its_text(self) -> None:
        store = seen()
        see(store, RUNNING, 1)
        held = see(store, FAILED, 2)
        assert (held.verdict, held.events) == (Verdict.NEEDS_TEXT, ())
        (event,) = see(store, FAILED, 3, text="boom").events
        assert (event.old.state, event.task.error) == (RUNNING, "boom")

    def test_a_requeue_is_delivered_and_named(self) -> None:
        store = seen()
        see(store, RUNNING, 1)
        (event,) = see(store, PENDING, 2).events
        assert event.is_requeue

    def test_payloads_are_not_kept(self) -> None:
        store = seen()
        task = made_task(state=SUCCEED, output=b"x" * 1000)
        (event,) = store.observe_task(task, Window(1, 1), EventSource.WATCH).events
        assert (event.task.output, event.task.payloads_loaded) == (None, False)

    def test_the_payloads_of_a_drift_are_not_kept_either(self) -> None:
        store = seen()
        store.history.retain = 0
        output = made_task(state=SUCCEED, output=b"x" * 1000)
        store.observe_task(output, Window(1, 1), EventSource.PROBE)
        for at, state in ((2, TaskState.CANCELLED), (5, RUNNING)):
            other = made_task(state=state, output=b"x" * 1000)
            drift = store.observe_task(other, Window(at, at), EventSource.PROBE).drift
            assert drift is not None
            assert (drift.task.output, drift.task.payloads_loaded) == (None, False)
            store.observe_session(made_session(), Window(at + 1, at + 1))
            store.trim()
            assert store.session("s1").tasks == {}, "the second one is of a task that has left"

    def test_a_newcomer_receives_what_was_delivered(self) -> None:
        store = seen()
        see(store, RUNNING, 1)
        (event,) = store.replay(store.session("s1"), 9.0)
        assert (event.initial, event.source, event.task.state) == (
            True,
            EventSource.REPLAY,
            RUNNING,
        )

    def test_counts_follow_the_records(self) -> None:
        store = seen()
        for number, state in enumerate((PENDING, RUNNING, SUCCEED, SUCCEED), start=1):
            store.observe_task(made_task(number, state), Window(1, 1), EventSource.LIST)
        record = store.session("s1")
        assert record.counts == TaskCounts(1, 1, 2, 0, 0)
        assert list(record.unfinished()) == [1, 2]
        store.forget_task("s1", 1)
        assert (record.counts.pending, list(record.unfinished())) == (0, [2])

    def test_nothing_is_delivered_before_the_session_was_seen_and_nothing_is_lost(self) -> None:
        """An event names its application: until that is known it waits."""
        store = Store()
        assert see(store, RUNNING, 1).events == ()
        assert see(store, FAILED, 2, text="boom").events == ()
        store.observe_session(made_session(), Window(3, 3))
        (event,) = see(store, FAILED, 4).events
        assert (event.kind, event.application, event.task.error) == (
            EventKind.ADDED,
            "app",
            "boom",
        )
        assert see(store, FAILED, 5, text="boom").events == ()

    def test_a_session_that_vanishes_takes_no_failure_with_it(self) -> None:
        store = seen()
        see(store, RUNNING, 1)
        see(store, FAILED, 2)
        failed, gone = store.drop_session("s1", Window(3, 3)).tasks
        assert (failed.kind, failed.task.state) == (EventKind.UPDATED, FAILED)
        assert (gone.kind, gone.final_state_known) == (EventKind.DELETED, True)


class TestLateAndRepeatedAnswers:
    """An answer is true for the time from its request to its arrival, and for no other."""

    def test_a_state_that_was_confirmed_later_is_not_taken_back_by_an_answer_from_between(
        self,
    ) -> None:
        store = seen()
        see(store, RUNNING, 1)
        assert see(store, RUNNING, 5, 6).verdict is Verdict.UNCHANGED
        assert see(store, PENDING, 3, 7).verdict is Verdict.STALE
        assert see(store, RUNNING, 2, 8).verdict is Verdict.UNCHANGED, "it agrees"
        assert see(store, PENDING, 6, 9).verdict is Verdict.APPLIED

    def test_an_answer_from_before_the_end_changes_nothing_and_is_not_counted(self) -> None:
        store = seen()
        see(store, SUCCEED, 5, 6)
        assert see(store, RUNNING, 4, 7).verdict is Verdict.UNCHANGED
        record = store.session("s1")
        assert record.counts == TaskCounts(succeed=1)
        assert see(store, FAILED, 4, 8, text="boom").verdict is Verdict.DRIFT, "an end is one"
        assert record.counts == TaskCounts(succeed=1)
        assert see(store, SUCCEED, 9).verdict is Verdict.UNCHANGED

    def test_another_task_of_the_number_that_an_older_answer_shows_is_looked_at_again(self) -> None:
        store = seen()
        see(store, RUNNING, 5, 6)
        assert see(store, RUNNING, 4, 7, born=9).verdict is Verdict.STALE

    def test_a_failure_waits_for_its_text_however_often_it_is_shown_without(self) -> None:
        store = seen()
        for at in (1, 2):
            task = made_task(state=FAILED)
            verdict = store.observe_task(task, Window(at, at), EventSource.LIST).verdict
            assert verdict is Verdict.NEEDS_TEXT

    def test_what_is_not_known_is_neither_deleted_nor_forgotten(self) -> None:
        store = seen()
        for session, number in (("s1", 7), ("other", 1)):
            assert store.delete_task(session, number, Window(9, 9)) == ()
            store.forget_task(session, number)
        assert "other" not in store.sessions

    def test_a_newcomer_receives_it_in_the_order_of_the_numbers(self) -> None:
        store = seen()
        for number in (3, 1, 2):
            store.observe_task(made_task(number), Window(1, 1), EventSource.LIST)
        record = store.session("s1")
        assert [one.task.id for one in store.replay(record, 2.0)] == ["1", "2", "3"]

    def test_what_changed_since_a_number_is_of_the_scope_and_after_it(self) -> None:
        store = seen()
        store.observe_session(made_session("s2", application="other"), Window(0, 0))
        for session in ("s1", "s2"):
            for number in (1, 2):
                task = made_task(number, session=session)
                store.observe_task(task, Window(1, 1), EventSource.LIST)
        held = made_task(3, FAILED)
        store.observe_task(held, Window(1, 1), EventSource.LIST)  # not delivered: it has no text
        since = store.session("s1").tasks[1].sequence

        def changed(covered: str) -> list[tuple[str, int]]:
            found = store.changed_since(since, lambda session, application: session == covered)
            return [(record.id, known.number) for record, known in found]

        assert changed("s1") == [("s1", 2)]
        assert changed("s2") == [("s2", 1), ("s2", 2)]

    def test_the_highest_that_ended_is_noted_and_a_stall_shows_the_task_as_it_is(self) -> None:
        store = seen()
        for number in (3, 1):
            store.observe_task(made_task(number, SUCCEED), Window(1, 1), EventSource.LIST)
        record = store.session("s1")
        assert record.finished == 3
        store.observe_task(made_task(2), Window(1, 1), EventSource.LIST)
        stalled = store.stalled(record, record.tasks[2], 9.0)
        assert (stalled.task.id, stalled.task.state, stalled.observed_at) == ("2", PENDING, 9.0)


class TestSessions:
    @pytest.mark.parametrize(
        ("state", "lost", "reset"),
        [
            (SessionState.OPEN, False, 1),
            (SessionState.OPEN, True, 1),
            (SessionState.CLOSED, True, 1),
            (SessionState.CLOSED, False, None),
        ],
    )
    def test_one_that_was_closed_and_is_gone_is_no_loss(
        self, state: SessionState, lost: bool, reset: int | None
    ) -> None:
        store = Store()
        store.observe_session(made_session(state=state), Window(0, 0))
        assert store.drop_session("s1", Window(1, 1), lost=lost).reset == reset
        assert store.drop_session("s1", Window(2, 2), lost=lost).sessions == [], "gone once"

    def test_one_whose_closing_is_the_default_reason_is_no_loss(self) -> None:
        store = Store()
        store.observe_session(made_session(state=SessionState.CLOSED), Window(0, 0))
        assert store.drop_session("s1", Window(1, 1)).reset is None

    def test_tasks_that_were_never_delivered_are_not_deleted(self) -> None:
        store = Store()
        assert see(store, RUNNING, 1).events == (), "its session was not seen"
        gone = store.drop_session("s1", Window(2, 2))
        assert (gone.tasks, gone.sessions) == ([], [])

    def test_tasks_of_a_session_made_again_that_were_seen_before_it_stay(self) -> None:
        store = seen()
        see(store, RUNNING, 1)
        task = made_task(2, born=9)
        store.observe_task(task, Window(5, 5), EventSource.WATCH)
        outcome = store.observe_session(made_session(born=9, counts=TaskCounts(1)), Window(6, 6))
        assert [event.task.id for event in outcome.tasks] == ["1"]
        record = store.session("s1")
        assert sorted(record.tasks) == [2]
        assert record.counts == TaskCounts(pending=1)
        again = store.observe_task(task, Window(7, 7), EventSource.LIST)
        assert again.verdict is Verdict.UNCHANGED

    def test_tasks_that_an_older_poll_had_confirmed_are_of_the_older_session(self) -> None:
        """Whatever the engine's clock said when it made them."""
        store = seen()
        store.observe_task(made_task(2, born=9), Window(0.5, 0.5), EventSource.LIST)
        store.observe_session(made_session(), Window(1, 1))
        outcome = store.observe_session(made_session(born=5), Window(6, 6))
        assert [event.task.id for event in outcome.tasks] == ["2"]
        assert store.session("s1").tasks == {}

    def test_drained_means_that_every_end_was_delivered(self) -> None:
        store = Store()
        record = store.session("s1")
        record.synced = True
        assert store.drained(record, 0.0) is None, "it was not seen"
        ended = made_session(counts=TaskCounts(0, 0, 1, 1))
        store.observe_session(ended, Window(0, 0))
        assert store.drained(record, 1.0) is None, "none of the two is known"
        store.observe_task(made_task(1, RUNNING), Window(1, 1), EventSource.LIST)
        store.observe_task(made_task(2, FAILED), Window(1, 1), EventSource.LIST)
        assert store.drained(record, 1.0) is None, "the first one's end is not known"
        store.observe_task(made_task(1, SUCCEED), Window(2, 2), EventSource.LIST)
        assert store.drained(record, 2.0) is None, "the second one waits for its text"
        delivered = made_task(2, FAILED, text="boom")
        store.observe_task(delivered, Window(3, 3), EventSource.PROBE, text_known=True)
        assert store.drained(record, 3.0) is not None
        closed = replace(ended, state=SessionState.CLOSED)
        store.observe_session(closed, Window(4, 4))
        assert store.drained(record, 4.0) is None, "closing it is no reason to say it again"
        store.observe_session(replace(closed, counts=TaskCounts(0, 0, 2, 1)), Window(5, 5))
        store.observe_task(made_task(3, SUCCEED), Window(5, 5), EventSource.LIST)
        assert store.drained(record, 5.0) is not None, "one more has ended"

    def test_a_subscription_after_none_begins_with_an_empty_store_and_the_same_epochs(self) -> None:
        store = seen(needed=0)
        see(store, RUNNING, 1)
        store.observe_session(made_session(born=5), Window(2, 3))
        store.clear()
        assert (store.sessions, store.deleted_since(0, lambda *_: True)) == ({}, [])
        assert store.session("s1").epoch == 1
        store.observe_session(made_session(born=5), Window(4, 4))
        assert see(store, RUNNING, 1).events == (), "an answer from before the reset"
        (event,) = see(store, RUNNING, 5).events
        assert event.epoch == 1

    def test_a_session_is_opened_moves_and_is_closed(self) -> None:
        store = Store()
        kinds = []
        for at, info in enumerate(
            (
                made_session(),
                made_session(counts=TaskCounts(1)),
                made_session(counts=TaskCounts(0, 0, 0, 0, 1), state=SessionState.CLOSED),
            )
        ):
            outcome = store.observe_session(info, Window(at, at))
            kinds += [event.kind for event in outcome.sessions]
            assert not outcome.tasks
        kind = SessionEventKind
        assert kinds == [kind.OPENED, kind.PROGRESS, kind.PROGRESS, kind.CLOSED]

    def test_an_answer_sent_before_the_last_one_ended_is_ignored(self) -> None:
        store = Store()
        store.observe_session(made_session(counts=TaskCounts(2)), Window(5, 6))
        late = store.observe_session(made_session(), Window(5.5, 7))
        assert (late.sessions, late.tasks, late.reset) == ([], [], None)

    def test_a_session_made_again_deletes_what_was_in_the_old_one(self) -> None:
        store = Store()
        store.observe_session(made_session(), Window(0, 0))
        see(store, RUNNING, 1)
        outcome = store.observe_session(made_session(born=5), Window(2, 2))
        assert outcome.reset == 1
        assert [event.kind for event in outcome.sessions] == [
            SessionEventKind.DELETED,
            SessionEventKind.OPENED,
        ]
        assert [(event.task.id, event.final_state_known) for event in outcome.tasks] == [
            ("1", False)
        ]
        assert store.session("s1").epoch == 1

    def test_answers_from_before_a_reset_show_nothing(self) -> None:
        store = seen()
        store.drop_session("s1", Window(2, 3))
        store.observe_session(made_session(born=5), Window(4, 5))
        old = see(store, RUNNING, 2.5, 6)
        assert (old.verdict, old.events) == (Verdict.UNCHANGED, ())
        assert store.session("s1").tasks == {}
        assert see(store, RUNNING, 5.5, 6).events

    def test_epochs_of_absent_sessions_are_kept_in_bounds(self) -> None:
        store = Store()
        for number in range(EPOCHS + 50):
            store.observe_session(made_session(f"s{number}"), Window(0, 0))
            store.drop_session(f"s{number}", Window(1, 1))
        assert len(store.history._epochs) == EPOCHS
        assert store.session(f"s{EPOCHS + 49}").epoch == 1
        store.clear()
        assert store.session(f"s{EPOCHS + 49}").epoch == 1, "no reset: no subscription for a while"

    def test_what_the_engine_recorded_comes_in_the_order_of_a_life(self) -> None:
        store = Store()
        info = made_session(
            counts=TaskCounts(0, 0, 1), state=SessionState.CLOSED, events=(Event(1001, "no"),)
        )
        kinds = [event.kind for event in store.observe_session(info, Window(0, 0)).sessions]
        kind = SessionEventKind
        assert sorted(kinds) == sorted([kind.OPENED, kind.EVENT, kind.CLOSED])
        see(store, SUCCEED, 1)
        record = store.session("s1")
        assert store.drained(record, 2.0) is None, "not synced: more may be there"
        record.synced = True
        assert store.drained(record, 2.0).kind is kind.DRAINED
        assert store.drained(record, 3.0) is None
        replayed = [event.kind for event in store.replay_session(record, 9.0)]
        assert replayed == [kind.OPENED, kind.EVENT, kind.DRAINED, kind.CLOSED]


class TestPayloads:
    def test_they_are_kept_when_asked_for(self) -> None:
        store = seen()
        bare = replace(made_task(state=RUNNING), payloads_loaded=False)
        store.observe_task(bare, Window(1, 1), EventSource.LIST)
        store.payloads = True
        full = replace(made_task(state=RUNNING), input=b"in")
        assert store.observe_task(full, Window(2, 2), EventSource.LIST).events == ()
        (present,) = store.replay(store.session("s1"), 3.0)
        assert (present.task.input, present.task.payloads_loaded) == (b"in", True)
        done = replace(made_task(state=SUCCEED, output=b"out"), input=b"in")
        (event,) = store.observe_task(done, Window(4, 4), EventSource.PROBE).events
        assert (event.task.input, event.task.output) == (b"in", b"out")

    def test_those_of_tasks_that_have_ended_are_filled_in_when_they_are_asked_for(self) -> None:
        store = seen()
        done = made_task(state=SUCCEED, output=b"out")
        store.observe_task(done, Window(1, 1), EventSource.PROBE)
        store.payloads = True
        assert store.observe_task(done, Window(2, 2), EventSource.LIST).events == ()
        (present,) = store.replay(store.session("s1"), 3.0)
        assert (present.task.output, present.task.payloads_loaded) == (b"out", True)


@dataclass
class History:
    """A task's true states and when each began."""

    states: list[TaskState]

    def at(self, moment: float) -> TaskState:
        return self.states[min(int(moment), len(self.states) - 1)]


HISTORIES = st.lists(st.sampled_from([PENDING, RUNNING]), max_size=5).flatmap(
    lambda middle: st.sampled_from([SUCCEED, TaskState.CANCELLED]).map(
        lambda end: History([PENDING, *middle, end])
    )
)
# (sent, how long the request took, how long the answer took), in units of one state
LOOKS = st.lists(
    st.tuples(st.floats(0, 8), st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=12
)


@given(HISTORIES, LOOKS)
def test_what_is_delivered_is_an_ordered_part_of_what_happened(history: History, looks) -> None:
    """Whatever overlaps and overtakes: states are delivered in order, and the end comes once."""
    store = seen()
    answers = sorted((sent + there + back, sent, sent + there) for sent, there, back in looks)
    answers.append((100.0, 99.0, 99.5))  # a last look when all is over
    delivered: list[TaskState] = []
    for received, sent, looked in answers:
        events = see(store, history.at(looked), sent, received).events
        delivered += [event.task.state for event in events]
    assert delivered[-1] is history.states[-1]
    assert [state for state in delivered if state.is_terminal] == [history.states[-1]]
    rest = iter(history.states)
    assert all(state in rest for state in delivered), (delivered, history.states)


@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from(list(TaskState))), max_size=60))
def test_the_counters_always_add_up(observations) -> None:
    store = seen()
    for at, (number, state) in enumerate(observations):
        task = made_task(number, state, text="t")
        store.observe_task(task, Window(at, at), EventSource.LIST, text_known=True)
    record = store.session("s1")
    assert record.counts.total == len(record.tasks)
    assert list(record.unfinished()) == sorted(
        number for number, known in record.tasks.items() if not known.state.is_terminal
    )


def test_a_task_event_carries_its_session_as_last_seen() -> None:
    store = seen()
    info = store.session("s1").info
    event = see(store, TaskState.PENDING, 1.0).events[0]
    assert info is not None
    assert (event.session_id, event.session) == ("s1", info)
