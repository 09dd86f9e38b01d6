"""Signatures of the Standard Webhooks specification, version 1.0.0: HMAC-SHA256. Pure."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence

from flamepy.errors import InvalidArgumentError

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64  # bytes of a key, by the specification


def key_of(text: str, where: str) -> bytes:
    """Return the key that a ``whsec_...`` text is.

    Args:
        text: the secret; it is in no error.
        where: what an error calls it.

    Raises:
        InvalidArgumentError: it is not such a text, or its key is too short or too long.
    """
    rule = (
        f"must be {PREFIX} and the base64 of {SHORTEST} to {LONGEST} random bytes; "
        f'`echo "{PREFIX}$(openssl rand -base64 32)"` makes one'
    )
    if not text.startswith(PREFIX):
        raise InvalidArgumentError(f"{where} {rule}; this one does not start with {PREFIX}")
    encoded = text[len(PREFIX) :]
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidArgumentError(f"{where} {rule}; this one is not base64") from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise InvalidArgumentError(f"{where} {rule}; this one has {len(key)}")
    return key


def sign(keys: Sequence[bytes], *, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``webhook-signature``: one signature for each key.

    A receiver accepts any of them, so keys are rotated without a gap: send both, change the
    receiver, drop the old one.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    return " ".join(
        "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys
    )
