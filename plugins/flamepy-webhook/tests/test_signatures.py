"""Signatures are those of the Standard Webhooks specification; its own library is the judge."""

from __future__ import annotations

import base64
import os
import time
from datetime import datetime, timezone

import pytest
from flamepy_webhook.signatures import key_of, sign
from standardwebhooks import Webhook, WebhookVerificationError

from flamepy.errors import InvalidArgumentError


def secret(size: int = 32) -> str:
    return "whsec_" + base64.b64encode(os.urandom(size)).decode()


def headers(value: str, at: int) -> dict[str, str]:
    return {"webhook-id": "abc", "webhook-timestamp": str(at), "webhook-signature": value}


@pytest.mark.parametrize("size", [24, 25, 26, 32, 64])
def test_the_librarys_receiver_accepts_a_signature(size: int) -> None:
    text, body, now = secret(size), '{"a": "ä"}', int(time.time())
    made = sign([key_of(text, "secret")], message_id="abc", timestamp=now, body=body.encode())
    assert Webhook(text).verify(body, headers(made, now)) == {"a": "ä"}
    assert made == Webhook(text).sign("abc", datetime.fromtimestamp(now, timezone.utc), body)


def test_while_keys_are_rotated_both_receivers_accept_it_and_no_third_one() -> None:
    old, new, other = secret(), secret(), secret()
    now = int(time.time())
    keys = [key_of(new, "secret"), key_of(old, "secret")]
    made = sign(keys, message_id="abc", timestamp=now, body=b"{}")
    assert len(made.split(" ")) == 2
    for one in (old, new):
        Webhook(one).verify("{}", headers(made, now))
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify("{}", headers(made, now))


@pytest.mark.parametrize("change", ["id", "timestamp", "body"])
def test_a_signature_is_of_the_id_the_time_and_the_body(change: str) -> None:
    text, now = secret(), int(time.time())
    made = sign([key_of(text, "secret")], message_id="abc", timestamp=now, body=b"{}")
    given = headers(made, now)
    given["webhook-id"] += "x" if change == "id" else ""
    given["webhook-timestamp"] = str(now - (change == "timestamp"))
    with pytest.raises(WebhookVerificationError):
        Webhook(text).verify("{} " if change == "body" else "{}", given)


def test_padding_may_be_left_out() -> None:
    text = secret(25)
    assert key_of(text.rstrip("="), "secret") == key_of(text, "secret")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (secret(23), "this one has 23"),
        (secret(65), "this one has 65"),
        (secret()[len("whsec_") :], "does not start with whsec_"),
        ("whsec_canary!canary!canary!canary!canary", "not base64"),
        ("whsec_", "this one has 0"),
    ],
)
def test_an_unusable_secret_is_refused_without_showing_it(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem) as raised:
        key_of(text, "secret[1]")
    assert "secret[1]" in str(raised.value)
    assert text == "whsec_" or text.removeprefix("whsec_") not in str(raised.value)
