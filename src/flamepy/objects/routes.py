"""``Routes``: which endpoint a call goes to, when a reference names one that is not reachable here.

A cache gives its clients the address of its own network interface, which may be inside a cluster.
One connection attempt shows if that address answers; if not, calls go to the configured endpoint.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from flamepy.runtime.clocks import monotonic
from flamepy.wire.objects import location

logger = logging.getLogger(__name__)

PROBE = 1.0  # seconds for an answer to a connection
AGAIN = 60.0  # seconds after which an address that was not reachable is tried again


class Routes:
    """The endpoints of references, and where calls to them go. Safe from any thread.

    Args:
        configured: where the cache is, as the configuration says.
        now: returns monotonic seconds.
    """

    def __init__(self, configured: str, *, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self.configured = location(configured)
        self._lock = threading.RLock()
        self._known = {self.configured}
        self._away: dict[str, float] = {}  # until when it is not tried again

    def choose(self, endpoint: str) -> str:
        """Return where a call for a reference with this endpoint goes.

        Raises:
            InvalidArgumentError: it is no endpoint of a cache.
        """
        wanted = location(endpoint) if endpoint else self.configured
        with self._lock:
            if wanted in self._known:
                return wanted
            if self._away.get(wanted, 0.0) > self._now():
                return self.configured
        if _listens(wanted):
            with self._lock:
                self._known.add(wanted)
                self._away.pop(wanted, None)
            return wanted
        with self._lock:
            first = wanted not in self._away
            self._away[wanted] = self._now() + AGAIN
        if first:
            logger.warning(
                "the object cache at %s cannot be reached from here; its objects are asked for at "
                "the configured %s",
                wanted,
                self.configured,
            )
        return self.configured


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), PROBE).close()
    except OSError:
        return False
    return True
