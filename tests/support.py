"""Real parts for tests: repositories, the command itself, and a picture of what a host holds."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import psutil
import yaml

from runner import names
from runner.sandbox.engine import Engine
from runner.supervisor.journal import Journal
from runner.supervisor.state import RunState, fold

CORRAL = [sys.executable, "-m", "runner"]
IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Test"), ("EMAIL", "test@example.invalid"), ("DATE", "1700000000 +0000"))
}
QUICK = {"cpus": 1, "memory": "256MiB", "pids": 128, "time": "60s", "idle": "30s"}

PROMPT = {"infrastructure": 1, "pause": "1s"}
"""Retries for which no test has to wait long."""


def git(folder: Path, *arguments: str, stdin: str | None = None) -> str:
    """Run git as a user would, without the machine's own configuration."""
    environment = {**os.environ, **IDENTITY, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        text=True,
        input=stdin,
        env=environment,
    )
    return done.stdout.strip()


def make_repo(folder: Path, files: Mapping[str, str] | None = None) -> Path:
    """A repository with one commit on `main`."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch=main", "--template=")
    for name, text in (files or {"a.txt": "one\n"}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=first")
    return folder


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail if what is done here takes more time of a processor than this, its ended children's included.

    The time on a clock would tell how busy the host is; what never ends is the test's own timeout's.
    """
    began = processor_seconds()
    yield
    used = processor_seconds() - began
    assert used < seconds, f"{used:.1f} s of processor time"


def processor_seconds() -> float:
    """What this process, and the children that it waited for, used of the processors until now."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@dataclass(frozen=True)
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output as JSON."""
        return json.loads(self.out)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its standard output as one JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def summary(self) -> dict[str, Any]:
        """The run's summary: the last event."""
        assert self.events, self.err
        return self.events[-1]

    @property
    def verdicts(self) -> dict[str, str]:
        """Verdict by `TASK` (last try wins)."""
        return {row["task"]: row["verdict"] for row in self.summary["attempts"]}

    def attempt(self, task: str) -> dict[str, Any]:
        """The summary row of a task's last attempt."""
        rows: list[dict[str, Any]] = [row for row in self.summary["attempts"] if row["task"] == task]
        return rows[-1]


