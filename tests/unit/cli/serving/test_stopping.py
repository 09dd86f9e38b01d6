"""A program that waits for a signal stops whenever the signal comes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from flamepy.cli.serving.stopping import StopSignals


@pytest.fixture
def stop() -> Iterator[StopSignals]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield StopSignals()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_without_a_signal_it_waits_for_as_long_as_it_is_told(stop: StopSignals) -> None:
    assert not stop.wait(0.0)
    assert not stop.wait(0.3)


def test_a_signal_of_before_ends_each_wait(stop: StopSignals) -> None:
    signal.raise_signal(signal.SIGTERM)
    assert stop.wait(60.0)
    assert stop.wait(60.0)


def test_a_signal_that_does_not_wake_the_thread_ends_the_wait(stop: StopSignals) -> None:
    """As one that comes between the last instruction before the sleep and the sleep."""

    def deliver() -> None:
        threading.Event().wait(0.1)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    thread = threading.Thread(target=deliver)
    thread.start()
    assert stop.wait(20.0)
    thread.join()
