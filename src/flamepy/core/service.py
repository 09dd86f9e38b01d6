"""Services: subclass ``FlameService``, hand it to ``run``, register the script's command.

An executor starts the script with ``FLAME_INSTANCE_ENDPOINT`` naming a Unix socket, and calls
enter, then tasks one after another, then leave (docs/protocol.md#services). The same script runs
under an engine's executor manager and under ``flamepy up``.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import grpc
from google.protobuf.message import Message

from flamepy._proto import types_pb2
from flamepy.core.answer_shape import AnswerShape
from flamepy.errors import FlameError, FlameErrorCode, InvalidArgumentError
from flamepy.host import platforms
from flamepy.host.addresses import unix_target
from flamepy.runtime import log_relay
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Flag
from flamepy.runtime.pools import DaemonPool
from flamepy.runtime.repeats import RepeatedLog, kind_of
from flamepy.runtime.surroundings import check_threads
from flamepy.texts import repr_of, text_of
from flamepy.types import (
    FLAME_INSTANCE_ENDPOINT,
    ApplicationContext,
    SessionContext,
    TaskContext,
)
from flamepy.wire.services import INSTANCE, INSTANCE_SERVICE
from flamepy.wire.shim import (
    decode_session_context,
    decode_task_context,
    encode_result,
    encode_task_result,
    error_text,
)
from flamepy.wire.task_stream import CHUNK, LEAVING, TASK_STREAM_KEY, Frames, frame

__all__ = [
    "ApplicationContext",
    "FlameService",
    "SessionContext",
    "TaskContext",
    "run",
]

logger = logging.getLogger(__name__)

GRACE = 5.0  # seconds that a task gets to end once the service was asked to end


class FlameService:
    """The base of a service; override ``on_task_invoke`` and what else you need.

    A process serves one session after another under engines after 0.6: enter, tasks, leave, and
    enter again. Engine 0.6 and the embedded cluster start one for each session.

    All three are called on one thread, one after another. An exception fails the task (or the
    session's start) with ``str(exception)``.
    """

    def on_session_enter(self, context: SessionContext) -> None:
        """Prepare for a session; called before its first task."""

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        """Do a task and return its output; None leaves the output unset."""
        raise InvalidArgumentError(f"{type(self).__name__} does not override on_task_invoke")

    def on_session_leave(self) -> None:
        """Clean up after the session's last task."""


def run(service: FlameService) -> None:
    """Serve until SIGTERM or SIGINT; blocks. Call it on the main thread.

    The socket is bound first, so an executor does not wait for anything else. A running task is
    given a few seconds to end.

    Raises:
        InvalidArgumentError: it is no service, but a class for example.
        FlameError: INVALID_CONFIG without ``FLAME_INSTANCE_ENDPOINT``, or if the socket cannot
            be bound; the message says how services are started. Or ``FLAME_DIALECT`` is neither
            ``0.6`` nor ``next``.
    """
    given: object = service
    if isinstance(given, type) or not callable(getattr(given, "on_task_invoke", None)):
        hint = "; make an instance of it" if isinstance(given, type) else ""
        raise InvalidArgumentError(
            f"{repr_of(given)} is not a service: give an instance of a FlameService subclass{hint}"
        )
    check_threads()
    path = _socket_path(os.environ.get(FLAME_INSTANCE_ENDPOINT))
    if not logging.getLogger().handlers:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    stop = Flag()
    before = _on_signals(stop)
    try:
        serve(service, path, stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve(service: FlameService, path: str, stop: Flag) -> None:
    """Serve the Instance protocol on a Unix socket until ``stop`` is set.

    Raises:
        FlameError: INVALID_CONFIG, see ``run``.
    """
    shape = AnswerShape(os.environ)
    log_relay.install()  # what a log handler raises must not become a task's answer
    platforms.require(
        "a service process",
        "socket.AF_UNIX",
        instead="run it on Linux or macOS, or in LocalCluster.register_service",
    )
    # One worker: calls come one at a time, and services need not be thread-safe. A task that hangs
    # does not keep the process once it was asked to end.
    pool = DaemonPool(1, name="flamepy-service")
    server = grpc.server(
        pool,
        options=[
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
        ],
    )
    instance = _Instance(service)
    stream = _TaskStream(instance.invoke, pool)
    server.add_generic_rpc_handlers((_handlers(instance, shape, stream),))
    Path(path).unlink(missing_ok=True)  # left by a process of the same name that was killed
    try:
        server.add_insecure_port(unix_target(path))
    except (RuntimeError, ValueError) as error:
        server.start()  # one that never began keeps gRPC's threads for ever
        server.stop(0).wait()
        pool.shutdown(wait=False)
        raise FlameError(
            FlameErrorCode.INVALID_CONFIG,
            f"cannot bind the service's socket {repr_of(path)}: {text_of(error)}",
        ) from error
    server.start()
    logger.info("serving on %s", path)
    shape.begin()
    while not stop.wait(0.5):
        pass
    shape.close()
    limit = monotonic() + GRACE
    stream.stop(GRACE)
    server.stop(max(0.0, limit - monotonic())).wait()
    pool.shutdown(wait=False)
    Path(path).unlink(missing_ok=True)


def _socket_path(value: str | None) -> str:
    if not value:
        raise FlameError(
            FlameErrorCode.INVALID_CONFIG,
            f"{FLAME_INSTANCE_ENDPOINT} is not set: a service is started by an executor, not by "
            "hand. Register an application whose command runs this script "
            "(register_application, or flamepy up --app FILE.yaml) and create a session of it",
        )
    return value.removeprefix("unix://").removeprefix("unix:")


def _on_signals(stop: Flag) -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}

    def note(number: int, frame: FrameType | None) -> None:
        stop.set()

    return {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}


class _Instance:
    """The three calls around a service."""

    def __init__(self, service: FlameService) -> None:
        self._service = service
        self._log = RepeatedLog(logger)

    def enter(self, request: Any) -> types_pb2.Result:
        try:
            enter = getattr(self._service, "on_session_enter", None)
            if enter is not None:
                enter(decode_session_context(request))
        except BaseException as error:  # SystemExit must not end the server without an answer
            text = "on_session_enter raised"
            self._log.log(logging.ERROR, kind_of(error), text, error=error)
            return encode_result(error_text(error))
        return encode_result()

    def invoke(self, request: Any) -> types_pb2.TaskResult:
        task = decode_task_context(request)
        try:
            output: object = self._service.on_task_invoke(task)
            if output is not None and not isinstance(output, (bytes, bytearray, memoryview)):
                raise TypeError(
                    f"on_task_invoke must return bytes or None, got {type(output).__name__}"
                )
        except BaseException as error:  # as above
            text = "task %s of session %s raised"
            self._log.log(
                logging.ERROR, kind_of(error), text, task.task_id, task.session_id, error=error
            )
            return encode_task_result(message=error_text(error))
        return encode_task_result(output=None if output is None else bytes(output))

    def leave(self, request: Any) -> types_pb2.Result:
        self._log.flush(everything=True)
        try:
            leave = getattr(self._service, "on_session_leave", None)
            if leave is not None:
                leave()
        except BaseException as error:  # as above
            text = "on_session_leave raised"
            self._log.log(logging.ERROR, kind_of(error), text, error=error)
            return encode_result(error_text(error))
        return encode_result()


class _TaskStream:
    """Tasks one after another by a socket, on the thread of the calls.

    ``stop`` comes from another thread; under the lock it sees whether a task is running, whose
    answer must be awaited, and keeps a later task from starting.

    Args:
        invoke: does a task.
        pool: the thread of the calls.
    """

    def __init__(self, invoke: Callable[[Any], Message], pool: DaemonPool) -> None:
        self._invoke = invoke
        self._pool = pool
        self._lock = threading.Lock()
        self._stopping = False
        self._idle: socket.socket | None = None  # waits for a task
        self._over = Flag()  # of the last stream
        self._over.set()

    def connect(self, context: grpc.ServicerContext) -> None:
        """Connect to an executor that offers a stream; tasks are done after the call at hand."""
        offered = dict(context.invocation_metadata()).get(TASK_STREAM_KEY)
        if offered is None:
            return
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(offered)
        except OSError as error:  # tasks come by calls
            connection.close()
            logger.warning("no stream of tasks by %s: %s", repr_of(offered), text_of(error))
            return
        over = self._over = Flag()
        self._pool.submit(self._serve, connection, over)

    def _serve(self, connection: socket.socket, over: Flag) -> None:
        try:
            with connection:
                self._answer_all(connection)
        except OSError as error:
            logger.debug("the stream of tasks broke: %s", text_of(error))
        finally:
            over.set()

    def _answer_all(self, connection: socket.socket) -> None:
        method, frames = INSTANCE["OnTaskInvoke"], Frames()
        while (task := self._next(connection, frames)) is not None:
            answer = self._invoke(method.request.FromString(task))
            connection.sendall(frame(answer.SerializeToString()))
        connection.sendall(frame(LEAVING))

    def _next(self, connection: socket.socket, frames: Frames) -> bytes | None:
        """Wait for a task; return None if none is to be begun."""
        with self._lock:
            if self._stopping:
                return None
            self._idle = connection
        task = _receive(connection, frames)
        with self._lock:
            self._idle = None
            return None if self._stopping else task

    def stop(self, limit: float) -> None:
        """Begin no more tasks; wait ``limit`` seconds for the one that runs by the stream."""
        with self._lock:
            self._stopping = True
            if self._idle is not None:
                with contextlib.suppress(OSError):  # its other end is gone
                    self._idle.shutdown(socket.SHUT_RD)  # ends its wait
        self._over.wait(limit)


def _receive(connection: socket.socket, frames: Frames) -> bytes | None:
    """Wait for a frame; return None at the end of the connection."""
    while (message := frames.take()) is None:
        data = connection.recv(CHUNK)
        if not data:
            return None
        frames.feed(data)
    return message


def _serialized(answer: Message) -> bytes:
    return answer.SerializeToString()


def _handlers(
    instance: _Instance, shape: AnswerShape, stream: _TaskStream
) -> grpc.GenericRpcHandler:
    def enter(request: Any, context: grpc.ServicerContext) -> Message:
        shape.saw(request.workspace)
        answer = instance.enter(request)
        if answer.return_code == 0:
            stream.connect(context)
        return shape.shaped(answer)

    def invoke(request: Any, context: grpc.ServicerContext) -> Message:
        shape.saw(request.workspace)
        return shape.shaped(instance.invoke(request))

    behaviours: dict[str, Callable[[Any, grpc.ServicerContext], Message]] = {
        "OnSessionEnter": enter,
        "OnTaskInvoke": invoke,
        "OnSessionLeave": lambda request, context: instance.leave(request),
    }
    return grpc.method_handlers_generic_handler(
        INSTANCE_SERVICE,
        {
            name: grpc.unary_unary_rpc_method_handler(
                behaviour,
                request_deserializer=INSTANCE[name].request.FromString,
                response_serializer=_serialized,
            )
            for name, behaviour in behaviours.items()
        },
    )
