"""A night of attacks: scripts as agents in the real command, many in one run, watched from outside."""

from __future__ import annotations

import secrets
import shlex
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import docker
import docker.errors

from runner import names
from tests.attacks import oracle, trace
from tests.attacks.oracle import Seen, Stakes
from tests.support import CORRAL, Corral, Done, git, make_repo, write_tasks

JOBS = 4
FILES = {"a.txt": "one\n", "dir/b.txt": "two\n", ".gitignore": "*.log\n"}


@dataclass(frozen=True)
class Night:
    """One run of attacks, and all that was seen of it."""

    corral: Corral
    done: Done
    seen: Seen

    @property
    def stakes(self) -> Stakes:
        """What was at stake."""
        return self.seen.stakes

    @property
    def repo(self) -> Path:
        """The user's repository."""
        return self.stakes.repo

    def row(self, task: str) -> dict[str, Any]:
        """The summary's row of a task."""
        return self.done.attempt(task)

    def words(self, task: str) -> str:
        """What is said of a task: its reason and its flags."""
        row = self.row(task)
        return " | ".join((row["reason"] or "", *row["flags"]))

    def log(self, task: str) -> str:
        """What the task's agent printed."""
        return self.seen.texts[f"the log of {task}"]

    def files(self, task: str) -> dict[str, str]:
        """The files of a task's branch that its base lacks or has otherwise, and how: A, M, D or T."""
        row = self.row(task)
        assert row["branch"], row
        rows = git(self.repo, "diff", "--name-status", "--no-renames", "-z", row["base"], row["branch"])
        parts = rows.split("\0")
        return dict(zip(parts[1::2], parts[0::2], strict=False))

    def content(self, task: str, file: str) -> str:
        """A file of a task's branch."""
        return git(self.repo, "cat-file", "blob", f"{self.row(task)['branch']}:{file}")

    def events(self, task: str) -> list[dict[str, Any]]:
        """The events of a task's attempts."""
        return [e for e in self.done.events if e.get("attempt", "").startswith(f"{task}/")]


@dataclass
class _Heard:
    containers: dict[str, dict[str, Any]] = field(default_factory=dict)


@contextmanager
def listening(stakes: Stakes) -> Iterator[_Heard]:
    """Inspect each container of this night at the moment it starts."""
    heard = _Heard()
    label = f"{names.LABEL_HOME}={names.home_id(str(stakes.home))}"
    client = docker.from_env()
    events = client.events(decode=True, filters={"type": "container", "event": "start", "label": [label]})

    def note() -> None:
        for event in events:
            try:
                heard.containers[event["id"]] = client.api.inspect_container(event["id"])
            except docker.errors.NotFound:  # it is gone already
                continue

    thread = threading.Thread(target=note, name="engine events")
    thread.start()
    try:
        yield heard
    finally:
        events.close()
        thread.join(timeout=10)
        client.close()


def stakes(folder: Path) -> Stakes:
    """Lay out a host: a repository with a secret branch, a HOME, and a directory beside."""
    made = Stakes(folder, key=f"sk-ant-canary-{secrets.token_hex(12)}")
    made.user_home.mkdir(parents=True)
    for name in (".bashrc", ".gitconfig", ".profile"):
        (made.user_home / name).write_text("# the user's own\n")
    made.outside.mkdir()
    (made.outside / "secret").write_text("a secret of the host\n")
    make_repo(made.repo, FILES)
    (made.repo / "c.txt").write_text("three\n")
    git(made.repo, "add", "--all")
    git(made.repo, "commit", "--quiet", "--message=second")
    git(made.repo, "checkout", "--quiet", "-b", "secret")
    (made.repo / "secret.txt").write_text("a secret of another branch\n")
    git(made.repo, "add", "--all")
    git(made.repo, "commit", "--quiet", "--message=secret")
    git(made.repo, "checkout", "--quiet", "main")
    return made


def corral(at: Stakes, env: Mapping[str, str] | None = None) -> Corral:
    """The command, with the canary as its credential, and traced where that can be done.

    The service that the credential is for doesn't exist unless `env` names another.
    """
    before = trace.prefix(at.folder / "trace") if trace.works() else ()
    own = {"HOME": str(at.user_home), "ANTHROPIC_API_KEY": at.key, "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}
    return Corral(at.home, {**own, **(env or {})}, before)


def night(
    at: Stakes,
    attacks: Mapping[str, Any],
    *,
    env: Mapping[str, str] | None = None,
    after: Callable[[Corral], dict[str, str]] = lambda _: {},
    program: tuple[str, ...] = tuple(CORRAL),
    jobs: int = JOBS,
    **top: Any,
) -> Night:
    """Run attacks side by side in one run, and look at the host before and after it.

    Args:
        at: The host.
        attacks: Shell text or task keys (with the shell text under `sh`) by task.
        env: More of the command's environment.
        after: Called after the run with the command, for commands that look at the run; what it returns is
            searched for the key like all that is printed.
        program: The command's first words.
        jobs: How many of them at once.
        top: More keys of the task file.
    """
    command = replace(corral(at, env), program=program)
    file = write_tasks(at.folder / "corral.yaml", at.repo, attacks, **top)
    before = oracle.look(at)
    with listening(at) as heard:
        done = command("run", file, "--json", "--jobs", str(jobs), timeout=500)
        assert done.out, done.err
        texts = {"standard output": done.out, "standard error": done.err, **after(command)}
    for task in attacks:
        log = at.home / "runs" / str(done.summary["run"]) / "logs"
        texts[f"the log of {task}"] = "".join(
            file.read_text(errors="replace") for file in sorted(log.glob(f"{task}+*.log"))
        )
    started = trace.read(at.folder / "trace") if trace.works() else None
    seen = Seen(at, done.summary["run"], before, oracle.look(at), texts, started, heard.containers)
    return Night(command, done, seen)


def script(name: str, **values: object) -> str:
    """Shell text that runs a program of `scripts/` in a box; values are given to it as variables."""
    text = (Path(__file__).parent / "scripts" / name).read_text()
    told = "".join(f"{key}={shlex.quote(str(value))} " for key, value in values.items())
    return f"{told}python3 - <<'END_OF_PROGRAM'\n{text}\nEND_OF_PROGRAM\n"
