"""Messages of the Instance protocol, between an executor and the service it runs."""

from __future__ import annotations

from google.protobuf.message import Message

from flamepy._proto import shim_pb2, types_pb2
from flamepy.texts import repr_of
from flamepy.types import Application, ApplicationContext, SessionContext, TaskContext

TWICE_LIMIT = 1024 * 1024


def decode_session_context(message: shim_pb2.SessionContext) -> SessionContext:
    """Return what ``on_session_enter`` is given."""
    application = message.application

    def text(name: str) -> str | None:
        return str(getattr(application, name)) if application.HasField(name) else None

    return SessionContext(
        _common_data=message.common_data if message.HasField("common_data") else None,
        session_id=message.session_id,
        application=ApplicationContext(
            name=application.name,
            image=text("image"),
            command=text("command"),
            working_directory=text("working_directory"),
            url=text("url"),
        ),
    )


def encode_session_context(
    session_id: str, application: Application, common_data: bytes | None
) -> shim_pb2.SessionContext:
    """Return the message that enters a service into a session."""
    return shim_pb2.SessionContext(
        session_id=session_id,
        application=shim_pb2.ApplicationContext(
            name=application.name,
            shim=int(application.shim or 0),  # type: ignore[arg-type]  # enums of the wire are open
            image=application.image,
            command=application.command,
            working_directory=application.working_directory,
            url=application.url,
            installer=application.installer,
        ),
        common_data=common_data,
    )


def decode_task_context(message: shim_pb2.TaskContext) -> TaskContext:
    """Return what ``on_task_invoke`` is given, from whichever field holds it; unset is None."""
    payload = None
    if message.HasField("input_sdk"):
        payload = message.input_sdk
    elif message.HasField("input"):
        payload = message.input
    return TaskContext(task_id=message.task_id, session_id=message.session_id, input=payload)


def encode_task_context(task: TaskContext) -> shim_pb2.TaskContext:
    """Return the message that invokes a task, readable by services of either numbering.

    A large input is sent once, under the official SDK's number: twice, it would be over the
    4 MiB that a Python service receives (docs/protocol.md#limits).
    """
    small = task.input is None or len(task.input) <= TWICE_LIMIT
    return shim_pb2.TaskContext(
        task_id=task.task_id,
        session_id=task.session_id,
        input=task.input if small else None,
        input_sdk=task.input,
    )


def error_text(error: BaseException) -> str:
    """Return the text that reports a service's exception: its ``str()``, even ``""`` (recorded).

    SystemExit and KeyboardInterrupt, whose texts say little, are named. Half a surrogate pair,
    which cannot travel, is written as an escape.
    """
    name = type(error).__name__
    try:
        text = str(error)
    except Exception as broken:
        text = f"{name}, whose text cannot be had: {repr_of(broken)}"
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        text = f"{name}: {text}" if text else name
    return text.encode(errors="backslashreplace").decode()


def encode_result(message: str | None = None) -> types_pb2.Result:
    """Return success, or with a text the failure (return code -1) that carries it."""
    return types_pb2.Result(return_code=0 if message is None else -1, message=message)


def in_new_shape(answer: types_pb2.Result | types_pb2.TaskResult) -> Message:
    """Return an answer in the shape that executors after 0.6 understand.

    Success without content has the same bytes in both; anything else is an error to an executor
    of the other kind, or an output lost (docs/protocol.md#dialects).
    """
    if isinstance(answer, types_pb2.TaskResult):
        return shim_pb2.OnTaskInvokeResponse(task_result=answer)
    return shim_pb2.OnSessionEnterResponse(result=answer)


def of_new_shape(name: str, answer: bytes) -> types_pb2.Result | types_pb2.TaskResult:
    """Return what a service answered in the shape that executors after 0.6 understand.

    Args:
        name: of the call.
        answer: the bytes of its answer.

    Raises:
        DecodeError: they are of another message.
    """
    if name == "OnTaskInvoke":
        return shim_pb2.OnTaskInvokeResponse.FromString(answer).task_result
    if name == "OnSessionEnter":
        return shim_pb2.OnSessionEnterResponse.FromString(answer).result
    return types_pb2.Result.FromString(answer)


def encode_task_result(
    output: bytes | None = None, message: str | None = None
) -> types_pb2.TaskResult:
    """Return the task's output (None leaves it unset), or with a text its failure."""
    code = 0 if message is None else -1
    return types_pb2.TaskResult(return_code=code, output=output, message=message)
