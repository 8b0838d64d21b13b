"""Names of hosts that boxes may be let through to: what an entry of `network: {allow: […]}` can be.

Names alone, since a name is what a person means and what TLS proves. An address says nothing of who
answers there, and may be the host's own.
"""

from __future__ import annotations

import re

import idna

from runner.tasks.plan import AllowedHost
from runner.tasks.source import shown

MOST_HOSTS = 256
"""Entries of one list; whoever needs more means everything."""

LONGEST_NAME = 253
"""RFC 1035, section 2.3.4, less the root's dot and what stands for the length."""

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")


class HostError(ValueError):
    """An entry that is not taken: why, and what to write instead."""

    def __init__(self, message: str, cure: str) -> None:
        super().__init__(message)
        self.cure = cure


def is_name(text: str) -> bool:
    """Whether a text is a full host name: lower case, two labels at least, no address, no last dot.

    A last label of digits makes an address of it, in whatever notation (WHATWG URL, "ends in a number").
    """
    labels = text.split(".")
    if len(text) > LONGEST_NAME or len(labels) < 2 or _NUMBER.fullmatch(labels[-1]):
        return False
    return all(_LABEL.fullmatch(label) for label in labels)


def port_number(text: str) -> int | None:
    """The port that a text names, or None if it is none: digits alone, no sign, no leading zero."""
    return int(text) if _PORT.fullmatch(text) and int(text) <= 65535 else None


def allowed_host(text: str) -> AllowedHost:
    """What an entry means.

    Raises:
        HostError: It is not a host's name, or means too much.
    """
    _check_shape(text)
    rest, colon, port = text.partition(":")
    number = port_number(port) if colon else None
    if colon and number is None:
        raise HostError(f"{shown(text)}: {shown(port)} is not a port", "write one from 1 to 65535")
    name = _name(rest.removeprefix("*."), text)
    return AllowedHost(name=name, subdomains=rest.startswith("*."), port=number)


def _check_shape(text: str) -> None:
    if text == "*" or text.startswith("*:"):
        raise HostError(
            f"{shown(text)} means every host", "name the hosts; `*.example.org` is all below one name"
        )
    if "*" in text.removeprefix("*."):
        raise HostError(f"{shown(text)}: `*` stands for whole names alone", "write it like *.example.org")
    if "@" in text:
        raise HostError(f"{shown(text)} holds a user's name", "write the host's name alone")
    if "/" in text or "?" in text or "#" in text:
        raise HostError(f"{shown(text)} is not a host's name", "leave out `https://` and the path")
    if "[" in text or text.count(":") > 1:
        raise _address(text)


def _name(rest: str, text: str) -> str:
    name = _ascii(rest, text)
    if name.endswith("."):
        raise HostError(f"{shown(text)} ends with a dot", f"write {name.rstrip('.')}")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise _address(text)
    if "." not in name:
        raise HostError(f"{shown(text)} is not a full name", "write all of it, like docs.example.org")
    if not is_name(name):
        raise HostError(f"{shown(text)} is not a host's name", "write it like docs.example.org")
    return name


def _ascii(name: str, text: str) -> str:
    """The name as it stands in the DNS. ASCII is taken as it is: real names break rules of IDNA 2008."""
    if name.isascii():
        return name.lower()
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except UnicodeError as error:
        raise HostError(f"{shown(text)} is not a host's name", "write it as the DNS has it") from error


def _address(text: str) -> HostError:
    return HostError(f"{shown(text)} is an address", "write the host's name: addresses are not let through")
