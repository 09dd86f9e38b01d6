"""The Instance protocol's messages, readable by either numbering (docs/protocol.md#services)."""

from __future__ import annotations

import pytest

from flamepy._proto import shim_pb2
from flamepy.types import TaskContext
from flamepy.wire.shim import (
    TWICE_LIMIT,
    decode_task_context,
    encode_result,
    encode_task_context,
    encode_task_result,
    error_text,
)


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("not even this")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no way"), "no way"),
        (AssertionError(), ""),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ValueError("name \udcff"), "name \\udcff"),
        (Mute(), "Mute, whose text cannot be had: ValueError('not even this')"),
    ],
)
def test_the_text_of_an_exception_can_be_had_and_travel(error: BaseException, text: str) -> None:
    assert error_text(error) == text


@pytest.mark.parametrize("field", ["input", "input_sdk"])
def test_an_input_is_read_under_either_number(field: str) -> None:
    message = shim_pb2.TaskContext(task_id="1", session_id="s", **{field: b"x"})
    assert decode_task_context(message) == TaskContext("1", "s", b"x")


def test_no_input_is_none_and_an_empty_one_is_empty() -> None:
    assert decode_task_context(shim_pb2.TaskContext()).input is None
    assert decode_task_context(shim_pb2.TaskContext(input_sdk=b"")).input == b""


@pytest.mark.parametrize("size", [0, 1, TWICE_LIMIT, TWICE_LIMIT + 1, 4 * 1024 * 1024 - 65536])
def test_an_input_survives_and_never_outgrows_a_message(size: int) -> None:
    message = encode_task_context(TaskContext("1", "s", b"x" * size))
    assert decode_task_context(message).input == b"x" * size
    assert message.ByteSize() < 4 * 1024 * 1024
    assert message.HasField("input") == (size <= TWICE_LIMIT)


def test_a_failure_is_minus_one_with_its_text() -> None:
    assert (encode_result().return_code, encode_result("no").return_code) == (0, -1)
    failed = encode_task_result(message="no way")
    assert (failed.return_code, failed.message, failed.HasField("output")) == (-1, "no way", False)
    assert not encode_task_result().HasField("output")
    assert encode_task_result(b"").output == b""
