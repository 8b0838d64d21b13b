"""Git objects and packs, byte by byte, so that they can be what git itself would never write."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

from runner.gather.pack import RawWork

KINDS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
REF_DELTA = 7
WHO = "A <a@example.invalid> 1700000000 +0000"
MIB = 1024**2

Entry = tuple[str, bytes, str]
"""Mode, name and object id."""


def oid_of(kind: str, body: bytes) -> str:
    """The name that git gives to an object."""
    head = f"{kind} {len(body)}\0".encode()
    return hashlib.sha1(head + body, usedforsecurity=False).hexdigest()


class Objects:
    """Objects that will be packed; each method adds one and returns its id."""

    def __init__(self) -> None:
        self.packed: dict[str, bytes] = {}

    def add(self, kind: str, body: bytes) -> str:
        oid = oid_of(kind, body)
        self.packed[oid] = entry(KINDS[kind], len(body), zlib.compress(body, 1))
        return oid

    def blob(self, body: bytes = b"x\n") -> str:
        return self.add("blob", body)

    def tree(self, *entries: Entry) -> str:
        return self.add(
            "tree",
            b"".join(f"{mode} ".encode() + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries),
        )

    def commit(self, tree: str, *parents: str, message: str = "m") -> str:
        lines = [f"tree {tree}", *(f"parent {p}" for p in parents), f"author {WHO}", f"committer {WHO}"]
        return self.add("commit", ("\n".join(lines) + f"\n\n{message}\n").encode())

    def zeros(self, mib: int) -> str:
        """A blob of so many MiB of zeros, a thousandth of it in the pack, made without compressing it all."""
        size = mib * MIB
        packer = zlib.compressobj(9)
        start = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
        block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
        # Adler-32 of n zeros: the low half stays 1, the high half counts the bytes modulo 65521.
        end = b"\x03\x00" + struct.pack(">I", (size % 65521) << 16 | 1)
        digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
        for _ in range(mib):
            digest.update(bytes(MIB))
        self.packed[digest.hexdigest()] = entry(KINDS["blob"], size, start + block * (mib - 1) + end)
        return digest.hexdigest()

    def pack(self, count: int | None = None) -> bytes:
        """All of them as one pack; `count` lies about how many there are."""
        return pack_of(self.packed.values(), count)


def entry(kind: int, size: int, deflated: bytes, delta_base: str = "") -> bytes:
    """One packed object: its kind and size in git's variable-length form, then its bytes."""
    head, rest = [kind << 4 | size & 15], size >> 4
    while rest:
        head[-1] |= 0x80
        head.append(rest & 0x7F)
        rest >>= 7
    return bytes(head) + bytes.fromhex(delta_base) + deflated


def delta(base_size: int, result_size: int, instructions: bytes, base: str) -> bytes:
    """A packed object that says how to make it from another one."""
    body = _varint(base_size) + _varint(result_size) + instructions
    return entry(REF_DELTA, len(body), zlib.compress(body), base)


def pack_of(entries: Iterable[bytes], count: int | None = None) -> bytes:
    """A pack of these entries."""
    all_of_them = list(entries)
    return sealed(
        b"PACK" + struct.pack(">II", 2, len(all_of_them) if count is None else count) + b"".join(all_of_them)
    )


def sealed(body: bytes) -> bytes:
    """A pack's bytes with the checksum that ends them."""
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def work(tip: str, pack: bytes, place: Path) -> RawWork:
    """What the gather container would have printed."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(pack)
    return RawWork(tip, "committed", place)


def _varint(number: int) -> bytes:
    made = [number & 0x7F]
    while number := number >> 7:
        made[-1] |= 0x80
        made.append(number & 0x7F)
    return bytes(made)
