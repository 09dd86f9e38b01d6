"""Whatever arrives at its port, the cluster stays up, small, and answers others meanwhile.

What bounds it: gRPC's handshake time and flow control for connections and streams, the limits of
messages, and for what clients create on purpose (sessions, tasks) memory and ``max_sessions``.
"""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from support.cluster_process import SERVICE, ClusterProcess
from support.stubs import OPTIONS, Stubs
from support.waiting import eventually

from flamepy.types import TaskState
from flamepy.wire.services import FRONTEND

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
MEMORY = 400  # MiB that the cluster may have, whatever happens
ODD_IDS = (
    "",
    ".",
    "..",
    "../../escape",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "a b",
    "a\nb",
    "\x00",
    "é漢",
    "x" * 1_000_000,
)
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterProcess]:
    folder = tmp_path_factory.mktemp("hostile")
    spec = {"command": sys.executable, "arguments": [SERVICE], "delay_release": 1}
    data = folder / "in" / "data"
    (folder / "escape").mkdir()
    with ClusterProcess(folder, executors=1, data=str(data), apps=[("app", spec)]) as made:
        yield made


@pytest.fixture
def stubs(cluster: ClusterProcess) -> Iterator[Stubs]:
    """Yield the calls; afterwards a session works as ever, and the process is still small."""
    with Stubs(cluster.endpoint) as made:
        yield made
    with Stubs(cluster.endpoint) as fresh:
        name = f"check-{random.randrange(1 << 40)}"
        fresh.OpenSession(session_id=name, session={"application": "app"})
        fresh.CreateTask(task={"session_id": name, "input": b"echo on"})

        def ended() -> bool:
            task = fresh.GetTask(session_id=name, task_id="1")
            return task.status.state == TaskState.SUCCEED and task.spec.output == b"on"

        eventually(ended, "a task to run", limit=60.0)
        fresh.CloseSession(session_id=name)
    assert cluster.process is not None
    assert cluster.process.poll() is None
    assert memory(cluster.pid) < MEMORY
    assert "Traceback" not in cluster.log.read_text()


