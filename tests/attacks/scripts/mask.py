"""Run in a box: tries to take the mask off /workspace/.git, and says of each way whether it held."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

MASK = "/workspace/.git"
libc = ctypes.CDLL(None, use_errno=True)
RENAMEAT2, MOUNT, UMOUNT2, OPEN_TREE, MOVE_MOUNT, NAME_TO_HANDLE = 316, 165, 166, 428, 429, 303
HERE = -100


def call(number: int, *arguments: object) -> None:
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def command(*words: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.returncode, (done.stderr.strip().splitlines() or ["failed"])[-1])


def make(path: str) -> None:
    Path(path).write_text("gitdir: /workspace/mine\n")


def write(flags: int) -> None:
    os.close(os.open(MASK, flags))


def by_handle() -> None:
    handle = (ctypes.c_byte * 136)()
    ctypes.cast(handle, ctypes.POINTER(ctypes.c_uint))[0] = 128
    mount = ctypes.c_int()
    call(NAME_TO_HANDLE, HERE, MASK.encode(), handle, ctypes.byref(mount), 0)
    top = os.open("/workspace", os.O_RDONLY)
    call(304, top, handle, os.O_RDWR)


def exchange() -> None:
    make("/workspace/mine")
    call(RENAMEAT2, HERE, b"/workspace/mine", HERE, MASK.encode(), 2)


def over() -> None:
    make("/workspace/other")
    Path("/workspace/other").rename(MASK)


WAYS: dict[str, Callable[[], object]] = {
    "remove": Path(MASK).unlink,
    "move away": lambda: Path(MASK).rename("/workspace/away"),
    "move over": over,
    "exchange": exchange,
    "write": lambda: write(os.O_WRONLY),
    "truncate": lambda: os.truncate(MASK, 0),
    "write by its descriptor": lambda: os.close(os.open(f"/proc/self/fd/{os.open(MASK, 0)}", os.O_RDWR)),
    "chmod": lambda: Path(MASK).chmod(0o666),
    "chown": lambda: os.chown(MASK, os.getuid(), os.getgid()),
    "hard link": lambda: Path("/workspace/linked").hardlink_to(MASK),
    "symbolic link over it": lambda: command("ln", "-sfn", "/workspace/mine", MASK),
    "move its directory": lambda: Path("/workspace").rename("/workspace2"),
    "unmount": lambda: call(UMOUNT2, MASK.encode(), 0),
    "unmount lazily": lambda: call(UMOUNT2, MASK.encode(), 2),
    "bind over it": lambda: call(MOUNT, b"/workspace/mine", MASK.encode(), None, 4096, None),
    "mount over its directory": lambda: call(MOUNT, b"none", b"/workspace", b"tmpfs", 0, None),
    "take the tree below it": lambda: call(OPEN_TREE, HERE, b"/workspace", 1 | 0x8000),
    "unshare and unmount": lambda: command("unshare", "-Urm", "umount", MASK),
    "by its handle": by_handle,
}


def look() -> tuple[str, int]:
    return Path(MASK).read_text(), Path(MASK).stat().st_ino


before = look()
for name, way in WAYS.items():
    try:
        way()
        print("OPEN", name)
    except OSError as error:
        print("HELD", name, "-", error.strerror)
print("SAME" if look() == before else "CHANGED", len(WAYS))
