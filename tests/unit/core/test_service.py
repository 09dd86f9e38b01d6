"""Services over a real socket, as an executor calls them (docs/protocol.md#services)."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.service_stream import Stream
from support.waiting import eventually

from flamepy._proto import types_pb2
from flamepy.core import service as service_module
from flamepy.core.service import FlameService, SessionContext, TaskContext, run, serve
from flamepy.errors import FlameError, FlameErrorCode, InvalidArgumentError
from flamepy.runtime.pools import DaemonPool
from flamepy.types import FLAME_INSTANCE_ENDPOINT
from flamepy.wire.services import INSTANCE
from flamepy.wire.task_stream import LEAVING, TASK_STREAM_KEY, frame

SERVICE = str(Path(__file__).parents[2] / "support" / "recorded_service.py")


class Recorder(FlameService):
    def __init__(self) -> None:
        self.calls: list[object] = []
        self.threads: set[int] = set()
        self.begun, self.enough = threading.Event(), threading.Event()

    def on_session_enter(self, context: SessionContext) -> None:
        self.threads.add(threading.get_ident())
        self.calls.append((context.session_id, context.common_data(), context.application.name))
        if context.session_id == "bad":
            raise RuntimeError("not here")

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        self.threads.add(threading.get_ident())
        self.calls.append((context.task_id, context.session_id, context.input))
        if context.input == b"raise":
            raise ValueError("no way")
        if context.input == b"long":
            self.begun.set()
            self.enough.wait(30)
        if context.input == b"half":
            raise ValueError("name \udcff")
        if context.input == b"exit":
            raise SystemExit(3)
        if context.input == b"text":
            return "text"  # type: ignore[return-value]
        return context.input

    def on_session_leave(self) -> None:
        self.calls.append("leave")


@pytest.fixture
def socket_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("s") / "i.sock")


@pytest.fixture
def served(socket_path: str) -> Iterator[tuple[Recorder, grpc.Channel]]:
    service, stop = Recorder(), threading.Event()
    thread = threading.Thread(target=serve, args=(service, socket_path, stop))
    thread.start()
    with grpc.insecure_channel(f"unix:{socket_path}") as channel:
        yield service, channel
    stop.set()
    thread.join(10)
    assert not Path(socket_path).exists()


def call(channel: grpc.Channel, name: str, **fields: Any) -> Any:
    method = INSTANCE[name]
    send = channel.unary_unary(
        method.path,
        request_serializer=method.request.SerializeToString,
        response_deserializer=method.response.FromString,
    )
    return send(method.request(**fields), timeout=20, wait_for_ready=True)


def test_enter_invoke_leave(served: tuple[Recorder, grpc.Channel]) -> None:
    service, channel = served
    application = {"name": "app"}
    entered = call(
        channel, "OnSessionEnter", session_id="s", common_data=b"cd", application=application
    )
    done = call(channel, "OnTaskInvoke", task_id="1", session_id="s", input=b"x")
    left = call(channel, "OnSessionLeave")
    assert (entered.return_code, left.return_code) == (0, 0)
    assert (done.return_code, done.output, done.HasField("message")) == (0, b"x", False)
    assert service.calls == [("s", b"cd", "app"), ("1", "s", b"x"), "leave"]
    assert len(service.threads) == 1, "one thread, so that services need no locks"


def test_no_input_is_none_and_none_is_no_output(served: tuple[Recorder, grpc.Channel]) -> None:
    service, channel = served
    done = call(channel, "OnTaskInvoke", task_id="1", session_id="s")
    assert service.calls == [("1", "s", None)]
    assert not done.HasField("output")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (b"raise", "no way"),
        (b"half", "name \\udcff"),
        (b"exit", "SystemExit: 3"),
        (b"text", "on_task_invoke must return bytes or None, got str"),
    ],
)
def test_what_a_task_raises_is_its_answer_and_the_next_task_runs(
    served: tuple[Recorder, grpc.Channel], given: bytes, text: str
) -> None:
    _, channel = served
    failed = call(channel, "OnTaskInvoke", task_id="1", session_id="s", input=given)
    assert (failed.return_code, failed.message) == (-1, text)
    assert call(channel, "OnTaskInvoke", task_id="2", session_id="s", input=b"x").output == b"x"


def test_an_enter_that_raises_is_answered(served: tuple[Recorder, grpc.Channel]) -> None:
    _, channel = served
    answer: types_pb2.Result = call(channel, "OnSessionEnter", session_id="bad")
    assert (answer.return_code, answer.message) == (-1, "not here")


def test_without_the_variable_the_error_says_how_services_are_started(monkeypatch) -> None:
    monkeypatch.delenv(FLAME_INSTANCE_ENDPOINT, raising=False)
    with pytest.raises(FlameError, match="started by an executor") as caught:
        run(Recorder())
    assert caught.value.code is FlameErrorCode.INVALID_CONFIG


@pytest.mark.parametrize(
    ("given", "hint"), [(Recorder, r"subclass; make an instance"), (None, r"subclass \(code")]
)
def test_what_is_no_service_is_refused_before_it_serves(given: Any, hint: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"is not a service: .*{hint}"):
        run(given)


def test_a_socket_that_cannot_be_bound_is_an_error(monkeypatch) -> None:
    monkeypatch.setenv(FLAME_INSTANCE_ENDPOINT, "/no/such/folder/i.sock")
    with pytest.raises(FlameError, match=r"cannot bind .*'/no/such/folder/i\.sock'"):
        run(Recorder())


@pytest.mark.parametrize("name", ["a%2Fb", "a#1", "what?", "a,b", "a b", "caf\u00e9", "a%"])
def test_its_socket_is_where_it_was_told_whatever_the_path_has(tmp_path: Path, name: str) -> None:
    """An executor manager's folders are not ours; it connects to the path itself."""
    with tempfile.TemporaryDirectory(prefix="s-", dir="/tmp") as made:
        path = Path(made, name, "i.sock")
        path.parent.mkdir()
        stop = threading.Event()
        thread = threading.Thread(target=serve, args=(Recorder(), str(path), stop))
        thread.start()
        eventually(path.exists, "its socket")
        with socket.socket(socket.AF_UNIX) as client:
            eventually(lambda: client.connect_ex(str(path)) == 0, "it to listen")
        stop.set()
        thread.join(10)


