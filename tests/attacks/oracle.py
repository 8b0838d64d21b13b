"""What must hold after every night, whatever its attackers did: the common oracle of all attacks.

A `Snapshot` is what a host holds that no box may change. Each promise takes what was `Seen` of a whole
night and says what broke it: nothing, if it holds.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from runner import names
from runner.sandbox.engine import Engine
from tests.attacks.trace import Started
from tests.support import git, host_git_hashes, loops_of, tree_hashes

ETC = ("passwd", "shadow", "group", "hosts", "profile", "bash.bashrc", "crontab", "ld.so.preload", "sudoers")

PROGRAMS = {"git", "prlimit", Path(sys.executable).name, Path(os.path.realpath(sys.executable)).name}
"""All that a supervisor starts on a host: git, under its limits, and the gateway, which is this Python."""


@dataclass(frozen=True)
class Stakes:
    """What is at stake in a night: the places that no box may change, and the credential it may not see.

    Attributes:
        folder: Holds everything of the night.
        key: The canary credential, which Corral is given and no box may ever see.
    """

    folder: Path
    key: str

    @property
    def repo(self) -> Path:
        """The user's repository; its name means something to a shell that should never see it."""
        return self.folder / "a $(touch PWNED-name) `repo`;'s"

    @property
    def home(self) -> Path:
        """Corral's state directory."""
        return self.folder / "home"

    @property
    def user_home(self) -> Path:
        """The user's HOME."""
        return self.folder / "user"

    @property
    def outside(self) -> Path:
        """A directory of the host's that has nothing to do with the night."""
        return self.folder / "outside"

    def mark(self, case: str) -> str:
        """Shell text that leaves the marker of a case if a host runs it; in a box there is no such place."""
        return f"touch '{self.folder}/PWNED-{case}'"


@dataclass(frozen=True)
class Snapshot:
    """What a host holds that no box may change, and what a run could leave behind."""

    repo: dict[str, str]
    places: dict[str, str]
    refs: frozenset[str]
    containers: frozenset[str]
    volumes: frozenset[str]
    networks: frozenset[str]
    mounts: frozenset[str]
    loops: frozenset[str]
    processes: frozenset[str]


def look(stakes: Stakes) -> Snapshot:
    """The host as it is now, as far as it concerns this night: other nights may be under way beside it."""
    ours = names.home_id(str(stakes.home))
    with Engine(dict(os.environ)) as engine:
        api = engine._api  # the engine's own lists, for tests alone
        labelled = {"label": f"{names.LABEL_HOME}={ours}"}
        containers = [row["Id"] for row in api.containers(all=True, filters=labelled)]
        volumes = [row["Name"] for row in api.volumes(filters=labelled)["Volumes"] or []]
        networks = [row["Name"] for row in api.networks() if "corral" in row["Name"]]
    return Snapshot(
        repo=host_git_hashes(stakes.repo),
        places=_places(stakes),
        refs=frozenset(git(stakes.repo, "for-each-ref", "--format=%(refname)").splitlines()),
        containers=frozenset(containers),
        volumes=frozenset(volumes),
        networks=frozenset(networks),
        mounts=frozenset(_lines(Path("/proc/self/mountinfo"), (str(stakes.folder), ours))),
        loops=frozenset(loops_of(stakes.home)),
        processes=frozenset(_processes(stakes)),
    )


def _places(stakes: Stakes) -> dict[str, str]:
    found = {f"{place.name}/{name}": digest for place in (stakes.user_home, stakes.outside)
             for name, digest in tree_hashes(place).items()}  # fmt: skip
    for name in ETC:
        file = Path("/etc") / name
        if file.is_file() and os.access(file, os.R_OK):
            found[str(file)] = hashlib.sha256(_without_users_of_tests(file.read_bytes())).hexdigest()
    return found


def _without_users_of_tests(text: bytes) -> bytes:
    """An account file without the accounts that tests which run beside this one make and remove."""
    return re.sub(rb"^corral-test-.*\n|,?corral-test-[0-9a-f]{6}", b"", text, flags=re.MULTILINE)


def _lines(file: Path, words: tuple[str, ...]) -> Iterator[str]:
    """Mounts, by their device, root and place, that concern one of these words."""
    for line in file.read_text().splitlines():
        if any(word in line for word in words):
            yield " ".join(line.split()[2:5])


def _processes(stakes: Stakes) -> Iterator[str]:
    """Processes that name the night's folder, or carry its key in their environment."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        if process.pid == os.getpid():
            continue
        try:
            words = " ".join(process.info["cmdline"] or [])
            if str(stakes.folder) in words or stakes.key in process.environ().values():
                yield f"{process.pid} {words[:200]}"
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue


@dataclass(frozen=True)
class Seen:
    """A whole night, as it was seen from outside.

    Attributes:
        stakes: What was at stake.
        run: The run's name.
        before: The host before it.
        after: The host after it.
        texts: Everything that was printed, by what printed it.
        started: Every program that was started on the host, or None where that can't be traced.
        containers: What the engine said of each of our containers as it started.
    """

    stakes: Stakes
    run: str
    before: Snapshot
    after: Snapshot
    texts: dict[str, str]
    started: tuple[Started, ...] | None
    containers: dict[str, dict[str, Any]]


def _repository(seen: Seen) -> Iterator[str]:
    """The user's repository is, but for the run's branches, byte by byte what it was."""
    yield from _differences(seen.before.repo, seen.after.repo)


def _host_files(seen: Seen) -> Iterator[str]:
    """HOME, a directory beside, and the system's own files are what they were."""
    yield from _differences(seen.before.places, seen.after.places)


