"""A service that misbehaves costs its task or its session, with a reason, and nobody else."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.waiting import eventually

from flamepy.core import ApplicationAttributes, Connection, Session, connect
from flamepy.core.service import FlameService, TaskContext
from flamepy.errors import SessionRetryLimitError, TaskFailedError
from flamepy.local import LocalCluster

SCRIPT = str(Path(__file__).parent.parent / "support" / "misbehaving_service.py")
pytestmark = pytest.mark.timeout(120)
WAYS = pytest.mark.parametrize("way", ["call", "stream"])


class Slow(FlameService):
    enough = threading.Event()

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        if context.input == b"slow":
            self.enough.wait(60.0)
        return b"ok"


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with LocalCluster(executors=2, bind_timeout=3.0, task_timeout=2.0) as made:
        yield made


@pytest.fixture
def connection(cluster: LocalCluster) -> Iterator[Connection]:
    """Yield a connection; afterwards a service that behaves is served, and no process is left."""
    with connect(cluster.endpoint) as made:
        yield made
        with service(made, "behaves") as session:
            good = session.invoke(b"x", timeout=60)
            assert good is not None
            assert int(good) > 0
        for one in made.list_sessions():
            if one.state.name == "OPEN":
                one.close(wait=30.0)
        eventually(lambda: not processes(), "every service to end", limit=20.0)
        eventually(lambda: not made.list_executors(), "every executor to go", limit=20.0)


def service(connection: Connection, mode: str, way: str = "call") -> Session:
    """Return a session of a service that takes its tasks by single calls, or by a stream."""
    name = f"bad-{mode}-{way}"
    if connection.get_application(name) is None:
        spec = ApplicationAttributes(
            command=sys.executable, arguments=[SCRIPT, mode, way], delay_release=1
        )
        connection.register_application(name, spec)
    return connection.create_session(name, max_instances=1)


def processes() -> list[str]:
    """Return the command lines of misbehaving services that live (Linux; elsewhere none)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # gone meanwhile
        if SCRIPT in command:
            found.append(command)
    return found


def alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("exit-at-once", r"python.* exited with status 3.*no licence"),
        ("signal-at-once", r"python.* was killed by signal 11 \(SIGSEGV\)"),
        ("never-binds", r"python.* did not open its socket within 3 s.*still thinking"),
        ("socket-is-a-file", r"failed to connect to service at <.*sock>: no answer"),
        ("enter-abort", "on_session_enter failed: no seat"),
        ("enter-exit", r"exited with status 4.*dying in enter"),
    ],
)
def test_a_service_that_cannot_be_bound_ends_the_wait_with_the_reason(
    connection: Connection, mode: str, says: str
) -> None:
    session = service(connection, mode)
    with pytest.raises(SessionRetryLimitError, match=rf"(?s){says}"):
        session.invoke(b"x", timeout=100)
    codes = [event.code for event in connection.get_session(session.id).events]
    assert (codes.count(1001), codes.count(1002)) == (5, 1)


def test_a_service_that_binds_late_works(connection: Connection) -> None:
    assert service(connection, "binds-late").invoke(b"x", timeout=60)


@pytest.mark.parametrize("mode", ["listens-late", "opens-anew"])
def test_a_socket_that_is_there_before_its_server_is_waited_for(
    connection: Connection, mode: str
) -> None:
    """Bound and not listening, or that of a predecessor, which its service removes."""
    assert service(connection, mode).invoke(b"x", timeout=60)


@WAYS
@pytest.mark.parametrize("mode", ["gzip", "deflate"])
def test_answers_may_be_compressed(connection: Connection, mode: str, way: str) -> None:
    session = service(connection, mode, way)
    assert len({session.invoke(b"x", timeout=60) for _ in range(3)}) == 1


def test_headers_and_trailers_may_be_long(connection: Connection) -> None:
    session = service(connection, "metadata")
    assert session.invoke(b"x", timeout=60)


def test_the_text_of_a_status_may_be_long(connection: Connection) -> None:
    """It comes as metadata, of which gRPC takes 8 KiB by default, and drops all of what is over."""
    session = service(connection, "abort-long")
    with pytest.raises(TaskFailedError, match="no memory \N{SNOWMAN}"):
        session.invoke(b"x", timeout=60)


