"""What a channel is, and how sending may fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """A message, escaped for its channel.

    Attributes:
        title: one line.
        text: the lines below it; may be "".
        id: the same text whenever a message with the same entries is sent again.
    """

    title: str
    text: str
    id: str

    @property
    def whole(self) -> str:
        """Title and text."""
        return f"{self.title}\n{self.text}" if self.text else self.title


class Channel(Protocol):
    """One destination.

    Attributes:
        name: what logs call it: a service and its host, nothing secret.
    """

    name: str

    def escape(self, text: str) -> str:
        """Return a value so that the service shows it as it is."""

    def post(self, message: Message) -> None:
        """Send a message; the errors of this module say what to do when that fails."""


class ChannelError(Exception):
    """A message was not sent. The text has no secret."""


class Unavailable(ChannelError):
    """Try again, after a number of seconds if the service named one."""

    def __init__(self, text: str, *, after: float | None = None) -> None:
        super().__init__(text)
        self.after = after


class Refused(ChannelError):
    """The service does not take this message; others it may."""


class Misconfigured(ChannelError):
    """The service takes no message as it is configured here: a wrong URL, a wrong password."""
