"""The sink before a server that hangs, is down, and comes back; and killed, and stopped."""

from __future__ import annotations

import pytest
from flamepy_nats import Nats
from servers import Server

from flamepy.testing import check_sink

SITUATIONS = (
    "a receiver that takes everything",
    "a receiver that is slow",
    "a receiver that is down",
    "killed before the answer was stored",
    "stopped while the receiver is down",
)  # test_send.py has single messages that are refused


class Stream:
    """A stream of a server that does what ``check_sink`` says."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.how = "well"

    def behave(self, how: str) -> None:
        if self.how == "slow":
            self.server.resume()
        elif self.how == "down":
            self.server.start()
        if how == "slow":
            self.server.suspend()
        elif how == "down":
            self.server.kill()
        self.how = how

    def received(self) -> list[str]:
        return [key for _, key, _ in self.server.messages()] if self.how == "well" else []


@pytest.mark.parametrize("situation", SITUATIONS)
def test_it_loses_and_repeats_nothing_and_shows_no_secret(situation: str, server: Server) -> None:
    server.create()
    stream = Stream(server)
    secret = "s3cr3t-canary"

    def make() -> Nats:
        return Nats(
            url=server.url.replace("//", f"//me:{secret}@"),
            timeout=0.5,
            outbox={"backoff_first": 0.01, "backoff_max": 0.05, "flush_timeout": 1.0},
        )

    check_sink(make, stream, situations=[situation], secrets=[secret])
    assert stream.received()
