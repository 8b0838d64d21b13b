"""Where a box may be let out to: how it must ask, which names, and which addresses. Pure.

A request names a host in one way only; everything that some program could read in another way (numbers,
brackets, user names, escapes, a last dot) is refused rather than understood.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from runner.tasks.hosts import is_name, port_number
from runner.tasks.plan import AllowedHost

HTTPS, HTTP = 443, 80

Address = IPv4Address | IPv6Address

_PLAIN = re.compile(r"http://([^/?#]*)([/?][!\"$-~]*)?")
"""The absolute form (RFC 9112, section 3.2.2), without a fragment; what follows the host is ASCII."""

_NOT_PUBLIC_4 = (
    IPv4Network("192.0.0.0/24"),  # IETF protocol assignments
    IPv4Network("192.88.99.0/24"),  # 6to4 relays, deprecated
    IPv4Network("168.63.129.16/32"),  # what Azure's virtual machines ask for their own settings and secrets
)
_PUBLIC_6 = IPv6Network("2000::/3")
"""All global unicast addresses that were ever given out."""
_NOT_PUBLIC_6 = (
    IPv6Network("2001::/23"),  # IETF protocol assignments, Teredo among them
    IPv6Network("2002::/16"),  # 6to4, deprecated: leads to the IPv4 address that is in it
    IPv6Network("3fff::/20"),  # documentation
)
_NAT64 = IPv6Network("64:ff9b::/96")
"""IANA's special-purpose address registries; `is_global` of some Python versions lacks these."""


class BadTargetError(ValueError):
    """A box did not name a host and a port as it must."""


@dataclass(frozen=True)
class Target:
    """A host and a port that a box asks for."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def tunnel_target(authority: str) -> Target:
    """Where a CONNECT leads: `host:port`, both said.

    Raises:
        BadTargetError: It is anything else.
    """
    host, colon, port = authority.partition(":")
    number = port_number(port)
    if not colon or number is None or not is_name(host.lower()) or not host.isascii():
        raise BadTargetError("a tunnel leads to HOST:PORT: a full name without a last dot, and a port")
    return Target(host.lower(), number)


def plain_target(url: str) -> tuple[Target, str]:
    """Where a plain request leads, and what it asks for there: `http://host[:port]/path?query`.

    Raises:
        BadTargetError: It is anything else.
    """
    match = _PLAIN.fullmatch(url)
    target = match and _authority(match[1])
    if match is None or target is None:
        raise BadTargetError("a plain request is for http://HOST/PATH or http://HOST:PORT/PATH")
    if target.port == HTTPS:
        raise BadTargetError("plain HTTP does not go to the port of HTTPS; ask for a tunnel")
    path = match[2] or "/"
    return target, path if path.startswith("/") else f"/{path}"


def _authority(text: str) -> Target | None:
    try:
        return tunnel_target(text if ":" in text else f"{text}:{HTTP}")
    except BadTargetError:
        return None


def is_same(host_header: str, target: Target) -> bool:
    """Whether a `Host` header names that very target."""
    return _authority(host_header) == target


def is_allowed(target: Target, allowed: Iterable[AllowedHost]) -> bool:
    """Whether any entry lets a box through to a target."""
    return any(_matches(target, entry) for entry in allowed)


def _matches(target: Target, entry: AllowedHost) -> bool:
    named = target.host.endswith(f".{entry.name}") if entry.subdomains else target.host == entry.name
    return named and target.port in entry.ports


def not_public(address: str) -> str | None:
    """Why an address is none of the public internet; None if it is one.

    An address that carries another one in it (NAT64, IPv4 mapped) is only as public as that.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "no address"
    return next((f"{each} is not a public address" for each in _meant(parsed) if not _is_public(each)), None)


def _meant(address: Address) -> Iterator[Address]:
    """The address and the one in it; a mapped one is nothing but the one in it."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        yield address.ipv4_mapped
        return
    yield address
    if address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFFFFFF)


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast:
        return False
    if isinstance(address, IPv4Address):
        return not address.is_reserved and not any(address in network for network in _NOT_PUBLIC_4)
    if address.scope_id is not None or not (address in _PUBLIC_6 or address in _NAT64):
        return False
    return not any(address in network for network in _NOT_PUBLIC_6)