def test_a_path_that_no_socket_can_have_is_said(monkeypatch) -> None:
    monkeypatch.setenv(FLAME_INSTANCE_ENDPOINT, f"/tmp/{'x' * 120}/i.sock")
    with pytest.raises(FlameError, match=r"cannot bind .*at most 1\d\d bytes, .* shorter path"):
        run(Recorder())


UNBOUND = """
from flamepy.runtime import forks
from flamepy.core.service import FlameService, run
from flamepy.errors import FlameError
from support.waiting import eventually

try:
    run(FlameService())
except FlameError:
    refused = True
eventually(lambda: forks._native_threads() == 0)
print(refused)
"""


def test_one_that_cannot_be_bound_keeps_no_thread_of_grpcs_core() -> None:
    given = {FLAME_INSTANCE_ENDPOINT: "/no/such/i.sock", "PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(
        [sys.executable, "-c", UNBOUND],
        env={**os.environ, **given},
        stdout=subprocess.PIPE,
        text=True,
        timeout=50,
        check=False,
    )
    assert said.stdout == "True\n"


def test_a_service_without_the_method_says_so(served: tuple[Recorder, grpc.Channel]) -> None:
    with pytest.raises(FlameError, match="does not override on_task_invoke"):
        FlameService().on_task_invoke(TaskContext("1", "s"))


def test_a_stream_answers_one_task_after_another_on_the_thread_of_the_calls(
    served: tuple[Recorder, grpc.Channel], socket_path: str
) -> None:
    service, channel = served
    stream = Stream(channel, socket_path)
    answers = [stream.ask(str(n), data) for n, data in enumerate([b"a", b"raise", b"b"])]
    stream.close()
    call(channel, "OnSessionLeave")
    assert [(one.return_code, one.output) for one in answers] == [(0, b"a"), (-1, b""), (0, b"b")]
    assert answers[1].message == "no way"
    assert service.calls[1:] == [
        ("0", "s", b"a"),
        ("1", "s", b"raise"),
        ("2", "s", b"b"),
        "leave",
    ]
    assert len(service.threads) == 1


@pytest.mark.parametrize("session", ["s", "bad"])
def test_a_stream_that_nobody_answers_at_leaves_the_calls(
    served: tuple[Recorder, grpc.Channel], session: str
) -> None:
    """The path of one that is gone, and a session that was refused."""
    _, channel = served
    method = INSTANCE["OnSessionEnter"]
    send = channel.unary_unary(method.path, method.request.SerializeToString)
    offer = ((TASK_STREAM_KEY, b"/no/such/i.task"),)
    send(method.request(session_id=session), metadata=offer, timeout=20, wait_for_ready=True)
    assert call(channel, "OnTaskInvoke", task_id="2", session_id="s", input=b"y").output == b"y"


