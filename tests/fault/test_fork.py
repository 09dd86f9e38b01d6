"""Forks: the parent sees a short pause, a child begins afresh, and neither hangs or crashes."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from support.cluster_process import SERVICE, ClusterProcess
from support.forking import LIMIT, ask, end, fork
from support.loops import run
from support.waiting import eventually

from flamepy import aio
from flamepy.core import Connection, Session, connect
from flamepy.errors import InvalidStateError
from flamepy.informers import Reactor, TaskInformer
from flamepy.local import LocalCluster
from flamepy.rpc.implicit import implicit_link
from flamepy.rpc.link import ConnectionChange
from flamepy.rpc.transport.link_holder import on_child
from flamepy.runtime import forks
from flamepy.testing import FakeEngine
from flamepy.types import ApplicationAttributes, TaskContext

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here"),
]


UNHOOKED = """
import os, sys
from flamepy.runtime import forks
from flamepy.core import connect
from support.forking import end, fork

if sys.argv[2] == "without":
    forks._forks.pause = lambda: True
connection = connect(sys.argv[1])
connection.list_sessions()
print(*(end(fork(lambda: connect(sys.argv[1], timeout=2).close())) for _ in range(3)), flush=True)
os._exit(0)
"""

HANGING = """
import os, signal, sys, threading
from flamepy.core import connect
from flamepy.errors import InvalidStateError
from support.forking import end, fork
from support.frozen import freeze
from support.waiting import eventually

def act():
    try:
        connect("http://127.0.0.1:1")
    except InvalidStateError as error:
        assert "could not be closed" in str(error)
        print("told", flush=True)

endpoint, session_id, engine = sys.argv[1:]
connection = connect(endpoint)
session = connection.open_session(session_id)
made = []
creating = threading.Thread(target=lambda: made.append(session.create_task(b"").id))
try:
    freeze(int(engine))
    creating.start()
    eventually(lambda: connection.link._calls._pending)
    code = end(fork(act))
finally:
    os.kill(int(engine), signal.SIGCONT)
creating.join()
print(code, *made, flush=True)
os._exit(0)
"""

LEFT_LISTS = """
import asyncio, os, sys
from flamepy.core import connect
from flamepy.runtime import forks
from support.forking import end, fork

async def leave(session):
    reading = asyncio.ensure_future(session._link.frontend.collect_tasks(session.id))
    await asyncio.sleep(0.02)
    reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled(), "not so many are read in that time"

connection = connect(sys.argv[1])
session = connection.create_session("idle")
for number in range(600):
    session.create_task(bytes(20_000))  # more than is read ahead
for _ in range(10):
    connection.link.run(leave(session._aio))
    code = end(fork(lambda: connect(sys.argv[1], timeout=9).close()))
    print(code, forks._forks.clean, forks._forks.lasting, flush=True)
