"""Which addresses are this machine's own."""

from __future__ import annotations

import pytest

from flamepy.host.addresses import DIRECT, is_here, is_loopback, proxy_options


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST", "localhost.", "flame.localhost"),
        *("127.0.0.1", "127.8.9.10", "::1", "[::1]", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1"),
    ],
)
def test_loopback_is_reached_by_no_other_machine(host: str) -> None:
    assert is_loopback(host)
    assert is_here(host)
    assert proxy_options(host) == [DIRECT]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]"])
def test_the_address_that_servers_listen_at_for_everybody_leads_here_but_is_no_loopback(
    host: str,
) -> None:
    assert not is_loopback(host)
    assert proxy_options(host) == [DIRECT]


@pytest.mark.parametrize(
    "host", ["", "flame", "localhost.example.org", "10.0.0.1", "128.0.0.1", "fe80::1%lo", "::2"]
)
def test_others_are_left_to_grpc(host: str) -> None:
    assert not is_here(host)
    assert proxy_options(host) == []
