"""Which addresses are on this machine, so that no proxy is asked for them, and Unix sockets.

gRPC takes ``http_proxy`` and its like from the environment for every host that ``no_proxy`` does
not name. A proxy elsewhere cannot reach this machine's loopback, so each channel to it, of
whichever library, is made with ``DIRECT``. Imports nothing of flamepy.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from urllib.parse import quote

from flamepy.texts import repr_of

DIRECT = ("grpc.enable_http_proxy", 0)  # an option of a channel
SOCKET_PATH_LIMIT = 107 if sys.platform.startswith("linux") else 103  # bytes


def unix_target(path: str | os.PathLike[str]) -> str:
    """Return gRPC's address of a Unix socket, whatever characters are in its path.

    A client cannot reach one with a comma, at which gRPC splits addresses, quoted or not.

    Raises:
        ValueError: the path is too long for a socket.
    """
    raw = os.fsencode(path)
    if len(raw) > SOCKET_PATH_LIMIT:
        raise ValueError(
            f"the path of a Unix socket has at most {SOCKET_PATH_LIMIT} bytes, "
            f"{repr_of(os.fspath(path))} has {len(raw)}: use a folder with a shorter path"
        )
    return f"unix:{quote(raw, safe='/')}"


def is_loopback(host: str) -> bool:
    """Return True for an address of this machine that no other machine can reach."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _parsed(host)
    return address is not None and address.is_loopback


def is_here(host: str) -> bool:
    """Return True if a connection to ``host`` ends on this machine's loopback.

    So does one to ``0.0.0.0`` or ``::``, the address of a server that listens on all interfaces.
    """
    address = _parsed(host)
    return is_loopback(host) or (address is not None and address.is_unspecified)


def proxy_options(host: str) -> list[tuple[str, int]]:
    """Return the options of a channel to ``host`` that say whether a proxy may be asked."""
    return [DIRECT] if is_here(host) else []


def _parsed(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
