"""Writes whose answer is lost on the way, at a real frontend: each happens once."""

from __future__ import annotations

import inspect
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.waiting import eventually

from flamepy.core import Connection, connect
from flamepy.errors import (
    AlreadyExistsError,
    AmbiguousResultError,
    ApplicationNotFoundError,
    DeadlineExceededError,
    SessionNotFoundError,
)
from flamepy.local.engine import Engine
from flamepy.local.state.refusal import Refusal
from flamepy.testing import FakeEngine
from flamepy.types import (
    ApplicationAttributes,
    RetryPolicy,
    SessionAttributes,
    SessionState,
)

MANY = RetryPolicy(attempts=100, timeout=None, wait_initial=0.001, wait_max=0.01, budget=False)
CODES = [
    ("UNAVAILABLE", "Socket closed"),
    ("UNAVAILABLE", "Received http2 header with status: 503"),
    ("DEADLINE_EXCEEDED", "Deadline Exceeded"),
    ("INTERNAL", "an event could not be stored"),
    ("UNKNOWN", "h2 protocol error"),
]


class Network:
    """Loses requests or replies of one call of the engine, as ``fate`` says."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str) -> None:
        self.fate: Callable[[], tuple[str, str, str] | None] = lambda: None
        self.made = 0
        act: Callable[..., Any] = getattr(Engine, name)

        def through(engine: Engine, *arguments: Any, **options: Any) -> Any:
            lost = self.fate()
            if lost is not None and lost[0] in ("request", "both"):
                raise Refusal(*lost[1:])
            answer = act(engine, *arguments, **options)
            return finish(answer, lost) if inspect.isawaitable(answer) else end(answer, lost)

        async def finish(answer: Any, lost: tuple[str, str, str] | None) -> Any:
            return end(await answer, lost)

        def end(answer: Any, lost: tuple[str, str, str] | None) -> Any:
            self.made += 1
            if lost is not None:
                raise Refusal(*lost[1:])
            return answer

        patch.setattr(Engine, name, through)

    def lose_once(self, what: str, code: tuple[str, str] = CODES[0]) -> None:
        fates = [(what, *code)]
        self.fate = lambda: fates.pop() if fates else None


@pytest.fixture
def connection(fake_engine: FakeEngine) -> Iterator[Connection]:
    fake_engine.add_session("s")
    with connect(fake_engine.endpoint, retry=MANY) as made:
        yield made


@pytest.mark.parametrize("code", CODES, ids=lambda code: code[1][:12])
@pytest.mark.parametrize("what", ["request", "reply"])
def test_a_task_is_made_once(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, what: str, code: tuple[str, str]
) -> None:
    network = Network(monkeypatch, "create_task")
    session = connection.get_session("s")
    session.create_task(b"before")
    network.lose_once(what, code)
    task = session.create_task(b"x")
    assert (task.id, task.input) == ("2", b"x")
    assert [one.input for one in session.list_tasks()] == [b"before", b"x"]
    stats = connection.stats()
    assert (stats.adopted, stats.sent_again) == ((0, 1) if what == "request" else (1, 0))


def test_equal_inputs_from_many_threads_are_neither_lost_nor_doubled(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    network = Network(monkeypatch, "create_task")

    def fate() -> tuple[str, str, str] | None:
        if rng.random() < 0.5:
            return None
        # An unknown INTERNAL is not repeated as often as the others.
        return (rng.choice(["request", "reply", "both"]), *rng.choice(CODES[:3]))

    network.fate = fate
    session = connection.get_session("s")
    inputs = [rng.choice([b"x", b"y"]) for _ in range(400)]
    with ThreadPoolExecutor(8) as pool:
        tasks = list(pool.map(session.create_task, inputs))
    assert len({task.id for task in tasks}) == len(inputs)
    assert [task.input for task in tasks] == inputs
    found = list(session.list_tasks())
    assert Counter(one.input for one in found) == Counter(inputs)
    assert network.made == len(inputs)


def test_raise_and_retry(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(monkeypatch, "create_task")
    session = connection.get_session("s")
    network.lose_once("reply")
    with pytest.raises(AmbiguousResultError, match="may or may not have been made"):
        session.run(b"x", on_ambiguous="raise")
    network.lose_once("reply")
    assert session.create_task(b"x", on_ambiguous="retry").id == "3"


@pytest.mark.parametrize("code", ["INTERNAL", "CANCELLED", "ABORTED", "RESOURCE_EXHAUSTED"])
def test_a_task_that_cannot_be_looked_for_may_not_be_made_again(
    fake_engine: FakeEngine, code: str
) -> None:
    """The task is there; the error of the read alone would say that a repeat does no harm."""
    fake_engine.add_session("s")
    with connect(fake_engine.endpoint, retry=RetryPolicy(attempts=2, wait_max=0.01)) as made:
        session = made.get_session("s")
        session.create_task(b"before")
        fake_engine.fail("CreateTask", code, when="after")
        fake_engine.fail("GetTask", code)
        with pytest.raises(AmbiguousResultError, match="could not be read which") as caught:
            session.create_task(b"x")
        assert not caught.value.retryable
        fake_engine.heal()
        assert [one.input for one in session.list_tasks()] == [b"before", b"x"]


def test_a_connection_may_say_it_for_all(
    fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(monkeypatch, "create_task")
    fake_engine.add_session("s")
    with connect(fake_engine.endpoint, on_ambiguous="raise") as strict:
        session = strict.get_session("s")
        network.lose_once("reply")
        with pytest.raises(AmbiguousResultError):
            session.invoke(b"x")


def test_a_late_task_is_left_and_not_cut(fake_engine: FakeEngine) -> None:
    """A caller leaves at its timeout; the engine still gets to answer, and the task is there."""
    fake_engine.add_session("s")
    with connect(fake_engine.endpoint) as connection:
        session = connection.get_session("s")
        fake_engine.freeze()
        with pytest.raises(DeadlineExceededError, match="may still happen"):
            session.create_task(b"late", timeout=0.2)
        fake_engine.thaw()
        eventually(lambda: len(list(session.list_tasks())) == 1, "the late task")
        assert session.create_task(b"late").id == "2"


@pytest.mark.parametrize("what", ["request", "reply"])
class TestOtherWrites:
    def test_a_session_is_created(
        self, connection: Connection, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        network = Network(monkeypatch, "create_session")
        network.lose_once(what)
        session = connection.create_session("fake", session_id="new", common_data=b"c")
        assert (session.id, session.common_data()) == ("new", b"c")

    def test_one_of_another_is_not_taken_for_ours(
        self, connection: Connection, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        network = Network(monkeypatch, "create_session")
        network.lose_once(what)
        connection.get_session("s").create_task(b"x")
        with pytest.raises(AlreadyExistsError):
            connection.create_session("fake", session_id="s")

    def test_a_session_is_closed(
        self, connection: Connection, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        network = Network(monkeypatch, "close_session")
        network.lose_once(what)
        assert connection.close_session("s").state is SessionState.CLOSED
        assert network.made == 1

    def test_a_session_is_deleted(
        self, connection: Connection, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        connection.close_session("s")
        network = Network(monkeypatch, "delete_session")
        network.lose_once(what)
        assert connection.delete_session("s").id == "s"
        assert connection.list_sessions() == []
        with pytest.raises(SessionNotFoundError):
            connection.delete_session("s")

    def test_an_application_is_registered(
        self, connection: Connection, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        network = Network(monkeypatch, "register_application")
        network.lose_once(what)
        connection.register_application("app", {"command": "x", "labels": ["l"]})
        network.lose_once(what)
        with pytest.raises(AlreadyExistsError):
            connection.register_application("app", {"command": "y"})
        assert connection.get_application("app").command == "x"

    def test_an_application_is_updated(
        self, connection: Connection, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        connection.register_application("app", {"command": "x"})
        network = Network(monkeypatch, "update_application")
        network.lose_once(what)
        connection.update_application("app", ApplicationAttributes(command="y"))
        assert connection.get_application("app").command == "y"
        assert network.made == 1
        network.lose_once(what)
        with pytest.raises(ApplicationNotFoundError):
            connection.update_application("nothing", {"command": "x"})

    def test_an_application_is_unregistered(
        self, connection: Connection, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        connection.register_application("app", {"command": "x"})
        network = Network(monkeypatch, "unregister_application")
        network.lose_once(what)
        connection.unregister_application("app")
        assert connection.get_application("app") is None
        assert network.made == 1

    def test_a_session_is_opened(
        self, connection: Connection, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        network = Network(monkeypatch, "open_session")
        network.lose_once(what)
        assert connection.open_session("o", SessionAttributes("fake")).id == "o"


def test_closing_with_a_running_task_waits_for_it(
    connection: Connection, fake_engine: FakeEngine
) -> None:
    session = connection.get_session("s")
    task = session.create_task(b"x")
    fake_engine.start("s", task.id)
    timer = threading.Timer(0.4, lambda: fake_engine.succeed("s", task.id))
    timer.start()
    session.close(wait=20.0)
    timer.join()
    assert connection.get_session("s").state is SessionState.CLOSED
