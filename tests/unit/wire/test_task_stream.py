"""Frames of a task stream, however the socket cuts them."""

from __future__ import annotations

import pytest

from flamepy.wire.services import INSTANCE
from flamepy.wire.task_stream import LEAVING, Frames, frame

MESSAGES = [b"", b"a", b"x" * 70_000, LEAVING]


@pytest.mark.parametrize("size", [1, 3, 5, 1 << 20])
def test_messages_come_whole_and_in_order(size: int) -> None:
    sent, frames, found = b"".join(map(frame, MESSAGES)), Frames(), []
    for start in range(0, len(sent), size):
        frames.feed(sent[start : start + size])
        while (message := frames.take()) is not None:
            found.append(message)
    assert found == MESSAGES


def test_a_frame_is_its_length_and_the_message() -> None:
    assert frame(b"abc") == b"\0\0\0\3abc"


def test_no_answer_is_like_the_last_frame() -> None:
    with pytest.raises(Exception, match="parsing"):
        INSTANCE["OnTaskInvoke"].response.FromString(LEAVING)
