"""A commit that expands to billions of files and takes a kilobyte: made to see that it is refused. Pure."""

from __future__ import annotations

import hashlib
import struct
import zlib

from runner.git.commits import oid_of

WIDTH, LEVELS = 10, 10
FILES = WIDTH**LEVELS
"""Ten directories of ten directories of …: all of them one empty file, ten times in the innermost."""

_KINDS = {"commit": 1, "tree": 2, "blob": 3}
"""Numbers of objects in packs: gitformat-pack(5)."""


def trees() -> list[bytes]:
    """The tree objects of the bomb, the innermost first; each holds the one before it `WIDTH` times."""
    below, mode, made = oid_of("blob", b""), b"100644", []
    for _ in range(LEVELS):
        end = bytes.fromhex(below)
        made.append(b"".join(b"%s %04d\0%s" % (mode, number, end) for number in range(WIDTH)))
        below, mode = oid_of("tree", made[-1]), b"40000"
    return made


def outermost() -> str:
    """The id of the bomb's outermost tree."""
    return oid_of("tree", trees()[-1])


def pack(parent: str) -> tuple[str, bytes]:
    """A commit on `parent` whose tree is a bomb, and a pack with all of its objects."""
    made = trees()
    who = b"Corral <corral@localhost> 0 +0000"
    commit = b"tree %s\nparent %s\nauthor %s\ncommitter %s\n\nBomb\n" % (
        oid_of("tree", made[-1]).encode(), parent.encode(), who, who,
    )  # fmt: skip
    objects = [("blob", b""), *(("tree", body) for body in made), ("commit", commit)]
    body = struct.pack(">4sII", b"PACK", 2, len(objects)) + b"".join(_packed(*one) for one in objects)
    return oid_of("commit", commit), body + hashlib.sha1(body, usedforsecurity=False).digest()


def _packed(kind: str, body: bytes) -> bytes:
    size = len(body)
    head, size = [_KINDS[kind] << 4 | size & 15], size >> 4
    while size:
        head[-1] |= 128
        head.append(size & 127)
        size >>= 7
    return bytes(head) + zlib.compress(body)