@WAYS
@pytest.mark.parametrize("mode", ["connection-age", "connection-idle"])
def test_a_server_that_takes_leave_of_its_connection_fails_no_task(
    connection: Connection, mode: str, way: str
) -> None:
    session = service(connection, mode, way)
    pids = set()
    for _ in range(4):
        pids.add(session.invoke(b"x", timeout=60))
        threading.Event().wait(0.5)
    if way == "call":
        assert len(pids) == 1, "the process is the same"


@pytest.mark.parametrize("size", [1, 3 << 20])
def test_an_answer_may_come_before_the_input_was_read(connection: Connection, size: int) -> None:
    session = service(connection, "answers-unread")
    assert len({session.invoke(b"x" * size, timeout=60) for _ in range(3)}) == 1


@WAYS
def test_a_service_that_ends_by_itself_after_its_session_is_not_worth_a_word(
    connection: Connection, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    session = service(connection, "ends-after-leave", way)
    pid = int(session.invoke(b"x", timeout=60) or b"0")
    session.close()
    eventually(lambda: not alive(pid), "it to end", limit=20.0)
    eventually(lambda: not connection.list_executors(), "its executor to go", limit=20.0)
    assert not [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


def test_an_enter_may_take_longer_than_the_socket(connection: Connection) -> None:
    assert service(connection, "enter-slow").invoke(b"x", timeout=60)


def test_an_enter_that_hangs_ends_with_its_session(connection: Connection) -> None:
    session = service(connection, "enter-hang")
    session.create_task(b"x")
    eventually(lambda: len(processes()) == 1, "the service to start")
    session.close()
    eventually(lambda: not processes(), "the service to end", limit=20.0)


@WAYS
def test_a_service_that_exits_at_its_third_task_fails_that_one(
    connection: Connection, way: str
) -> None:
    session = service(connection, "exit-at-3", way)
    first, second = (session.invoke(b"x", timeout=60) for _ in range(2))
    assert first == second
    with pytest.raises(TaskFailedError, match=r"(?s)python.* exited with status 5.*enough"):
        session.invoke(b"x", timeout=60)
    assert session.invoke(b"x", timeout=60) != first


@WAYS
@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("large", r"message length too large: found 52428\d\d bytes"),
        ("code-without-text", "Task failed with state <Failed>"),
        ("code-with-output", "half done"),
        ("garbage", "answer is no TaskResult"),
    ],
)
def test_an_answer_that_is_none_fails_the_task(
    connection: Connection, mode: str, says: str, way: str
) -> None:
    session = service(connection, mode, way)
    for _ in range(2):
        with pytest.raises(TaskFailedError, match=says):
            session.invoke(b"x", timeout=60)


def test_a_status_fails_the_task(connection: Connection) -> None:
    session = service(connection, "abort")
    for _ in range(2):
        with pytest.raises(TaskFailedError, match="no memory"):
            session.invoke(b"x", timeout=60)


def test_a_service_that_takes_a_stream_gets_its_tasks_by_it(connection: Connection) -> None:
    session = service(connection, "one-stream", "stream")
    assert len({session.invoke(b"x", timeout=60) for _ in range(3)}) == 1


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("no-answer", r"broke \(the service closed its stream of tasks\); it has not ended"),
        ("begins-none", r"the service leaves"),
    ],
)
def test_a_stream_that_ends_without_an_answer_fails_its_task(
    connection: Connection, mode: str, says: str
) -> None:
    """At once if the task may have begun; else once several services have left before it."""
    session = service(connection, mode, "stream")
    for _ in range(2):
        with pytest.raises(TaskFailedError, match=says):
            session.invoke(b"x", timeout=60)


def test_a_service_that_ends_its_stream_leaves_and_its_next_task_goes_to_another(
    connection: Connection,
) -> None:
    """No task fails that a service did not begin."""
    session = service(connection, "one-each", "stream")
    futures = [session.run(b"x") for _ in range(4)]
    assert len({future.result(60) for future in futures}) == 4


@WAYS
def test_a_service_that_lives_and_answers_no_more_fails_one_task_alone(
    connection: Connection, way: str
) -> None:
    session = service(connection, "deaf", way)
    first = session.invoke(b"x", timeout=60)
    with pytest.raises(TaskFailedError, match=r"connection to service .* broke .*has not ended"):
        session.invoke(b"x", timeout=60)
    assert session.invoke(b"x", timeout=60) != first


ENDS_ITSELF = """
import os, signal
from flamepy.core.service import FlameService, run

class Service(FlameService):
    def on_task_invoke(self, context):
        if context.input == b"last":
            os.kill(os.getpid(), signal.SIGTERM)
        return b"%d" % os.getpid()

run(Service())
"""


