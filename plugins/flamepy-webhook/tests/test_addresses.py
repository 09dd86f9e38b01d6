"""Addresses that only this machine or its network reaches are refused, however they are written."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from flamepy_webhook.addresses import EVERYWHERE, is_refused, networks_of

from flamepy.errors import InvalidArgumentError

REFUSED = [
    *("127.0.0.1", "127.8.9.1", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192"),
    *("192.0.0.9", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1"),
    *("239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1"),
    *("2001:db8::1", "100::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1"),
    *("64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::"),
    *("2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:80ff:fffe"),
]
PUBLIC = [
    *("8.8.8.8", "1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111"),
    *("2a00:1450:4001::200e", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"),
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_public_is_refused(text: str) -> None:
    assert is_refused(ip_address(text), ())


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_public_is_not(text: str) -> None:
    assert not is_refused(ip_address(text), ())


@pytest.mark.parametrize("text", [*REFUSED, *PUBLIC])
def test_allow_private_true_allows_every_address(text: str) -> None:
    assert networks_of(True) == EVERYWHERE
    assert not is_refused(ip_address(text), networks_of(True))


def test_a_network_allows_what_is_in_it_and_nothing_else() -> None:
    allowed = networks_of(["10.1.0.0/16", "fd12::/16"])
    assert not is_refused(ip_address("10.1.2.3"), allowed)
    assert not is_refused(ip_address("::ffff:10.1.2.3"), allowed)
    assert not is_refused(ip_address("fd12::1"), allowed)
    for text in ("10.2.0.1", "127.0.0.1", "fd13::1", "::ffff:10.2.0.1"):
        assert is_refused(ip_address(text), allowed)
    assert networks_of("10.1.2.3") == networks_of(["10.1.2.3/32"])
    assert networks_of(False) == ()


@pytest.mark.parametrize("text", ["10.1.2.3/16", "intranet", ""])
def test_what_is_no_network_is_named(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"10\.0\.0\.0/8") as raised:
        networks_of([text])
    assert repr(text) in str(raised.value)
