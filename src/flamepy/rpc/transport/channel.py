"""The gRPC channel and its options. ``link`` opens and closes it.

The options come from measurements (docs/protocol.md#transport): keepalive needs its own ping
timeout or a dead peer is noticed after a minute only, and the channel's reconnect back-off is
capped below a second or it outlives an outage.
"""

from __future__ import annotations

from collections.abc import Mapping

import grpc
import grpc.aio

from flamepy.config import Endpoint, FlameClientTls, FlameKeepalive
from flamepy.host.addresses import proxy_options
from flamepy.rpc.transport.blocking_streams import OPTION
from flamepy.rpc.transport.tls import credentials

DEFAULT_KEEPALIVE = FlameKeepalive()
METADATA_LIMIT = 1024 * 1024  # bytes
RECONNECT_WAIT = (0.1, 0.4)  # calls rest by ``retry``; this must never outlast them
CONNECT_TIMEOUT = 2.0  # of one try: TCP and TLS over a slow line


def options(
    endpoint: Endpoint, keepalive: FlameKeepalive = DEFAULT_KEEPALIVE
) -> list[tuple[str, int]]:
    """Return the channel's options."""
    time, timeout = (int(seconds * 1000) for seconds in keepalive)
    shortest, longest = (int(seconds * 1000) for seconds in RECONNECT_WAIT)
    return [
        # Replies may be larger than 4 MiB: the engine limits what it receives, not what it sends.
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        # An error's text comes as metadata, of which gRPC takes 8 to 16 KiB and else drops all.
        ("grpc.max_metadata_size", METADATA_LIMIT),
        ("grpc.absolute_max_metadata_size", 2 * METADATA_LIMIT),
        ("grpc.keepalive_time_ms", time),
        ("grpc.keepalive_timeout_ms", timeout),
        ("grpc.http2.ping_timeout_ms", timeout),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.initial_reconnect_backoff_ms", shortest),
        ("grpc.min_reconnect_backoff_ms", int(CONNECT_TIMEOUT * 1000)),
        ("grpc.max_reconnect_backoff_ms", longest),
        # Connections of one process to one engine stay apart: closing one must not touch another.
        ("grpc.use_local_subchannel_pool", 1),
        *proxy_options(endpoint.host),
    ]


def open_channel(
    endpoint: Endpoint,
    tls: FlameClientTls | None,
    changed: Mapping[str, int] | None = None,
    *,
    keepalive: FlameKeepalive = DEFAULT_KEEPALIVE,
) -> grpc.aio.Channel:
    """Return a channel of the running loop; it connects at its first call.

    Args:
        endpoint: the engine.
        tls: files for https.
        changed: options of gRPC that differ from ``options``.
        keepalive: how a silent engine is noticed.

    Raises:
        ConfigError: a TLS file cannot be read.
    """
    chosen = list({**dict(options(endpoint, keepalive)), **(changed or {})}.items())
    if endpoint.tls:
        return grpc.aio.secure_channel(endpoint.target, credentials(tls), chosen)
    return grpc.aio.insecure_channel(endpoint.target, chosen)


def open_list_channel(
    endpoint: Endpoint,
    tls: FlameClientTls | None,
    *,
    keepalive: FlameKeepalive = DEFAULT_KEEPALIVE,
) -> grpc.Channel:
    """Return the channel of ``ListCalls``, with the same options; any thread may call by it.

    Raises:
        ConfigError: a TLS file cannot be read.
    """
    chosen = [*options(endpoint, keepalive), OPTION]
    if endpoint.tls:
        return grpc.secure_channel(endpoint.target, credentials(tls), chosen)
    return grpc.insecure_channel(endpoint.target, chosen)