def test_a_session_that_is_refused_has_no_stream(
    served: tuple[Recorder, grpc.Channel], socket_path: str
) -> None:
    method = INSTANCE["OnSessionEnter"]
    send = served[1].unary_unary(method.path, method.request.SerializeToString)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{socket_path}.task")
        listener.listen(1)
        listener.setblocking(False)
        offer = ((TASK_STREAM_KEY, os.fsencode(f"{socket_path}.task")),)
        send(method.request(session_id="bad"), metadata=offer, timeout=20, wait_for_ready=True)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_stream_that_breaks_frees_the_thread_and_says_nothing(
    served: tuple[Recorder, grpc.Channel], socket_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    service, channel = served
    stream = Stream(channel, socket_path)
    assert stream.ask("1", b"x").output == b"x"
    stream.send("2", b"long")
    assert service.begun.wait(20)
    stream.close()
    service.enough.set()
    assert call(channel, "OnTaskInvoke", task_id="3", session_id="s", input=b"y").output == b"y"
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop that waits for a call would take an hour."""
    monkeypatch.setattr(service_module, "GRACE", 3600.0)


def test_a_stop_ends_a_stream_that_waits_for_a_task(patient: None, socket_path: str) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=serve, args=(Recorder(), socket_path, stop))
    thread.start()
    with grpc.insecure_channel(f"unix:{socket_path}") as channel:
        stream = Stream(channel, socket_path)
        assert stream.ask("1", b"x").output == b"x"
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
        assert (stream.read(), stream.read()) == (LEAVING, None)
        stream.close()


def test_a_stop_waits_for_the_task_of_a_stream_and_begins_no_other(
    patient: None, socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    class Known(service_module._TaskStream):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(service_module, "_TaskStream", Known)
    service, stop = Recorder(), threading.Event()
    thread = threading.Thread(target=serve, args=(service, socket_path, stop))
    thread.start()
    with grpc.insecure_channel(f"unix:{socket_path}") as channel:
        stream = Stream(channel, socket_path)
        stream.send("1", b"long")
        stream.send("2", b"x")
        assert service.begun.wait(30)
        stop.set()
        eventually(lambda: made[0]._stopping, "the stop to begin")
        service.enough.set()
        answer, last = stream.read(), stream.read()
        stream.close()
    thread.join(30)
    assert not thread.is_alive()
    assert INSTANCE["OnTaskInvoke"].response.FromString(answer or b"").output == b"long"
    assert last == LEAVING
    assert ("2", "s", b"x") not in service.calls


def test_a_task_that_comes_while_a_stop_ends_its_stream_is_not_begun() -> None:
    """It was sent before the stream ended, and read after that."""
    begun: list[object] = []
    stream = service_module._TaskStream(begun.append, DaemonPool(1, name="unused"))  # type: ignore[arg-type]  # a fake
    near, far = socket.socketpair()

    class Late:
        """A socket that is stopped while it waits, and receives a task all the same."""

        def recv(self, size: int) -> bytes:
            stream.stop(0.0)
            return frame(b"")

        def shutdown(self, how: int) -> None:
            near.shutdown(how)

        def sendall(self, data: bytes) -> None:
            near.sendall(data)

    with near, far:
        stream._answer_all(Late())  # type: ignore[arg-type]  # a fake
        assert far.recv(100) == frame(LEAVING)
    assert begun == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_cleanly(socket_path: str, number: int) -> None:
    environment = {**os.environ, FLAME_INSTANCE_ENDPOINT: f"unix://{socket_path}"}
    with subprocess.Popen(
        [sys.executable, SERVICE], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        eventually(lambda: Path(socket_path).exists(), "the socket")
        with grpc.insecure_channel(f"unix:{socket_path}") as channel:
            done = call(channel, "OnTaskInvoke", task_id="1", session_id="s", input=b"echo x")
            assert done.output == b"x"
        process.send_signal(number)
        _, logged = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in logged
    assert not Path(socket_path).exists()


HANGS = """
import signal, threading
from flamepy.core.service import FlameService, run

class Hangs(FlameService):
    def on_task_invoke(self, context):
        print("begun", flush=True)
        threading.Event().wait()

run(Hangs())
"""


def test_a_task_that_hangs_keeps_no_process_that_was_asked_to_end(socket_path: str) -> None:
    environment = {**os.environ, FLAME_INSTANCE_ENDPOINT: f"unix://{socket_path}"}
    with subprocess.Popen(
        [sys.executable, "-c", HANGS],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            eventually(lambda: Path(socket_path).exists(), "the socket")
            with grpc.insecure_channel(f"unix:{socket_path}") as channel:
                send = channel.unary_unary(INSTANCE["OnTaskInvoke"].path, bytes)
                hanging = send.future(b"", timeout=60, wait_for_ready=True)
                assert process.stdout.readline() == "begun\n"
                process.send_signal(signal.SIGTERM)
                assert process.wait(30) == 0
                assert hanging.exception(20) is not None, "it has no outcome"
        finally:
            process.kill()


class Only:
    """Has the one method that a service needs."""

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        return (context.input or b"").upper()


def test_a_service_needs_no_method_but_on_task_invoke(socket_path: str) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=serve, args=(Only(), socket_path, stop))
    thread.start()
    try:
        with grpc.insecure_channel(f"unix:{socket_path}") as channel:
            assert call(channel, "OnSessionEnter", session_id="s").return_code == 0
            assert call(channel, "OnTaskInvoke", task_id="1", input=b"a").output == b"A"
            assert call(channel, "OnSessionLeave").return_code == 0
    finally:
        stop.set()
        thread.join(10)
