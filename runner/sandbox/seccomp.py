"""Which system calls a box may make: an allowlist of our own, in the engine's profile format.

Everything that is not listed here fails with EPERM. What is listed is what compilers, interpreters,
package tools, version control, debuggers, databases and agents use, sorted by purpose. The kernel's
interfaces that such work can do without, and that gave attackers a way out before, are left out:
io_uring, key rings, bpf, perf events, userfaultfd, file handles, namespaces, all of mounting, and
every family of sockets but local ones, IPv4, IPv6 and the routing table's.

Facts come from syscalls(2) and the manual page of each call, from `include/uapi` of the kernel for the
numbers, and from the profile of the engine itself (moby, `profiles/seccomp/default.json`), which this
one is stricter than. No architecture has sub-architectures here: system calls of 32-bit programs and
of x32, and with them `socketcall` and `ipc`, which hide their real arguments from a filter, end the
process that makes them. Names that the engine's libseccomp doesn't know are skipped by the engine.
"""

from __future__ import annotations

import errno
from collections.abc import Collection
from typing import Any

ARCHITECTURES = ("SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64")
MACHINES = ("amd64", "arm64")
"""The same two, as the engine names them. On others `clone` isn't allowed, so that nothing starts there:
the order of its arguments differs between architectures, and the filter must know it."""

