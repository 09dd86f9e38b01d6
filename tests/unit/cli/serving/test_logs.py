"""Log lines are what the logging module would write, only cheaper."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flamepy.cli.serving.logs import TEXT, JsonFormatter, TextFormatter, trim_records

MOMENTS = st.lists(st.tuples(st.integers(0, 4_000_000_000), st.integers(0, 999)), min_size=1)


def record(second: int, millis: int, **more: object) -> logging.LogRecord:
    made = {"name": "flamepy.x", "levelname": "INFO", "msg": "%s is %d", "args": ("it", 3)}
    return logging.makeLogRecord(
        {**made, "created": second + millis / 1000, "msecs": float(millis), **more}
    )


@given(MOMENTS)
def test_lines_for_people_are_those_of_the_logging_module(moments: list[tuple[int, int]]) -> None:
    ours, theirs = TextFormatter(), logging.Formatter(TEXT)
    for moment in moments:
        assert ours.format(record(*moment)) == theirs.format(record(*moment))


@pytest.mark.parametrize("kind", ["exc_info", "exc_text", "stack_info"])
def test_a_traceback_follows_its_line(kind: str) -> None:
    try:
        raise ValueError("no way")
    except ValueError:
        more = {kind: sys.exc_info() if kind == "exc_info" else "the stack"}
    line = TextFormatter().format(record(1, 2, **more))
    assert line == logging.Formatter(TEXT).format(record(1, 2, **more))
    assert line.count("\n") >= 1


@given(MOMENTS)
def test_json_has_the_time_in_utc(moments: list[tuple[int, int]]) -> None:
    formatter = JsonFormatter()
    for second, millis in moments:
        line = json.loads(formatter.format(record(second, millis, flame={"task": "7"})))
        shown = datetime.fromisoformat(line["time"])
        expected = datetime.fromtimestamp(second, timezone.utc) + timedelta(milliseconds=millis)
        assert (shown, shown.utcoffset()) == (expected, timedelta())
        assert (line["message"], line["task"]) == ("it is 3", "7")


def test_trimmed_records_have_all_that_both_formats_show(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, getattr(logging, name))
    monkeypatch.setattr(logging, "logAsyncioTasks", True, raising=False)
    lines: list[str] = []
    logger = logging.Logger("flamepy.x")
    handler = logging.Handler()
    handler.emit = lambda one: lines.extend(  # type: ignore[method-assign]  # takes the lines
        logs_of(one)
    )
    logger.addHandler(handler)
    trim_records()
    logger.warning("it is %d", 3)
    assert lines[0].endswith(" WARNING flamepy.x: it is 3")
    assert json.loads(lines[1])["message"] == "it is 3"


def logs_of(one: logging.LogRecord) -> list[str]:
    return [TextFormatter().format(one), JsonFormatter().format(one)]
