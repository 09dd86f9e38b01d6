"""Which addresses a webhook may connect to. Pure.

A URL may come from somebody who should not reach what only this machine can: services on loopback
or in the private network, the metadata service of a cloud. An address is therefore refused unless
the whole internet can route to it, or it is in a network that was allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from flamepy.errors import InvalidArgumentError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

EVERYWHERE: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_NAT64 = IPv6Network("64:ff9b::/96")
# Not global, though Python versions disagree, or though the registry says that they are.
_REFUSED: tuple[Network, ...] = (
    ip_network("0.0.0.0/8"),  # "this network": Linux connects it to loopback
    ip_network("168.63.129.16/32"),  # a cloud's host agent, reachable from its machines only
    ip_network("192.0.0.0/24"),  # protocol assignments; a cloud's metadata service is in it
    ip_network("64:ff9b:1::/48"),  # NAT64 of the local network
    ip_network("fec0::/10"),  # site-local, deprecated
)


def networks_of(allow_private: bool | str | Sequence[str]) -> tuple[Network, ...]:
    """Return the networks that are allowed although they are private.

    Args:
        allow_private: True for all, False for none, or networks such as ``10.0.0.0/8``.

    Raises:
        InvalidArgumentError: a text is not a network or an address.
    """
    if isinstance(allow_private, bool):
        return EVERYWHERE if allow_private else ()
    texts = [allow_private] if isinstance(allow_private, str) else allow_private
    return tuple(_network(text) for text in texts)


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        raise InvalidArgumentError(
            f"allow_private takes true, false or networks such as 10.0.0.0/8, got {text!r}"
        ) from None


def parse(host: str) -> Address | None:
    """Return the address that a host of a URL is; None for a name."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def is_refused(address: Address, allowed: Sequence[Network]) -> bool:
    """Return whether an address must not be connected to.

    An IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4, Teredo) is as good as that.
    """
    if any(address in network for network in allowed):
        return False
    inner = list(_carried(address))
    if inner:
        return any(is_refused(one, allowed) for one in inner)
    return (
        not address.is_global
        or address.is_multicast
        or address.is_reserved
        or any(address in network for network in _REFUSED)
    )


def _carried(address: Address) -> Iterator[IPv4Address]:
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    elif address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):
        yield IPv4Address(int(address) & 0xFFFFFFFF)
    elif address.sixtofour is not None:
        yield address.sixtofour
    elif address.teredo is not None:
        yield from address.teredo