@dataclass
class Corral:
    """The command with a state directory of its own, run as a process of its own, as a user does."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    """Words put before the command, such as a tracer's."""
    program: tuple[str, ...] = tuple(CORRAL)

    @property
    def environment(self) -> dict[str, str]:
        """The environment that the command gets: no credential of the machine's."""
        ours = ("ANTHROPIC_", "CLAUDE_", "OPENAI_", "GEMINI_", "GOOGLE_")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        return {**kept, "CORRAL_HOME": str(self.home), "CORRAL_CONFIG": os.devnull, **self.env}

    def __call__(self, *arguments: str | Path, cwd: Path | None = None, timeout: float = 300) -> Done:
        """Run the command to its end."""
        done = subprocess.run(
            [*self.before, *self.program, *map(str, arguments)],
            check=False,
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=cwd,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path, cwd: Path | None = None) -> subprocess.Popen[str]:
        """Start the command in a process group of its own; the caller ends it."""
        return subprocess.Popen(
            [*self.before, *self.program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=self.environment,
            cwd=cwd,
            start_new_session=True,
        )

    def run(self, repo: Path, tasks: Mapping[str, Any], *options: str, **top: Any) -> Done:
        """Run commands as tasks: `{task id: shell text or task keys}`; `run --json`."""
        file = write_tasks(self.home.parent / f"tasks-{len(tasks)}.yaml", repo, tasks, **top)
        return self("run", file, "--json", *options)


def printed(home: Path, task: str) -> str:
    """What the agents of a task have printed until now.

    Like `states`, it starts no command: who asks again and again would keep a core busy with starts.
    """
    files = sorted(home.glob(f"runs/*/logs/{task}+*.log"))
    return "".join(file.read_text(errors="replace") for file in files if file.suffixes == [".log"])


def states(home: Path) -> list[RunState]:
    """How the runs of a state directory stand."""
    file = home / "journal.db"
    if not file.exists():
        return []
    with Journal(file) as journal:
        return [fold((row.run, row.event) for row in journal.events(run)) for run in journal.runs()]


def write_tasks(file: Path, repo: Path, tasks: Mapping[str, Any], **top: Any) -> Path:
    """A task file in which each task has a command profile of its own.

    A task is a shell text, or a mapping of task keys with the shell text under `sh`. Its checks are not run
    on the base unless it says so: most tests ask something else, and a container is a second.
    """
    agents: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for name, given in tasks.items():
        keys = {"sh": given} if isinstance(given, str) else dict(given)
        agents[f"do-{name}"] = {"cli": "command", "run": keys.pop("sh")}
        base = {"check_base": False} if "check" in keys else {}
        rows.append({"id": name, "agent": f"do-{name}", **base, **keys})
    given = {"repo": str(repo), "limits": QUICK, "retry": PROMPT}
    text = {**given, "agents": agents, "tasks": rows, **top}
    file.write_text(yaml.safe_dump(text, sort_keys=False, allow_unicode=True))
    return file


@dataclass(frozen=True)
class Picture:
    """What a host holds that a run could leave behind, besides containers of other people."""

    containers: frozenset[str]
    volumes: frozenset[str]
    networks: frozenset[str]
    mounts: frozenset[str]
    loops: frozenset[str]
    processes: frozenset[int]

    def since(self, before: Picture) -> list[str]:
        """What is there now and was not before."""
        kinds = (field.name for field in fields(self))
        return [f"{k} {new}" for k in kinds for new in sorted(getattr(self, k) - getattr(before, k))]


def picture(home: Path) -> Picture:
    """What is there now of the state directory `home`, and of things that carry no label."""
    with Engine(dict(os.environ)) as engine:
        ours = engine.find(names.label_filters(names.home_id(str(home))))
        client = engine._client  # the engine's own lists, for tests alone
        volumes = frozenset(v.name for v in client.volumes.list() if is_foreign_or_of(home, v.name))
        networks = frozenset(network.name for network in client.networks.list())
    mounts = frozenset(line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines())
    return Picture(
        frozenset(box.name for box in ours),
        volumes,
        networks,
        frozenset(mount for mount in mounts if str(home) in mount or "loop" in mount),
        frozenset(loops_of(home)),
        frozenset(_processes_of(home)),
    )


def tidy(home: Path) -> None:
    """Remove what a failed test left of its state directory: it would take from the others what they need."""
    for process in _processes_of(home):
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(process).kill()
    with Engine(dict(os.environ)) as engine:
        for box in engine.find(names.label_filters(names.home_id(str(home)))):
            engine.remove(box.id)
        for volume in engine._client.volumes.list():
            if names.home_id(str(home)) in volume.name:
                volume.remove(force=True)


def is_foreign_or_of(home: Path, volume: str) -> bool:
    """Whether a volume is not one that Corral made for another state directory."""
    return not volume.startswith("corral-disks-") or names.home_id(str(home)) in volume


def loops_of(home: Path) -> Iterator[str]:
    """Loop devices that hold a disk of an attempt of this state directory.

    The kernel names the file as the mounter sees it, so it is told by the attempt's digits.
    """
    notes = b"".join(file.read_bytes() for file in home.glob("journal.db*"))
    boxes = set(re.findall(r'"box": ?"([0-9a-f]{12})"', notes.decode(errors="replace")))
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # it was let go just now
            backing = file.read_text().strip()
            if any(f"/{box}/" in backing for box in boxes):
                yield backing


def _processes_of(home: Path) -> list[int]:
    """Processes whose command line names the state directory: the gateway."""
    return [
        process.info["pid"]
        for process in psutil.process_iter(["pid", "cmdline"])
        if process.info["pid"] != os.getpid() and str(home) in " ".join(process.info["cmdline"] or [])
    ]


def tree_hashes(folder: Path, skip: tuple[str, ...] = ()) -> dict[str, str]:
    """Path and content hash of every file below a folder, links as their target; `skip` are prefixes."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.startswith(skip) or (path.is_dir() and not path.is_symlink()):
            continue
        content = bytes(path.readlink()) if path.is_symlink() else path.read_bytes()
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def host_git_hashes(repo: Path) -> dict[str, str]:
    """The part of a repository, and its work tree, that no run may change."""
    git_dir = ".git/" if (repo / ".git").is_dir() else ""
    return tree_hashes(repo, skip=(f"{git_dir}objects/", f"{git_dir}refs/heads/corral/"))
