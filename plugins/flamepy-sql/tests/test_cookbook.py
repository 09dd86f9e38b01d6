"""Each query of the README, on each database."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest
from flamepy_sql import SqlSink
from made import CANCELLED, FAILED, PENDING, RUNNING, SUCCEED, session, task
from sqlalchemy import Engine, text

from flamepy.informers import OutboxEntry, SessionEventKind

README = (Path(__file__).parents[1] / "README.md").read_text()
QUERIES = re.findall(r"^```sql\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def tasks() -> list[OutboxEntry]:
    """Return 100 tasks of render that took 1 to 100 s, and some of others."""
    made = [task(SUCCEED, float(number), id=str(number)) for number in range(1, 101)]
    made += [
        task(FAILED, 30, id=f"a{number}", application="train", session="t", error="disk full")
        for number in range(3)
    ]
    made.append(task(FAILED, 90, id="b", application="train", session="t", error="timeout"))
    made.append(task(SUCCEED, 45, id="c", application="train", session="t"))
    made.append(task(PENDING, 1, id="d", application="train", session="t"))
    made.append(task(CANCELLED, 61, id="e", application="train", session="t"))
    made += [
        task(RUNNING, 2, old=PENDING, id="f"),
        task(PENDING, 3, old=RUNNING, id="f"),
        task(RUNNING, 4, old=PENDING, id="f"),
    ]
    return [*made, session(SessionEventKind.OPENED, 1)]


WANTED: list[list[tuple[object, ...]]] = [
    [
        ("render", "2026-03-01 12:00", 59),
        ("train", "2026-03-01 12:00", 4),
        ("render", "2026-03-01 12:01", 41),
        ("train", "2026-03-01 12:01", 2),
    ],
    [("render", 100, 95.0), ("train", 1, 45.0)],
    [
        ("train", "disk full", 3, "2026-03-01 12:00:30"),
        ("train", "timeout", 1, "2026-03-01 12:01:30"),
    ],
    [
        ("render", "running", 1, "2026-03-01 12:00:00"),
        ("train", "pending", 1, "2026-03-01 12:00:00"),
    ],
    [("s", "f", 2)],
]


@pytest.mark.parametrize("number", range(len(WANTED)))
def test_a_query_of_the_readme(url: str, engine: Engine, number: int) -> None:
    sink = SqlSink(url=url, store="both")
    sink.open()
    sink.send(tasks())
    sink.close()
    with engine.connect() as connection:
        found = [tuple(map(plain, row)) for row in connection.execute(text(QUERIES[number]))]
    assert found == WANTED[number]


def test_every_query_is_run() -> None:
    assert len(QUERIES) == len(WANTED)


def plain(value: object) -> object:
    """Return a value as SQLite has it, times to the second."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, str) and re.fullmatch(r"\S+ \S+\.\d{6}", value):
        return value[:19]
    return value
