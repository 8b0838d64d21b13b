"""What this machine has, what is weaker here, and what to do about each: findings with their cures."""

from __future__ import annotations

import getpass
import os
import platform
import pwd
import re
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runner.accounts import PROVIDERS, ProviderAccount
from runner.errors import CorralError, HostError
from runner.sandbox import disks
from runner.sandbox.engine import Engine, EngineFacts
from runner.sandbox.facts import check_runtime
from runner.settings import Settings
from runner.supervisor import reap
from runner.supervisor.capacity import policy_of
from runner.supervisor.host import machine as host
from runner.supervisor.host import units
from runner.supervisor.host.admission import Policy, Room
from runner.supervisor.host.facts import Host
from runner.tasks.units import format_size

Level = Literal["ok", "weaker", "broken"]

GIB = 1024**3
LOW_DISK = 10 * GIB
PATIENCE = 45.0
"""Seconds that an engine may take for an answer: a busy one takes long for anything."""
OLDEST_ENGINE = (20, 10)
OLDEST_GIT = (2, 34)
"""What Debian 12 and Ubuntu 22.04 have is newer or the same; older ones are not tried."""
LEFTOVERS = "leftovers"
SAFER_ENGINE = (23, 0, 11)
"""First engine line with a seccomp profile and a runc that close the escapes named in docs/security."""


@dataclass(frozen=True)
class Finding:
    """One thing found out: its level, what it is, and what to do if it isn't right."""

    name: str
    level: Level
    found: str
    cure: str | None = None


def examine(
    settings: Settings, environment: Mapping[str, str], runtimes: Collection[str | None] = ()
) -> list[Finding]:
    """Look at everything that a run rests on; `runtimes` are those that boxes are to have, None the usual."""
    return [
        *_engine(settings, environment, runtimes),
        _git(),
        _disk(settings.home),
        _uid(settings.box_uid),
        _kernel(),
        _credentials(settings),
        _certificates(settings),
        _detached(environment),
    ]


def weaker(findings: list[Finding]) -> tuple[str, ...]:
    """What is weaker here, in words, for a plan and a summary."""
    return tuple(finding.found for finding in findings if finding.level == "weaker")


def _engine(
    settings: Settings, environment: Mapping[str, str], runtimes: Collection[str | None]
) -> Iterator[Finding]:
    try:
        with Engine(environment, timeout=PATIENCE) as engine:
            facts = engine.facts()
            left = reap.look(engine, settings.home).count()
    except CorralError as error:
        yield Finding("engine", "broken", error.message, error.cure)
        return
    yield _engine_version(facts)
    yield Finding("cgroups", "ok", f"version {facts.cgroup}")
    yield Finding("storage", "ok", f"{facts.storage} at {facts.root_dir}")
    yield _room(host.look(settings.home, facts), policy_of(settings))
    yield _users(facts)
    yield _disk_limit(facts, Path("/dev/loop-control"))
    for runtime in runtimes:
        try:
            check_runtime(facts, runtime)
        except HostError as error:
            yield Finding("runtime", "broken", error.message, error.cure)
    cure = "`corral resume RUN` goes on with a run, `corral reap` gives up and saves the work"
    killed = f"killed runs left {left}" if left else "nothing of killed runs"
    yield Finding(LEFTOVERS, "ok", killed, cure if left else None)
    for name, lack in lacks(facts).items():
        yield Finding(name, "weaker", lack, _KERNEL_CURE[name])


_WARNINGS = {
    "no memory limit": ("memory", "the kernel's groups don't limit memory: `limits.memory` is not kept"),
    "no swap limit": (
        "memory",
        "the kernel's groups don't limit swap: a box at its memory limit goes on there",
    ),
    "no pids limit": ("processes", "the kernel's groups don't limit processes: `limits.pids` is not kept"),
    "no cpu cfs quota": ("cpus", "the kernel's groups don't limit CPU time: `limits.cpus` is not kept"),
}
"""What the engine warns of (moby, `daemon/info_unix.go`), with what is weaker then, the worst first."""