os._exit(0)
"""


def program(code: str, *arguments: object, **environment: str) -> str:
    """Run a program that may use the tests' support; return what it said."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=50,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    ).stdout


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the endpoint of a cluster in a process of its own, with an application ``idle``."""
    folder = tmp_path_factory.mktemp("engine")
    with ClusterProcess(folder, executors=1) as cluster:
        with connect(cluster.endpoint) as connection:
            connection.register_application("idle", ApplicationAttributes(command="/bin/false"))
        yield cluster.endpoint


@pytest.fixture
def connection(engine: str) -> Iterator[Connection]:
    with connect(engine) as made:
        yield made


def call_afresh(endpoint: str) -> None:
    with connect(endpoint, timeout=LIMIT) as fresh:
        fresh.list_sessions()


class Creating:
    """Threads that create tasks all the time."""

    def __init__(self, session: Session, threads: int) -> None:
        self.session = session
        self.acknowledged: list[str] = []
        self.errors: list[BaseException] = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self.create) for _ in range(threads)]

    def create(self) -> None:
        while not self.stop.is_set():
            try:
                self.acknowledged.append(self.session.create_task(b"x").id)
            except BaseException as error:
                self.errors.append(error)

    def __enter__(self) -> Creating:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(LIMIT)


class TestUnderLoad:
    @pytest.mark.parametrize("threads", [1, 8])
    def test_fault_22_children_call_afresh_and_the_parents_calls_are_done_once(
        self, connection: Connection, threads: int
    ) -> None:
        session = connection.create_session("idle")
        ends: Counter[int] = Counter()

        def forking() -> None:
            for _ in range(20):
                ends[end(fork(lambda: call_afresh(connection.endpoint)))] += 1

        with Creating(session, 4) as creating:
            forkers = [threading.Thread(target=forking) for _ in range(threads)]
            for one in forkers:
                one.start()
            for one in forkers:
                one.join()
        assert creating.errors == []
        assert ends == {0: 20 * threads}
        rows = [task.id for task in session.list_tasks()]
        assert sorted(rows) == sorted(creating.acknowledged)

    def test_threads_that_look_at_their_tasks_at_once(self, connection: Connection) -> None:
        """A look has a channel of its own, and is over before the fork."""
        served = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
        connection.register_application("echo", served)
        session = connection.create_session("echo")
        stop = threading.Event()
        outputs: list[tuple[str, bytes | None]] = []

        def invoke(name: str) -> None:
            while not stop.is_set():
                sent = f"{name} {len(outputs)}"
                outputs.append((sent, session.invoke(b"echo " + sent.encode(), timeout=LIMIT)))

        invokers = [threading.Thread(target=invoke, args=(one,)) for one in "abc"]
        for one in invokers:
            one.start()
        eventually(lambda: len(outputs) > 3, "tasks that end", limit=LIMIT)
        ends = [end(fork(lambda: call_afresh(connection.endpoint))) for _ in range(20)]
        stop.set()
        for one in invokers:
            one.join(LIMIT)
        assert ends == [0] * 20
        assert [one for one in outputs if one[1] != one[0].encode()] == []

    def test_who_waits_goes_on_waiting_and_hears_the_end(self) -> None:
        with FakeEngine() as engine, connect(engine.endpoint) as connection:
            engine.add_session("s")
            session = connection.open_session("s")
            changes: list[ConnectionChange] = []
            connection.link.add_observer(changes.append)
            futures = [session.run(b"") for _ in range(5)]
            seen: list[str] = []

            def watch() -> None:
                seen.extend(task.state.name for task in session.watch_task("1"))

            watcher = threading.Thread(target=watch)
            watcher.start()
            eventually(lambda: engine.open_streams == 5, "five streams")
            assert end(fork(lambda: None)) == 0
            for future in futures:
                engine.succeed("s", future.task_id, b"out")
            assert [future.result(LIMIT) for future in futures] == [b"out"] * 5
            watcher.join(LIMIT)
            assert seen[-1] == "SUCCEED"
            assert changes == []

    def test_informers_hear_everything(self) -> None:
        ended: list[str] = []

        class Noting(TaskInformer):
            def on_terminal(self, event) -> None:
                ended.append(event.task.id)

        with FakeEngine() as engine:
            engine.add_session("s")
            with Reactor(endpoint=engine.endpoint) as reactor:
                reactor.register(Noting())
                reactor.wait_synced(LIMIT)
                for _ in range(5):
                    task = engine.add_task("s")
                    assert end(fork(lambda: None)) == 0
                    engine.succeed("s", task)
                eventually(lambda: sorted(ended) == list("12345"), "all five ends")


class TestThreadsOfOthers:
    """Threads of gRPC's core that others keep: in vain a fork waits for them once."""

    def looks(self) -> int:
        """Fork; return how often it looked whether they are gone."""
        before = self.looked
        assert end(fork(lambda: None)) == 0
        return self.looked - before

    def test_as_many_as_outlived_one_wait_are_hardly_waited_for(self, monkeypatch) -> None:
        self.looked, others = 0, 5

        def threads() -> int:
            self.looked += 1
            return others

        monkeypatch.setattr(forks, "_native_threads", threads)
        monkeypatch.setattr(forks, "_pollers", lambda: 0)  # what other tests have left to gRPC
        monkeypatch.setattr(forks._forks, "lasting", 0)
        in_vain = self.looks()
        assert self.looks() < in_vain / 5
        others = 6
        assert self.looks() > in_vain / 5
        others = 0
        self.looks()
        others = 6
        assert self.looks() > in_vain / 5, "they were gone meanwhile"
        others = 0
        self.looks()

    def test_a_list_that_was_left_leaves_none(self, engine: str) -> None:
        assert program(LEFT_LISTS, engine).splitlines() == ["0 True 0"] * 10

    def test_a_channel_of_somebody_else_stays(self, connection: Connection, engine: str) -> None:
        with grpc.insecure_channel(engine.removeprefix("http://")) as channel:
            grpc.channel_ready_future(channel).result(LIMIT)
            for _ in range(3):
                connection.list_sessions()
                assert end(fork(lambda: None)) == 0
            assert forks._forks.lasting > 0
        connection.list_sessions()


