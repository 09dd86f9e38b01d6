"""A session that cannot be closed, or is left open, is named with what runs and the way out."""

from __future__ import annotations

import asyncio
import logging

import pytest

from flamepy import aio
from flamepy.core import connect
from flamepy.errors import FlameError, SessionBusyError
from flamepy.testing import FakeEngine


@pytest.fixture
def busy(fake_engine: FakeEngine) -> FakeEngine:
    """An engine with a session that has two running and three waiting tasks."""
    fake_engine.add_session("left-open")
    for number in range(5):
        task = fake_engine.add_task("left-open")
        if number < 2:
            fake_engine.start("left-open", task)
    return fake_engine


@pytest.mark.parametrize("how", ["session", "connection"])
def test_a_refused_close_names_session_counts_and_way_out(busy: FakeEngine, how: str) -> None:
    with connect(busy.endpoint) as connection:
        session = connection.get_session("left-open")
        closes = {
            "session": lambda: session.close(wait=0),
            "connection": lambda: connection.close_session("left-open"),
        }
        with pytest.raises(SessionBusyError) as caught:
            closes[how]()
    error = caught.value
    assert "session left-open of fake has 2 running and 3 waiting tasks" in error.message
    assert "close(wait=SECONDS)" in error.message
    assert "(Cannot close session with running tasks)" in error.message
    assert error.retryable


def test_a_close_that_waited_says_for_how_long(busy: FakeEngine) -> None:
    with connect(busy.endpoint) as connection, pytest.raises(SessionBusyError) as caught:
        connection.get_session("left-open").close(wait=0.2)
    assert "2 running and 3 waiting tasks after 0.2 s" in caught.value.message
    assert "close(wait=SECONDS) tries for longer" in caught.value.message


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        one.getMessage()
        for one in caplog.records
        if one.levelno == logging.WARNING and "stays open" in one.getMessage()
    ]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_a_block_that_leaves_its_session_open_warns(
    busy: FakeEngine, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    with connect(busy.endpoint) as made, pytest.raises(kind), made.get_session("left-open"):
        raise kind
    [warning] = warnings(caplog)
    assert warning.startswith(f"session left-open stays open at {busy.endpoint}: ")
    assert "2 running and 3 waiting" in warning
    assert "flamepy.close_session('left-open')" in warning


def test_an_asynchronous_block_warns_as_well(
    busy: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async def leave() -> None:
        async with (
            await aio.connect(busy.endpoint) as connection,
            await connection.get_session("left-open"),
        ):
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(leave())
    [warning] = warnings(caplog)
    assert "flamepy.close_session('left-open')" in warning


def test_a_close_that_is_itself_interrupted_warns_and_is_interrupted(
    busy: FakeEngine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with connect(busy.endpoint) as connection:
        session = connection.get_session("left-open")
        monkeypatch.setattr(session, "close", interrupted)
        with pytest.raises(KeyboardInterrupt), session:
            raise FlameError(3, "the block's")
    [warning] = warnings(caplog)
    assert "KeyboardInterrupt" in warning


def test_a_session_that_could_be_closed_is_not_warned_of(
    fake_engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    fake_engine.add_session("s")
    mine = pytest.raises(ValueError, match="mine")
    with connect(fake_engine.endpoint) as connection, mine, connection.get_session("s"):
        raise ValueError("mine")
    assert warnings(caplog) == []