_KERNEL_CURE = {
    "memory": "boot with cgroup_enable=memory swapaccount=1, or with cgroup version 2",
    "processes": "use a kernel with CONFIG_CGROUP_PIDS",
    "cpus": "use a kernel with CONFIG_CFS_BANDWIDTH",
    "system-calls": "use an engine and a kernel with seccomp (CONFIG_SECCOMP_FILTER)",
}


def lacks(facts: EngineFacts) -> dict[str, str]:
    """What an engine can't promise on its kernel, by the name of the promise, each with the reason."""
    said = " ".join(facts.warnings).lower()
    found: dict[str, str] = {}
    for warning, (name, lack) in _WARNINGS.items():
        if warning in said:
            found.setdefault(name, lack)
    if not any("seccomp" in option for option in facts.security):
        found["system-calls"] = "the engine or the kernel has no seccomp: a box may make every system call"
    return found


def _engine_version(facts: EngineFacts) -> Finding:
    found = f"Docker {facts.version}, API {facts.api}, {facts.cpus} CPUs, {format_size(facts.memory)}"
    version = tuple(
        int(part) for part in facts.version.split("+")[0].split("-")[0].split(".") if part.isdigit()
    )
    if version and version < OLDEST_ENGINE:
        return Finding("engine", "broken", found, "upgrade to Docker 20.10 or newer")
    if version and version < SAFER_ENGINE:
        return Finding(
            "engine", "ok", found, "newer engines (23.0.11 and up, runc 1.2.8 and up) close known escapes"
        )
    return Finding("engine", "ok", found)


def _room(here: Host, policy: Policy) -> Finding:
    """What can be promised to attempts (`docs/admission.md`), and what the kernel does not tell."""
    room, kept = Room(here, policy), format_size(policy.kept_memory(here.memory_total))
    found = (
        f"{room.cpus:g} CPUs and {format_size(room.memory)} of memory can be promised to attempts; "
        f"{kept} of memory stay free"
    )
    if here.pressure.memory is None:
        found += "; the kernel tells no pressure, so that thrashing is not noticed"
    return Finding("room", "ok", found)


def _users(facts: EngineFacts) -> Finding:
    """Who on this host the users in boxes are."""
    if facts.rootless:
        return Finding("users", "ok", "the engine runs without root: no user of a box is root on this host")
    if not facts.remaps:
        return Finding("users", "ok", "users in boxes have the same ids on this host (no userns-remap)")
    if facts.uid_base is None:
        found = f"the engine remaps users, and {facts.root_dir} does not say to which ids"
        cure = "let the engine keep its data in the directory that userns-remap makes (…/UID.GID)"
        return Finding("users", "broken", found, cure)
    return Finding("users", "ok", f"root in boxes is uid {facts.uid_base} on this host (userns-remap)")


def _disk_limit(facts: EngineFacts, loop_control: Path) -> Finding:
    """How `limits.disk` will be kept, as far as it can be told without starting anything."""
    lack = None
    if facts.rootless:
        lack = "an engine without root can't mount file systems"
    elif not loop_control.exists():
        lack = f"the kernel offers no loop devices ({loop_control} is missing)"
    if lack is None:
        return Finding("disk limit", "ok", "a file system of its own for each box, of the size of its limit")
    return Finding(
        "disk limit", "weaker", f"{disks.WATCHED}: {lack}", "keep CORRAL_HOME on a file system of its own"
    )


