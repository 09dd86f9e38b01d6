"""``check_sink`` lets good sinks pass and names what is wrong with the others."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from flamepy.errors import InvalidArgumentError
from flamepy.informers import OutboxEntry, Outcome, PermanentError, Sink
from flamepy.testing import check_sink

TOKEN = "whsec_c2VjcmV0"


class Refused(Exception):
    """The receiver refuses for good."""


class Receiver:
    """Takes one event at a time, as it was told to."""

    def __init__(self) -> None:
        self.how = "well"
        self.keys: list[str] = []
        self.calls = 0
        self.refused = 0  # every second from the second one; 1: from the first

    def behave(self, how: str) -> None:
        self.how, self.calls = how, 0

    def received(self) -> list[str]:
        return list(self.keys)

    def take(self, key: str) -> None:
        self.calls += 1
        if self.how == "refusing":
            raise Refused("400 Bad Request")
        if self.how == "slow":
            threading.Event().wait(0.05)
            raise TimeoutError("no answer")
        if self.how == "down" or (self.how == "half" and self.calls % 2 == self.refused):
            raise ConnectionError("503 Service Unavailable")
        self.keys.append(key)


class Good(Sink):
    def __init__(self, receiver: Receiver) -> None:
        super().__init__()
        self.receiver = receiver

    def send(self, batch: Sequence[OutboxEntry]) -> Sequence[Outcome]:
        return [self.one(entry) for entry in batch]

    def one(self, entry: OutboxEntry) -> Outcome:
        try:
            self.receiver.take(entry.key)
        except Refused as error:
            return Outcome.refused(error)
        except OSError as error:
            return Outcome.retry(error)
        return Outcome.sent()


class Awaited(Good):
    async def send(self, batch: Sequence[OutboxEntry]) -> Sequence[Outcome]:  # type: ignore[override]  # a coroutine may take its place
        return [self.one(entry) for entry in batch]


class Forgetful(Good):
    """Says that everything was sent."""

    def one(self, entry: OutboxEntry) -> Outcome:
        super().one(entry)
        return Outcome.sent()


class AllOrNothing(Good):
    """Sends all again where one has failed."""

    def send(self, batch: Sequence[OutboxEntry]) -> Sequence[Outcome]:
        for entry in batch:
            try:
                self.receiver.take(entry.key)
            except Refused as error:
                raise PermanentError(str(error)) from error
        return [Outcome.sent()] * len(batch)


class Stubborn(Good):
    """Tries for ever what was refused."""

    def one(self, entry: OutboxEntry) -> Outcome:
        outcome = super().one(entry)
        return Outcome.retry("refused") if "Refused" in outcome.text else outcome


class Hanging(Good):
    """Has no time limit."""

    def one(self, entry: OutboxEntry) -> Outcome:
        if self.receiver.how == "slow":
            threading.Event().wait(1.0)
        return super().one(entry)


class Talkative(Good):
    """Shows its token."""

    def one(self, entry: OutboxEntry) -> Outcome:
        outcome = super().one(entry)
        if outcome == Outcome.sent():
            return outcome
        return Outcome.refused(f"POST https://example.com/?token={TOKEN}: {outcome.text}")


class Silent(Good):
    def send(self, batch: Sequence[OutboxEntry]) -> Sequence[Outcome]:
        return super().send(batch)[:1]


@pytest.mark.parametrize("kind", [Good, Awaited])
def test_a_good_one_passes(kind: type[Good]) -> None:
    receiver = Receiver()
    report = check_sink(lambda: kind(receiver), receiver, secrets=[TOKEN])
    assert report.ok
    assert len(report.situations) == 7
    assert len(receiver.keys) > 40


@pytest.mark.parametrize(
    ("kind", "situation", "text"),
    [
        (Forgetful, "a receiver that is down", "events were sent that the receiver does not have"),
        (AllOrNothing, "a receiver that takes half", "events again that the receiver had taken"),
        (Stubborn, "a receiver that refuses for good", "again and again what the receiver refuses"),
        (Talkative, "a receiver that is down", "shows a secret in an outcome"),
        (Silent, "a receiver that takes everything", "one Outcome for each of its"),
    ],
)
def test_what_is_wrong_is_named_with_its_situation(
    kind: type[Good], situation: str, text: str
) -> None:
    receiver = Receiver()
    with pytest.raises(AssertionError) as raised:
        check_sink(lambda: kind(receiver), receiver, situations=[situation], secrets=[TOKEN])
    assert f"{situation}: send " in str(raised.value)
    assert text in str(raised.value)


@pytest.mark.parametrize("refused", [0, 1])
@pytest.mark.parametrize("time", range(5))
def test_a_batch_is_always_met_by_a_receiver_that_takes_half(refused: int, time: int) -> None:
    """Whatever the machine's speed, and whichever half: what is sent again is always found."""
    receiver = Receiver()
    receiver.refused = refused
    with pytest.raises(AssertionError, match="events again that the receiver had taken"):
        check_sink(
            lambda: AllOrNothing(receiver), receiver, situations="a receiver that takes half"
        )


def test_a_send_without_a_time_limit_is_named() -> None:
    receiver = Receiver()
    report = check_sink(
        *(lambda: Hanging(receiver), receiver),
        limit=0.5,
        situations="a receiver that is slow",
        strict=False,
    )
    assert "runs longer than 0.5 s: give its calls a time limit" in str(report)


def test_arguments_are_checked() -> None:
    receiver = Receiver()
    with pytest.raises(InvalidArgumentError, match="needs a fresh sink"):
        check_sink(Good(receiver), receiver)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(InvalidArgumentError, match="there is no situation 'rain'"):
        check_sink(lambda: Good(receiver), receiver, situations=["rain"])
