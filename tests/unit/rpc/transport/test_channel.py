"""The options of a channel, and where their values come from."""

from __future__ import annotations

from flamepy.config import Endpoint, FlameKeepalive
from flamepy.rpc.transport.channel import options

ENDPOINT = Endpoint.parse("http://flame.example.org")


def test_a_ping_has_the_keepalives_timeout_and_not_a_minute_of_its_own() -> None:
    chosen = dict(options(ENDPOINT, FlameKeepalive(1.5, 0.5)))
    assert chosen["grpc.keepalive_time_ms"] == 1500
    assert chosen["grpc.keepalive_timeout_ms"] == 500
    assert chosen["grpc.http2.ping_timeout_ms"] == 500


def test_by_default_a_silent_peer_is_noticed_within_ninety_seconds() -> None:
    chosen = dict(options(ENDPOINT))
    assert chosen["grpc.keepalive_time_ms"] + chosen["grpc.http2.ping_timeout_ms"] < 90_000
    assert chosen["grpc.http2.max_pings_without_data"] == 0  # as many as silence needs


def test_a_proxy_is_asked_for_other_machines_only() -> None:
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert ("grpc.enable_http_proxy", 0) in options(Endpoint.parse(f"http://{host}"))
    assert "grpc.enable_http_proxy" not in dict(options(ENDPOINT))
