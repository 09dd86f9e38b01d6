"""Where a cluster may listen: a free port, and a warning where others can reach it."""

from __future__ import annotations

import errno
import logging
import socket

from flamepy.config import Endpoint
from flamepy.errors import UnavailableError
from flamepy.local.net.tls import ClusterTls

logger = logging.getLogger(__name__)


def check_free(host: str, port: int) -> None:
    """Raise UnavailableError, with a hint, if the port cannot be had.

    gRPC logs what it cannot bind loudly and says little: the system is asked first.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        hint = "choose an address of this machine, such as 127.0.0.1"
        if error.errno == errno.EADDRINUSE:
            hint = "is another cluster running? Choose another port, 0 picks a free one"
        raise UnavailableError(
            f"cannot listen on {host}:{port}: {error.strerror}; {hint}"
        ) from error


def warn_of_others(address: Endpoint, tls: ClusterTls | None) -> None:
    """Log a WARNING if other machines can reach the address, and what that means."""
    if address.is_loopback:
        return
    if tls is not None and tls.client_ca is not None:
        who = f"every holder of a certificate of {tls.client_ca}"
        way_out = "keep that authority to yourself"
    else:
        who = "every program that reaches this port"
        way_out = "listen on 127.0.0.1, or ask for client certificates (--client-ca)"
    logger.warning(
        "listening on %s, which is not loopback: %s can run commands as this user; %s",
        address.url,
        who,
        way_out,
    )
