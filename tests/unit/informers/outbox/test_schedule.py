"""What may be sent next: order by key, batches, back-off of destinations and of entries."""

from __future__ import annotations

from flamepy.informers.outbox.entry import StoredEntry
from flamepy.informers.outbox.schedule import FOREVER, Item, Load, Schedule, Taken


def item(number: int, ordering: str | None = None, *, since: float = 0.0, due: float = 0.0) -> Item:
    stored = StoredEntry(number, ordering, f"k{number}", "{}", 0.0, 0, 0.0)
    return Item(stored, number if ordering is None else ordering, since, due)


class _Table:
    """The rows that a schedule loads, by destination."""

    def __init__(self, schedule: Schedule, **rows: list[Item]) -> None:
        self.schedule = schedule
        self.rows = rows
        for destination in rows:
            schedule.announce(destination)

    def take(self, now: float = 0.0, *, flushing: bool = False) -> Taken | None:
        step = self.schedule.take(now, flushing=flushing)
        while isinstance(step, Load):
            after = step.after
            rows = [one for one in self.rows[step.destination] if one.stored.id > after]
            self.schedule.loaded(step, rows[: step.limit], now)
            step = self.schedule.take(now, flushing=flushing)
        return step


def made(
    *, size: int = 10, delay: float = 0.0, whole: bool = False, **rows: list[Item]
) -> tuple[Schedule, _Table]:
    schedule = Schedule(batch_size=size, batch_delay=delay, whole=whole)
    return schedule, _Table(schedule, **rows)


def numbers(taken: Taken | None) -> list[int]:
    return [] if taken is None else [one.stored.id for one in taken.items]


def gone(taken: Taken | None) -> set[int]:
    return set(numbers(taken))


class TestOrder:
    def test_a_batch_has_one_of_a_key_and_the_next_follows_when_it_was_sent(self) -> None:
        schedule, table = made(a=[item(1, "x"), item(2, "x"), item(3, "y")])
        first = table.take()
        assert first is not None
        assert numbers(first) == [1, 3]
        assert table.take() is None, "its predecessor is being sent"
        schedule.ended(first, gone(first), 0.0)
        assert numbers(table.take()) == [2]

    def test_one_that_failed_holds_back_those_of_its_key_alone(self) -> None:
        schedule, table = made(a=[item(1, "x"), item(2, "x"), item(3, "y"), item(4, "y")])
        first = table.take()
        assert first is not None
        first.items[0].due = 5.0
        schedule.ended(first, {3}, 0.0)
        assert numbers(table.take(0.0)) == [4]
        assert table.take(4.9) is None
        assert numbers(table.take(5.0)) == [1]

    def test_a_whole_batch_may_have_several_of_a_key_in_order(self) -> None:
        schedule, table = made(whole=True, size=3, a=[item(1, "x"), item(2, "y"), item(3, "x")])
        first = table.take()
        assert first is not None
        assert numbers(first) == [1, 2, 3]
        schedule.ended(first, set(), 0.0, wait=2.0)
        assert table.take(1.9) is None
        assert numbers(table.take(2.0)) == [1, 2, 3]

    def test_of_entries_without_order_none_holds_back_another(self) -> None:
        _, table = made(size=2, a=[item(1), item(2), item(3)])
        assert numbers(table.take()) == [1, 2]
        assert numbers(table.take()) == [3]


