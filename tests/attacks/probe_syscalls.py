"""Run inside a box, by any Python 3 with ctypes: what it may ask of the kernel, printed as JSON.

Each call is made in a child of its own, so that one that ends its process is a result like any other.
System call numbers are those of x86_64 and of arm64 (`asm/unistd.h`).
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import platform
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
ARM = platform.machine() == "aarch64"
_SPACE = ctypes.create_string_buffer(65536)
_TEXTS = [
    ctypes.create_string_buffer(text) for text in (b"/tmp", b"none", b"proc", b"/tmp/fifo", b"/tmp/node")
]
_ACTION = ctypes.c_uint32(0x7FFF0000)  # SECCOMP_RET_ALLOW
BUFFER, ACTION = ctypes.addressof(_SPACE), ctypes.addressof(_ACTION)
PATH, NOTHING, PROC, FIFO, NODE = (ctypes.addressof(text) for text in _TEXTS)
HERE = -100  # AT_FDCWD

# name: (number on x86_64, number on arm64), arguments. None: the architecture doesn't have it.
CALLS = {
    "mount": ((165, 40), (NOTHING, PATH, PROC, 0, 0)),
    "umount2": ((166, 39), (PATH, 2)),
    "pivot_root": ((155, 41), (PATH, PATH)),
    "chroot": ((161, 51), (PATH,)),
    "fsopen": ((430, 430), (PROC, 0)),
    "fsmount": ((432, 432), (-1, 0, 0)),
    "fspick": ((433, 433), (HERE, PATH, 0)),
    "open_tree clone": ((428, 428), (HERE, PATH, 1)),
    "move_mount": ((429, 429), (HERE, PATH, HERE, PATH, 0)),
    "mount_setattr": ((442, 442), (HERE, PATH, 0, BUFFER, 32)),
    "unshare user": ((272, 97), (0x10000000,)),
    "unshare files": ((272, 97), (0x400,)),
    "setns": ((308, 268), (-1, 0)),
    "clone user namespace": ((56, 220), (0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)),
    "clone net namespace": ((56, 220), (0x40000000 | signal.SIGCHLD, 0, 0, 0, 0)),
    "clone3": ((435, 435), (BUFFER, 64)),
    "keyctl": ((250, 219), (0, -3, 0)),
    "add_key": ((248, 217), (PATH, PATH, PATH, 4, -3)),
    "request_key": ((249, 218), (PATH, PATH, 0, 0)),
    "bpf": ((321, 280), (0, BUFFER, 48)),
    "perf_event_open": ((298, 241), (BUFFER, 0, -1, -1, 0)),
    "userfaultfd": ((323, 282), (0,)),
    "io_uring_setup": ((425, 425), (8, BUFFER)),
    "io_uring_enter": ((426, 426), (-1, 0, 0, 0, 0, 0)),
    "io_uring_register": ((427, 427), (-1, 0, 0, 0)),
    "name_to_handle_at": ((303, 264), (HERE, PATH, BUFFER, BUFFER, 0)),
    "open_by_handle_at": ((304, 265), (HERE, BUFFER, 0)),
    "fanotify_init": ((300, 262), (0x200, 0)),
    "init_module": ((175, 105), (BUFFER, 0, PATH)),
    "finit_module": ((313, 273), (-1, PATH, 0)),
    "delete_module": ((176, 106), (PATH, 0)),
    "kexec_load": ((246, 104), (0, 0, 0, 0)),
    "kexec_file_load": ((320, 294), (-1, -1, 0, 0, 0)),
    "reboot": ((169, 142), (0, 0, 0, 0)),
    "swapon": ((167, 224), (PATH, 0)),
    "swapoff": ((168, 225), (PATH,)),
    "quotactl": ((179, 60), (0, 0, 0, 0)),
    "acct": ((163, 89), (0,)),
    "syslog": ((103, 116), (3, BUFFER, 16)),
    "settimeofday": ((164, 170), (0, 0)),
    "clock_settime": ((227, 112), (0, BUFFER)),
    "adjtimex": ((159, 171), (BUFFER,)),
    "sethostname": ((170, 161), (PATH, 4)),
    "vhangup": ((153, 58), ()),
    "iopl": ((172, None), (3,)),
    "ioperm": ((173, None), (0, 1, 1)),
    "modify_ldt": ((154, None), (0, BUFFER, 16)),
    "kcmp": ((312, 272), (1, 1, 0, 0, 0)),
    "pidfd_getfd": ((438, 438), (-1, 0, 0)),
    "move_pages": ((279, 239), (0, 0, 0, 0, 0, 0)),
    "personality of an old kernel": ((135, 92), (0x20000,)),
    "personality without random addresses": ((135, 92), (0x40000,)),
    "mknod of a pipe": ((259, 33), (HERE, FIFO, 0o010600, 0)),
    "mknod of a device": ((259, 33), (HERE, NODE, 0o020600, 0x103)),
    "landlock version": ((444, 444), (0, 0, 1)),
    "memfd_create": ((319, 279), (PATH, 0)),
    "ptrace to be traced": ((101, 117), (0, 0, 0, 0)),
    "seccomp version": ((317, 277), (2, 0, ACTION)),
    "getrandom": ((318, 278), (BUFFER, 16, 0)),
}
SOCKETS = {
    "unix": (1, 1, 0),
    "tcp": (2, 1, 0),
    "udp over ipv6": (10, 2, 0),
    "raw ipv4": (2, 3, 1),
    "sctp": (2, 1, 132),
    "netlink route": (16, 3, 0),
    "netlink audit": (16, 3, 9),
    "netlink netfilter": (16, 3, 12),
    "packet": (17, 3, 0),
    "key": (15, 3, 2),
    "rds": (21, 5, 0),
    "can": (29, 3, 1),
    "tipc": (30, 1, 0),
    "bluetooth": (31, 3, 1),
    "alg": (38, 5, 0),
    "vsock": (40, 1, 0),
    "xdp": (44, 3, 0),
    "smc": (43, 1, 0),
}
IOCTLS = {
    "TIOCSTI": 0x5412,
    "TIOCSTI with high bits": 0x1_0000_5412,
    "TIOCSTI with all high bits": 0xFFFF_FFFF_0000_5412,
    "TIOCLINUX": 0x541C,
    "TIOCLINUX with high bits": 0x8000_0000_0000_541C,
    "TIOCSETD": 0x5423,
    "TIOCSETD with high bits": 0x7000_0000_0000_5423,
    "TCGETS": 0x5401,
    "TIOCGWINSZ": 0x5413,
    "FIONREAD": 0x541B,
}


def tried(call: Callable[[], int]) -> str:
    """What a call came to, in a child: `ok`, the name of its error, or the signal that ended it."""
    child = os.fork()
    if child == 0:
        try:
            code = call()
        except OSError as error:
            code = error.errno or 254
        os._exit(min(code, 254))
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    code = os.WEXITSTATUS(status)
    return "ok" if code == 0 else errno.errorcode.get(code, str(code))


def system_call(number: int, *arguments: int) -> int:
    """Make a call; returns 0 or its errno."""
    given = [ctypes.c_long(a) for a in (number, *arguments)]
    ctypes.set_errno(0)
    result = LIBC.syscall(*given)
    if result == 0 and number == (220 if ARM else 56):
        os._exit(0)  # this is the new process
    return ctypes.get_errno() if result == -1 else 0


def own_code(code: bytes) -> int:
    """Run machine code of our own; what it returns is an errno below zero."""
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    return -result if result < 0 else 0


def terminal(request: int) -> int:
    """An ioctl on a terminal of the box's own, the only one that it can have."""
    main, other = os.openpty()
    number = 29 if ARM else 16
    code = system_call(number, other, request, BUFFER)
    os.close(main)
    return code


