"""The fixtures that come with flamepy, used as a user's test uses them."""

from __future__ import annotations

import subprocess
import sys

from flamepy.core import Connection, FlameService, TaskContext, create_session, put_object
from flamepy.informers import Reactor, ReactorState
from flamepy.local import LocalCluster
from flamepy.testing import FakeEngine, RecordingInformer


class Shout(FlameService):
    """Answers in capitals."""

    def on_task_invoke(self, context: TaskContext) -> bytes:
        assert context.input is not None
        return context.input.upper()


def test_a_reactor_watches_the_cluster_of_the_connection(
    flame_cluster: LocalCluster, flame_connection: Connection, reactor: Reactor
) -> None:
    flame_cluster.register_service("shout", Shout)
    informer = RecordingInformer()
    reactor.register(informer).wait_synced(10)
    session = flame_connection.create_session("shout")
    assert session.invoke(b"hello") == b"HELLO"
    informer.wait_for(lambda seen: seen.terminal() == [(session.id, "1", "SUCCEED")], 10)
    assert reactor.health().endpoint == flame_cluster.endpoint


def test_a_reactor_has_no_plugin_whatever_is_enabled(
    monkeypatch, request, flame_connection: Connection
) -> None:
    monkeypatch.setenv("FLAME_INFORMERS", "of-this-machine")
    running: Reactor = request.getfixturevalue("reactor")
    assert running.registrations == []
    assert running.state is ReactorState.RUNNING


def test_calls_without_a_connection_go_to_the_cluster(
    flame_cluster: LocalCluster, flame_endpoint: str
) -> None:
    assert flame_endpoint == flame_cluster.endpoint
    flame_cluster.register_service("shout", Shout)
    with create_session("shout") as session, Reactor(plugins=()) as reactor:
        assert session.invoke(b"hello") == b"HELLO"
        assert reactor.health().endpoint == flame_endpoint
    assert put_object("app/shared", b"value").endpoint == flame_cluster.cache_endpoint


def test_a_fake_engine_is_scripted(fake_engine: FakeEngine) -> None:
    fake_engine.add_session("s")
    assert fake_engine.endpoint.startswith("http://")


def test_loading_the_plugin_costs_a_pytest_run_nothing_heavy() -> None:
    """Each pytest run of each project loads it, whether the tests use flamepy or not."""
    program = (
        "import sys, pytest\nbefore = set(sys.modules)\nimport flamepy.testing.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == {
        *("flamepy", "flamepy._version", "flamepy.lazy"),
        *("flamepy.testing", "flamepy.testing.pytest_plugin"),
    }
