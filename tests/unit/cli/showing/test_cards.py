"""``flamepy describe`` in a terminal: labels, sections, nothing that moves the cursor."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import click

from flamepy.cli.showing.cards import SHOWN, card_lines
from flamepy.types import TaskState

NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)


def lines(card: dict[str, object], columns: int = 80) -> list[str]:
    return [click.unstyle(line) for line in card_lines(card, columns, NOW)]


def test_values_come_first_and_sections_after_them() -> None:
    shown = lines(
        {
            "task": "s/1",
            "state": TaskState.FAILED,
            "events": [{"code": 3, "text": "boom"}],
            "creation_time": NOW - timedelta(minutes=5),
            "nothing": None,
        }
    )
    assert shown[0].split() == ["task", "s/1"]
    assert shown[1].split() == ["state", "FAILED"]
    assert shown[2].endswith("(5m ago)")
    assert shown[3:] == ["", "EVENTS", "  code=3  boom"]


def test_a_few_words_are_one_line_and_long_lists_say_how_many_more() -> None:
    assert lines({"arguments": ["-m", "service"]}) == [f"{'arguments':16} -m, service"]
    long = lines({"rows": [{"text": str(number)} for number in range(SHOWN + 5)]})
    assert long[-1] == "  5 more: -o json has them"


def test_no_line_is_wider_than_the_terminal_and_none_moves_the_cursor() -> None:
    text = "a word \x1b[31m and \r more " * 40
    shown = lines({"error": text, "events": [{"text": text}]}, 60)
    assert all(len(line) <= 60 and line.isprintable() for line in shown)
    assert len(shown) > 10


def test_many_short_lines_are_a_section_and_few_words_are_one_line() -> None:
    lines = [f"task {number}: 5 bytes" for number in range(9)]
    card = {"log_tail": lines, "shims": ["HOST", "WASM"]}
    shown = [click.unstyle(line) for line in card_lines(card, 80, NOW)]
    assert [one.strip() for one in shown[-9:]] == lines
    assert shown[0].split() == ["shims", "HOST,", "WASM"]
