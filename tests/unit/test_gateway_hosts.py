"""The pure rules of the way out: how it is asked for, which names, which addresses."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gateway.egress.hosts import (
    BadTargetError,
    Target,
    is_allowed,
    is_same,
    not_public,
    plain_target,
    tunnel_target,
)
from runner.tasks.hosts import allowed_host, is_name

ODD_AUTHORITIES = [
    "docs.example.org", "docs.example.org:", "docs.example.org:0", "docs.example.org:65536", ":443", "",
    "docs.example.org:0443", "docs.example.org:+443", "docs.example.org:4 43", "docs.example.org:443:443",
    "docs.example.org.:443", "user@docs.example.org:443", "docs.example.org@127.0.0.1:443", "localhost:443",
    "127.0.0.1:443", "127.1:443", "2130706433:443", "0x7f000001:443", "0x7f.0.0.1:443", "0177.0.0.1:443",
    "0177.0.0.01:443", "[::1]:443", "::1:443", "[::ffff:127.0.0.1]:443", "[::ffff:7f00:1]:443",
    "docs.example.org%00:443", "docs.example.org\x00:443", "docs%2eexample%2eorg:443",
    "docs..example.org:443",
    "docs.example.org\udcff:443", "d\u043ecs.example.org:443", "docs.example.org:٤٤٣",
    " docs.example.org:443",
    "http://docs.example.org:443", "docs.example.org/:443", "docs_x.example.org:443", "*.example.org:443",
    "docs.example.org:443\r\nx", "\uff11\uff12\uff17.0.0.1:443",
]  # fmt: skip

ODD_URLS = [
    "https://docs.example.org/", "ftp://docs.example.org/", "HTTP://docs.example.org/",
    "http:docs.example.org/",
    "http:///x", "http://docs.example.org:443/", "http://docs.example.org:/", "http://docs.example.org/#x",
    "http://docs.example.org#@evil.example/", "http://user@docs.example.org/", "http://docs.example.org./",
    "http://127.0.0.1/", "http://2130706433/", "http://[::1]/", "http://docs.example.org\\@evil.example/",
    "http://docs.example.org/a b", "http://docs.example.org/\x00", "http://docs.example.org/ä",
    "http://docs.example.org/\r\nx", "/", "*", "docs.example.org:80",
]  # fmt: skip


def test_a_tunnel_s_target() -> None:
    assert tunnel_target("Docs.Example.ORG:443") == Target("docs.example.org", 443)
    assert str(tunnel_target("xn--bcher-kva.example:8443")) == "xn--bcher-kva.example:8443"


@pytest.mark.parametrize("text", ODD_AUTHORITIES)
def test_odd_ways_to_name_a_host_are_refused(text: str) -> None:
    with pytest.raises(BadTargetError):
        tunnel_target(text)


def test_a_plain_request_s_target() -> None:
    assert plain_target("http://Docs.Example.org") == (Target("docs.example.org", 80), "/")
    assert plain_target("http://docs.example.org?a=b") == (Target("docs.example.org", 80), "/?a=b")
    assert plain_target("http://docs.example.org:8080//x/../%2e?y=http://z@w/") == (
        Target("docs.example.org", 8080),
        "//x/../%2e?y=http://z@w/",
    )


@pytest.mark.parametrize("text", ODD_URLS)
def test_odd_addresses_of_plain_requests_are_refused(text: str) -> None:
    with pytest.raises(BadTargetError):
        plain_target(text)


@given(st.text(max_size=30) | st.text(alphabet="aA.:@[]0/x1\\%", max_size=20))
def test_what_is_understood_is_a_name_and_a_port(text: str) -> None:
    for parse in (tunnel_target, lambda text: plain_target(f"http://{text}/")[0]):
        try:
            target = parse(text)
        except BadTargetError:
            continue
        assert is_name(target.host)
        assert 1 <= target.port <= 65535
        assert text.lower().startswith(target.host)


def test_the_host_header_names_the_target() -> None:
    target = Target("docs.example.org", 80)
    assert is_same("docs.example.org", target)
    assert is_same("DOCS.example.org:80", target)
    assert not is_same("docs.example.org:8080", target)
    for other in (
        "",
        "evil.example",
        "docs.example.org.",
        "docs.example.org, evil.example",
        "a@docs.example.org",
    ):
        assert not is_same(other, target)
    assert is_same("docs.example.org:8080", Target("docs.example.org", 8080))
    assert not is_same("docs.example.org", Target("docs.example.org", 8080))


@pytest.mark.parametrize(
    ("entry", "target", "let_through"),
    [
        ("example.org", "example.org:443", True),
        ("example.org", "example.org:80", True),
        ("example.org", "example.org:22", False),
        ("example.org", "a.example.org:443", False),
        ("example.org", "evilexample.org:443", False),
        ("example.org", "example.org.evil.example:443", False),
        ("example.org:8443", "example.org:8443", True),
        ("example.org:8443", "example.org:443", False),
        ("*.example.org", "a.example.org:443", True),
        ("*.example.org", "a.b.example.org:80", True),
        ("*.example.org", "example.org:443", False),
        ("*.example.org", "evilexample.org:443", False),
        ("*.example.org:8443", "a.example.org:443", False),
    ],
)
def test_what_an_entry_lets_through(entry: str, target: str, let_through: bool) -> None:
    assert is_allowed(tunnel_target(target), [allowed_host(entry)]) is let_through
    assert not is_allowed(tunnel_target(target), [])


NOT_PUBLIC = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254",  # noqa: S104 - not bound to
    "100.64.0.1", "192.0.0.8", "192.0.0.9", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1", "fe80::1",
    "fe80::1%1",
    "2600::1%lo", "fec0::1", "fc00::1", "fd00::1", "ff02::1", "ff0e::1", "2001::1", "2001:db8::1", "3fff::1",
    "100::1", "5f00::1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8", "2002:7f00:1::1",
    "2002:a00:1::1", "2002:a9fe:a9fe::1", "2002:808:808::1", "168.63.129.16", "::ffff:168.63.129.16",
    "64:ff9b::168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "169.254.170.2",
    "4000::1", "", "x", "127.1", "0177.0.0.1", "1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "2600::1",
    "2a00:1450::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_no_other_address_than_a_public_one(address: str) -> None:
    assert not_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    assert not_public(address) is None


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_address_in_another_is_judged_alike(inner: IPv4Address) -> None:
    refused = not_public(str(inner)) is not None
    number = int(inner)
    for outer in (0xFFFF << 32 | number, 0x64FF9B << 96 | number):
        assert (not_public(str(IPv6Address(outer))) is not None) is refused


@given(st.ip_addresses().map(str))
def test_whatever_is_public_is_so_for_python_too(address: str) -> None:
    if not_public(address) is None:
        parsed = ipaddress.ip_address(address)
        assert parsed.is_global
        assert not any((parsed.is_multicast, parsed.is_loopback, parsed.is_link_local))
