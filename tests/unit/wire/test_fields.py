"""The fields of messages without a definition: read, or refused with ValueError."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flamepy._proto import types_pb2
from flamepy.wire.fields import fields


def test_a_messages_fields_are_read() -> None:
    message = types_pb2.Task(metadata=types_pb2.Metadata(id="12"))
    ((number, metadata),) = fields(message.SerializeToString())
    assert isinstance(metadata, bytes)
    assert (number, list(fields(metadata))) == (1, [(1, b"12")])


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = list(fields(data))
    except ValueError:
        return
    assert all(number >= 0 for number, _ in found)