def memory(pid: int) -> int:
    """Return MiB in use (Linux; elsewhere 0)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(one.split()[1]) for one in lines if one.startswith("VmRSS")) // 1024


def address(cluster: ClusterProcess) -> tuple[str, int]:
    host, _, port = cluster.endpoint.removeprefix("http://").rpartition(":")
    return host, int(port)


def sockets(pid: int) -> int:
    """Return how many sockets are open (Linux; elsewhere 0)."""
    found = 0
    for one in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):  # closed meanwhile
            found += "socket:" in os.readlink(one)
    return found


def refused(call: object, *args: object, **fields: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, **fields)  # type: ignore[operator]
    return caught.value.code(), caught.value.details()


class TestBytes:
    def test_connections_that_say_nothing(self, cluster: ClusterProcess, stubs: Stubs) -> None:
        before = sockets(cluster.pid)
        silent = [socket.create_connection(address(cluster)) for _ in range(500)]
        assert stubs.ListNodes().nodes
        for one in silent[::2]:
            one.sendall(PREFACE)
        assert stubs.ListNodes().nodes
        for one in silent:
            one.close()
        eventually(lambda: sockets(cluster.pid) <= before + 2, "the sockets to be closed")

    def test_connections_that_die_in_a_call(self, cluster: ClusterProcess, stubs: Stubs) -> None:
        before = sockets(cluster.pid)
        for number in range(500):
            one = socket.create_connection(address(cluster))
            one.sendall(PREFACE + b"\0\0\x20\1\4\0\0\0\1" + os.urandom(number % 32))
            reset = b"\1\0\0\0\0\0\0\0" if number % 2 else b"\0" * 8
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            one.close()
        assert stubs.ListNodes().nodes
        eventually(lambda: sockets(cluster.pid) <= before + 2, "the sockets to be closed")

    def test_noise(self, cluster: ClusterProcess, stubs: Stubs) -> None:
        noise = random.Random(4)
        for number in range(200):
            with socket.create_connection(address(cluster)) as one:
                one.sendall((PREFACE if number % 2 else b"") + noise.randbytes(3000))
        assert stubs.ListNodes().nodes


class TestMessages:
    @pytest.mark.parametrize(
        "path",
        ["/flame.v1.Frontend/Nope", "/flame.v1.Backend/RegisterNode", "/a/b", "nonsense"],
    )
    def test_unknown_methods(self, stubs: Stubs, path: str) -> None:
        call = stubs.channel.unary_unary(path)
        assert refused(call, b"", timeout=10)[0] is grpc.StatusCode.UNIMPLEMENTED

    @pytest.mark.parametrize(
        "raw", [b"\xff\xff", b"\x0a\x02\xff\xfe", b"\x0a\xff\xff\xff\xff\x0f", os.urandom(64)]
    )
    @pytest.mark.parametrize("name", ["CreateSession", "GetTask", "RegisterApplication"])
    def test_bytes_that_are_no_message(self, stubs: Stubs, name: str, raw: bytes) -> None:
        call = stubs.channel.unary_unary(FRONTEND[name].path)
        code, text = refused(call, b"\x0a\x05" + raw if len(raw) > 60 else raw, timeout=10)
        assert code is grpc.StatusCode.INTERNAL
        assert "failed to decode Protobuf message" in text

    @pytest.mark.parametrize("name", sorted(FRONTEND))
    def test_an_empty_message_for_every_call(self, stubs: Stubs, name: str) -> None:
        try:
            answer = getattr(stubs, name)()
            if FRONTEND[name].streams:
                list(answer)
        except grpc.RpcError as error:
            assert error.code() in (  # noqa: PT017  # either way is right
                grpc.StatusCode.NOT_FOUND,
                grpc.StatusCode.INVALID_ARGUMENT,
            )

    def test_a_byte_over_the_limit(self, stubs: Stubs) -> None:
        stubs.OpenSession(session_id="large", session={"application": "app"})
        for size in (4 * 1024 * 1024 + 1, 65 * 1024 * 1024):
            task = {"session_id": "large", "input": b"x" * size}
            code, text = refused(stubs.CreateTask, task=task)
            assert code in (grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.RESOURCE_EXHAUSTED)
            assert "larger than max" in text or "message length too large" in text
        assert stubs.GetSession(session_id="large").status.pending == 0

    def test_unknown_numbers_of_enums(self, stubs: Stubs) -> None:
        assert stubs.RegisterApplication(name="enum", application={"shim": 77}).return_code == 0
        assert stubs.GetApplication(name="enum").spec.shim == 0
        assert stubs.UnregisterApplication(name="enum").return_code == 0

    def test_a_schema_as_deep_as_a_well(self, stubs: Stubs) -> None:
        for text in ("[" * 100_000, '{"not":' * 5000 + "{}" + "}" * 5000):
            spec = {"schema": {"input": text}}
            code, said = refused(stubs.RegisterApplication, name="deep", application=spec)
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert "invalid input schema: recursion limit exceeded" in said

    @pytest.mark.parametrize(
        "spec",
        [
            {"command": "a\x00b"},
            {"command": sys.executable, "arguments": ["a\x00b"]},
            {"command": sys.executable, "environments": [{"name": "A=B", "value": "x"}]},
            {"command": sys.executable, "working_directory": "/nothing\x00here"},
            {"command": sys.executable, "working_directory": "/proc/none"},
            {"command": sys.executable, "delay_release": 2**62},
            {"command": sys.executable, "delay_release": -(2**62)},
        ],
    )
    def test_specs_that_cannot_be_started(self, stubs: Stubs, spec: dict[str, object]) -> None:
        name = f"odd-{random.randrange(1 << 40)}"
        spec = {"arguments": ["-c", "raise SystemExit(7)"], **spec}
        assert stubs.RegisterApplication(name=name, application=spec).return_code == 0
        stubs.OpenSession(session_id=name, session={"application": name})
        stubs.CreateTask(task={"session_id": name})

        def given_up() -> bool:
            events = stubs.GetSession(session_id=name).status.events
            return any(event.code == 1002 for event in events)

        eventually(given_up, "the retry limit", limit=60.0)
        stubs.CloseSession(session_id=name)


class TestIds:
    @pytest.mark.parametrize("name", ODD_IDS, ids=lambda name: repr(name[:12]))
    def test_odd_session_ids_are_only_names(
        self, cluster: ClusterProcess, stubs: Stubs, name: str
    ) -> None:
        before = tree(cluster.folder)
        stubs.OpenSession(session_id=name, session={"application": "app"})
        made = stubs.CreateTask(task={"session_id": name, "input": b"ids"}).metadata.id
        assert made == "1"

        def ended() -> bool:
            task = stubs.GetTask(session_id=name, task_id="1")
            return task.status.state == TaskState.SUCCEED

        eventually(ended, "the task to end")
        stubs.CloseSession(session_id=name)
        assert stubs.DeleteSession(session_id=name).metadata.id == name
        assert refused(stubs.GetSession, session_id=name)[0] is grpc.StatusCode.NOT_FOUND
        assert tree(cluster.folder) == before

    @pytest.mark.parametrize("name", ODD_IDS, ids=lambda name: repr(name[:12]))
    def test_odd_application_names_are_refused(
        self, cluster: ClusterProcess, stubs: Stubs, name: str
    ) -> None:
        before = tree(cluster.folder)
        for call in (stubs.RegisterApplication, stubs.UpdateApplication):
            assert call(name=name, application={"command": "x"}).return_code == -1
        assert stubs.UnregisterApplication(name=name).return_code == -1
        assert refused(stubs.GetApplication, name=name)[0] is grpc.StatusCode.NOT_FOUND
        assert refused(stubs.GetNode, name=name)[0] is grpc.StatusCode.NOT_FOUND
        assert tree(cluster.folder) == before

    @pytest.mark.parametrize("task_id", ["", "x", "1e3", "0x1", "9" * 30, " 1", "1\x00"])
    def test_odd_task_ids(self, stubs: Stubs, task_id: str) -> None:
        stubs.OpenSession(session_id="tasks", session={"application": "app"})
        code, text = refused(stubs.GetTask, session_id="tasks", task_id=task_id)
        assert (code, text) == (grpc.StatusCode.INVALID_ARGUMENT, "invalid task id")


def tree(folder: Path) -> set[str]:
    """Return what is around the cluster's own two folders and its log."""
    found = (one.relative_to(folder) for one in folder.rglob("*"))
    return {str(one) for one in found if one.parts[0][:6] not in ("flame-", "in", "cluste")}


