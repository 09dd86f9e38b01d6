"""A service answers in the shape that its executor understands (docs/services.md#dialects)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import grpc
import pytest
from support.renaming_proxy import RenamingProxy
from support.service_stream import Stream
from support.waiting import eventually

from flamepy._proto import shim_pb2, types_pb2
from flamepy.core import answer_shape
from flamepy.core.answer_shape import AnswerShape, ask_frontend
from flamepy.core.service import FlameService, SessionContext, TaskContext, serve
from flamepy.errors import FlameError, FlameErrorCode, UnavailableError
from flamepy.runtime.flags import Flag
from flamepy.testing import FakeEngine
from flamepy.types import Dialect
from flamepy.wire.services import INSTANCE
from flamepy.wire.shim import encode_result, encode_task_result

OUTPUT = encode_task_result(output=b"x")
NEW_OUTPUT = shim_pb2.OnTaskInvokeResponse(task_result=OUTPUT)
ASKED = {"FLAME_ENDPOINT": "http://127.0.0.1:1"}


def never() -> Dialect:
    raise AssertionError("nothing is to be asked")


@pytest.fixture
def begun() -> Iterator[Callable[..., AnswerShape]]:
    made: list[AnswerShape] = []

    def begin(environ: dict[str, str], ask: Callable[[], Dialect]) -> AnswerShape:
        shape = AnswerShape(environ, ask)
        made.append(shape)
        shape.begin()
        return shape

    yield begin
    for shape in made:
        shape.close()


def test_a_setting_goes_before_everything(begun: Callable[..., AnswerShape]) -> None:
    old = begun({**ASKED, "FLAME_DIALECT": "0.6"}, never)
    old.saw("default")
    assert old.shaped(OUTPUT) == OUTPUT
    assert begun({**ASKED, "FLAME_DIALECT": "next"}, never).shaped(OUTPUT) == NEW_OUTPUT


def test_a_setting_that_is_none_is_refused() -> None:
    with pytest.raises(
        FlameError, match=r"FLAME_DIALECT must be 0\.6 or next, got '0\.7'"
    ) as caught:
        AnswerShape({"FLAME_DIALECT": "0.7"})
    assert caught.value.code is FlameErrorCode.INVALID_CONFIG


def test_without_a_frontend_to_ask_answers_are_those_of_0_6(
    begun: Callable[..., AnswerShape],
) -> None:
    assert begun({}, never).shaped(OUTPUT) == OUTPUT


@pytest.mark.parametrize(("dialect", "sent"), [(Dialect.OLD, OUTPUT), (Dialect.NEXT, NEW_OUTPUT)])
def test_the_first_answer_waits_for_the_frontend(
    begun: Callable[..., AnswerShape],
    dialect: Dialect,
    sent: object,
) -> None:
    answered = threading.Event()

    def ask() -> Dialect:
        answered.wait(10)
        return dialect

    shape = begun(ASKED, ask)
    assert shape.shaped(encode_result()) == types_pb2.Result(), "the same in both: no wait"
    threading.Timer(0.05, answered.set).start()
    assert shape.shaped(OUTPUT) == sent


def test_a_workspace_shows_the_newer_kind(begun: Callable[..., AnswerShape]) -> None:
    enough = threading.Event()

    def ask() -> Dialect:
        enough.wait(10)
        raise UnavailableError("away")

    shape = begun(ASKED, ask)
    shape.saw("")
    shape.saw("default")
    assert shape.shaped(OUTPUT) == NEW_OUTPUT
    enough.set()


def test_a_frontend_that_does_not_answer_is_asked_again_and_reported_once(
    begun: Callable[..., AnswerShape],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(answer_shape, "PAUSE", 0.001)
    away = [True]

    def ask() -> Dialect:
        if away[0]:
            raise UnavailableError("away")
        return Dialect.NEXT

    with caplog.at_level(logging.WARNING):
        shape = begun(ASKED, ask)
        assert shape.shaped(OUTPUT) == shape.shaped(OUTPUT) == OUTPUT
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    away[0] = False
    eventually(lambda: shape.shaped(OUTPUT) == NEW_OUTPUT)


@pytest.mark.parametrize("newer", [False, True])
def test_the_frontend_says_by_its_names_what_it_is(
    fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, *, newer: bool
) -> None:
    with RenamingProxy(fake_engine.endpoint, newer=newer) as proxy:
        monkeypatch.setenv("FLAME_ENDPOINT", proxy.endpoint)
        assert ask_frontend() is (Dialect.NEXT if newer else Dialect.OLD)
        assert proxy.calls["ListApplication"] == 1
        proxy.nothing = True
        with pytest.raises(FlameError):
            ask_frontend()


class Greeter(FlameService):
    """Its output shows the session that it is in, and how often it was entered."""

    def __init__(self) -> None:
        self.entered = 0
        self.session = ""

    def on_session_enter(self, context: SessionContext) -> None:
        self.entered += 1
        self.session = context.session_id
        if context.session_id == "bad":
            raise ValueError("not here")

    def on_task_invoke(self, context: TaskContext) -> bytes:
        if context.input is None:
            raise ValueError("no input")
        return f"{self.session} {self.entered}".encode()

    def on_session_leave(self) -> None:
        self.session = ""


@pytest.fixture
def newer_service(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[grpc.Channel]:
    monkeypatch.setenv("FLAME_DIALECT", "next")
    path, stop = str(tmp_path_factory.mktemp("s") / "i.sock"), Flag()
    thread = threading.Thread(target=serve, args=(Greeter(), path, stop))
    thread.start()
    with grpc.insecure_channel(f"unix:{path}") as channel:
        yield channel
    stop.set()
    thread.join(10)


def send(channel: grpc.Channel, name: str, **fields: object) -> bytes:
    method = INSTANCE[name]
    call = channel.unary_unary(method.path)
    return call(method.request(**fields).SerializeToString(), timeout=20, wait_for_ready=True)


def test_a_newer_executor_enters_one_process_again_and_again(newer_service: grpc.Channel) -> None:
    for number, session in enumerate(("one", "two", "two"), 1):
        assert send(newer_service, "OnSessionEnter", session_id=session, workspace="default") == b""
        raw = send(newer_service, "OnTaskInvoke", task_id="1", session_id=session, input_sdk=b"x")
        found = shim_pb2.OnTaskInvokeResponse.FromString(raw).task_result
        assert (found.return_code, found.output) == (0, f"{session} {number}".encode())
        assert send(newer_service, "OnSessionLeave") == b""


def test_failures_come_in_the_newer_shape(newer_service: grpc.Channel) -> None:
    raw = send(newer_service, "OnSessionEnter", session_id="bad")
    entered = shim_pb2.OnSessionEnterResponse.FromString(raw).result
    assert (entered.return_code, entered.message) == (-1, "not here")
    raw = send(newer_service, "OnTaskInvoke", task_id="1", session_id="s")
    failed = shim_pb2.OnTaskInvokeResponse.FromString(raw).task_result
    assert (failed.return_code, failed.message) == (-1, "no input")


def test_the_stream_of_the_embedded_cluster_keeps_its_shape(
    newer_service: grpc.Channel, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stream = Stream(newer_service, str(tmp_path_factory.mktemp("t") / "i"))
    assert stream.ask("1", b"x").output == b"s 1"
    stream.close()