def test_a_service_that_is_asked_to_end_fails_no_task(
    connection: Connection, tmp_path: Path
) -> None:
    """The one that it runs is answered, and it begins no other (docs/protocol.md#task-stream)."""
    script = tmp_path / "ends_itself.py"
    script.write_text(ENDS_ITSELF)
    spec = ApplicationAttributes(command=sys.executable, arguments=[str(script)], delay_release=1)
    connection.register_application("ends-itself", spec)
    with connection.create_session("ends-itself", max_instances=1) as session:
        inputs = [b"last" if number % 5 == 0 else b"next" for number in range(20)]
        outputs = list(session.map(inputs))
    assert len(set(outputs)) == 5, "each was the last of its process"


LEAVES = """
import os, signal, threading
from flamepy.core.service import FlameService, run

class Service(FlameService):
    def on_session_enter(self, context):
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()

    def on_task_invoke(self, context):
        return b"%d" % os.getpid()

run(Service())
"""


def test_a_service_that_is_asked_to_end_at_any_moment_fails_no_task(
    connection: Connection, tmp_path: Path
) -> None:
    """While it waits for a task, it ends its stream, on which the next one may be already."""
    script = tmp_path / "leaves.py"
    script.write_text(LEAVES)
    spec = ApplicationAttributes(command=sys.executable, arguments=[str(script)], delay_release=1)
    connection.register_application("leaves", spec)
    pids: set[bytes | None] = set()
    with connection.create_session("leaves", max_instances=1) as session:
        while len(pids) < 6:
            pids.update(session.map([b"x"] * 50))


@WAYS
def test_a_task_that_hangs_is_ended_by_the_task_timeout(connection: Connection, way: str) -> None:
    session = service(connection, "hang", way)
    before = session.invoke(b"x", timeout=60)
    with pytest.raises(TaskFailedError, match=r"did not end within 2 s.*its service was ended"):
        session.invoke(b"hang", timeout=60)
    assert session.invoke(b"x", timeout=60) != before
    assert not alive(int(before or b"0"))


def test_a_task_of_this_process_that_hangs_is_left_behind(
    cluster: LocalCluster, connection: Connection
) -> None:
    cluster.register_service("slow", Slow, delay_release=0)
    with connection.create_session("slow", max_instances=1) as session:
        with pytest.raises(TaskFailedError, match="did not end within 2 s"):
            session.invoke(b"slow", timeout=60)
        assert session.invoke(b"x", timeout=60) == b"ok"
    Slow.enough.set()


def test_a_service_that_floods_its_output_keeps_small_files(connection: Connection) -> None:
    session = service(connection, "flood")
    session.invoke(b"x", timeout=60)  # 200 MB on standard output, 20 MB on standard error
    pid = int(session.invoke(b"x", timeout=60) or b"0")
    files = [Path(f"/proc/{pid}/fd/{number}").resolve() for number in (1, 2)]
    eventually(lambda: all(one.stat().st_size < 16 << 20 for one in files), "the files to be cut")


@WAYS
@pytest.mark.parametrize("mode", ["ignores-sigterm", "child", "leave-hang"])
def test_what_does_not_end_is_killed_with_its_group(
    connection: Connection, mode: str, way: str
) -> None:
    session = service(connection, mode, way)
    pid = int(session.invoke(b"x", timeout=60) or b"0")
    assert alive(pid)
    session.close()
    eventually(lambda: not alive(pid), "it to be killed", limit=20.0)


@WAYS
@pytest.mark.parametrize("mode", ["leave-error", "leave-abort"])
def test_a_leave_that_fails_is_only_logged(
    connection: Connection, mode: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    session = service(connection, mode, way)
    session.invoke(b"x", timeout=60)
    session.close()
    eventually(lambda: "cannot leave" in caplog.text, "the warning")


def test_a_service_that_fails_each_task_the_same_way_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(FlameService):
        def on_task_invoke(self, context: TaskContext) -> bytes | None:
            raise ValueError("broken")

    with LocalCluster(cache_port=None, executors=1) as cluster, connect(cluster.endpoint) as made:
        cluster.register_service("broken", Broken)
        with caplog.at_level(logging.WARNING), made.create_session("broken") as session:
            ends = list(session.map([b"x"] * 200, return_exceptions=True))
    assert len([one for one in ends if isinstance(one, TaskFailedError)]) == 200
    said = [one.message for one in caplog.records if "a service of broken raised" in one.message]
    assert len(said) == 2
    assert "(199 times in the last" in said[1]
