"""The profile of system calls is exactly its golden file, and says what it means to say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.sandbox import seccomp
from runner.sandbox.seccomp import ALLOWED, all_but, profile

GOLDEN = Path(__file__).parent / "golden" / "seccomp.json"

REFUSED = (
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl", "add_key", "request_key", "bpf"),
    *("perf_event_open", "userfaultfd", "open_by_handle_at", "name_to_handle_at", "fanotify_init", "unshare"),
    *("setns", "mount", "umount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount"),
    *("fspick", "move_mount", "open_tree", "open_tree_attr", "mount_setattr", "init_module"),
    *("finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff"),
    *("quotactl", "quotactl_fd", "acct", "syslog", "settimeofday", "clock_settime", "adjtimex", "iopl"),
    *("ioperm", "modify_ldt", "socketcall", "ipc", "sethostname", "setdomainname", "vhangup", "kcmp"),
    *("pidfd_getfd", "lookup_dcookie", "nfsservctl", "uselib", "ustat", "sysfs", "_sysctl", "move_pages"),
)
CONDITIONAL = {"socket", "socketpair", "clone", "personality", "ioctl"}


def names() -> list[str]:
    return [name for rule in profile()["syscalls"] for name in rule["names"]]


def test_the_engine_gets_exactly_this_profile() -> None:
    assert profile() == json.loads(GOLDEN.read_text())


def test_what_is_not_listed_is_refused() -> None:
    assert profile()["defaultAction"] == "SCMP_ACT_ERRNO"
    assert {rule["action"] for rule in profile()["syscalls"] if rule["names"] != ["clone3"]} == {
        "SCMP_ACT_ALLOW"
    }


@pytest.mark.parametrize("name", REFUSED)
def test_no_rule_names_what_boxes_do_without(name: str) -> None:
    assert name not in names()


def test_conditional_calls_are_never_allowed_as_such() -> None:
    assert not CONDITIONAL & set(ALLOWED)
    assert all(rule["args"] for rule in profile()["syscalls"] if CONDITIONAL & set(rule["names"]))
    assert len(set(ALLOWED)) == len(ALLOWED)


def test_only_native_system_calls() -> None:
    assert all(not row["subArchitectures"] for row in profile()["archMap"])


def passes(name: str, *arguments: int) -> bool:
    """Whether a rule allows the call, as the kernel's filter decides it: one rule, all its conditions."""
    return any(
        rule["action"] == "SCMP_ACT_ALLOW" and all(_holds(c, arguments) for c in rule.get("args", ()))
        for rule in profile()["syscalls"]
        if name in rule["names"]
    )


def _holds(condition: dict[str, Any], arguments: tuple[int, ...]) -> bool:
    given = arguments[condition["index"]]
    if condition["op"] == "SCMP_CMP_EQ":
        return bool(given == condition["value"])
    return bool(given & condition["value"] == condition["valueTwo"])


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_sockets_are_local_or_of_the_internet(family: int, protocol: int) -> None:
    usual = {(2, p) for p in seccomp.INTERNET_PROTOCOLS} | {(10, p) for p in seccomp.INTERNET_PROTOCOLS}
    assert passes("socket", family, 1, protocol) == (family == 1 or (family, protocol) in usual | {(16, 0)})
    assert passes("socketpair", family, 1, protocol) == (family == 1)


@pytest.mark.parametrize(
    ("family", "protocol", "allowed"),
    [(1, 0, True), (2, 6, True), (10, 17, True), (16, 0, True), (16, 12, False), (2, 132, False)]
    + [(family, 0, family in {1, 2, 10, 16}) for family in range(48)],
)
def test_each_family(family: int, protocol: int, allowed: bool) -> None:
    assert passes("socket", family, 3, protocol) is allowed


@pytest.mark.parametrize(
    "flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]
)
def test_no_clone_makes_a_namespace(flag: int) -> None:
    assert passes("clone", 0x11)
    assert passes("clone", 0x3D0F00)
    assert not passes("clone", flag | 0x11)
    assert not passes("clone", flag | 1 << 40)


@given(st.integers(0, 2**32 - 1))
def test_typing_into_terminals_is_refused_whatever_stands_above(above: int) -> None:
    for request in (seccomp.TIOCSTI, seccomp.TIOCLINUX, seccomp.TIOCSETD):
        assert not passes("ioctl", 0, above << 32 | request)
    for request in (0x5401, 0x5411, 0x5413, 0x541B, 0x541D, 0x5422, 0x5424, 0x8008662C, 0xC0045877):
        assert passes("ioctl", 0, request)


numbers = st.integers(1, 32).flatmap(
    lambda bits: st.tuples(st.just(bits), st.sets(st.integers(0, 2**bits - 1), max_size=6))
)


@given(numbers, st.data())
def test_blocks_hold_everything_else_exactly_once(drawn: tuple[int, set[int]], data: st.DataObject) -> None:
    bits, values = drawn
    blocks = all_but(values, bits)
    near = {(value ^ 1 << bit) for value in values for bit in range(bits)}
    any_number = data.draw(st.integers(0, 2**bits - 1))
    for number in near | values | {any_number, 0, 2**bits - 1}:
        held = sum(number & mask == value for mask, value in blocks)
        assert held == (0 if number in values else 1)


@given(st.sets(st.integers(0, 255), max_size=256))
def test_blocks_of_small_numbers_all_of_them(values: set[int]) -> None:
    blocks = all_but(values, 8)
    assert {n for n in range(256) if any(n & m == v for m, v in blocks)} == set(range(256)) - values


def test_nothing_to_leave_out_and_nothing_left() -> None:
    assert all_but((), 4) == [(0, 0)]
    assert all_but(range(16), 4) == []
