"""The options of ``Notify`` as texts and mappings of a configuration file give them, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flamepy.errors import InvalidArgumentError
from flamepy.informers import OutboxOptions, Secret
from flamepy_notify.channels.channel import Channel
from flamepy_notify.channels.chat import SERVICES, Chat
from flamepy_notify.channels.http import JsonPoster, check_url
from flamepy_notify.channels.mail import Mail
from flamepy_notify.templates import Template

CHANNELS = (*SERVICES, "mail")
GROUPS = ("application", "session", "none")
FIELDS = [
    "applications",
    "count",
    "details",
    "duration",
    "first",
    "last",
    "rule",
    "scope",
    "summary",
    "tasks",
]
SENDERS = "outbox: senders must be 1: one thread groups what belongs together"
BATCH_SIZE = 1000  # entries that are grouped at most
TEMPLATES: Mapping[str, str] = {
    "failed": "{count} {tasks} of {scope} failed: {summary}\n{details}\nfrom {first} to {last}",
    "overdue": "{count} {tasks} of {scope} overdue, {rule}: {details}",
    "event": "{count} {tasks} of {scope} in trouble: {summary}\n{details}",
    "recovered": "{scope} has recovered {rule} after {duration}, {count} {tasks}: {summary}",
}


def templates(given: Mapping[str, str] | None) -> dict[str, Template]:
    """Return a template for each kind of message, the given ones in place of the usual ones.

    Raises:
        InvalidArgumentError: there is no such kind, or one is malformed.
    """
    unknown = set(given or ()) - set(TEMPLATES)
    if unknown:
        raise InvalidArgumentError(
            f"templates has {sorted(unknown)[0]!r}; there are {', '.join(TEMPLATES)}"
        )
    texts = {**TEMPLATES, **(given or {})}
    return {name: Template(text, name=name, fields=FIELDS) for name, text in texts.items()}


def one_of(option: str, value: str, choices: Sequence[str]) -> str:
    """Return a value that must be one of several.

    Raises:
        InvalidArgumentError: it is another one.
    """
    if value not in choices:
        raise InvalidArgumentError(f"{option} must be one of {', '.join(choices)}, got {value!r}")
    return value


def texts(option: str, value: str | Sequence[str] | None) -> list[str]:
    """Return a text or a list of texts as a list.

    Raises:
        InvalidArgumentError: it is neither.
    """
    several = [value] if isinstance(value, str) else list(value or ())
    if not all(isinstance(one, str) for one in several):
        raise InvalidArgumentError(f"{option} must be a text or a list of texts")
    return several


def channel_of(
    channel: str,
    url: str | Secret,
    *,
    sender: str,
    recipients: Sequence[str],
    timeout: float,
    ca_file: str | None,
) -> Channel:
    """Return a channel that is not connected.

    Raises:
        InvalidArgumentError: an option is wrong; the text has no secret.
    """
    one_of("channel", channel, CHANNELS)
    if not isinstance(url, (str, Secret)) or not url:
        raise InvalidArgumentError(
            f"a {channel} channel needs url, which is a secret: url: ${{VARIABLE}}"
        )
    url = Secret(url)
    if channel == "mail":
        return Mail(url, sender=sender, recipients=recipients, timeout=timeout, ca_file=ca_file)
    name = f"{channel} ({check_url(url.reveal(), what=channel)})"
    poster = JsonPoster(url, timeout=timeout, ca_file=ca_file, name=name)
    return Chat(SERVICES[channel], poster, name)


def positive(option: str, value: float) -> float:
    """Return a number of seconds above 0.

    Raises:
        InvalidArgumentError: it is not one.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
        raise InvalidArgumentError(
            f"{option} must be a number of seconds, more than 0, got {value!r}"
        )
    return float(value)


def boolean(option: str, value: bool) -> bool:
    """Return true or false.

    Raises:
        InvalidArgumentError: it is something else.
    """
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"{option} must be true or false, got {value!r}")
    return value


def outbox(
    given: OutboxOptions | Mapping[str, object] | None, *, collect: float
) -> OutboxOptions | Mapping[str, object]:
    """Return the outbox's options with those that grouping needs, where none are given.

    Raises:
        InvalidArgumentError: ``collect`` is no number of seconds, or there are several senders.
    """
    if isinstance(given, OutboxOptions):
        if given.senders != 1:
            raise InvalidArgumentError(SENDERS)
        return given
    if isinstance(collect, bool) or not isinstance(collect, (int, float)) or not 0 <= collect < 1e6:
        raise InvalidArgumentError(
            f"collect must be a number of seconds, 0 or more, got {collect!r}"
        )
    if (given or {}).get("senders", 1) != 1:
        raise InvalidArgumentError(SENDERS)
    return {"batch_size": BATCH_SIZE, "batch_delay": float(collect), **(given or {})}
