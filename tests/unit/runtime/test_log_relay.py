"""Handlers never run on a thread that serves others; nothing is lost but what finds no room."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from support.waiting import eventually

from flamepy.core import connect
from flamepy.runtime import log_relay
from flamepy.runtime.log_relay import NAME, Relay
from flamepy.runtime.serving import serving
from flamepy.testing import FakeEngine

LIMIT = 30.0


class Handler(logging.Handler):
    """Keeps what it gets, and where; ``hold`` blocks it, with its lock held as ``logging`` does."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[str] = []
        self.threads: set[str] = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self.entered = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.entered.set()
        assert self.go_on.wait(LIMIT)
        self.threads.add(threading.current_thread().name)
        self.got.append(record.getMessage())


@pytest.fixture
def handler() -> Iterator[Handler]:
    made = Handler()
    logger = logging.getLogger("of.a.user")
    logger.addHandler(made)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    log_relay.install()
    yield made
    made.go_on.set()
    assert log_relay.flush(LIMIT)
    logger.removeHandler(made)
    logger.propagate = True


LOGGER = logging.getLogger("of.a.user")


def on_serving_thread(function) -> None:
    def run() -> None:
        with serving("flamepy-reactor"):
            function()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(LIMIT)
    assert not thread.is_alive(), "it waits for a handler"


def test_a_handler_never_runs_on_a_serving_thread_and_never_holds_it_up(handler: Handler) -> None:
    handler.go_on.clear()
    on_serving_thread(lambda: [LOGGER.info("%d", number) for number in range(100)])
    assert handler.entered.wait(LIMIT)
    assert handler.got == []
    handler.go_on.set()
    assert log_relay.flush(LIMIT)
    assert handler.got == [str(number) for number in range(100)], "in order"
    assert handler.threads == {NAME}


def test_a_record_of_another_thread_is_handled_there_at_once(handler: Handler) -> None:
    LOGGER.info("here")
    assert handler.got == ["here"]
    assert handler.threads == {threading.current_thread().name}


def test_a_lock_that_the_program_holds_holds_up_no_serving_thread(handler: Handler) -> None:
    handler.acquire()
    try:
        on_serving_thread(lambda: LOGGER.info("behind the lock"))
    finally:
        handler.release()
    assert log_relay.flush(LIMIT)
    assert handler.got == ["behind the lock"]


def test_filters_of_the_program_do_not_run_there_either(handler: Handler) -> None:
    seen: list[str] = []

    def look(record: logging.LogRecord) -> bool:
        seen.append(threading.current_thread().name)
        return True

    LOGGER.addFilter(look)
    try:
        on_serving_thread(lambda: LOGGER.info("filtered"))
        assert log_relay.flush(LIMIT)
    finally:
        LOGGER.removeFilter(look)
    assert seen == [NAME]


@pytest.mark.parametrize("name", ["asyncio", "grpc._cython.cygrpc", "flamepy.rpc.link", "root"])
def test_every_logger_is_relayed(name: str, handler: Handler) -> None:
    logger = logging.getLogger() if name == "root" else logging.getLogger(name)
    logger.addHandler(handler)
    try:
        on_serving_thread(lambda: logger.error("a record of %s", name))
        assert log_relay.flush(LIMIT)
    finally:
        logger.removeHandler(handler)
    assert handler.got == [f"a record of {name}"]
    assert handler.threads == {NAME}


