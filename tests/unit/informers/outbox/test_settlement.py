"""What the outcomes of a batch mean: deleted, tried again, or given up."""

from __future__ import annotations

import pytest

from flamepy.errors import InvalidArgumentError
from flamepy.informers import OutboxOptions, Outcome, PermanentError, TemporaryError
from flamepy.informers.outbox.entry import StoredEntry
from flamepy.informers.outbox.settlement import Settlement, letter_of, outcomes_of, settle

SENT, LATER, NEVER = Outcome.sent(), Outcome.retry("busy"), Outcome.refused("bad")
OPTIONS = OutboxOptions(backoff_first=1.0, backoff_max=8.0, give_up_after=100.0)


def stored(number: int, *, attempts: int = 0, created: float = 0.0) -> StoredEntry:
    return StoredEntry(number, None, f"k{number}", '{"a": 1}', created, attempts, 0.0)


def settled(
    outcomes: list[Outcome] | BaseException,
    *entries: StoredEntry,
    failures: int = 0,
    now: float = 10.0,
) -> Settlement:
    count = len(outcomes) if isinstance(outcomes, list) else 2
    given = entries or tuple(stored(number) for number in range(1, count + 1))
    return settle(given, outcomes, OPTIONS, failures=failures, now=now, random=lambda: 0.0)


class TestSettle:
    def test_of_a_batch_that_was_half_accepted_each_entry_goes_its_own_way(self) -> None:
        found = settled([SENT, LATER, NEVER])
        assert found.sent == [1]
        assert found.waits == {2: 1.0}
        assert [(one.id, outcome.text) for one, outcome in found.dead] == [(3, "bad")]
        assert found.wait is None, "the destination takes something"
        assert found.gone == {1, 3}

    def test_a_batch_that_failed_makes_its_destination_wait_longer_each_time(self) -> None:
        waits = [settled(OSError("down"), failures=count).wait for count in range(6)]
        assert waits == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]

    def test_an_entry_that_fails_alone_waits_longer_each_time(self) -> None:
        entries = [stored(1, attempts=3), stored(2)]
        assert settled([LATER, SENT], *entries).waits == {1: 8.0}

    def test_one_that_always_fails_holds_up_its_destination_for_the_first_wait_only(self) -> None:
        found = settled([LATER], stored(1, attempts=3))
        assert (found.wait, found.waits) == (1.0, {1: 8.0})

    def test_the_receiver_may_say_when(self) -> None:
        found = settled([Outcome.retry("busy", after=30), Outcome.retry("busy", after=40)])
        assert (found.wait, found.waits) == (30.0, {1: 30.0, 2: 40.0})
        found = settled(TemporaryError("busy", delay=7))
        assert (found.wait, found.waits) == (7.0, {1: 7.0, 2: 7.0})

    def test_what_waits_did_not_fail(self) -> None:
        found = settled(
            [Outcome.wait("quiet", after=50), SENT], stored(1, attempts=2), stored(2), now=1000
        )
        assert (found.waits, found.error, found.dead, found.tried) == ({1: 50.0}, None, [], [])
        assert [(one.id, one.attempts, one.due, one.error) for one in found.waiting] == [
            (1, 2, 1050.0, "quiet")
        ]
        alone = settled([Outcome.wait("quiet", after=50)] * 2)
        assert (alone.wait, alone.error) == (None, None), "the destination takes other events"

    def test_a_batch_of_which_the_rest_failed_makes_its_destination_wait(self) -> None:
        found = settled([Outcome.wait("quiet", after=50), Outcome.retry("busy", after=7)])
        assert (found.wait, found.waits, found.error) == (7.0, {1: 50.0, 2: 7.0}, "busy")

    def test_what_send_refuses_is_given_up_at_once(self) -> None:
        found = settled(PermanentError("gone"))
        assert [one.id for one, _ in found.dead] == [1, 2]
        assert found.wait is None

    def test_an_old_entry_that_fails_again_is_given_up(self) -> None:
        found = settled(
            OSError("down"), stored(1, created=10.0), stored(2, created=11.0), now=110.0
        )
        assert [one.id for one, _ in found.dead] == [1]
        assert list(found.waits) == [2]

    def test_an_old_entry_that_was_sent_is_sent(self) -> None:
        assert settled([SENT], stored(1), now=1e6).sent == [1]

    def test_attempts_and_times_are_stored(self) -> None:
        found = settled([LATER, SENT], stored(1, attempts=1), stored(2), now=50.0)
        assert [tuple(one) for one in found.tried] == [(2, 52.0, "busy", 1)]


class TestLetters:
    def test_a_letter_has_the_event_the_error_and_every_attempt(self) -> None:
        letter = letter_of(
            stored(1, attempts=2), Outcome.refused(ValueError("no")), informer="hook", now=5.0
        )
        assert (letter.informer, letter.callback, letter.key) == ("hook", "send", "k1")
        assert (letter.event, letter.error, letter.attempts) == ({"a": 1}, "ValueError: no", 3)
        assert "ValueError: no" in letter.traceback


class TestAnswers:
    def test_none_is_all_sent(self) -> None:
        assert outcomes_of(None, 2) == [SENT, SENT]

    @pytest.mark.parametrize("answer", [[SENT], [SENT, None], 5, "ab", [True, True]])
    def test_anything_else_than_an_outcome_for_each_is_an_error(self, answer: object) -> None:
        with pytest.raises(TypeError, match="one Outcome for each of its 2 entries"):
            outcomes_of(answer, 2)

    def test_an_outcome_takes_an_exception_or_a_text(self) -> None:
        assert Outcome.retry(OSError("x")).text == "OSError: x"
        with pytest.raises(InvalidArgumentError, match="an exception or a text, got 5"):
            Outcome.refused(5)  # type: ignore[arg-type]  # what is refused
        with pytest.raises(InvalidArgumentError, match="after must be seconds"):
            Outcome.retry("x", after=-1)


class TestOptions:
    @pytest.mark.parametrize(
        ("given", "text"),
        [
            ({"batch_size": 0}, "batch_size must be a whole number, 1 or more, got 0"),
            ({"senders": True}, "senders must be a whole number"),
            ({"key": "node"}, "key must be one of task, session, application, none, got 'node'"),
            ({"when_full": "drop"}, "when_full must be one of wait, drop_oldest"),
            ({"batch": 1}, "no option 'batch'"),
            ({"payloads": 1}, "payloads must be True or False"),
            ({"backoff_first": 9, "backoff_max": 3}, "backoff_max must be at least"),
            ({"max_age": 0}, "max_age must be seconds, more than 0"),
            (5, "a mapping of them, got 5"),
        ],
    )
    def test_what_breaks_a_rule_is_named(self, given: object, text: str) -> None:
        with pytest.raises(InvalidArgumentError, match=text):
            OutboxOptions.of(given)  # type: ignore[arg-type]  # what is refused

    def test_a_mapping_makes_the_same_options(self) -> None:
        assert OutboxOptions.of({"batch_size": 5, "key": "none"}) == OutboxOptions(
            batch_size=5, key="none"
        )
        assert OutboxOptions.of(None) == OutboxOptions()
