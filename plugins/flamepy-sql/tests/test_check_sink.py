"""The sink before a database that is locked, and killed, and stopped."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from flamepy_sql import SqlSink

from flamepy.testing import check_sink

SITUATIONS = (
    "a receiver that takes everything",
    "a receiver that is slow",
    "a receiver that is down",
    "killed before the answer was stored",
    "stopped while the receiver is down",
)  # a transaction has no half, and test_faults.py has rows that are refused


class Locked:
    """A database that another connection locks, unless all is to be well."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def behave(self, how: str) -> None:
        if self.lock.in_transaction:
            self.lock.execute("ROLLBACK")
        if how != "well":
            self.lock.execute("BEGIN EXCLUSIVE")

    def received(self) -> list[str]:
        try:
            found = self.lock.execute("SELECT event_key FROM flame_events ORDER BY rowid")
        except sqlite3.OperationalError:  # there is no table yet
            return []
        return [key for (key,) in found]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_it_loses_and_repeats_nothing(situation: str, tmp_path: Path) -> None:
    locked = Locked(tmp_path / "flame.db")

    def make() -> SqlSink:
        return SqlSink(
            url=f"sqlite:///{locked.path}",
            store="events",
            timeout=0.05,
            outbox={"backoff_first": 0.01, "backoff_max": 0.05, "flush_timeout": 1.0},
        )

    try:
        check_sink(make, locked, situations=[situation])
        assert locked.received()
    finally:
        locked.lock.close()
