"""One page as several viewers see it: made once and sent to all of them.

The last changes are kept for viewers that return.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field

from flamepy.dashboard.changes import Document, change

KEPT = 120  # changes; a viewer that missed more gets the whole document
LEAST = 0.25  # seconds between two changes
SHARE = 8.0  # a document is made anew at most after that many times what it costs


@dataclass(frozen=True, slots=True)
class Made:
    """A document of a channel, ready to be sent.

    Attributes:
        document: what it is.
        whole: it, encoded.
        change: what changed since the one before, encoded; None if nothing did.
        cost: seconds that it took.
    """

    document: Document
    whole: bytes
    change: bytes | None
    cost: float


def encoded(value: object) -> bytes:
    """Return JSON of ASCII alone: any text passes, and has no line end."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode("ascii")


def made(before: Document | None, document: Document, cost: float) -> Made | None:
    """Return what is to be sent of a document; None if nothing changed. Pure."""
    if before is None:
        return Made(document, encoded(document), None, cost)
    changed = change(before, document)
    if changed is None:
        return None
    return Made(document, encoded(document), encoded(changed), cost)


@dataclass(slots=True, eq=False)
class Channel:
    """The document of one address; on the server's loop.

    Attributes:
        life: names the process: numbers of an earlier one mean nothing here.
        page, words: what the document is of.
        viewers: how many streams are open.
        due: monotonic second from which it may be made anew.
        made_at, version: when that was done last, and the model's version then.
        number: of the last change.
        document: the last one; None before the first.
        error: why it cannot be made; "" if it can.
    """

    life: str
    page: str
    words: dict[str, str]
    viewers: int = 0
    due: float = 0.0
    made_at: float = 0.0
    version: int = -1
    number: int = 0
    document: Document | None = None
    error: str = ""
    _whole: bytes = b""
    _changes: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=KEPT))
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def publish(self, fresh: Made | None, now: float, cost: float) -> None:
        """Send what changed to every viewer."""
        self.made_at, self.error = now, ""
        self.due = now + SHARE * cost
        if fresh is None:
            return
        self.due = now + max(LEAST, SHARE * cost)
        self.number += 1
        self.document, self._whole = fresh.document, fresh.whole
        if fresh.change is not None:
            self._changes.append((self.number, fresh.change))
        self._wake()

    def fail(self, why: str, now: float) -> None:
        """Send that the document cannot be made."""
        self.due = now + 1.0
        if why != self.error:
            self.error = why
            self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    def wake(self) -> None:
        """Wake every viewer, as for the end."""
        self._wake()

    async def wait(self, number: int, timeout: float) -> None:
        """Wait until there is something newer than a number, ``timeout`` seconds at most."""
        if self.document is not None and self.number > number:
            return
        try:
            await asyncio.wait_for(self._news.wait(), timeout)
        except (TimeoutError, asyncio.TimeoutError):
            return

    def number_of(self, last: str) -> int:
        """Return the number in a ``Last-Event-ID``; -1 if it is of another process or page."""
        life, _, number = last.partition(".")
        if life != self.life or not number.isdigit() or int(number) > self.number:
            return -1
        return int(number)

    def since(self, number: int) -> bytes:
        """Return the messages after a number: changes if all are kept, else the whole document."""
        if number == self.number or self.document is None:
            return b""
        missing = self.number - number
        if 0 < missing <= len(self._changes) and number >= 0:
            last = list(self._changes)[-missing:]
            if last[0][0] == number + 1:
                return b"".join(self._message("change", *one) for one in last)
        return self._message("document", self.number, self._whole)

    def _message(self, kind: str, number: int, data: bytes) -> bytes:
        return b"id: %s.%d\nevent: %s\ndata: %s\n\n" % (
            self.life.encode(),
            number,
            kind.encode(),
            data,
        )
