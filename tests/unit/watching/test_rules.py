"""The rules of the sources (docs/architecture.md#observations), one class each, in fake time.

The numbers are those of the design; rules 11 to 13 concern stop, fork and CreateTask and are
tested with the reactor, the loop and the calls.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from support.hearing import World, run

from flamepy.errors import TaskLostError, UnavailableError
from flamepy.types import TaskState
from flamepy.watching.policy.settings import WatchSettings
from flamepy.watching.state.events import EventKind, EventSource, SessionEventKind

PENDING, RUNNING, SUCCEED, FAILED, CANCELLED = TaskState
OPENED, PROGRESS, DRAINED, CLOSED, DELETED, EVENT = SessionEventKind

QUICK_AUDIT = WatchSettings(audit=20.0)


class TestRule1EveryObservationHasAWindow:
    def test_a_stale_list_deletes_no_new_task(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_task("s", state=SUCCEED)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            hold = world.source.hold("list_tasks")
            await world.until(lambda: hold.waiting, 30)  # an audit's list has looked already
            world.source.add_task("s")
            world.watch("s", "2")  # a stream and a probe see it meanwhile
            await world.until(lambda: heard.states("2"))
            hold.release()
            await asyncio.sleep(5)
            assert heard.states("2") == [PENDING]

        run(act, QUICK_AUDIT)

    def test_a_stale_list_takes_no_task_back(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_task("s")
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            hold = world.source.hold("list_tasks")
            await world.until(lambda: hold.waiting, 30)
            world.source.start("s", "1")
            world.watch("s", "1")
            await world.until(lambda: heard.states("1") == [PENDING, RUNNING])
            hold.release()  # the list says that it is pending
            await asyncio.sleep(5)
            world.source.succeed("s", "1")
            await world.until(lambda: len(heard.states("1")) > 2)
            assert heard.states("1") == [PENDING, RUNNING, SUCCEED]

        run(act, QUICK_AUDIT)

    def test_fault_19_a_late_message_of_a_stream_takes_no_task_back(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_task("s")
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            hold = world.source.hold("watch_task")
            world.watch("s", "1")
            await asyncio.sleep(1)
            world.source.start("s", "1")
            await world.until(lambda: hold.waiting and RUNNING in heard.states("1"))
            world.source.requeue("s", "1")
            await world.until(lambda: heard.states("1") == [PENDING, RUNNING, PENDING])
            hold.release()  # the stream says that it runs
            await asyncio.sleep(5)
            assert heard.states("1") == [PENDING, RUNNING, PENDING]

        run(act)

    def test_absence_counts_when_get_task_confirms_it(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_tasks("s", 3, state=SUCCEED)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            before = world.source.calls["get_task"]
            world.source.drop_task("s", "2")
            await world.until(lambda: len(heard.tasks) > 3)
            event = heard.tasks[-1]
            assert (event.kind, event.task.id) == (EventKind.DELETED, "2")
            assert (event.source, event.final_state_known) == (EventSource.AUDIT, True)
            assert world.source.calls["get_task"] == before + 1

        run(act, QUICK_AUDIT)


class TestRule2TheFirstTerminalStateIsFinal:
    def test_a_second_end_is_drift_reported_once_and_the_counters_add_up(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_task("s")
            heard, _ = world.subscribe()
            world.source.succeed("s", "1")
            await world.until(lambda: heard.ends())
            world.source.start("s", "1")  # the engine overwrites what has ended
            await world.until(lambda: heard.drifts)
            world.source.fail("s", "1", "late")
            await world.until(lambda: len(heard.drifts) == 2)
            lists = world.source.calls["list_tasks"]
            await asyncio.sleep(300)
            assert heard.ends() == [("s", "1", SUCCEED)]
            assert [(event.task.state, received) for event, received in heard.drifts] == [
                (RUNNING, SUCCEED),
                (FAILED, SUCCEED),
            ]
            audits = world.source.calls["list_tasks"] - lists
            assert audits <= 300 / 20 + 1, "the counters were not explained"

        run(act, QUICK_AUDIT)


class TestRule3IdentityAndResets:
    def test_another_creation_time_is_another_session(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_task("s")
            world.source.add_task("s", state=SUCCEED)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            heard.story.clear()
            world.clock.advance(5)
            world.source.drop_session("s")
            world.source.add_session("s")
            world.source.add_task("s", state=RUNNING)
            await world.until(lambda: RUNNING in heard.states("1"))
            assert heard.resets == [("s", 1)]
            assert heard.story[0] == ("reset", "s", 1)
            assert heard.states("1") == [PENDING, "deleted", RUNNING]
            assert heard.states("2") == [SUCCEED, "deleted"]
            known = {e.task.id: e.final_state_known for e in heard.tasks if e.kind == "deleted"}
            assert known == {"1": False, "2": True}
            assert (heard.tasks[-1].epoch, heard.tasks[-1].kind) == (1, EventKind.ADDED)
            assert heard.kinds() == [OPENED, DELETED, OPENED]

        run(act)

    def test_absence_is_confirmed_and_the_epoch_survives_it(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_task("s")
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            world.source.drop_session("s")
            await world.until(lambda: heard.resets)
            assert world.source.calls["get_session"] == 1
            await asyncio.sleep(60)
            world.source.add_session("s")
            world.source.add_task("s")
            await world.until(lambda: len(heard.states("1")) == 3)
            assert heard.tasks[-1].epoch == 1
            world.source.drop_session("s")
            await world.until(lambda: len(heard.resets) == 2)
            assert heard.resets == [("s", 1), ("s", 2)]

        run(act)

    def test_a_closed_session_that_was_deleted_is_no_reset(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            heard, _ = world.subscribe()
            world.source.close("s")
            await world.until(lambda: CLOSED in heard.kinds())
            world.source.drop_session("s")
            await world.until(lambda: DELETED in heard.kinds())
            assert heard.resets == []
            assert heard.sessions[-1].final_state_known

        run(act)

    def test_an_engine_that_comes_back_without_its_state_resets_every_session(self) -> None:
        async def act(world: World) -> None:
            for name in ("s", "t", "u"):
                world.source.add_session(name)
                world.source.add_task(name, state=RUNNING)
            world.source.close("u")
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            world.source.fail_calls(UnavailableError("away"))
            await world.until(lambda: heard.failures)
            world.source.lose_state()
            world.source.add_session("t")
            world.source.add_task("t")
            await asyncio.sleep(3)
            world.source.answer_calls()
            await world.until(lambda: len(heard.states("1", "t")) == 3)
            assert sorted(heard.resets) == [("s", 1), ("t", 1), ("u", 1)]
            assert heard.states("1", "s") == [RUNNING, "deleted"]
            assert heard.states("1", "t") == [RUNNING, "deleted", PENDING]

        run(act)

    def test_a_reset_during_the_first_list_is_not_the_end_of_it(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_task("s", state=SUCCEED)
            hold = source.hold("list_tasks")
            heard, _ = world.subscribe()
            await world.until(lambda: hold.waiting)
            world.clock.advance(5)
            source.drop_session("s")
            source.add_session("s")
            source.add_task("s", state=RUNNING)
            await world.until(lambda: heard.resets)
            hold.release()
            source.hold("list_tasks")
            await asyncio.sleep(5)
            assert heard.syncs == 0, "only the old session was listed"
            assert heard.tasks == [], "what the old list shows is not in the new session"
            source._holds["list_tasks"].release()
            await world.until(lambda: heard.syncs)
            assert heard.states("1") == [RUNNING]

        run(act)

    def test_shrinking_counters_mean_nothing(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_tasks("s", 3)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            world.source.take("s", "1")  # on its way to an executor: in no counter
            await asyncio.sleep(5)
            assert [heard.resets, len(heard.tasks)] == [[], 3]
            world.source.start("s", "1")
            await world.until(lambda: heard.states("1") == [PENDING, RUNNING])

        run(act)

    def test_tasks_seen_before_their_new_session_are_delivered_once(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_task("s")
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            await asyncio.sleep(5)
            hold = world.source.hold("list_sessions")
            await world.until(lambda: hold.waiting)
            world.source.drop_session("s")
            world.source.add_session("s")
            world.source.add_task("s", state=SUCCEED)
            world.watch("s", "1")
            await world.until(lambda: heard.ends())
            hold.release()
            await world.until(lambda: heard.resets)
            await asyncio.sleep(5)
            assert heard.states("1") == [PENDING, "deleted", SUCCEED]

        run(act)


class TestRule4AnEndThatWasReadableIsDelivered:
    def test_what_vanished_before_it_was_read_says_so(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_tasks("s", 2)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            world.source.succeed("s", "1")
            await world.until(lambda: heard.ends())
            world.source.succeed("s", "2")
            world.source.drop_session("s")
            await world.until(lambda: heard.resets)
            known = {e.task.id: e.final_state_known for e in heard.tasks if e.kind == "deleted"}
            assert known == {"1": True, "2": False}
            assert not heard.sessions[-1].final_state_known, "it was not closed"

        run(act)

    def test_what_was_there_is_delivered_with_its_texts_before_synced(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            number = world.source.add_task("s")
            world.source.fail("s", number, "boom")
            hold = world.source.hold("get_task")
            heard, _ = world.subscribe()
            await world.until(lambda: hold.waiting)
            await asyncio.sleep(5)
            assert (heard.syncs, heard.tasks) == (0, [])
            hold.release()
            await world.until(lambda: heard.syncs)
            assert heard.tasks[0].task.error == "boom"
            assert world.source.calls["list_tasks"] == 1, "a text is no reason to list again"

        run(act)


class TestRule5TheCostFollowsTheChange:
    def test_one_task_more_beside_a_hundred_thousand(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            payload = b"x" * 102_400
            source.add_session("s")
            source.add_tasks("s", 100_000, payload, state=SUCCEED)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            assert source.calls["list_tasks"] == 1
            calls, received = Counter(source.calls), source.payload_bytes
            number = source.add_task("s", payload)
            await world.until(lambda: heard.states(number) == [PENDING])
            source.start("s", number)
            await world.until(lambda: heard.states(number) == [PENDING, RUNNING])
            source.succeed("s", number)
            await world.until(lambda: heard.states(number) == [PENDING, RUNNING, SUCCEED])
            assert source.calls["list_tasks"] == calls["list_tasks"]
            assert source.calls["get_task"] - calls["get_task"] <= 6
            assert source.payload_bytes - received <= 6 * len(payload)

        run(act)

    def test_a_change_costs_the_running_the_new_and_two(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_tasks("s", 1000, state=SUCCEED)
            source.add_tasks("s", 10, state=RUNNING)
            source.add_tasks("s", 1000)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            before = source.calls["get_task"]
            source.succeed("s", "1005")
            source.start("s", "1011")
            new = [source.add_task("s") for _ in range(3)]
            await world.until(lambda: all(map(heard.states, new)))
            await world.until(lambda: SUCCEED in heard.states("1005"))
            assert source.calls["get_task"] - before <= 10 + 1 + 3 + 2
            assert source.calls["list_tasks"] == 1

        run(act)

    def test_counters_that_stand_still_cost_nothing(self) -> None:
        async def act(world: World) -> None:
            for number in range(20):
                world.source.add_session(f"s{number}")
                world.source.add_tasks(f"s{number}", 5, state=RUNNING)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            before = Counter(world.source.task_calls)
            await asyncio.sleep(30)
            assert world.source.task_calls == before

        run(act)

    def test_what_cannot_be_explained_is_listed_ever_less_often(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_tasks("s", 50)
            world.source._sessions["s"].tally[SUCCEED] += 1  # an engine that counts wrong
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            await asyncio.sleep(3600)
            calls = world.source.calls
            assert calls["list_tasks"] + calls["get_task"] / 50 < 250

        run(act)


class TestRule6TheAuditIsRolling:
    def test_every_session_once_in_the_period_and_not_in_bursts(self) -> None:
        async def act(world: World) -> None:
            names = [f"s{number}" for number in range(60)]
            for name in names:
                world.source.add_session(name)
                world.source.add_task(name, state=SUCCEED)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            per_minute = []
            await asyncio.sleep(600)  # the first slots
            for _ in range(20):
                before = Counter(world.source.task_calls)
                await asyncio.sleep(60)
                per_minute.append(Counter(world.source.task_calls) - before)
            first, second = sum(per_minute[:10], Counter()), sum(per_minute[10:], Counter())
            assert set(first) == set(second) == set(names)
            assert max(first.values()) <= 2
            assert sum(first.values()) <= 63
            assert max(count.total() for count in per_minute) <= 10

        run(act)

    def test_it_finds_what_counters_hide(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_task("s")
            source.add_task("s", state=RUNNING)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            source.start("s", "1")
            source.requeue("s", "2")  # the counters are the same again
            await world.until(lambda: heard.states("1") == [PENDING, RUNNING], 25)
            assert heard.states("2") == [RUNNING, PENDING]
            assert [event.source for event in heard.tasks[2:]] == [EventSource.AUDIT] * 2

        run(act, QUICK_AUDIT)

    def test_an_unchanged_audit_delivers_nothing(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_tasks("s", 100, state=SUCCEED)
            world.source.add_tasks("s", 5)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            received = len(heard.story)
            await asyncio.sleep(100)
            assert world.source.calls["list_tasks"] >= 5
            assert len(heard.story) == received

        run(act, QUICK_AUDIT)

    def test_another_period_holds_at_once(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_task("s", state=SUCCEED)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            world.hub.configure(QUICK_AUDIT)
            assert world.hub.settings is QUICK_AUDIT
            await asyncio.sleep(21)
            assert world.source.calls["list_tasks"] == 2

        run(act)


class TestRule7StreamsForWaiters:
    def test_no_more_than_the_budget_and_all_end(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_tasks("s", 200)
            tasks = [task async for task in source.list_tasks("s")]
            futures = [world.hub.wait(task) for task in tasks]
            await world.until(lambda: source.open_streams == 8)
            for task in reversed(tasks):
                source.start("s", task.id)
                source.succeed("s", task.id)
            ended = await asyncio.wait_for(asyncio.gather(*futures), 120)
            assert {task.state for task in ended} == {SUCCEED}
            assert source.most_streams == 8
            await world.until(lambda: source.open_streams == 0)

        run(act, WatchSettings(watch_budget=8))

    def test_another_budget_holds_at_once(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_tasks("s", 10)
            keys = [world.watch("s", str(number)) for number in range(1, 11)]
            await world.until(lambda: world.source.open_streams == 2)
            world.hub.configure(WatchSettings(watch_budget=5))
            await world.until(lambda: world.source.open_streams == 5)
            for key in keys:
                key.release()
                key.release()
            await world.until(lambda: world.source.open_streams == 0)

        run(act, WatchSettings(watch_budget=2))

    def test_a_task_with_a_stream_reaches_subscriptions_at_stream_speed(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_task("s")
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            key = world.watch("s", "1")
            await asyncio.sleep(5)
            assert key.active
            world.source.start("s", "1")
            await asyncio.sleep(0.05)  # polls are a minute apart
            assert heard.states("1") == [PENDING, RUNNING]
            world.source.succeed("s", "1")
            await asyncio.sleep(0.05)
            assert heard.states("1") == [PENDING, RUNNING, SUCCEED]
            assert not key.active
            again = world.watch("s", "1")  # it has ended: a stream would say nothing new
            await world.until(lambda: not again.active)
            assert world.source.open_streams == 0

        run(act, WatchSettings(poll_interval=60.0))

    def test_after_every_end_a_probe(self) -> None:
        """A stream of an unknown task ends well; only GetTask says that it is gone."""

        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_task("s")
            task = await world.source.get_task("s", "1")
            world.source.drop_task("s", "1")
            future = world.hub.wait(task)
            with pytest.raises(TaskLostError, match="gone"):
                await asyncio.wait_for(future, 10)
            assert world.source.calls["get_task"] >= 2

        run(act)


class TestRule8Drained:
    def test_it_is_delivered_after_the_last_end_and_again_after_more_work(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            assert DRAINED not in heard.kinds(), "a session without tasks is not drained"
            for number in ("1", "2"):
                source.add_task("s")
                source.start("s", number)
                await world.until(lambda: heard.states(number)[-1:] == [RUNNING])  # noqa: B023
                source.fail("s", number, "boom")
                await world.until(lambda: heard.kinds()[-1] is DRAINED)
                assert heard.story[-1] is heard.sessions[-1], "the text had to be read first"
                await asyncio.sleep(10)
            assert heard.kinds().count(DRAINED) == 2
            late, _ = world.subscribe()
            assert late.kinds() == [OPENED, DRAINED]
            assert all(event.initial for event in late.sessions)

        run(act)

    def test_counters_alone_do_not_drain(self) -> None:
        async def act(world: World) -> None:
            world.source.add_session("s")
            world.source.add_tasks("s", 2)
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            world.source.succeed("s", "1")
            world.source.take("s", "2")  # in no counter, and not ended
            await world.until(lambda: heard.ends())
            await asyncio.sleep(10)
            assert DRAINED not in heard.kinds()
            world.source.succeed("s", "2")
            await world.until(lambda: DRAINED in heard.kinds())

        run(act)

    def test_what_the_engine_recorded_is_delivered_once(self) -> None:
        async def act(world: World) -> None:
            source = world.source
            source.add_session("s")
            source.add_session_event("s", 1001, "no such command")
            heard, _ = world.subscribe()
            await world.until(lambda: heard.syncs)
            await asyncio.sleep(5)
            source.add_session_event("s", 1002, "retry limit reached")
            await world.until(lambda: heard.kinds().count(EVENT) == 2)
            await asyncio.sleep(5)
            received = [(e.event.code, e.initial) for e in heard.sessions if e.event]
            assert received == [(1001, True), (1002, False)]
            late, _ = world.subscribe()
            assert [e.event.code for e in late.sessions if e.event] == [1001, 1002]

        run(act)


class TestRule10OverflowIsADiffAgainstTheStore:
    def test_what_changed_since_a_number_can_be_had_and_deletes_too(self) -> None:
        async def act(world: World) -> None:
            source, store = world.source, world.hub.store
            source.add_session("s")
            source.add_session("other", "other")
            source.add_tasks("s", 5)
            source.add_tasks("other", 2)
            heard, subscription = world.subscribe()
            await world.until(lambda: heard.syncs)
            mark = subscription.needed_since = heard.tasks[-1].sequence
            source.succeed("s", "4")
            await world.until(lambda: heard.ends())
            source.start("s", "1")
            source.succeed("other", "1")
            await world.until(lambda: len(heard.tasks) == 10)
            source.drop_session("other")
            await world.until(lambda: heard.resets)

            changed = store.changed_since(mark, lambda _, application: application == "app")
            assert [(r.id, k.task.id, k.task.state) for r, k in changed] == [
                ("s", "4", SUCCEED),
                ("s", "1", RUNNING),
            ]
            assert [k.sequence for _, k in changed] == sorted(k.sequence for _, k in changed)
            graves = store.deleted_since(mark, lambda *_: True)
            assert {(one.event.task.id, one.changed > mark) for one in graves} == {
                ("1", True),
                ("2", False),
            }
            assert store.deleted_since(store.sequence, lambda *_: True) == []
            subscription.needed_since = None
            world.hub.reader_moved()
            assert store.deleted_since(mark, lambda *_: True) == []

        run(act)
