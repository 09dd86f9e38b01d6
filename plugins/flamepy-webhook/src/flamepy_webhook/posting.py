"""One signed request, and what its answer means for the events in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flamepy.informers import Outcome
from flamepy_webhook.messages import Message
from flamepy_webhook.replies import (
    Reply,
    Verdict,
    describe,
    judge,
    may_be_one_of_many,
    pause_of,
)
from flamepy_webhook.signatures import sign
from flamepy_webhook.transport import AddressRefusedError, Client, TransportError

AGENT = b"flamepy-webhook"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request.

    Attributes:
        verdict: what to do next.
        outcome: of each event in it.
        divisible: True if it was refused, and a part of it may be accepted.
    """

    verdict: Verdict
    outcome: Outcome
    divisible: bool = False

    @property
    def stops(self) -> bool:
        """Whether nothing more is to be posted now."""
        return self.verdict not in (Verdict.SENT, Verdict.RETRY)


class Poster:
    """Signs and posts messages; may be used by several threads.

    Args:
        client: what sends.
        keys: of the signatures; without one nothing is signed.
        headers: of each request.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: Client,
        *,
        keys: Sequence[bytes],
        headers: Sequence[tuple[bytes, bytes]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._keys = keys
        self._headers = headers
        self._clock = clock

    def post(self, message: Message) -> Answer:
        """Send a message and return what became of it; an answer that did not come is one, too."""
        try:
            reply = self._client.post(self._fields(message), message.body)
        except (AddressRefusedError, TransportError) as error:
            return Answer(Verdict.THROTTLE, Outcome.retry(str(error)))
        return self._answer(reply)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _fields(self, message: Message) -> list[tuple[bytes, bytes]]:
        now = int(self._clock())  # of this attempt: a receiver refuses old ones
        fields = {
            **message.headers,
            "webhook-id": message.id,
            "webhook-timestamp": str(now),
        }
        if self._keys:
            fields["webhook-signature"] = sign(
                self._keys, message_id=message.id, timestamp=now, body=message.body
            )
        made = [(name.encode("ascii"), value.encode("ascii")) for name, value in fields.items()]
        named = {name.lower() for name, _ in self._headers}
        agent = [] if b"user-agent" in named else [(b"user-agent", AGENT)]
        return [*made, *agent, *self._headers]

    def _answer(self, reply: Reply) -> Answer:
        verdict = judge(reply)
        if verdict is Verdict.SENT:
            return Answer(verdict, Outcome.sent())
        after = pause_of(reply, self._clock())
        divisible = verdict is Verdict.RETRY and may_be_one_of_many(reply)
        return Answer(verdict, Outcome.retry(describe(reply), after), divisible)