FILES = (
    *("access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup", "dup2"),
    *("dup3", "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat"),
    *("fchmodat2", "fchown", "fchownat", "fcntl", "fdatasync", "fgetxattr", "flistxattr", "flock"),
    *("fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate", "futimesat", "getcwd"),
    *("getdents", "getdents64", "getxattr", "getxattrat", "inotify_add_watch", "inotify_init"),
    *("inotify_init1", "inotify_rm_watch", "lchown", "lgetxattr", "link", "linkat", "listxattr"),
    *("listxattrat", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "memfd_create", "mkdir"),
    *("mkdirat", "newfstatat", "open", "openat", "openat2", "pread64", "preadv", "preadv2", "pwrite64"),
    *("pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "removexattr"),
    *("removexattrat", "rename", "renameat", "renameat2", "rmdir", "sendfile", "setxattr", "setxattrat"),
    *("splice", "stat", "statfs", "statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs"),
    *("tee", "truncate", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes", "vmsplice"),
    *("write", "writev"),
)
FIFOS = ("mknod", "mknodat")
"""For named pipes; device nodes need a capability that boxes don't have (mknod(2), EPERM)."""

MEMORY = (
    *("brk", "cachestat", "madvise", "map_shadow_stack", "membarrier", "mincore", "mlock", "mlock2"),
    *("mlockall", "mmap", "mprotect", "mremap", "mseal", "msync", "munlock", "munlockall", "munmap"),
    *("pkey_alloc", "pkey_free", "pkey_mprotect"),
)
PROCESSES = (
    *("arch_prctl", "execve", "execveat", "exit", "exit_group", "fork", "getpgid", "getpgrp", "getpid"),
    *("getppid", "getpriority", "getrlimit", "getrusage", "getsid", "gettid", "ioprio_get", "ioprio_set"),
    *("kill", "pidfd_open", "pidfd_send_signal", "prctl", "prlimit64", "process_mrelease", "rseq"),
    *("sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr"),
    *("sched_getparam", "sched_getscheduler", "sched_rr_get_interval", "sched_setaffinity"),
    *("sched_setattr", "sched_setparam", "sched_setscheduler", "sched_yield", "set_tid_address"),
    *("setpgid", "setpriority", "setrlimit", "setsid", "tgkill", "tkill", "vfork", "wait4", "waitid"),
)
DEBUGGING = ("process_vm_readv", "process_vm_writev", "ptrace")
"""Of the box's own processes alone: there are no others in its namespace."""

IDENTITY = (
    *("capget", "capset", "getegid", "geteuid", "getgid", "getgroups", "getresgid", "getresuid", "getuid"),
    *("setfsgid", "setfsuid", "setgid", "setgroups", "setregid", "setresgid", "setresuid", "setreuid"),
    "setuid",
)
SIGNALS = (
    *("pause", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo"),
    *("rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sigaltstack", "signalfd"),
    *("signalfd4", "uretprobe"),
)
"""`uretprobe` is the return of a function that the host traces, not a call of a program's own."""

TIME = (
    *("alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday"),
    *("nanosleep", "setitimer", "time", "timer_create", "timer_delete", "timer_getoverrun"),
    *("timer_gettime", "timer_settime", "timerfd_create", "timerfd_gettime", "timerfd_settime", "times"),
)
WAITING = (
    *("epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait"),
    *("eventfd", "eventfd2", "futex", "futex_requeue", "futex_wait", "futex_waitv", "futex_wake"),
    *("get_robust_list", "io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_setup"),
    *("io_submit", "pipe", "pipe2", "poll", "ppoll", "pselect6", "select", "set_robust_list"),
)
MESSAGES = (
    *("mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl"),
    *("msgget", "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt"),
    "shmget",
)
"""POSIX and System V queues, semaphores and shared memory, of a namespace of the box's own."""

CONNECTIONS = (
    *("accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen"),
    *("recvfrom", "recvmmsg", "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown"),
)
OWN_SANDBOXES = ("landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp")
"""With these a program restricts itself further."""

SYSTEM = ("getcpu", "getrandom", "sysinfo", "uname")

ALLOWED = (
    *FILES,
    *FIFOS,
    *MEMORY,
    *PROCESSES,
    *DEBUGGING,
    *IDENTITY,
    *SIGNALS,
    *TIME,
    *WAITING,
    *MESSAGES,
    *CONNECTIONS,
    *OWN_SANDBOXES,
    *SYSTEM,
)

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
INTERNET_PROTOCOLS = (0, 1, 6, 17, 58)
"""The default, ICMP, TCP, UDP and ICMPv6 (`linux/in.h`): asking for others can load kernel modules."""
NETLINK_ROUTE = 0
"""The only netlink protocol that is let through: with it, programs list network interfaces."""

NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET (`linux/sched.h`)."""

PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Linux, 32-bit Linux, each also as version 2.6, and asking which it is: what moby's profile allows."""

TIOCSTI, TIOCLINUX, TIOCSETD = 0x5412, 0x541C, 0x5423
"""Typing into a terminal, doing so on a console, and giving a terminal a line discipline, for which the
kernel may load a module (`asm-generic/ioctls.h`, the same on both architectures)."""

Rule = dict[str, Any]


def profile() -> dict[str, Any]:
    """The profile for boxes, in the engine's format (Docker 20.10 and newer)."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": name, "subArchitectures": []} for name in ARCHITECTURES],
        "syscalls": [
            _allow(*sorted(ALLOWED)),
            *_sockets(),
            *_threads(),
            *(_allow("personality", args=(_equal(0, value),)) for value in PERSONALITIES),
            *_ioctls(),
        ],
    }


def all_but(values: Collection[int], bits: int = 32) -> list[tuple[int, int]]:
    """Blocks that hold every number of so many bits but these, as pairs of a mask and what it must give.

    A number is in a block where `number & mask == value`. A filter sees an argument of 64 bits where the
    kernel takes 32: what stands above those never matters here, so no higher bit hides a number. The
    blocks don't overlap. They are the branches of the binary tree over all numbers that hold none of
    `values`.
    """
    full = 1 << bits
    return _branches(frozenset(value % full for value in values), 0, bits, full - 1)


def _branches(values: frozenset[int], prefix: int, free: int, every_bit: int) -> list[tuple[int, int]]:
    """The blocks below one node: `prefix` is its number, `free` how many of the lowest bits are open."""
    if not values:
        return [(every_bit >> free << free, prefix)]
    if free == 0:
        return []
    bit = 1 << free - 1
    lower = _branches(frozenset(v for v in values if not v & bit), prefix, free - 1, every_bit)
    return lower + _branches(frozenset(v for v in values if v & bit), prefix | bit, free - 1, every_bit)


def _sockets() -> list[Rule]:
    families = [(family, protocol) for family in (AF_INET, AF_INET6) for protocol in INTERNET_PROTOCOLS]
    return [
        _allow("socket", "socketpair", args=(_equal(0, AF_UNIX),)),
        *(
            _allow("socket", args=(_equal(0, family), _equal(2, protocol)))
            for family, protocol in [*families, (AF_NETLINK, NETLINK_ROUTE)]
        ),
    ]


def _threads() -> list[Rule]:
    """`clone` without new namespaces. `clone3` hides its flags in memory, which a filter can't read.

    It fails as a call that the kernel doesn't have, and the C library goes on with `clone`. Engines know
    `errnoRet` since Docker 20.10.10 (moby/moby#42836).
    """
    no_namespaces = _masked(0, NEW_NAMESPACES, 0)
    return [
        {**_allow("clone", args=(no_namespaces,)), "includes": {"arches": list(MACHINES)}},
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
    ]


def _ioctls() -> list[Rule]:
    blocks = all_but((TIOCSTI, TIOCLINUX, TIOCSETD))
    return [_allow("ioctl", args=(_masked(1, mask, value),)) for mask, value in blocks]


def _allow(*names: str, args: tuple[Rule, ...] = ()) -> Rule:
    rule: Rule = {"names": list(names), "action": "SCMP_ACT_ALLOW"}
    return {**rule, "args": list(args)} if args else rule


def _equal(index: int, value: int) -> Rule:
    return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}


def _masked(index: int, mask: int, value: int) -> Rule:
    return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