def test_one_that_raises_ends_nothing(handler: Handler, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(record: logging.LogRecord) -> bool:
        raise SystemExit("a filter's mistake")

    LOGGER.addFilter(fail)
    on_serving_thread(lambda: LOGGER.info("lost"))
    assert log_relay.flush(LIMIT)
    LOGGER.removeFilter(fail)
    on_serving_thread(lambda: LOGGER.info("told"))
    assert log_relay.flush(LIMIT)
    assert handler.got == ["told"]
    assert "a filter's mistake" in capsys.readouterr().err


def test_what_finds_no_room_is_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    got: list[str] = []
    go_on, entered = threading.Event(), threading.Event()

    def handle(of: logging.Logger, record: logging.LogRecord) -> None:
        entered.set()
        assert go_on.wait(LIMIT)
        got.append(record.getMessage())

    relay = Relay(handle, limit=3)
    made = [logging.makeLogRecord({"msg": str(number), "levelno": 50}) for number in range(10)]
    logger = logging.getLogger("without.handlers")
    logger.propagate = False
    try:
        on_serving_thread(lambda: relay.handle(logger, made[0]))
        assert entered.wait(LIMIT)
        on_serving_thread(lambda: [relay.handle(logger, one) for one in made[1:]])
        assert relay.dropped == 6
        go_on.set()
        assert relay.flush(LIMIT)
        assert got == ["0", "1", "2", "3"]
        eventually(lambda: "6 log records were left out" in caplog.text, "that it is said")
        for _ in range(10):  # within the minute: counted, and said at the end
            go_on.clear()
            entered.clear()
            on_serving_thread(lambda: relay.handle(logger, made[0]))
            assert entered.wait(LIMIT)
            on_serving_thread(lambda: [relay.handle(logger, one) for one in made[1:5]])
            count = len(got)
            go_on.set()
            eventually(lambda count=count: len(got) == count + 4, "what found room")
        assert caplog.text.count("left out") == 1
        assert relay.flush(LIMIT)
        eventually(lambda: "10 log records were left out" in caplog.text, "the rest")
        assert caplog.text.count("left out") == 2
    finally:
        logger.propagate = True


def test_a_thread_that_cannot_start_is_tried_again_and_a_flush_needs_none(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    eventually(lambda: NAME not in {one.name for one in threading.enumerate()}, "no thread")

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    thread = threading.Thread(target=lambda: None)
    with monkeypatch.context() as patched:
        with serving("flamepy-reactor"):
            patched.setattr(threading.Thread, "start", refuse)
            LOGGER.info("first")
        assert handler.got == []
        assert log_relay.flush(LIMIT)
        assert handler.got == ["first"]
    thread.start()
    thread.join(LIMIT)
    on_serving_thread(lambda: LOGGER.info("second"))
    assert log_relay.flush(LIMIT)
    assert handler.got == ["first", "second"]


def test_a_handler_that_makes_calls_gets_the_records_of_the_loop_that_serves_them(
    fake_engine: FakeEngine,
) -> None:
    """A program that ships its log as tasks, beside an engine on a loop of this process."""
    fake_engine.add_session("shipped")
    shipped: list[str] = []

    class Ship(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if len(shipped) < 20:
                shipped.append(record.getMessage())
                session.run(record.getMessage().encode())

    with connect(fake_engine.endpoint) as connection:
        session = connection.get_session("shipped")
        ship, logger = Ship(), logging.getLogger("flamepy")
        logger.addHandler(ship)
        level = logger.level
        logger.setLevel(logging.INFO)
        try:
            logger.warning("of the program")
            on_serving_thread(lambda: logger.warning("of a loop"))
            eventually(lambda: "of a loop" in shipped, "the record of the loop")
            session.run(b"answers")
        finally:
            logger.removeHandler(ship)
            logger.setLevel(level)
        log_relay.flush(LIMIT)
    assert "of the program" in shipped


def test_a_normal_end_loses_nothing_and_a_handler_that_hangs_delays_it_by_a_limit_only() -> None:
    program = (
        "import logging, sys, threading\n"
        "from flamepy.runtime import log_relay\n"
        "from flamepy.runtime.serving import serving\n"
        "class Slow(logging.Handler):\n"
        "    def emit(self, record):\n"
        "        threading.Event().wait(0.01)\n"
        "        print(record.getMessage(), flush=True)\n"
        "        if record.getMessage() == 'hang':\n"
        "            self.release()\n"
        "            threading.Event().wait()\n"
        "logging.getLogger().addHandler(Slow())\n"
        "log_relay.install()\n"
        "with serving('flamepy-reactor'):\n"
        "    for number in range(20):\n"
        "        logging.warning(str(number))\n"
        "    logging.warning(sys.argv[1])\n"
    )
    for last in ("end", "hang"):
        done = subprocess.run(
            [sys.executable, "-c", program, last], capture_output=True, text=True, timeout=50
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [*map(str, range(20)), last]


class Refuses(logging.Filter):
    """Raises as a filter, and as a handler's emit."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise SystemExit("of the program's handler")


def test_what_a_handler_raises_for_a_record_of_ours_goes_no_further(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log_relay.install()
    ours, refusing = logging.getLogger("flamepy.tried"), logging.Handler()
    refusing.addFilter(Refuses())
    ours.addHandler(refusing)
    went_on: list[str] = []

    def write() -> None:
        ours.error("something failed")
        went_on.append(threading.current_thread().name)

    try:
        thread = threading.Thread(target=write, name="of-ours")
        thread.start()
        thread.join(LIMIT)
        with pytest.raises(SystemExit):
            write()  # the main thread's own: Ctrl-C comes in this way
    finally:
        ours.removeHandler(refusing)
    assert went_on == ["of-ours"]
    assert "of the program's handler" in capsys.readouterr().err


def test_what_a_handler_raises_for_a_record_of_the_program_is_the_program_s() -> None:
    log_relay.install()
    own, refusing = logging.getLogger("flamepy_of_somebody_else"), logging.Handler()
    refusing.addFilter(Refuses())
    own.addHandler(refusing)
    try:
        with pytest.raises(SystemExit):
            own.error("mine")
    finally:
        own.removeHandler(refusing)