class TestStreams:
    def test_two_hundred_streams_that_nobody_reads(
        self, cluster: ClusterProcess, stubs: Stubs
    ) -> None:
        session = {"application": "app", "max_instances": 0}
        stubs.OpenSession(session_id="streams", session=session)
        payload = b"x" * 100_000
        for _ in range(300):  # 30 MB a list, 6 GB for all of them
            stubs.CreateTask(task={"session_id": "streams", "input": payload})
        before = sockets(cluster.pid)
        target = cluster.endpoint.removeprefix("http://")
        channels = [grpc.insecure_channel(target, options=OPTIONS) for _ in range(20)]
        streams = []
        for number in range(200):
            for name, fields in (("WatchTask", {"task_id": "1"}), ("ListTask", {})):
                method = FRONTEND[name]
                call = channels[number % 20].unary_stream(
                    method.path, request_serializer=method.request.SerializeToString
                )
                streams.append(call(method.request(session_id="streams", **fields)))
        for _ in range(20):
            assert stubs.GetSession(session_id="streams").status.pending == 300
        assert memory(cluster.pid) < MEMORY
        for channel in channels:
            channel.close()
        eventually(lambda: sockets(cluster.pid) <= before + 2, "the streams to end")
        stubs.CloseSession(session_id="streams")
        stubs.DeleteSession(session_id="streams")

    def test_pings_are_answered_as_often_as_they_come(
        self, cluster: ClusterProcess, stubs: Stubs
    ) -> None:
        """An engine has no limit of pings; gRPC's own would end the connection."""
        options = [
            ("grpc.keepalive_time_ms", 50),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        target = cluster.endpoint.removeprefix("http://")
        session = {"application": "app", "max_instances": 0}
        stubs.OpenSession(session_id="pings", session=session)
        stubs.CreateTask(task={"session_id": "pings"})
        with grpc.insecure_channel(target, options=options) as channel:
            method = FRONTEND["WatchTask"]
            call = channel.unary_stream(
                method.path, request_serializer=method.request.SerializeToString
            )
            request = method.request(session_id="pings", task_id="1")
            assert refused(lambda: list(call(request, timeout=3.0)))[0] is (
                grpc.StatusCode.DEADLINE_EXCEEDED
            )
        stubs.CloseSession(session_id="pings")


def test_ten_thousand_sessions_of_one_client(cluster: ClusterProcess, stubs: Stubs) -> None:
    with Stubs(cluster.endpoint) as other:
        for number in range(10_000):
            stubs.OpenSession(session_id=f"many-{number}", session={"application": "app"})
            if number % 1000 == 0:
                assert other.ListNodes().nodes
    assert len(stubs.ListSession().sessions) >= 10_000
