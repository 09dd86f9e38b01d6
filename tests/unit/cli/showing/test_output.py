"""Tables cannot be disturbed by what they show; JSON shows everything."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.cli.showing.forms import Form
from flamepy.cli.showing.output import age, cell, printable, show
from flamepy.types import TaskState

TABLE = Form("table")
NOW = datetime(2026, 1, 2, tzinfo=timezone.utc)
RECORDS = [
    {"id": "1", "state": TaskState.FAILED, "size": 5, "creation_time": NOW, "error": "a\x1b[31m b"},
    {"id": "2" * 90, "state": TaskState(9), "size": None, "creation_time": NOW, "error": None},
]


@given(st.text())
def test_no_text_moves_the_cursor(text: str) -> None:
    assert printable(text).isprintable()
    if text.isprintable():
        assert printable(text) == text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (2e6, "23d")],
)
def test_an_age_has_one_unit(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


def test_a_cell_is_short() -> None:
    assert cell(None, NOW) == "-"
    assert cell([], NOW) == "-"
    assert cell(["a", "b"], NOW) == "a, b"
    assert cell(TaskState.RUNNING, NOW) == "RUNNING"
    assert cell(NOW - timedelta(minutes=3), NOW) == "3m"


def test_a_pipe_gets_every_key_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    show(RECORDS, ["id"], None)
    first, second = json.loads(capsys.readouterr().out)
    assert first == {
        **RECORDS[0],
        "state": "FAILED",
        "creation_time": "2026-01-02T00:00:00+00:00",
    }
    assert second["state"] == "UNKNOWN_9"


def test_a_table_fits_80_columns_cuts_no_id_and_ends_lines_without_blanks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(RECORDS, ["id", "state", "size", "creation_time", "error"], Form("table"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ID", "STATE", "SIZE", "AGE", "ERROR"]
    assert lines[1].split()[-2:] == ["a\\x1b[31m", "b"]
    assert "".join(line.split()[0] for line in lines[2:]) == "2" * 90
    assert all(len(line) <= 80 and line == line.rstrip() for line in lines)


def test_a_table_that_is_a_little_too_wide_gives_up_gaps_before_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys = ("id", "application", "state", "pending", "running", "succeed", "failed")
    values = ("byte-service-W8vU9s", "byte-service", "CLOSED", 1, 2, 3, 4)
    record = dict(zip(keys, values, strict=True))
    show([{**record, "creation_time": datetime.now(timezone.utc)}], [*keys, "creation_time"], TABLE)
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[-2:] == ["FAILED", "AGE"]
    assert row.split() == [*map(str, values), "0s"]


def test_a_long_text_shows_both_its_ends_in_a_table_and_is_whole_in_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = f"exited with status 3: {'File, line 7 ' * 100}ValueError: no"
    show([{"error": text}], ["error"], Form("table"))
    rows = capsys.readouterr().out.splitlines()[1:]
    assert rows[0].startswith("exited with status 3")
    assert rows[-1].endswith("ValueError: no")
    assert sum(map(len, rows)) < 300
    show([{"error": text}], ["error"], Form("json"))
    assert json.loads(capsys.readouterr().out) == [{"error": text}]


def test_nothing_is_an_empty_list_and_a_title(capsys: pytest.CaptureFixture[str]) -> None:
    show([], ["id"], Form("json"))
    assert json.loads(capsys.readouterr().out) == []
    show([], ["id"], Form("table"))
    assert capsys.readouterr().out.strip() == "ID"
