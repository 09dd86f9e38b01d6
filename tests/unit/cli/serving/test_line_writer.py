"""Lines to a pipe that nobody reads: they wait for nobody, are counted, and said once."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.waiting import eventually

from flamepy.cli.serving import line_writer
from flamepy.cli.serving.line_writer import LineHandler
from flamepy.cli.serving.logs import JsonFormatter


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    both = os.pipe()
    yield both
    for one in both:
        with suppress(OSError):  # a test closed it
            os.close(one)


def record(text: str) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": text, "levelname": "INFO", "name": "flamepy"})


def read(descriptor: int, until: bytes) -> bytes:
    found = b""
    os.set_blocking(descriptor, False)

    def more() -> bool:
        nonlocal found
        with suppress(BlockingIOError):
            found += os.read(descriptor, 1 << 20)
        return until in found

    eventually(more, f"{until!r} in what is written")
    return found


def fill(descriptor: int) -> None:
    os.set_blocking(descriptor, False)
    with suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"\n" * 4096)
    os.set_blocking(descriptor, True)


def test_lines_come_whole_and_in_order(pipe: tuple[int, int]) -> None:
    handler = LineHandler(pipe[1])
    for number in range(300):
        handler.handle(record(f"line {number} " + "x" * 50))
    lines = read(pipe[0], b"line 299 " + b"x" * 50 + b"\n").decode().splitlines()
    assert [line.split()[1] for line in lines] == [str(number) for number in range(300)]


def test_a_full_pipe_holds_up_nobody_and_what_is_left_out_is_counted_and_said_once(
    pipe: tuple[int, int],
) -> None:
    fill(pipe[1])
    handler = LineHandler(pipe[1], limit=100)
    handler.setFormatter(JsonFormatter())
    for number in range(5000):
        handler.handle(record(f"{number} " + "x" * 100))
    dropped = handler.dropped
    assert dropped >= 4800
    said = read(pipe[0], b"left out").decode().strip()
    assert said.count("left out") == 1
    assert f"{dropped} log lines were left out" in said
    assert all(line.startswith("{") for line in said.splitlines()), "in the format of the rest"
    handler.handle(record("goes on"))
    assert b"goes on" in read(pipe[0], b"goes on")


def test_the_end_waits_for_no_reader(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_writer, "AT_EXIT", 0.1)
    fill(pipe[1])
    handler = LineHandler(pipe[1])
    handler.handle(record("to nobody"))
    handler.flush()
    handler.close()  # and the thread ends by itself: no test leaves one


def test_a_flush_waits_until_a_reader_has_it_all(tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as file:
        handler = LineHandler(file.fileno())
        for number in range(1000):
            handler.handle(record(str(number)))
        handler.flush()
        assert len((tmp_path / "log").read_text().splitlines()) == 1000


def test_a_reader_that_is_gone_and_a_text_that_raises_disturb_nobody(pipe: tuple[int, int]) -> None:
    class Bad:
        def __str__(self) -> str:
            raise ValueError("no text")

    handler = LineHandler(pipe[1])
    handler.handle(logging.makeLogRecord({"msg": Bad(), "levelname": "INFO", "name": "x"}))
    assert b"could not be made: ValueError" in read(pipe[0], b"\n")
    os.close(pipe[0])
    for _ in range(100):
        handler.handle(record("to nobody"))
    handler.flush()
