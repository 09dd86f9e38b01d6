"""The sink before receivers that are slow, down, take half; and killed, and stopped."""

from __future__ import annotations

import base64
import json
import threading

import pytest
from flamepy_webhook import Webhook
from receiver import Answer, Received, Receiver

from flamepy.testing import check_sink

SITUATIONS = (
    "a receiver that takes everything",
    "a receiver that is slow",
    "a receiver that is down",
    "a receiver that takes half",
    "killed before the answer was stored",
    "stopped while the receiver is down",
)  # none is refused for good: every answer but 2xx and 410 is tried until give_up_after
CANARY = "canary-of-a-header"
KEY = "whsec_" + base64.b64encode(b"canary-of-a-signature-key").decode()


class Moody:
    """Answers as ``check_sink`` says, and keeps the keys of the events that it took."""

    def __init__(self) -> None:
        self.how = "well"
        self.keys: list[str] = []
        self.requests = 0

    def behave(self, how: str) -> None:
        self.how = how

    def received(self) -> list[str]:
        return list(self.keys)

    def answer(self, request: Received) -> Answer:
        self.requests += 1
        if self.how == "slow":
            threading.Event().wait(0.5)
            return Answer(500)
        if self.how == "down":
            return Answer(503)
        if self.how == "half" and self.requests % 2:
            return Answer(500)
        self.keys.append(json.loads(request.body)["key"])
        return Answer(204)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_it_loses_and_repeats_nothing_and_shows_no_secret(situation: str) -> None:
    moody = Moody()
    with Receiver(moody.answer) as receiver:

        def make() -> Webhook:
            return Webhook(
                url=f"{receiver.url}?token={CANARY}",
                secret=KEY,
                headers={"Authorization": f"Bearer {CANARY}"},
                format="template",
                template={"key": "$key"},
                timeout=0.2,
                allow_private=True,
                outbox={"backoff_first": 0.01, "backoff_max": 0.05, "flush_timeout": 1.0},
            )

        check_sink(make, moody, situations=[situation], secrets=[CANARY, KEY, KEY[6:]])
    assert moody.keys
