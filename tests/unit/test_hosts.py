"""What an entry of `network: {allow: […]}` means, and what is refused."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.tasks.hosts import HostError, allowed_host, is_name, port_number
from runner.tasks.plan import AllowedHost

TAKEN = {
    "docs.example.org": AllowedHost(name="docs.example.org"),
    "Docs.EXAMPLE.org": AllowedHost(name="docs.example.org"),
    "docs.example.org:8443": AllowedHost(name="docs.example.org", port=8443),
    "*.example.org": AllowedHost(name="example.org", subdomains=True),
    "*.Example.org:443": AllowedHost(name="example.org", subdomains=True, port=443),
    "bücher.example": AllowedHost(name="xn--bcher-kva.example"),
    "faß.example": AllowedHost(name="xn--fa-hia.example"),
    "xn--bcher-kva.example": AllowedHost(name="xn--bcher-kva.example"),
    "docs。example。org": AllowedHost(name="docs.example.org"),
    "r3---a.example": AllowedHost(name="r3---a.example"),
    "1password.example": AllowedHost(name="1password.example"),
}
REFUSED = {
    "*": "every host",
    "*:443": "every host",
    "*.org": "not a full name",
    "*example.org": "whole names",
    "a.*.example.org": "whole names",
    "*.*.example.org": "whole names",
    "localhost": "not a full name",
    "docs.example.org.": "ends with a dot",
    "docs.example.org。": "ends with a dot",
    "docs.example.org.:443": "ends with a dot",
    "user@example.org": "user's name",
    "user:secret@example.org": "user's name",
    "https://example.org": "not a host's name",
    "example.org/path": "not a host's name",
    "example.org?x": "not a host's name",
    "example..org": "not a host's name",
    ".example.org": "not a host's name",
    "-a.example": "not a host's name",
    "a-.example": "not a host's name",
    "a_b.example": "not a host's name",
    "a b.example": "not a host's name",
    "a\n.example": "not a host's name",
    "": "not a full name",
    f"{'a' * 64}.example": "not a host's name",
    ".".join(["a" * 60] * 5): "not a host's name",
    "\u200d.example": "not a host's name",
    "example.org:": "not a port",
    "example.org:0": "not a port",
    "example.org:65536": "not a port",
    "example.org:080": "not a port",
    "example.org:+80": "not a port",
    "example.org:\u0664": "not a port",
    "127.0.0.1": "is an address",
    "127.0.0.1:443": "is an address",
    "127.1": "is an address",
    "2130706433": "is an address",
    "0x7f.1": "is an address",
    "0x7f000001": "is an address",
    "0177.0.0.0x1": "is an address",
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11": "is an address",
    "*.0.0.1": "is an address",
    "::1": "is an address",
    "[::1]": "is an address",
    "[::1]:443": "is an address",
    "::ffff:127.0.0.1": "is an address",
}


@pytest.mark.parametrize("text", TAKEN)
def test_what_is_taken(text: str) -> None:
    assert allowed_host(text) == TAKEN[text]
    assert allowed_host(str(TAKEN[text])) == TAKEN[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused_and_why(text: str) -> None:
    with pytest.raises(HostError, match=REFUSED[text]) as refused:
        allowed_host(text)
    assert refused.value.cure


@given(st.text(alphabet="aA1.-*:@[]x0/ \uff11\u3002ß_", max_size=20) | st.text(max_size=20))
def test_whatever_is_taken_is_a_plain_name(text: str) -> None:
    try:
        host = allowed_host(text)
    except HostError:
        return
    assert is_name(host.name)
    assert host.name == host.name.lower()
    assert allowed_host(str(host)) == host


@given(st.ip_addresses().map(str) | st.integers(0, 2**32 - 1).map(lambda n: str(ipaddress.IPv4Address(n))))
def test_no_address_is_a_name(address: str) -> None:
    assert not is_name(address)
    with pytest.raises(HostError):
        allowed_host(address)


@given(st.text(max_size=6) | st.integers(-9, 99999).map(str))
def test_a_port_is_what_it_looks_like(text: str) -> None:
    number = port_number(text)
    assert number is None or (str(number) == text and 1 <= number <= 65535)