class TestChild:
    def test_the_parents_connection_is_dead_and_says_so(self, connection: Connection) -> None:
        connection.list_sessions()

        def act() -> str:
            with pytest.raises(InvalidStateError, match="before a fork"):
                connection.list_sessions()
            connection.close()
            return "dead"

        assert ask(act) == "dead"
        connection.list_sessions()

    def test_the_implicit_connection_is_fresh(self, engine: str, monkeypatch) -> None:
        monkeypatch.setenv("FLAME_ENDPOINT", engine)
        of_parent = implicit_link()
        Connection.implicit().list_sessions()

        def act() -> str:
            assert implicit_link() is not of_parent
            return str(len(Connection.implicit().list_sessions()))

        assert ask(act) == str(len(Connection.implicit().list_sessions()))

    def test_a_child_of_a_child_calls_as_well(self, connection: Connection) -> None:
        def act() -> None:
            call_afresh(connection.endpoint)
            with connect(connection.endpoint) as fresh:
                assert end(fork(lambda: call_afresh(connection.endpoint))) == 0
                fresh.list_sessions()

        assert end(fork(act)) == 0

    def test_it_may_fork_before_anything_was_connected(self, engine: str) -> None:
        assert end(fork(lambda: call_afresh(engine))) == 0

    def test_an_upper_floor_is_told_and_held_weakly(self, connection: Connection) -> None:
        class Floor:
            told = 0

            def forget(self) -> None:
                self.told += 1

        floor, gone = Floor(), Floor()
        on_child(floor.forget)
        on_child(gone.forget)
        before = len(forks._forks.callbacks)
        del gone
        assert len(forks._forks.callbacks) == before - 1
        assert ask(lambda: str(floor.told)) == "1"
        assert floor.told == 0

    def test_multiprocessing_forks_like_that(self, connection: Connection) -> None:
        context = multiprocessing.get_context("fork")
        processes = [
            context.Process(target=call_afresh, args=(connection.endpoint,)) for _ in range(3)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(LIMIT)
            assert process.exitcode == 0
            process.close()
        connection.list_sessions()


class TestParent:
    def test_a_subprocess_is_no_such_fork(self, connection: Connection) -> None:
        connection.list_sessions()
        channel = connection.link._calls._channel
        subprocess.run([sys.executable, "-c", ""], check=True)
        assert connection.link._calls._channel is channel is not None
        assert end(fork(lambda: None)) == 0
        assert connection.link._calls._channel is None
        connection.list_sessions()

    def test_a_call_that_hangs_is_not_cut_and_the_child_is_told(self, tmp_path: Path) -> None:
        with (
            ClusterProcess(tmp_path, executors=1) as cluster,
            connect(cluster.endpoint) as connection,
        ):
            connection.register_application("idle", ApplicationAttributes(command="/bin/false"))
            session = connection.create_session("idle")
            # gRPC's own hooks start threads in such a child, which may crash it: without them.
            said = program(
                HANGING, cluster.endpoint, session.id, cluster.pid, GRPC_ENABLE_FORK_SUPPORT="0"
            )
            assert said.split() == ["told", "0", "1"]
            assert [task.id for task in session.list_tasks()] == ["1"]

    def test_a_fork_on_an_idle_loops_own_thread_works(self, connection: Connection) -> None:
        connection.list_sessions()

        async def there() -> int:
            return fork(lambda: call_afresh(connection.endpoint))

        assert end(connection.link.run(there())) == 0
        connection.list_sessions()

    def test_asyncio_connections_are_held_as_well(self, engine: str) -> None:
        async def main() -> None:
            async with await aio.connect(engine) as connection:
                session = await connection.create_session("idle")
                creating = asyncio.gather(*(session.create_task(b"") for _ in range(50)))
                pid = await asyncio.to_thread(fork, lambda: call_afresh(engine))
                tasks = await creating
                assert len({task.id for task in tasks}) == 50
                assert await asyncio.to_thread(end, pid) == 0
                here = fork(lambda: None)  # on the loop's own thread
                assert await asyncio.to_thread(end, here) == 0
                assert len([task async for task in session.list_tasks()]) == 50

        run(main())


class Echo:
    def on_session_enter(self, context: object) -> None: ...

    def on_session_leave(self) -> None: ...

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        return context.input


class TestCluster:
    def test_a_cluster_of_the_parent_goes_on_and_children_reach_it(self) -> None:
        cluster = LocalCluster(executors=2)
        cluster.register_service("echo", Echo())
        with cluster, connect(cluster.endpoint) as connection:
            session = connection.create_session("echo")
            for number in range(10):
                future = session.run(b"%d" % number)
                pid = fork(lambda: call_afresh(cluster.endpoint))
                assert future.result(LIMIT) == b"%d" % number
                assert end(pid) == 0
            assert session.invoke(b"after", timeout=LIMIT) == b"after"

    def test_idle_service_processes_are_called_over_a_new_channel(self) -> None:
        spec = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
        with (
            LocalCluster(executors=1, apps=[("app", spec)]) as cluster,
            connect(cluster.endpoint) as connection,
        ):
            session = connection.create_session("app")
            first = session.invoke(b"pid", timeout=30)
            assert end(fork(lambda: call_afresh(cluster.endpoint))) == 0
            assert session.invoke(b"pid", timeout=30) == first

    def test_a_task_that_runs_on_a_service_process_is_neither_cut_nor_in_the_way(self) -> None:
        spec = ApplicationAttributes(command=sys.executable, arguments=[SERVICE])
        with (
            LocalCluster(executors=1, apps=[("app", spec)]) as cluster,
            connect(cluster.endpoint) as connection,
        ):
            session = connection.create_session("app")
            first = session.invoke(b"pid", timeout=30)
            future = session.run(b"sleep 2000")
            eventually(lambda: session.refresh().info.counts.running == 1, "the task to run")
            assert end(fork(lambda: call_afresh(cluster.endpoint))) == 0
            assert future.result(30) == b"slept 2000"
            assert session.invoke(b"pid", timeout=30) == first

    def test_in_the_child_it_is_dead_and_touches_nothing(self, tmp_path: Path) -> None:
        with LocalCluster(executors=1, data=tmp_path) as cluster:
            root = cluster._life.folders.work
            assert root is not None

            def act() -> str:
                assert "in process" in repr(cluster)
                for refused in (cluster.start, lambda: cluster.register_service("x", Echo())):
                    with pytest.raises(InvalidStateError, match="make a LocalCluster of your own"):
                        refused()
                cluster.stop()
                with LocalCluster(executors=1) as own:
                    call_afresh(own.endpoint)
                return "dead"

            assert ask(act) == "dead"
            assert root.is_dir()
            call_afresh(cluster.endpoint)

    def test_a_child_keeps_neither_lock_nor_reaper_from_who_comes_after(
        self, tmp_path: Path
    ) -> None:
        reader, writer = os.pipe()
        with LocalCluster(executors=1, data=tmp_path):
            pid = fork(lambda: (os.close(writer), os.read(reader, 1)))
        with LocalCluster(executors=1, data=tmp_path):
            pass
        os.close(writer)
        os.close(reader)
        assert end(pid) == 0


@pytest.mark.parametrize("hook", ["with", "without"])
def test_the_hook_is_what_makes_it_work(engine: str, hook: str) -> None:
    said = program(UNHOOKED, engine, hook)
    assert (said.split() == ["0", "0", "0"]) is (hook == "with"), said
