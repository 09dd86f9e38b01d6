"""What chat services get, what their answers mean, and that their URLs are shown nowhere."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from flamepy_notify.channels.channel import Message, Misconfigured, Refused, Unavailable
from flamepy_notify.channels.chat import SERVICES, Chat
from flamepy_notify.channels.http import JsonPoster, check_url, seconds_of
from receivers import Answer, WebReceiver, web

from flamepy.errors import InvalidArgumentError
from flamepy.informers import Secret

SECRET = "T0/B0/s3cr3t-canary"
NASTY = "<!channel> *bold* _it_ `x` @everyone & [a](http://x) > # \\"


@pytest.fixture
def receiver() -> Iterator[WebReceiver]:
    with web() as made:
        yield made


def chat(name: str, receiver: WebReceiver) -> Chat:
    url = f"{receiver.url}/services/{SECRET}"
    poster = JsonPoster(Secret(url), timeout=5, ca_file=None, name=f"{name} (127.0.0.1)")
    return Chat(SERVICES[name], poster, name)


def sent(name: str, receiver: WebReceiver, text: str = "", title: str = "title") -> dict[str, Any]:
    channel = chat(name, receiver)
    channel.post(Message(channel.escape(title), channel.escape(text), "id"))
    return receiver.bodies[-1]


def test_slack_gets_text_without_mentions_and_links(receiver: WebReceiver) -> None:
    body = sent("slack", receiver, NASTY)
    assert body["text"].startswith("title\n&lt;!channel&gt; *bold*")
    assert "&amp; [a](http://x) &gt;" in body["text"]
    assert (body["parse"], body["link_names"]) == ("none", False)


def test_discord_gets_escaped_text_that_mentions_nobody(receiver: WebReceiver) -> None:
    body = sent("discord", receiver, NASTY)
    assert body["allowed_mentions"] == {"parse": []}
    assert re.sub(r"\\(.)", r"\1", body["content"]) == f"title\n{NASTY}"
    assert not re.search(r"(?<!\\)[*_`<>\[]", body["content"])


def test_teams_gets_a_card_without_markup(receiver: WebReceiver) -> None:
    body = sent("teams", receiver, f"{NASTY}\nsecond")
    (attachment,) = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    blocks = attachment["content"]["body"]
    runs = [one["inlines"][0] for one in blocks]
    assert [one["text"] for one in runs] == ["title", NASTY, "second"]
    assert {one["type"] for one in blocks} == {"RichTextBlock"}
    assert {one["type"] for one in runs} == {"TextRun"}


@pytest.mark.parametrize(("name", "limit"), [("slack", 12_000), ("discord", 2000)])
def test_a_text_is_cut_to_the_limit_of_the_service(
    receiver: WebReceiver, name: str, limit: int
) -> None:
    (text,) = [
        one
        for one in sent(name, receiver, "x" * 50_000).values()
        if isinstance(one, str) and len(one) > 50
    ]
    assert len(text) == limit
    assert text.endswith("…")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_some_answers_mean_later(receiver: WebReceiver, status: int) -> None:
    receiver.answers.append(Answer(status, {"Retry-After": "7"}))
    with pytest.raises(Unavailable) as caught:
        sent("slack", receiver)
    assert (caught.value.after, str(caught.value)) == (7.0, f"slack (127.0.0.1) answered {status}")


@pytest.mark.parametrize("status", [400, 413, 422])
def test_some_mean_that_this_message_is_wrong(receiver: WebReceiver, status: int) -> None:
    receiver.answers.append(Answer(status))
    with pytest.raises(Refused, match=f"answered {status}"):
        sent("slack", receiver)


@pytest.mark.parametrize("status", [401, 403, 404, 410, 301, 302, 307, 308])
def test_some_mean_that_the_url_is_wrong(receiver: WebReceiver, status: int) -> None:
    receiver.answers.append(Answer(status, {"Location": f"{receiver.url}/elsewhere"}))
    with pytest.raises(Misconfigured, match=f"answered {status}"):
        sent("slack", receiver)
    assert receiver.paths == [f"/services/{SECRET}"], "no redirect is followed"


def test_a_service_that_is_away_is_tried_later() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/{SECRET}"
        poster = JsonPoster(Secret(url), timeout=5, ca_file=None, name="slack (127.0.0.1)")
        with pytest.raises(Unavailable, match="refused") as caught:
            poster.post({})
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_service_that_does_not_answer_is_tried_later() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/{SECRET}"
        poster = JsonPoster(Secret(url), timeout=0.2, ca_file=None, name="slack (127.0.0.1)")
        with pytest.raises(Unavailable, match=r"slack \(127.0.0.1\): TimeoutError"):
            poster.post({})


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://hooks.example.org/{SECRET}",
        SECRET,
        f"https:///{SECRET}",
        f"https://hooks.example.org/a b{SECRET}",
        f"https://hooks.example.org/{SECRET}\r\nHost: x",
        f"https://user:{SECRET}@hooks.example.org/",
        f"https://hooks.example.org:x/{SECRET}",
    ],
)
def test_a_url_that_is_none_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_url(url, what="slack")
    assert SECRET not in str(caught.value)


def test_retry_after_is_a_number_or_a_date() -> None:
    assert seconds_of(None) is None
    assert seconds_of("soon") is None
    assert seconds_of("1.5") == 1.5
    assert seconds_of("9" * 30) == 86_400.0
    hour = format_datetime(datetime.now(timezone.utc) + timedelta(hours=1), usegmt=True)
    assert 3000 < (seconds_of(hour) or 0) <= 3600
    assert seconds_of("Mon, 01 Jan 2001 00:00:00 GMT") == 0.0
