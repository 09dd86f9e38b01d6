"""Dead letters are kept with what is needed to understand and to repeat them, within bounds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from flamepy.errors import InvalidArgumentError, NotFoundError
from flamepy.informers.dead_letters import table
from flamepy.informers.dead_letters.box import DeadLetters
from flamepy.informers.dead_letters.letter import DeadLetter, letters_of
from flamepy.informers.dead_letters.table import SCHEMA, Bounds
from flamepy.informers.informer import SessionProgress
from flamepy.types import SessionInfo, SessionState, Task, TaskState
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
SESSION = SessionEvent(
    kind=SessionEventKind.OPENED, session=SessionInfo("s", "app", SessionState.OPEN, START)
)


def event(number: int = 1, **task: Any) -> TaskEvent:
    made = Task(str(number), "s", TaskState.SUCCEED, START, **{"payloads_loaded": False, **task})
    return TaskEvent(kind=EventKind.ADDED, task=made, application="app")


def letter(number: int = 1, *, informer: str = "bills", at: float = 0.0) -> DeadLetter:
    (made,) = letters_of(
        event(number),
        ValueError("no such order"),
        informer=informer,
        callback="on_terminal",
        attempts=3,
        now=START.timestamp() + at,
    )
    return made


class _Memory:
    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:", isolation_level=None)
        self.database.executescript(SCHEMA)

    def transact(self, act: Callable[..., Any]) -> Any:
        return act(self.database)


@pytest.fixture
def file() -> Iterator[_Memory]:
    memory = _Memory()
    yield memory
    memory.database.close()


class TestLetters:
    def test_it_has_the_event_the_error_and_its_traceback(self) -> None:
        try:
            raise ValueError("no such order") from KeyError("order")
        except ValueError as error:
            (made,) = letters_of(
                event(), error, informer="bills", callback="on_terminal", attempts=3, now=0.0
            )
        assert (made.error, made.attempts) == ("ValueError: no such order", 3)
        assert (made.session, made.task, made.application) == ("s", "1", "app")
        assert "test_box.py" in made.traceback
        assert "KeyError" in made.traceback
        assert made.observed().key == made.key == event().key

    def test_payloads_are_kept_where_the_informer_gets_them(self) -> None:
        given = event(input=b"\x00in", output=None, payloads_loaded=True)
        (made,) = letters_of(given, ValueError(), informer="b", callback="c", attempts=1, now=0.0)
        task = made.observed().task  # type: ignore[union-attr]  # it is a task's
        assert (task.input, task.output, task.payloads_loaded) == (b"\x00in", None, True)
        assert "input" not in letter().event

    def test_a_batch_is_a_letter_each_and_what_is_no_event_is_none(self) -> None:
        def made(item: object) -> list[str]:
            found = letters_of(item, ValueError(), informer="b", callback="c", attempts=1, now=0.0)
            return [one.key for one in found]

        assert made([event(1), event(2)]) == [event(1).key, event(2).key]
        assert made(SessionProgress(event=SESSION)) == made(SESSION) == [SESSION.key]
        assert made(None) == made("a key") == []

    def test_a_text_that_raises_and_one_without_end_are_kept_short(self) -> None:
        class Bad(Exception):
            def __str__(self) -> str:
                raise SystemExit(3)

        for error in (Bad(), ValueError("x" * 10**6)):
            (made,) = letters_of(event(), error, informer="b", callback="c", attempts=1, now=0.0)
            assert len(made.error) <= 2_000
            assert len(made.traceback) <= 20_000


class TestTable:
    def test_one_that_fails_again_takes_the_place_of_the_first(self, file: _Memory) -> None:
        table.put(file.database, [letter()])
        table.mark(file.database, informer="bills", ids=None)
        table.put(file.database, [letter(at=9.0)])
        (found,) = table.find(file.database)
        assert (found.attempts, found.retrying) == (6, False)
        assert found.failed_at == START + timedelta(seconds=9)

    def test_the_oldest_go_when_there_are_too_many(self, file: _Memory) -> None:
        table.put(file.database, [letter(number, at=number) for number in range(1, 6)])
        assert table.trim(file.database, Bounds(3, 1e9), START.timestamp()) == 2
        assert [one.task for one in table.find(file.database)] == ["3", "4", "5"]

    def test_those_that_are_too_old_go(self, file: _Memory) -> None:
        table.put(file.database, [letter(number, at=number) for number in range(1, 6)])
        assert table.trim(file.database, Bounds(99, 10.0), START.timestamp() + 13.5) == 3
        assert [one.task for one in table.find(file.database)] == ["4", "5"]


class TestBox:
    def test_it_lists_counts_and_finds(self, file: _Memory) -> None:
        box = DeadLetters(file)
        table.put(file.database, [letter(1), letter(2), letter(1, informer="mails")])
        assert [one.task for one in box.list("bills")] == ["1", "2"]
        assert [one.task for one in box.list(limit=1)] == ["1"]
        assert (box.counts(), len(box)) == ({"bills": 2, "mails": 1}, 3)
        assert box.get(2).task == "2"
        with pytest.raises(NotFoundError, match="no dead letter 99"):
            box.get(99)

    def test_it_marks_and_drops_what_is_named(self, file: _Memory) -> None:
        woken: list[bool] = []
        box = DeadLetters(file, lambda: woken.append(True))
        table.put(file.database, [letter(1), letter(2), letter(1, informer="mails")])
        assert (box.retry(1), box.retry(99), len(woken)) == (1, 0, 1)
        assert [one.id for one in table.find(file.database, retrying=True)] == [1]
        assert box.retry(informer="bills") == 2
        assert (box.drop(2), box.drop(informer="mails"), len(box)) == (1, 1, 1)

    @pytest.mark.parametrize("verb", ["retry", "drop"])
    def test_nothing_named_is_refused(self, file: _Memory, verb: str) -> None:
        with pytest.raises(InvalidArgumentError, match="which"):
            getattr(DeadLetters(file), verb)()
        with pytest.raises(InvalidArgumentError, match="whole number"):
            getattr(DeadLetters(file), verb)("1")
