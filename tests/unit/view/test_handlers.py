"""Rows of informers: what they describe, with rate, durations and last error over time."""

from __future__ import annotations

import pytest

from flamepy.view import OutboxRow
from flamepy.view.handlers import STACK_LENGTH, Handlers

DESCRIBED = {
    **{"name": "mail", "state": "active", "synced": True, "queued": 3, "oldest_age": 0.5},
    **{"delivered": 0, "failures": 1, "retries": 2, "dead": 1, "missed": 0, "coalesced": 4},
    **{"slow": 1, "stuck": 1, "running_for": 31.0, "handler_seconds": 1.0},
}


def test_a_row_has_what_was_described_and_what_was_measured() -> None:
    handlers = Handlers()
    for second in range(11):
        handlers.observe([({**DESCRIBED, "delivered": 5 * second}, "x" * 9_000)], float(second))
    handlers.call("mail", 10.0, 0.02)
    handlers.error("mail", 10.0, "on_failed: ValueError: no")
    (row,) = handlers.rows(10.0)
    assert row.rate == pytest.approx(5.0, rel=0.1)
    assert row.took.p50 == pytest.approx(0.02, rel=0.2)
    assert (row.queued, row.retries, row.stuck, row.delivered) == (3, 2, 1, 50)
    assert (row.last_error, row.last_error_at) == ("on_failed: ValueError: no", 10.0)
    assert len(row.stack) == STACK_LENGTH


def test_a_sink_has_its_outbox() -> None:
    handlers = Handlers()
    counters = {"waiting": 7, "oldest_age": 2.5, "sent": 40, "dropped": 1, "bytes": 900}
    disabled = {"b": "410 Gone", "a": "refused"}
    handlers.observe([({**DESCRIBED, "outbox": {**counters, "disabled": disabled}}, "")], 1.0)
    (row,) = handlers.rows(1.0)
    assert row.outbox == OutboxRow(
        waiting=7, oldest_age=2.5, sent=40, dropped=1, disabled="refused; 410 Gone"
    )
    handlers.observe([({**DESCRIBED, "outbox": None}, "")], 2.0)
    assert handlers.rows(2.0)[0].outbox is None


def test_a_removed_informer_is_gone_and_one_not_seen_yet_is_not_shown() -> None:
    handlers = Handlers()
    handlers.call("early", 1.0, 0.1)
    assert handlers.rows(1.0) == []
    handlers.observe([(DESCRIBED, "")], 1.0)
    handlers.observe([], 2.0)
    assert handlers.rows(2.0) == []
