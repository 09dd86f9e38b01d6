"""``flamepy.service``: requests, results and contexts are objects; errors name the entrypoint."""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flamepy.core import create_session, get_object, register_application
from flamepy.errors import FlameError, InvalidArgumentError, TaskFailedError
from flamepy.local import LocalCluster
from flamepy.service import FlameInstance, ServiceFuture, Session
from flamepy.types import ApplicationAttributes

SERVICE = str(Path(__file__).parents[1] / "support" / "typed_service.py")
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(executors=2) as running:
        yield running


@pytest.fixture(autouse=True)
def typed(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAME_ENDPOINT", cluster.endpoint)
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", cluster.cache_endpoint or "")
    if "typed" not in [one.name for one in cluster_applications()]:
        register_application(
            "typed",
            ApplicationAttributes(command=sys.executable, arguments=[SERVICE], delay_release=0),
        )


def cluster_applications() -> list[object]:
    from flamepy.core import list_applications

    return list(list_applications())


async def awaited(future: ServiceFuture) -> object:
    return await future


def test_requests_and_results_are_objects() -> None:
    with Session("typed") as session:
        assert session.invoke({"a": (1, None)}) == {"a": (1, None)}
        assert session.invoke(None) is None
        future = session.submit([1])
        assert future.result(60) == [1]
        assert concurrent.futures.wait([future], timeout=60).done == {future}
        assert asyncio.run(awaited(session.submit([2]))) == [2]
        assert list(session.map(range(5))) == list(range(5))
        assert session.invoke("ids", timeout=60)[0] == session.id()
        assert session.invoke("loops") == 1
        with pytest.raises(TaskFailedError, match="'answer' raised ValueError: as asked"):
            session.invoke("fail")
        assert session.context() is None
        with pytest.raises(TaskFailedError, match="has no context to update"):
            session.invoke("count")


def test_what_cannot_travel_is_named() -> None:
    with Session("typed") as session:
        with pytest.raises(InvalidArgumentError, match="the request, of lock, cannot be pickled"):
            session.invoke(threading.Lock())
        with pytest.raises(TaskFailedError, match=r"of the entrypoint, of .*lock, cannot be"):
            session.invoke("lock")
        with pytest.raises(InvalidArgumentError, match="ctx, of lock, cannot be pickled"):
            Session("typed", ctx=threading.Lock())
    with (
        create_session("typed") as raw,
        pytest.raises(TaskFailedError, match=r"3 bytes cannot be unpickled.*service\.Session"),
    ):
        raw.invoke(b"raw")


def test_map_may_yield_errors_in_place_of_results() -> None:
    with Session("typed") as session:
        first, failed, last = session.map(["a", "fail", "b"], return_exceptions=True)
        assert (first, last) == ("a", "b")
        assert isinstance(failed, TaskFailedError)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"cpus": 1}, "'cpus' is not one of cpu, memory, mem, gpu"),
        ({"cpu": "many"}, "cpu must be a whole number, got 'many'"),
        ({"memory": 1.5}, r"memory must be a whole number, got 1\.5"),
    ],
)
def test_resources_that_break_a_rule_are_named(given: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        Session("typed", resreq=given)


def test_a_context_lives_as_long_as_its_session() -> None:
    with Session("typed", ctx=41) as session:
        ref = session._session
        assert session.invoke("count") == 42
        assert session.context() == 42
        with Session(session_id=session.id()) as joined:
            assert joined.context() == 42
            joined._session = None  # leave it open
    assert ref is not None
    from flamepy.core import ObjectRef

    with pytest.raises(FlameError):
        get_object(ObjectRef.decode(ref.common_data() or b""))
    assert session.id() is None
    with pytest.raises(RuntimeError, match="not initialized"):
        session.invoke(1)


@pytest.mark.parametrize("given", [{}, {"name": "a", "session_id": "b"}])
def test_exactly_one_of_name_and_id(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="session_id"):
        Session(**given)  # type: ignore[arg-type]


def test_entrypoints_take_one_request_or_none() -> None:
    instance = FlameInstance()
    with pytest.raises(AssertionError, match="zero or one"):
        instance.entrypoint(lambda a, b: None)
    with pytest.raises(AssertionError, match="positional or keyword"):
        instance.entrypoint(lambda *, a: None)


def test_by_hand_it_says_how_services_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLAME_INSTANCE_ENDPOINT", raising=False)
    with pytest.raises(FlameError, match="started by an executor"):
        FlameInstance().run()
