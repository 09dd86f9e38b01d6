"""``LentChannel``: a channel that threads read by, closed when its owner and all of them have left.

gRPC keeps each blocking channel, with its threads, until it is closed: one that is only forgotten
outlives its connection, and crashes the child of a later fork. ``list_calls`` lends it to the
threads of lists.
"""

from __future__ import annotations

import grpc


class LentChannel:
    """Closes a channel once, when its owner and all readers have left; any thread, without a lock.

    gRPC's close waits for calls that are being read: so the last one that reads closes, on its own
    thread, also where the owner's loop has gone. Each side notes its own step before it looks at
    the other's, so that one of them sees both. Two may see them: a channel can be closed twice.

    Args:
        channel: a blocking channel.

    Attributes:
        reached: whether an engine has answered by it.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.reached = False
        self._given_up = False
        self._readers: dict[object, None] = {}

    def lend(self, reader: object) -> None:
        """Keep it open for a reader; by the owner, before ``give_up``."""
        self._readers[reader] = None

    def leave(self, reader: object) -> None:
        """Take note that a reader has ended."""
        self._readers.pop(reader, None)
        self._close_unused()

    def give_up(self) -> None:
        """Take note that the owner lends it no more."""
        self._given_up = True
        self._close_unused()

    def _close_unused(self) -> None:
        if self._given_up and not self._readers:
            self.channel.close()
