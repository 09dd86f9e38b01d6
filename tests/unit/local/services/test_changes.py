"""Log lines of changes cannot be forged or flooded by ids."""

from __future__ import annotations

import logging

import pytest

from flamepy.local.services.changes import note, shorten

logger = logging.getLogger("flamepy.local.test")


def test_a_line_names_the_ids_and_carries_them(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        note(logger, "task running", session="s-1", task=3, executor=None)
    (record,) = caplog.records
    assert record.getMessage() == "task running session=s-1 task=3"
    assert record.flame == {"session": "s-1", "task": "3"}  # type: ignore[attr-defined]


def test_odd_ids_stay_on_their_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        note(logger, "session open", session="a\nINFO task failed")
        note(logger, "session open", session="x" * 5000)
    first, second = (record.getMessage() for record in caplog.records)
    assert first == 'session open session="a\\nINFO task failed"'
    assert len(second) < 300
    assert "5000 characters" in second


def test_nothing_is_done_when_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    class Explosive:
        def __str__(self) -> str:
            raise AssertionError

    with caplog.at_level(logging.WARNING):
        note(logger, "session open", session=Explosive())


def test_a_short_text_is_itself() -> None:
    assert shorten("abc") == "abc"
