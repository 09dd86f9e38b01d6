"""A thread that serves others refuses blocking calls, which finalizers may make there."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable

import pytest

from flamepy.core import FlameService, connect
from flamepy.errors import InvalidStateError
from flamepy.informers import Reactor
from flamepy.local import LocalCluster
from flamepy.runtime.loops import new_loop, retire, run_forever
from flamepy.runtime.serving import served_by, serving
from flamepy.runtime.threads import check_may_block
from flamepy.testing import FakeEngine


class Echo(FlameService):
    def on_task_invoke(self, context):
        return context.input


def refusal(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> str:
    """Make a call on a loop's thread; return the text of its refusal."""
    got: list[BaseException | object] = []
    over = threading.Event()

    def run() -> None:
        try:
            got.append(call())
        except BaseException as error:
            got.append(error)
        over.set()

    loop.call_soon_threadsafe(run)
    assert over.wait(30), "it waits for itself"
    assert isinstance(got[0], InvalidStateError), got
    return got[0].message


def test_every_blocking_call_is_refused_on_the_loops_of_a_cluster_and_of_a_connection() -> None:
    with LocalCluster(executors=1, cache_port=None) as flame, connect(flame.endpoint) as connection:
        flame.register_service("echo", Echo)
        session = connection.create_session("echo")
        reactor = Reactor(connection=connection, plugins=()).start()
        calls: list[Callable[[], object]] = [
            lambda: session.run(b"x"),
            lambda: session.invoke(b"x"),
            lambda: list(session.map([b"x"])),
            lambda: connection.list_sessions(),
            lambda: connect(flame.endpoint),
            lambda: reactor.future(("s", "1")),
            lambda: flame.register_service("other", Echo),
            lambda: LocalCluster().start(),
        ]
        assert flame._life is not None
        loops = {
            "flamepy-cluster": flame._life.loop,
            "flamepy-reactor": connection.link.reactor.loop,
        }
        for name, loop in loops.items():
            for call in calls:
                assert f"on the thread '{name}' would wait for itself" in refusal(loop, call)
        assert session.invoke(b"answers", timeout=30) == b"answers"
        reactor.stop()


def test_an_engine_for_tests_refuses_as_well(fake_engine: FakeEngine) -> None:
    loop = fake_engine._running()
    said = "would wait for itself"
    assert said in refusal(loop, lambda: connect(fake_engine.endpoint))
    assert said in refusal(loop, lambda: fake_engine.add_session("t"))
    fake_engine.add_session("t")


def test_a_loop_that_is_used_again_serves_only_while_it_runs() -> None:
    loop = new_loop()
    loop.call_soon(loop.stop)
    run_forever(loop)
    assert served_by() is None
    check_may_block()
    retire(loop)


def test_finalizers_that_call_end_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector runs them on any thread: each call of theirs returns, refused or not."""
    refused: list[str] = []
    monkeypatch.setattr("sys.unraisablehook", lambda found: refused.append(str(found.exc_value)))

    class Job:
        def __init__(self) -> None:
            self.itself = self  # only the collector ends it

        def __del__(self) -> None:
            session.run(b"goodbye")

    thresholds = gc.get_threshold()
    with LocalCluster(executors=1, cache_port=None) as flame, connect(flame.endpoint) as connection:
        flame.register_service("echo", Echo)
        session = connection.create_session("echo")
        try:
            gc.set_threshold(40, 5, 5)
            for _ in range(100):
                Job()
                session.run(b"work")
        finally:
            gc.set_threshold(*thresholds)
            gc.collect()
        assert session.invoke(b"answers", timeout=30) == b"answers"
    assert all("would wait for itself" in text for text in refused)


def test_the_name_of_a_thread_that_is_not_ours_is_in_the_refusal() -> None:
    inside = pytest.raises(InvalidStateError, match="'flamepy-http'")
    with serving("flamepy-cache"), serving("flamepy-http"), inside:
        check_may_block()
    check_may_block()
