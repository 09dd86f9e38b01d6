"""Services: subclass ``FlameService``, hand it to ``run``, register the script's command.

An executor starts the script with ``FLAME_INSTANCE_ENDPOINT`` naming a Unix socket, and calls
enter, then tasks one after another, then leave (docs/protocol.md#services). The same script runs
under an engine's executor manager and under ``flamepy up``.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
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
from flamepy.wire.services import (
    INSTANCE,
    INSTANCE_SERVICE,
    TASK_STREAM,
    TASK_STREAM_GRACE,
    TASK_STREAM_OFFER,
    TASK_STREAM_SERVICE,
)
from flamepy.wire.shim import (
    decode_session_context,
    decode_task_context,
    encode_result,
    encode_task_result,
    error_text,
)

__all__ = [
    "ApplicationContext",
    "FlameService",
    "SessionContext",
    "TaskContext",
    "run",
]

logger = logging.getLogger(__name__)

GRACE = TASK_STREAM_GRACE
LINGER = 0.2  # seconds from the end of a stream to that of its connection


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
    stream = _TaskStream(instance.invoke)
    server.add_generic_rpc_handlers((_handlers(instance, shape), stream.handler()))
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
    if stream.stop(GRACE):
        # Its other end may have sent a task meanwhile, and reads that the stream is over only while
        # the connection is there.
        Flag().wait(LINGER)
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

    def enter(self, request: Any, context: grpc.ServicerContext) -> types_pb2.Result:
        try:
            enter = getattr(self._service, "on_session_enter", None)
            if enter is not None:
                enter(decode_session_context(request))
        except BaseException as error:  # SystemExit must not end the server without an answer
            text = "on_session_enter raised"
            self._log.log(logging.ERROR, kind_of(error), text, error=error)
            return encode_result(error_text(error))
        context.set_trailing_metadata((TASK_STREAM_OFFER,))
        return encode_result()

    def invoke(self, request: Any, context: grpc.ServicerContext) -> types_pb2.TaskResult:
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

    def leave(self, request: Any, context: grpc.ServicerContext) -> types_pb2.Result:
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
    """Tasks one after another in one call, on the thread of the others.

    ``stop`` comes from another thread; under the lock it sees whether a task is running, whose
    answer must be awaited, and keeps a later task from starting.
    """

    def __init__(self, invoke: Callable[[Any, grpc.ServicerContext], Message]) -> None:
        self._invoke = invoke
        self._lock = threading.Lock()
        self._stopping = False
        self._idle: grpc.ServicerContext | None = None
        self._over = Flag()  # of the last stream
        self._over.set()

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what a gRPC server needs to serve it."""
        method = grpc.stream_stream_rpc_method_handler(
            self._answers,
            request_deserializer=TASK_STREAM.request.FromString,
            response_serializer=TASK_STREAM.response.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(TASK_STREAM_SERVICE, {TASK_STREAM.name: method})

    def _answers(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Message]:
        over = self._over = Flag()
        if not context.add_callback(over.set):
            return  # it is over already
        while self._may_wait(context):
            request = next(requests, None)
            if request is None or not self._may_begin():
                return
            yield self._invoke(request, context)

    def _may_wait(self, context: grpc.ServicerContext) -> bool:
        with self._lock:
            self._idle = context
            return not self._stopping

    def _may_begin(self) -> bool:
        with self._lock:
            self._idle = None
            return not self._stopping

    def stop(self, limit: float) -> bool:
        """Begin no more tasks; end a stream that waits for one, and wait for one with a task.

        Returns True if there was a stream, which is over within ``limit`` seconds or stays.
        """
        with self._lock:
            self._stopping = True
            idle, over = self._idle, self._over
        if over.is_set():
            return False
        if idle is not None:
            idle.cancel()
        over.wait(limit)
        return True


def _serialized(answer: Message) -> bytes:
    return answer.SerializeToString()


def _handlers(instance: _Instance, shape: AnswerShape) -> grpc.GenericRpcHandler:
    def enter(request: Any, context: grpc.ServicerContext) -> Message:
        shape.saw(request.workspace)
        return shape.shaped(instance.enter(request, context))

    def invoke(request: Any, context: grpc.ServicerContext) -> Message:
        shape.saw(request.workspace)
        return shape.shaped(instance.invoke(request, context))

    behaviours: dict[str, Callable[[Any, grpc.ServicerContext], Message]] = {
        "OnSessionEnter": enter,
        "OnTaskInvoke": invoke,
        "OnSessionLeave": instance.leave,
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