def calls() -> dict[str, str]:
    """The table of system calls."""
    index = 1 if ARM else 0
    table = {
        name: tried(partial(system_call, number, *arguments))
        for name, (numbers, arguments) in CALLS.items()
        if (number := numbers[index]) is not None
    }
    socket = 198 if ARM else 41
    for name, arguments in SOCKETS.items():
        table[f"socket {name}"] = tried(partial(system_call, socket, *arguments))
    pair = 199 if ARM else 53
    for name, family in {"unix": 1, "tipc": 30}.items():
        table[f"socketpair {name}"] = tried(partial(system_call, pair, family, 1, 0, BUFFER))
    for name, request in IOCTLS.items():
        table[f"ioctl {name}"] = tried(partial(terminal, request))
    if not ARM:
        # mov eax, 20 (getpid of i386); int 0x80; ret
        table["a 32-bit call"] = tried(partial(own_code, b"\xb8\x14\x00\x00\x00\xcd\x80\x31\xc0\xc3"))
        table["an x32 call"] = tried(partial(system_call, 0x40000000 + 39))
    return table


def opened(path: str, flags: int) -> str:
    """What opening a path came to."""

    def call() -> int:
        os.close(os.open(path, flags))
        return 0

    return tried(call)


KERNEL_WRITES = (
    *("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/overcommit_memory"),
    *("/proc/sysrq-trigger", "/proc/sys/fs/binfmt_misc/register", "/proc/irq/default_smp_affinity"),
    *("/proc/bus", "/proc/fs", "/sys/kernel/uevent_helper", "/sys/kernel/profiling", "/sys/power/state"),
    *("/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/cgroup.procs"),
    *("/sys/fs/cgroup/devices/devices.allow", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
SECRETS = (
    *("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/latency_stats"),
    *("/proc/kmsg", "/dev/mem", "/dev/kmem", "/dev/kmsg", "/dev/port", "/dev/fuse", "/dev/loop-control"),
    *("/dev/kvm", "/dev/net/tun", "/dev/vhost-vsock", "/dev/vsock", "/dev/console"),
    *("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"),
)


def first_bytes(path: str) -> int | str:
    """How many bytes a file gives to a reader, up to 16, or its error."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    try:
        return len(os.read(descriptor, 16))
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        os.close(descriptor)


def status() -> dict[str, str]:
    """The lines of /proc/self/status that are about power."""
    lines = Path("/proc/self/status").read_text().splitlines()
    rows = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    wanted = (
        "Uid",
        "Gid",
        "Groups",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
    )
    return {name: rows.get(name, "").strip() for name in wanted}


def core_dump() -> dict[str, object]:
    """Die with a signal that dumps core in a directory where one could be written; returns what is there."""
    place = Path("/tmp/probe-core")  # noqa: S108 - in the box
    place.mkdir()
    child = os.fork()
    if child == 0:
        os.chdir(place)
        os.kill(os.getpid(), signal.SIGSEGV)
    _, result = os.waitpid(child, 0)
    return {"dumped": os.WCOREDUMP(result), "files": [file.name for file in place.iterdir()]}


def addresses() -> list[str] | str:
    """Kernel symbols' addresses as they are shown: all zero where they are hidden."""
    try:
        with Path("/proc/kallsyms").open() as file:
            return sorted({file.readline().split()[0].strip("0") for _ in range(50)})
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def mounts() -> dict[str, list[str]]:
    """Mount points with their options."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return {line.split()[1]: line.split()[3].split(",") for line in lines}


def devices() -> dict[str, list[int]]:
    """Names and numbers of all device nodes below /dev."""
    found = {}
    for folder, _, names in os.walk("/dev"):
        for name in names:
            path = f"{folder}/{name}"
            state = os.lstat(path)
            if (state.st_mode & 0o170000) in (0o020000, 0o060000):
                found[path] = [os.major(state.st_rdev), os.minor(state.st_rdev)]
    return found


def everything() -> dict[str, object]:
    """All that is found out."""
    return {
        "calls": calls(),
        "status": status(),
        "kernel_writes": {path: opened(path, os.O_WRONLY) for path in KERNEL_WRITES},
        "secrets": {path: first_bytes(path) for path in SECRETS},
        "root_write": opened("/probe", os.O_WRONLY | os.O_CREAT),
        "core": core_dump(),
        "core_limit": resource.getrlimit(resource.RLIMIT_CORE),
        "files_limit": resource.getrlimit(resource.RLIMIT_NOFILE),
        "kernel_addresses": addresses(),
        "mounts": mounts(),
        "devices": devices(),
        "processes": sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()),
        "interfaces": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "terminal": [os.isatty(number) for number in (0, 1, 2)],
    }


if __name__ == "__main__":
    json.dump(everything(), sys.stdout)