def _git() -> Finding:
    try:
        done = subprocess.run(["git", "version"], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("git", "broken", f"git can't be run: {error}", "install git 2.34 or newer")
    missing = next((tool for tool in ("prlimit",) if shutil.which(tool) is None), None)
    if missing is not None:
        return Finding("git", "broken", f"{missing} is missing, under which git runs", "install util-linux")
    found = done.stdout.strip().removeprefix("git version ")
    version = tuple(int(part) for part in re.findall(r"\d+", found)[:2])
    if version < OLDEST_GIT:
        return Finding("git", "broken", found, "install git 2.34 or newer")
    return Finding("git", "ok", found)


def _disk(home: Path) -> Finding:
    free = host.look(home).disk_free
    found = f"{format_size(free)} free for {home}"
    if free < LOW_DISK:
        return Finding(
            "disk", "weaker", f"only {found}", "free some space, or set CORRAL_HOME to a larger disk"
        )
    return Finding("disk", "ok", found)


def _uid(uid: int) -> Finding:
    if uid == os.getuid():
        return Finding(
            "box uid", "broken", f"boxes would run as you (uid {uid})", "set CORRAL_BOX_UID to an unused id"
        )
    try:
        person = pwd.getpwuid(uid).pw_name
    except KeyError:
        return Finding("box uid", "ok", f"{uid}, which no account here has")
    return Finding(
        "box uid", "weaker", f"boxes run as {person} (uid {uid})", "set CORRAL_BOX_UID to an unused id"
    )


def _kernel() -> Finding:
    system = platform.uname()
    if system.system != "Linux":
        return Finding(
            "kernel", "weaker", f"{system.system} {system.release} is not tested", "run Corral on Linux"
        )
    found = f"Linux {system.release} on {system.machine}"
    features = kernel_features(Path("/proc"), system.release)
    have = [name for name, there in features.items() if there]
    lack = [name for name, there in features.items() if not there]
    return Finding(
        "kernel", "ok", f"{found}; has {', '.join(have)}" + (f"; lacks {', '.join(lack)}" if lack else "")
    )


def kernel_features(proc: Path, release: str) -> dict[str, bool]:
    """What of the kernel Corral uses where it is there: each with whether it is.

    `openat2` came with Linux 5.6 (openat2(2)); the others show themselves in /proc.
    """
    numbers = [int(part) for part in re.findall(r"\d+", release)[:2]]
    status = (proc / "self" / "status").read_text()
    filesystems = (proc / "filesystems").read_text().split()
    return {
        "seccomp": "Seccomp:" in status,
        "overlayfs": "overlay" in filesystems,
        "openat2": numbers >= [5, 6],
        "pressure figures": (proc / "pressure").is_dir(),
    }


def _credentials(settings: Settings) -> Finding:
    """The accounts by name; `corral doctor` also says of each whether its key can be had."""
    found = {provider: settings.accounts_of(provider) for provider in PROVIDERS}
    words = [
        f"{provider}: {', '.join(f'{one.name} ({_source(one)})' for one in accounts)}"
        for provider, accounts in found.items()
        if accounts
    ]
    if not words:
        none = "none is set: only scripts can play the model"
        return Finding(
            "credentials", "ok", none, f"set ANTHROPIC_API_KEY, or list accounts in {settings.config}"
        )
    unused = settings.unused_variables
    note = f"; {' and '.join(unused)} not used, since {settings.config} lists accounts" if unused else ""
    return Finding("credentials", "ok", "; ".join(words) + note)


def _detached(environment: Mapping[str, str]) -> Finding:
    """What `corral run --detach` rests on here, and whether such runs come back after a reboot."""
    name = "detached runs"
    if units.manager(Path.home(), environment) is None:
        found = "under a process of Corral's own (no user's systemd answers here)"
        return Finding(name, "ok", f"{found}; after a reboot, `corral resume` goes on with them")
    user = getpass.getuser()
    if units.lingers(user):
        return Finding(name, "ok", "under your systemd; they come back after a reboot (you linger)")
    found = "under your systemd; they come back after a reboot once you log in"
    return Finding(name, "ok", found, f"`loginctl enable-linger {user}`, and they come back without you")


def _source(account: ProviderAccount) -> str:
    return "no credential" if account.source is None else str(account.source)


def _certificates(settings: Settings) -> Finding:
    bundle = settings.ca_bundle
    if bundle is None:
        return Finding("certificates", "ok", "the images' own")
    if not bundle.is_file():
        return Finding(
            "certificates", "broken", f"there is no file {bundle}", "set CORRAL_CA_BUNDLE to a PEM file"
        )
    return Finding("certificates", "ok", f"builds also get {bundle}")
