"""From what was seen to findings: which promises hold, which are weaker here, which are broken. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from runner.sandbox.disks import WATCHED, Rung
from runner.sandbox.facts import EngineFacts
from runner.selfcheck.promises import BY_NAME, PROMISES
from runner.supervisor.host.doctor import Finding, lacks

REFUSED = {"EPERM", "EACCES", "ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT"}
"""What a call that a box may not make, or that the kernel doesn't have, fails with."""

FEWEST_CALLS = 5
"""So many system calls are known on every machine; on a machine of ours it is three times as many."""

CLEARED = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
READ_ONLY = ("root/", "root/etc", "root/usr", "root/opt/corral", "root/base", "root.sysctl")
PLACES = ("mount./workspace", "mount./gitdir", "mount./home/agent")
MASK_TRIES = ("write", "chmod", "unmount", "cover", "replace", "move", "remove")

ROUNDING = 1.25
"""A file system has somewhat more files than it was asked for: e2fsprogs fills up its groups of inodes."""


class Facts(dict[str, str]):
    """What a probe said, `KEY VALUE` a line."""

    @classmethod
    def parse(cls, text: str) -> Facts:
        """The facts in what a probe printed; other lines are left out."""
        pairs = (line.split(" ", 1) for line in text.splitlines())
        return cls({pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2})


@dataclass(frozen=True)
class Given:
    """What a probe's box was given: bytes and files of disk, processes, and its user."""

    disk: int
    files: int
    pids: int
    uid: int


Rule = Callable[[Facts, Given], Iterator[str]]


def _git_mask(facts: Facts, _: Given) -> Iterator[str]:
    yield from (f"a box could {way} it" for way in MASK_TRIES if facts[f"mask.{way}"] == "done")
    if facts["mask.says"] != "gitdir: /gitdir":
        yield f"it says {facts['mask.says'][:60]!r}"


def _base_store(facts: Facts, _: Given) -> Iterator[str]:
    if facts["base.base"] != "there":
        raise KeyError("its base commit")
    if facts["base.secret"] != "absent" or facts["base.listed"] == "secret":
        yield "a commit of another branch is in the box"
    if facts["base.refs"] != "0":
        yield f"{facts['base.refs']} refs of the repository are in the box"


def _system_calls(facts: Facts, _: Given) -> Iterator[str]:
    if int(facts["calls.known"]) < FEWEST_CALLS:
        raise KeyError("any system calls")
    if facts["status.Seccomp"] != "2":
        yield "no filter of system calls is in force"
    for name, answer in facts.items():
        if name.startswith(("call.", "socket.")) and answer not in REFUSED:
            yield f"{name.partition('.')[2]} is let through ({answer})"


def _privileges(facts: Facts, given: Given) -> Iterator[str]:
    yield from (
        f"{name} is {facts[f'status.{name}']}" for name in CLEARED if int(facts[f"status.{name}"], 16)
    )
    if facts["status.NoNewPrivs"] != "1":
        yield "programs can gain privileges"
    if set(facts["status.Uid"].split()) != {str(given.uid)}:
        yield f"it runs as uid {facts['status.Uid']}"
    yield from (f"{name[4:]} can be written" for name in READ_ONLY if facts[name] == "done")


def _disk_bytes(facts: Facts, given: Given) -> Iterator[str]:
    if int(facts["disk.written"]) == 0:
        raise KeyError("any room")
    if int(facts["disk.written"]) > given.disk:
        yield f"{int(facts['disk.written']) >> 20} MiB were written to a disk of {given.disk >> 20} MiB"


def _disk_files(facts: Facts, given: Given) -> Iterator[str]:
    if int(facts["disk.made"]) == 0:
        raise KeyError("any files")
    if int(facts["disk.made"]) > given.files * ROUNDING:
        yield f"{facts['disk.made']} files were made on a disk for {given.files}"


def _setuid(facts: Facts, _: Given) -> Iterator[str]:
    for place in PLACES:
        lacks = {"nosuid", "nodev"} - set(facts[place].split(","))
        if lacks:
            yield f"{place.partition('.')[2]} is mounted without {' and '.join(sorted(lacks))}"


def _processes(facts: Facts, given: Given) -> Iterator[str]:
    if int(facts["processes.made"]) == 0:
        raise KeyError("any processes")
    if int(facts["processes.made"]) > given.pids:
        yield f"{facts['processes.made']} processes where {given.pids} may be"


def _network(facts: Facts, _: Given) -> Iterator[str]:
    if facts["network.up"] != "none":
        yield f"it has the network interfaces {facts['network.up']}"
    if facts["network.routes"] != "0" or facts["network.connect"] == "done":
        yield "it has a route to elsewhere"
    if facts["network.engines"] != "none":
        yield f"{facts['network.engines']} is in the box"


RULES: dict[str, Rule] = {
    "git-mask": _git_mask,
    "base-store": _base_store,
    "system-calls": _system_calls,
    "privileges": _privileges,
    "disk-bytes": _disk_bytes,
    "disk-files": _disk_files,
    "setuid": _setuid,
    "processes": _processes,
    "network": _network,
}
"""What a probe's facts decide. A rule tells what breaks its promise; KeyError names what it misses."""

Seen = Mapping[str, tuple[str, ...]]
"""By promise, what was seen that breaks it; nothing where it holds."""


def judge_probe(facts: Facts, given: Given) -> dict[str, tuple[str, ...]]:
    """What a probe's facts say of the promises that it tests."""
    return {name: _apply(rule, facts, given) for name, rule in RULES.items()}


def _apply(rule: Rule, facts: Facts, given: Given) -> tuple[str, ...]:
    try:
        return tuple(rule(facts, given))
    except (KeyError, ValueError) as missing:
        return (untested(f"the box did not show {str(missing.args[0])[:60]}"),)


_UNTESTED = "could not be tested: "


def untested(why: str) -> str:
    """How it is said that a promise could not be tested: that counts as broken."""
    return f"{_UNTESTED}{why}"


def lacking(engine: EngineFacts, rung: Rung) -> dict[str, str]:
    """The promises that this platform can't keep, each with the part that it lacks."""
    disks = dict.fromkeys(("disk-bytes", "disk-files", "setuid"), WATCHED) if rung == "watched" else {}
    return {**lacks(engine), **disks}


def findings(seen: Seen, missing: Mapping[str, str]) -> tuple[Finding, ...]:
    """One finding for each promise that was looked at, in the promises' own order."""
    return tuple(
        _finding(promise.name, seen[promise.name], missing.get(promise.name))
        for promise in PROMISES
        if promise.name in seen
    )


def _finding(name: str, seen: tuple[str, ...], lack: str | None) -> Finding:
    promise = BY_NAME[name]
    if lack is not None:
        return Finding(name, "weaker", lack, promise.cure)
    if seen:
        more = f" (and {len(seen) - 3} more)" if len(seen) > 3 else ""
        unknown = all(words.startswith(_UNTESTED) for words in seen)
        cure = "`corral doctor` says what is missing here" if unknown else promise.cure
        return Finding(name, "broken", "; ".join(seen[:3]) + more, cure)
    return Finding(name, "ok", promise.says)


def merged(*several: Seen) -> dict[str, tuple[str, ...]]:
    """What was seen in several ways, together."""
    names = dict.fromkeys(name for seen in several for name in seen)
    return {
        name: tuple(dict.fromkeys(words for seen in several for words in seen.get(name, ())))
        for name in names
    }
