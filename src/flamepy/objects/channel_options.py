"""The gRPC options of every connection to an object cache: of pyarrow's client and of lists."""

from __future__ import annotations

from flamepy.host.addresses import proxy_options

_OPTIONS = (
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.use_local_subchannel_pool", 1),  # else the back-off of one client is another's, too
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # An error's text comes as metadata, of which gRPC takes 8 to 16 KiB and else drops all.
    ("grpc.max_metadata_size", 1024 * 1024),
    ("grpc.absolute_max_metadata_size", 2 * 1024 * 1024),
)


def channel_options(host: str) -> list[tuple[str, int]]:
    """Return the options of a connection to a host."""
    return [*_OPTIONS, *proxy_options(host)]