def _differences(before: dict[str, str], after: dict[str, str]) -> Iterator[str]:
    yield from (
        f"{name} was changed, made or removed"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def _refs(seen: Seen) -> Iterator[str]:
    """Refs are only added, and only branches of this run."""
    ours = f"refs/heads/corral/{seen.run}/"
    yield from (f"{ref} is new" for ref in seen.after.refs - seen.before.refs if not ref.startswith(ours))
    yield from (f"{ref} is gone" for ref in seen.before.refs - seen.after.refs)


def _marker(seen: Seen) -> Iterator[str]:
    """Nothing that a box wrote was executed on the host."""
    places = (seen.stakes.folder, seen.stakes.repo, Path.cwd(), Path("/"), Path("/tmp"))  # noqa: S108 - where a host would
    yield from (f"{file} was made" for place in places for file in place.glob("PWNED*"))


def _leftovers(seen: Seen) -> Iterator[str]:
    """Nothing of the night is left: container, volume, network, mount, loop device, process, workspace."""
    for kind in ("containers", "volumes", "networks", "mounts", "loops", "processes"):
        new = getattr(seen.after, kind) - getattr(seen.before, kind)
        yield from (f"{kind}: {name} is left" for name in new)
    for folder in ("w", "q", "s"):
        yield from (f"{folder}/{left.name} is left" for left in (seen.stakes.home / folder).glob("*"))


def _credential(seen: Seen) -> Iterator[str]:
    """The key is in no output, log, journal, archive or branch, and was given to no container."""
    key = seen.stakes.key
    yield from (f"{name} holds the key" for name, text in seen.texts.items() if key in text)
    yield from (f"the container {c['Name']} was given it" for c in seen.containers.values() if key in str(c))
    for file in sorted(seen.stakes.home.rglob("*")):
        if file.is_file() and not file.is_symlink() and key.encode() in file.read_bytes():
            yield f"{file} holds the key"
    objects = git(seen.stakes.repo, "cat-file", "--batch-all-objects", "--batch-check").splitlines()
    wanted = "".join(f"{line.split()[0]}\n" for line in objects)
    if key.encode() in _contents(seen.stakes.repo, wanted):
        yield "an object in the repository holds the key"


def _contents(repo: Path, objects: str) -> bytes:
    """All of these objects' contents, one after the other."""
    return subprocess.run(
        ["git", "-C", str(repo), "cat-file", "--batch"],
        input=objects.encode(),
        capture_output=True,
        check=True,
    ).stdout


def _programs(seen: Seen) -> Iterator[str]:
    """The supervisor started git under its limits and its own gateway, nothing else and no shell."""
    for one in seen.started or ():
        if one.program not in PROGRAMS:
            yield f"{one.program} was started: {one.argv}"


def _directories(seen: Seen) -> Iterator[str]:
    """No program of the supervisor's worked in a directory that a box writes."""
    workspaces = f"{seen.stakes.home}/w/"
    for one in seen.started or ():
        if any(place.startswith(workspaces) for place in one.directories):
            yield f"{one.program} worked in {one.directories}"


def _mounts(seen: Seen) -> Iterator[str]:
    """What a container is given comes from places whose names no box chooses."""
    for found in seen.containers.values():
        for mount in found["Mounts"]:
            place = str(mount["Source"])
            if mount["Type"] == "bind" and not _is_ours(place, seen) and not _is_standing(found):
                yield f"{found['Name']} was given {place}"


def _is_ours(place: str, seen: Seen) -> bool:
    return place.startswith((f"{seen.stakes.home}/", "/var/lib/docker/volumes/corral"))


def _is_standing(found: dict[str, Any]) -> bool:
    """Corral's own containers, in which nothing of a box's runs."""
    return found["Config"]["Labels"].get("corral.role") in {"steward", "mounter"}


def _network(seen: Seen) -> Iterator[str]:
    """No container of ours has a network."""
    for found in seen.containers.values():
        if found["HostConfig"]["NetworkMode"] != "none":
            yield f"{found['Name']} has the network {found['HostConfig']['NetworkMode']}"


PROMISES: dict[str, Callable[[Seen], Iterator[str]]] = {
    "the repository is unchanged": _repository,
    "the host's files are unchanged": _host_files,
    "only branches of the run are new": _refs,
    "nothing of a box ran on the host": _marker,
    "nothing is left behind": _leftovers,
    "the key is nowhere": _credential,
    "only known programs were started": _programs,
    "none of them worked where a box writes": _directories,
    "containers are given our places alone": _mounts,
    "no container has a network": _network,
}


def broken(promise: str, seen: Seen) -> list[str]:
    """What breaks a promise; nothing if it holds."""
    return list(PROMISES[promise](seen))
