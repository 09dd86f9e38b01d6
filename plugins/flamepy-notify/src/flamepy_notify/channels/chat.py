"""Slack, Teams and Discord, by the URL of an incoming webhook."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flamepy_notify.channels.channel import Message
from flamepy_notify.channels.http import JsonPoster
from flamepy_notify.texts import cut

Body = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Service:
    """One chat service.

    Attributes:
        escape: a value so that it shows as it is.
        body: the JSON of a message.
    """

    escape: Callable[[str], str]
    body: Callable[[Message], Body]


class Chat:
    """A channel of a chat service.

    Args:
        service: which one.
        poster: what sends to its URL.
        name: what logs call it.
    """

    def __init__(self, service: Service, poster: JsonPoster, name: str) -> None:
        self.name = name
        self._service = service
        self._poster = poster

    def escape(self, text: str) -> str:
        """Return a value so that the service shows it as it is."""
        return self._service.escape(text)

    def post(self, message: Message) -> None:
        """Send a message.

        Raises:
            ChannelError: it was not taken.
        """
        self._poster.post(self._service.body(message))


def _escape_slack(text: str) -> str:
    # These three alone are special in Slack; < begins mentions and links.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _slack(message: Message) -> Body:
    return {
        "text": cut(message.whole, 12_000),
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _escape_discord(text: str) -> str:
    return re.sub(r"([\\*_~`|>#\-\[\]()<])", r"\\\1", text)


def _discord(message: Message) -> Body:
    return {"content": cut(message.whole, 2000), "allowed_mentions": {"parse": []}, "flags": 4}


def _as_it_is(text: str) -> str:
    return text  # a TextRun has no markup


def _teams(message: Message) -> Body:
    lines = cut(message.text, 20_000).splitlines()
    card = {
        "type": "AdaptiveCard",
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "version": "1.4",
        "body": [_run(cut(message.title, 1000), weight="Bolder"), *map(_run, lines)],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


def _run(line: str, weight: str = "Default") -> Body:
    text = {"type": "TextRun", "text": line or " ", "weight": weight}
    return {"type": "RichTextBlock", "inlines": [text]}


SERVICES: Mapping[str, Service] = {
    "slack": Service(_escape_slack, _slack),
    "teams": Service(_as_it_is, _teams),
    "discord": Service(_escape_discord, _discord),
}
