"""What ``flamepy up`` shows in a terminal: rates of what ended, lines around a kept one."""

from __future__ import annotations

import logging
import os

import click
import pytest

from flamepy.cli.serving.line_writer import LineHandler
from flamepy.cli.showing import up_screen
from flamepy.cli.showing.up_screen import Look, ShortFormatter, banner, status_text
from flamepy.local import LocalCluster
from flamepy.local.state.totals import ClusterTotals
from flamepy.types import TaskCounts


def look(at: float, tasks: TaskCounts) -> Look:
    totals = ClusterTotals(sessions=3, open_sessions=1, tasks=tasks, executors=2, bound=1, limit=8)
    return Look(at, totals)


def test_the_status_has_totals_and_the_rate_of_ends() -> None:
    before = look(10.0, TaskCounts(5, 1, 1000, 0, 0))
    now = look(12.0, TaskCounts(4, 1, 1490, 10, 0))
    text = status_text(now, before)
    assert text == (
        "1 open | 4 pending | 1 running | 1,490 done | 10 failed | 250/s | 1/8 executors"
    )
    assert "/s" not in status_text(now, None)
    assert " 1.5/s" in status_text(look(12.0, TaskCounts(succeed=1003)), before)


def test_a_narrow_terminal_gets_whole_parts_of_the_status() -> None:
    now = look(12.0, TaskCounts(4, 1, 1490, 10, 0))
    whole = status_text(now, None)
    assert status_text(now, None, columns=len(whole)) == whole
    assert status_text(now, None, columns=len(whole) - 1) == whole.rpartition(" | ")[0]
    assert status_text(now, None, columns=3) == "1 open"


def record(level: int, text: str) -> logging.LogRecord:
    return logging.LogRecord("x", level, "", 0, "%s", (text,), None)


def test_a_line_has_the_time_and_a_warning_its_level_and_colour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    formatter = ShortFormatter()
    assert formatter.format(record(logging.INFO, "session open"))[8:] == " session open"
    warned = formatter.format(record(logging.WARNING, "careful"))
    assert click.unstyle(warned)[8:] == " WARNING: careful"
    assert warned != click.unstyle(warned)
    monkeypatch.setenv("NO_COLOR", "1")
    warned = formatter.format(record(logging.WARNING, "careful"))
    assert warned == click.unstyle(warned)


def test_the_banner_says_where_what_and_what_next() -> None:
    with LocalCluster(executors=2, cache_port=None) as cluster:
        lines = banner(cluster, data="/data", executors=2, demo=False)
        text = "\n".join(lines)
        assert "/data" in text
        assert "2 at most" in text
        assert f"export FLAME_ENDPOINT={cluster.endpoint}" in text
        assert all(len(line) <= 80 for line in lines)
        demo = banner(cluster, data=None, executors=2, demo=True)
        assert "byte-service" in "\n".join(demo)
        assert all(len(line) <= 80 for line in demo)


@pytest.mark.parametrize("installed", [True, False])
def test_a_demo_names_the_commands_of_extras_where_they_are_installed(
    installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up_screen, "find_spec", lambda name: object() if installed else None)
    with LocalCluster(executors=2, cache_port=None) as cluster:
        text = "\n".join(banner(cluster, data=None, executors=2, demo=True))
    assert "flamepy watch --summary" in text
    assert ("flamepy top" in text) is ("flamepy dashboard" in text) is installed


def test_a_kept_line_is_below_every_log_line_until_it_is_removed() -> None:
    reading, writing = os.pipe()
    handler = LineHandler(writing)
    handler.show("<", "kept")
    handler.emit(record(logging.INFO, "one"))
    handler.show("<", "")
    handler.emit(record(logging.INFO, "two"))
    handler.flush()
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"<kept<one\nkept<two\n"
