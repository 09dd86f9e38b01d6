"""``reactor.engine``: how the connection stands, and calls that block or do not."""

from __future__ import annotations

import threading

import pytest
from support.waiting import eventually

from flamepy.errors import FlameError, InvalidStateError, SessionNotFoundError
from flamepy.informers import Reactor
from flamepy.testing import FakeEngine
from flamepy.types import ConnectionState


def test_the_status_counts_polls_and_calls(engine: FakeEngine, running: Reactor) -> None:
    calls = running.engine
    running.sessions.wait_synced(10)
    eventually(lambda: calls.status().polls > 1, "polls")
    status = calls.status()
    assert status.endpoint == engine.endpoint
    assert status.state is ConnectionState.CONNECTED
    assert status.freshness < 10
    assert status.stats.calls > 0
    assert (status.away_for, status.away_reason, status.drifts, status.missed) == (None, "", 0, 0)


def test_an_outage_has_an_age_and_a_reason(engine: FakeEngine, running: Reactor) -> None:
    running.sessions.wait_synced(10)
    engine.kill()
    calls = running.engine
    eventually(lambda: calls.status().away_for is not None, "the outage")
    status = calls.status()
    assert status.away_reason
    assert status.outages == 1
    engine.restart()
    eventually(lambda: calls.status().away_for is None, "its end")
    assert calls.status().away_reason == ""


def test_a_call_waits_for_its_answer_or_raises_its_error(running: Reactor) -> None:
    found = running.engine.run(lambda frontend: frontend.get_session("s"), timeout=10)
    assert found.id == "s"
    with pytest.raises(SessionNotFoundError):
        running.engine.run(lambda frontend: frontend.get_session("none"), timeout=10)


def test_a_call_in_the_background_reports_answer_or_error(running: Reactor) -> None:
    seen: list[tuple[object, FlameError | None]] = []
    both = threading.Event()

    def done(answer: object, error: FlameError | None) -> None:
        seen.append((answer, error))
        if len(seen) == 3:
            both.set()

    calls = running.engine
    calls.begin(lambda frontend: frontend.get_session("s"), done)
    calls.begin(lambda frontend: frontend.get_session("none"), done)
    calls.machines(done)
    assert both.wait(20)
    errors = [error for _, error in seen if error is not None]
    assert [type(one) for one in errors] == [SessionNotFoundError]
    nodes = [answer for answer, _ in seen if isinstance(answer, tuple)]
    assert len(nodes) == 1
    assert len(nodes[0][0]) == 1


def test_after_the_stop_nothing_is_begun(engine: FakeEngine) -> None:
    reactor = Reactor(endpoint=engine.endpoint, plugins=())
    with pytest.raises(InvalidStateError):
        _ = reactor.engine
    with reactor:
        calls = reactor.engine
    calls.begin(lambda frontend: frontend.list_nodes(), lambda answer, error: None)
    with pytest.raises(InvalidStateError):
        _ = reactor.engine
