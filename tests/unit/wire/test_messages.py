"""Messages and dataclasses say the same, and odd messages never spoil a listing."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from support.made import START, made_session, made_task

from flamepy._proto import types_pb2
from flamepy.types import (
    ApplicationAttributes,
    ApplicationSchema,
    Event,
    ResourceRequirement,
    SessionAttributes,
    Shim,
    TaskCounts,
    TaskState,
)
from flamepy.wire.applications import decode_application_spec, encode_application_spec
from flamepy.wire.sessions import (
    decode_session,
    decode_session_spec,
    encode_session,
    encode_session_spec,
)
from flamepy.wire.tasks import decode_task, encode_task, task_message
from flamepy.wire.times import from_millis, to_millis

PAYLOAD = st.none() | st.binary(max_size=20)
TEXT = st.none() | st.text(max_size=10)


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_millisecond_count_is_a_time(millis: int) -> None:
    moment = from_millis(millis)
    assert moment.tzinfo is timezone.utc
    if 0 <= millis < 253_402_300_799_000:
        assert to_millis(moment) == millis


@given(PAYLOAD, PAYLOAD, st.integers(0, 9), st.lists(st.text(max_size=5), max_size=3))
def test_a_task_survives_the_wire(given_input, output, state: int, texts: list[str]) -> None:
    from dataclasses import replace

    task = replace(
        made_task(7, TaskState(state)),
        input=given_input,
        output=output,
        completion_time=START + timedelta(milliseconds=5) if state > 1 else None,
        events=tuple(Event(3, text, START) for text in texts),
    )
    assert decode_task(encode_task(task)) == task


@given(st.text(max_size=3), st.integers(0, 9), st.none() | st.integers(0, 9), PAYLOAD, PAYLOAD)
def test_a_task_message_is_the_one_that_constructors_make(
    name: str, number: int, completed: int | None, payload, output
) -> None:
    made = task_message(
        name,
        name,
        state=number,
        created=number,
        completed=completed,
        payload=payload,
        output=output,
    )
    assert made.SerializeToString(deterministic=True) == types_pb2.Task(
        metadata=types_pb2.Metadata(id=name, name=name),
        spec=types_pb2.TaskSpec(session_id=name, input=payload, output=output),
        status=types_pb2.TaskStatus(
            state=number,  # type: ignore[arg-type]  # enums of the wire are open
            creation_time=number,
            completion_time=completed,
        ),
    ).SerializeToString(deterministic=True)


@given(PAYLOAD, st.none() | st.integers(0, 2**32 - 1), st.integers(0, 100))
def test_session_attributes_survive_the_wire(data, limit, priority: int) -> None:
    made = SessionAttributes(
        "app",
        common_data=data,
        max_instances=limit,
        priority=priority,
        resreq=ResourceRequirement(1, 2, 3),
    )
    assert decode_session_spec(encode_session_spec(made)) == made


def test_a_session_survives_the_wire() -> None:
    made = made_session(counts=TaskCounts(1, 2, 3, 4, 5), events=(Event(1001, "x", START),))
    assert decode_session(encode_session(made)) == made


@given(TEXT, TEXT, st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_an_application_survives_the_wire(command, folder, variables) -> None:
    made = ApplicationAttributes(
        shim=Shim.HOST,
        command=command,
        arguments=["a", "b"],
        labels=["l"],
        environments=variables,
        working_directory=folder,
        max_instances=3,
        delay_release=1,
        schema=ApplicationSchema(input="{}"),
    )
    back = decode_application_spec(encode_application_spec(made))
    assert (back.command, dict(back.environments or {})) == (command, variables)
    assert (list(back.arguments or ()), back.schema) == (["a", "b"], made.schema)


def test_an_empty_message_is_a_task_all_the_same() -> None:
    task = decode_task(types_pb2.Task())
    assert (task.id, task.state, task.input) == ("", TaskState.PENDING, None)


def test_an_unknown_state_and_unset_payloads_are_kept_apart() -> None:
    message = types_pb2.Task()
    message.status.state = 17  # type: ignore[assignment]
    message.spec.input = b""
    task = decode_task(message)
    assert int(task.state) == 17
    assert (task.input, task.output) == (b"", None)


def test_payloads_can_be_left_out() -> None:
    message = encode_task(made_task(output=b"x" * 100))
    task = decode_task(message, payloads=False)
    assert (task.output, task.payloads_loaded) == (None, False)


def test_times_have_milliseconds() -> None:
    moment = datetime(2026, 5, 6, 7, 8, 9, 123000, tzinfo=timezone.utc)
    assert from_millis(to_millis(moment)) == moment
