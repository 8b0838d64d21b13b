"""Raw commits: read, stood in for, and put onto another base. Pure functions on bytes.

A commit is header lines, a blank line, and the message. A header line that starts with a space goes on
where the one before it ended.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

_TOP = re.compile(rb"(tree [0-9a-f]{40}\n)((?:parent [0-9a-f]{40}\n)*)")
_SIGNED = re.compile(rb"^(?:gpgsig|gpgsig-sha256|mergetag) .*\n(?: .*\n)*", re.MULTILINE)
_NOBODY = b"Corral <corral@localhost> 0 +0000"


def oid_of(kind: str, body: bytes) -> str:
    """The name that git gives to an object."""
    named = f"{kind} {len(body)}\0".encode() + body
    return hashlib.sha1(named, usedforsecurity=False).hexdigest()


def tree_of(commit: bytes) -> str:
    """The id of a raw commit's tree.

    Raises:
        ValueError: It does not start with one.
    """
    found = re.match(rb"tree ([0-9a-f]{40})\n", commit)
    if found is None:
        raise ValueError("a commit that names no tree")
    return found[1].decode()


def parents_of(commit: bytes) -> tuple[str, ...]:
    """The ids of a raw commit's parents, in order.

    Raises:
        ValueError: It does not start with a tree, or names a parent otherwise than git writes it: git
            also reads an id in capital letters, by which nobody else would know the parent.
    """
    return _parts(commit)[1]


def standing_for(commit: bytes) -> bytes:
    """A raw commit with the same files and nothing else of the commit: no parent, name, time or message.

    Every commit with these files has the same one, so that not even its id tells them apart.
    """
    tree = tree_of(commit).encode()
    return b"tree %s\nauthor %s\ncommitter %s\n\nBase\n" % (tree, _NOBODY, _NOBODY)


def with_parents(commit: bytes, instead: Mapping[str, str]) -> bytes:
    """A raw commit with other parents.

    Author, committer and message stay. Signatures go, since they would be wrong now.

    Args:
        commit: The raw commit.
        instead: The new parent for each old one.

    Raises:
        KeyError: It has a parent for which there is no new one.
        ValueError: As `parents_of`.
    """
    tree, parents, rest, blank, message = _parts(commit)
    others = b"".join(b"parent %s\n" % instead[parent].encode() for parent in parents)
    return tree + others + _SIGNED.sub(b"", rest + b"\n")[:-1] + blank + message


def _parts(commit: bytes) -> tuple[bytes, tuple[str, ...], bytes, bytes, bytes]:
    """The line of the tree, the parents, the rest of the header, the blank line, and the message."""
    head, blank, message = commit.partition(b"\n\n")
    top = _TOP.match(head + b"\n")
    if top is None:
        raise ValueError("a commit that names no tree")
    rest = head[top.end() :]
    if rest.startswith(b"parent "):
        raise ValueError("a commit with a parent that is not written as git writes it")
    return top[1], tuple(line.split()[1] for line in top[2].decode().splitlines()), rest, blank, message
