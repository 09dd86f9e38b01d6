"""Services over a real socket, as an executor calls them (docs/protocol.md#services)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.waiting import eventually

from flamepy._proto import types_pb2
from flamepy.core.service import FlameService, SessionContext, TaskContext, run, serve
from flamepy.errors import FlameError, FlameErrorCode
from flamepy.types import FLAME_INSTANCE_ENDPOINT
from flamepy.wire.services import INSTANCE

SERVICE = str(Path(__file__).parents[2] / "support" / "recorded_service.py")


class Recorder(FlameService):
    def __init__(self) -> None:
        self.calls: list[object] = []
        self.threads: set[int] = set()

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


def test_a_socket_that_cannot_be_bound_is_an_error(monkeypatch) -> None:
    monkeypatch.setenv(FLAME_INSTANCE_ENDPOINT, "/no/such/folder/i.sock")
    with pytest.raises(FlameError, match=r"cannot bind .*'/no/such/folder/i\.sock'"):
        run(Recorder())


UNBOUND = """
from flamepy import forks
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