class TestDestinations:
    def test_one_that_fails_holds_up_no_other(self) -> None:
        schedule, table = made(a=[item(1)], b=[item(2)])
        first = table.take()
        assert first is not None
        schedule.ended(first, set(), 0.0, wait=100.0)
        assert numbers(table.take()) == [2]
        assert table.take(99.0) is None

    def test_after_a_failure_one_batch_at_a_time_is_tried(self) -> None:
        schedule, table = made(size=1, a=[item(1), item(2)])
        first = table.take()
        assert first is not None
        schedule.ended(first, set(), 0.0, wait=1.0)
        probe = table.take(1.0)
        assert probe is not None
        assert table.take(1.0) is None, "the receiver may still be down"
        schedule.ended(probe, gone(probe), 1.0)
        assert table.take(1.0) is not None

    def test_failures_in_a_row_are_counted_until_a_batch_arrives(self) -> None:
        schedule, table = made(size=1, a=[item(1)])
        for count in (1, 2):
            taken = table.take(float(count))
            assert taken is not None
            schedule.ended(taken, set(), float(count), wait=0.5)
            assert (schedule.failures("a"), schedule.worst) == (count, count)
        taken = table.take(9.0)
        assert taken is not None
        schedule.ended(taken, gone(taken), 9.0)
        assert schedule.failures("a") == 0

    def test_to_a_disabled_one_nothing_is_sent(self) -> None:
        schedule, table = made(a=[item(1)], b=[item(2)])
        schedule.disabled = {"a": "410 Gone"}
        assert numbers(table.take()) == [2]
        schedule.disabled = {"*": "410 Gone"}
        assert table.take() is None
        assert schedule.next_due(0.0) == FOREVER

    def test_each_gets_its_turn(self) -> None:
        _, table = made(size=1, a=[item(1), item(2)], b=[item(3), item(4)])
        turns = [taken.destination for _ in range(4) if (taken := table.take()) is not None]
        assert turns == ["a", "b", "a", "b"]


class TestBatches:
    def test_one_that_is_not_full_waits_for_others(self) -> None:
        schedule, table = made(size=2, delay=3.0, a=[item(1, since=1.0)])
        assert table.take(3.9) is None
        assert schedule.next_due(3.9) == 4.0
        assert numbers(table.take(4.0)) == [1]

    def test_a_full_one_and_a_flush_do_not_wait(self) -> None:
        _, table = made(size=2, delay=3.0, a=[item(1), item(2), item(3)])
        assert numbers(table.take()) == [1, 2]
        assert table.take() is None
        assert numbers(table.take(flushing=True)) == [3]

    def test_what_is_due_later_wakes_its_owner_then(self) -> None:
        schedule, table = made(a=[item(1, due=7.0)])
        assert table.take() is None
        assert schedule.next_due(0.0) == 7.0


class TestWindow:
    def test_more_is_loaded_when_it_is_needed(self) -> None:
        schedule, table = made(size=1, a=[item(number) for number in range(1, 2_501)])
        sent = []
        while (taken := table.take()) is not None:
            sent += numbers(taken)
            schedule.ended(taken, gone(taken), 0.0)
        assert sent == list(range(1, 2_501))

    def test_what_is_new_is_loaded_once_it_is_announced(self) -> None:
        schedule, table = made(a=[item(1)])
        taken = table.take()
        assert taken is not None
        table.rows["a"].append(item(2))
        schedule.ended(taken, gone(taken), 0.0)
        assert table.take() is None
        schedule.announce("a")
        assert numbers(table.take()) == [2]

    def test_what_was_dropped_is_forgotten_unless_it_is_being_sent(self) -> None:
        schedule, table = made(size=1, a=[item(1, "x"), item(2, "x"), item(3, "y"), item(4, "y")])
        taken = table.take()
        assert taken is not None
        assert schedule.sending() == {1, 2}
        schedule.forget({3}, 0.0)
        schedule.ended(taken, {1}, 0.0)
        assert numbers(table.take()) == [4]
        assert numbers(table.take()) == [2]

    def test_after_a_clear_everything_is_loaded_again_and_the_back_off_stays(self) -> None:
        schedule, table = made(a=[item(1)])
        taken = table.take()
        assert taken is not None
        schedule.ended(taken, set(), 0.0, wait=4.0)
        schedule.clear()
        assert table.take(3.0) is None
        assert numbers(table.take(4.0)) == [1]
        schedule.ended(taken, set(), 4.0, wait=4.0)
        schedule.clear()
        schedule.hasten()
        assert numbers(table.take(4.0)) == [1]
