"""Streams that a thread reads by gRPC's blocking stack, with no thread of gRPC's in between.

``list_calls`` and ``looks`` read them, by a channel that has ``OPTION``.
"""

from __future__ import annotations

from typing import Any

import grpc
from grpc.experimental import ChannelOptions

OPTION = (ChannelOptions.SingleThreadedUnaryStream, 1)


def drain(call: Any) -> None:
    """End a call, and read what gRPC has to say of that.

    A blocking call whose last events are not read is kept for ever, with the channel and gRPC's
    threads: its own iterator leaves them unread after ``cancel``, and says no more. grpcio has no
    public name for this, as of 1.85; test_list_calls looks whether what is used here does it.
    """
    call._call.cancel(grpc.StatusCode.CANCELLED.value[0], "left")  # nothing if it has ended
    while call._state.due:
        call._consume_next_event()


def is_lost(error: grpc.RpcError) -> bool:
    """Return True if the engine cannot be reached by the channel of a call."""
    return bool(error.code() is grpc.StatusCode.UNAVAILABLE)
