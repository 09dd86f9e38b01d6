"""What a user's tests are written with."""

from pathlib import Path

from flamepy.core import Connection, TaskContext, TaskState
from flamepy.informers import Reactor
from flamepy.local import LocalCluster
from flamepy.testing import (
    ChaosProxy,
    FakeClock,
    FakeEngine,
    RecordingInformer,
    ScriptedConnection,
    check_informer,
)


class Shout:
    def on_task_invoke(self, context: TaskContext) -> bytes:
        return (context.input or b"").upper()


def test_shout(flame_connection: Connection, reactor: Reactor) -> None:
    informer = RecordingInformer()
    reactor.register(informer)
    informer.wait_for(lambda seen: len(seen.terminal()) == 1, timeout=10)
    check_informer(RecordingInformer)


def test_engines(fake_engine: FakeEngine, chaos_proxy: ChaosProxy, tmp_path: Path) -> None:
    fake_engine.restart()
    with LocalCluster(executors=1, data=tmp_path) as cluster:
        print(cluster.endpoint, cluster.cache_endpoint, chaos_proxy.endpoint)
    print(FakeClock(), ScriptedConnection, TaskState.FAILED)
