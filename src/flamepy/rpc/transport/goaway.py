"""Whether a connection was ended in an orderly way, which says nothing about the engine's health.

Servers and proxies end connections of a certain age, and those that ping more often than they
like, by HTTP/2's GOAWAY; the channel makes another one for the next call.
"""

from __future__ import annotations

import re

_WORDS = re.compile(r"max[ _](connection[ _])?age|too[ _]many[ _]pings|GOAWAY", re.IGNORECASE)


def is_goaway(text: str) -> bool:
    """Return True if a failed call's text says that GOAWAY or its age ended its connection."""
    return _WORDS.search(text) is not None
