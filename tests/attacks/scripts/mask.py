"""Run in a box: tries to take the mask off /workspace/.git, and says of each way whether it held."""

import ctypes
import os
import subprocess

MASK = "/workspace/.git"
libc = ctypes.CDLL(None, use_errno=True)
RENAMEAT2, MOUNT, UMOUNT2, OPEN_TREE, MOVE_MOUNT, NAME_TO_HANDLE = 316, 165, 166, 428, 429, 303
HERE = -100


def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def command(*words):
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.returncode, (done.stderr.strip().splitlines() or ["failed"])[-1])


def make(path):
    with open(path, "w") as made:
        made.write("gitdir: /workspace/mine\n")


def write(flags):
    os.close(os.open(MASK, flags))


def by_handle():
    handle = (ctypes.c_byte * 136)()
    ctypes.cast(handle, ctypes.POINTER(ctypes.c_uint))[0] = 128
    mount = ctypes.c_int()
    call(NAME_TO_HANDLE, HERE, MASK.encode(), handle, ctypes.byref(mount), 0)
    top = os.open("/workspace", os.O_RDONLY)
    call(304, top, handle, os.O_RDWR)


def exchange():
    make("/workspace/mine")
    call(RENAMEAT2, HERE, b"/workspace/mine", HERE, MASK.encode(), 2)


def over():
    make("/workspace/other")
    os.rename("/workspace/other", MASK)


WAYS = {
    "remove": lambda: os.unlink(MASK),
    "move away": lambda: os.rename(MASK, "/workspace/away"),
    "move over": over,
    "exchange": exchange,
    "write": lambda: write(os.O_WRONLY),
    "truncate": lambda: os.truncate(MASK, 0),
    "write by its descriptor": lambda: os.close(os.open(f"/proc/self/fd/{os.open(MASK, 0)}", os.O_RDWR)),
    "chmod": lambda: os.chmod(MASK, 0o666),
    "chown": lambda: os.chown(MASK, os.getuid(), os.getgid()),
    "hard link": lambda: os.link(MASK, "/workspace/linked"),
    "symbolic link over it": lambda: command("ln", "-sfn", "/workspace/mine", MASK),
    "move its directory": lambda: os.rename("/workspace", "/workspace2"),
    "unmount": lambda: call(UMOUNT2, MASK.encode(), 0),
    "unmount lazily": lambda: call(UMOUNT2, MASK.encode(), 2),
    "bind over it": lambda: call(MOUNT, b"/workspace/mine", MASK.encode(), None, 4096, None),
    "mount over its directory": lambda: call(MOUNT, b"none", b"/workspace", b"tmpfs", 0, None),
    "take the tree below it": lambda: call(OPEN_TREE, HERE, b"/workspace", 1 | 0x8000),
    "unshare and unmount": lambda: command("unshare", "-Urm", "umount", MASK),
    "by its handle": by_handle,
}

before = open(MASK).read(), os.stat(MASK).st_ino
for name, way in WAYS.items():
    try:
        way()
        print("OPEN", name)
    except OSError as error:
        print("HELD", name, "-", error.strerror)
print("SAME" if (open(MASK).read(), os.stat(MASK).st_ino) == before else "CHANGED", len(WAYS))
