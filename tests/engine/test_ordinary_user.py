"""An ordinary member of the `docker` group gets the same promises as root, without any right of its own."""

from __future__ import annotations

import grp
import json
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from runner import names
from runner.sandbox.engine import Engine
from tests.support import IDENTITY, QUICK, Done, picture, tree_hashes

CHECKOUT = Path(__file__).parents[2]
SYSTEM_PYTHON = Path("/usr/bin/python3")
ASK = """
import http.client, json, os, socket
class Gateway(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["CORRAL_GATEWAY_SOCKET"])
tools = [{"name": "t", "input_schema": {"type": "object"}}]
said = [{"role": "user", "content": "hello"}]
question = {"model": "m", "max_tokens": 99, "tools": tools, "messages": said}
port = int(os.environ["ANTHROPIC_BASE_URL"].rpartition(":")[2])
for number, way in enumerate((Gateway("gateway"), http.client.HTTPConnection("127.0.0.1", port))):
    way.request("POST", "/v1/messages", json.dumps(question), {"content-type": "application/json"})
    answer = json.load(way.getresponse())
    open(f"answer{number}", "w").write(answer["content"][0]["text"])
"""
TASKS: dict[str, dict[str, object]] = {
    "accepted": {
        "sh": "mkdir -p d/e; echo x > d/e/x; chmod 700 d; git add -A; git commit -qm x; umask 077; touch y",
        "check": "test -f d/e/x && test -f y && touch d/by-the-check",
    },
    "timeout": {"sh": "touch good; while :; do :; done", "check": "test -f good", "limits": {"time": "4s"}},
    "salvaged": {"sh": "git checkout -q --orphan x; touch lost; git commit -qm x --allow-empty"},
    "writes": {
        "sh": """cd $CORRAL_MAIL/out; ln -s /etc/passwd trap.json; touch "a b.json"
        echo '{"to": "reads", "type": "note", "payload": "hello"}' > 1.part
        chmod 400 1.part; mv 1.part 1.json
        until [ "$(ls ../in | wc -l)" = 2 ]; do sleep 0.2; done; cat ../in/*.json > /workspace/got""",
        "mail": True,
    },
    "reads": {
        "sh": "until cat $CORRAL_MAIL/in/*.json > /tmp/got; do sleep 0.2; done 2>/dev/null; cp /tmp/got got",
        "mail": True,
    },
    "asks-a-model": {"sh": f"python3 -c '{ASK}'", "check": "grep -q 'script says' answer0 answer1"},
}


@dataclass(frozen=True)
class User:
    """A fresh user, and how to run the command as that user."""

    name: str
    home: Path
    python: str = sys.executable

    def do(self, *argv: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program with the rights of this user: its own groups, no capability."""
        account = pwd.getpwnam(self.name)
        return subprocess.run(
            argv,
            check=False,
            capture_output=True,
            text=True,
            input=stdin,
            cwd=self.home,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[grp.getgrnam("docker").gr_gid],
            env={
                **IDENTITY,
                "HOME": str(self.home),
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "CORRAL_HOME": str(self.home / "state"),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            timeout=300,
        )

    def corral(self, *arguments: str) -> Done:
        """Run the command."""
        done = self.do(self.python, "-m", "runner", *arguments)
        return Done(done.returncode, done.stdout, done.stderr)

    def git(self, *arguments: str) -> str:
        """Run git in the user's repository."""
        done = self.do("git", "-C", str(self.home / "repo"), *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    """A member of the `docker` group who owns a HOME that nobody else may enter; gone afterwards."""
    if os.getuid() != 0 or not shutil.which("useradd"):
        pytest.skip("only root can make a user for the test")
    try:
        grp.getgrnam("docker")
    except KeyError:
        pytest.skip("there is no group `docker` here")
    name = f"corral-test-{secrets.token_hex(3)}"
    home = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    subprocess.run(
        ["useradd", "--no-create-home", "--home-dir", home, "--groups", "docker", name], check=True
    )
    try:
        shutil.chown(home, name, name)
        yield _with_interpreter(User(name, home))
    finally:
        subprocess.run(["userdel", name], check=True)
        shutil.rmtree(home)


def _with_interpreter(user: User) -> User:
    """The user with an interpreter that it may execute and that finds all modules."""
    if _works(replace(user, python=sys.executable)):
        return replace(user, python=sys.executable)
    packages = Path(sysconfig.get_path("purelib"))
    if _works(_with_environment(user, packages, CHECKOUT)):
        return replace(user, python=_environment(user))
    copies = user.home / "copies"
    shutil.copytree(packages, copies / "packages", symlinks=True)
    for folder in ("runner", "images"):
        shutil.copytree(CHECKOUT / folder, copies / folder)
    subprocess.run(["chmod", "-R", "a+rX", copies], check=True)
    if _works(_with_environment(user, copies / "packages", copies)):
        return replace(user, python=_environment(user))
    pytest.skip(f"{SYSTEM_PYTHON} can't run this version's dependencies")


def _environment(user: User) -> str:
    return str(user.home / "venv" / "bin" / "python")


def _with_environment(user: User, *folders: Path) -> User:
    """The user with a virtual environment of its own that borrows the modules in these folders."""
    made = user.do(str(SYSTEM_PYTHON), "-m", "venv", "--clear", "--without-pip", str(user.home / "venv"))
    assert made.returncode == 0, made.stderr
    (place,) = (user.home / "venv" / "lib").glob("python*/site-packages")
    (place / "borrowed.pth").write_text("".join(f"{folder}\n" for folder in folders))
    return replace(user, python=_environment(user))


def _works(user: User) -> bool:
    try:
        return user.do(user.python, "-m", "runner", "--version").returncode == 0
    except OSError:
        return False


@dataclass(frozen=True)
class Night:
    """A run of all tasks by that user, and what was there before."""

    user: User
    done: Done
    before: dict[str, str]


@pytest.fixture(scope="module")
def night(user: User) -> Iterator[Night]:
    repo, state = user.home / "repo", user.home / "state"
    assert user.do("git", "init", "-q", "--initial-branch=main", str(repo)).returncode == 0
    user.do("sh", "-c", "echo one > repo/a.txt")
    user.git("add", "--all")
    user.git("commit", "-qm", "first")
    user.do("sh", "-c", "cat > script.yaml", stdin="turns: [{text: the script says hello}]\n")
    user.do("sh", "-c", "cat > tasks.yaml", stdin=yaml.safe_dump(_task_file(repo)))
    before, things = _kept(repo), picture(state)
    done = user.corral("run", str(user.home / "tasks.yaml"), "--json")
    yield Night(user, done, before)
    assert picture(state).since(things) == []


def _task_file(repo: Path) -> dict[str, object]:
    tasks = {name: dict(keys) for name, keys in TASKS.items()}
    return {
        "repo": str(repo),
        "limits": QUICK,
        "upstream": "script:script.yaml",
        "agents": {f"do-{name}": {"cli": "command", "run": keys.pop("sh")} for name, keys in tasks.items()},
        "tasks": [{"id": name, "agent": f"do-{name}", **keys} for name, keys in tasks.items()],
    }


def _kept(repo: Path) -> dict[str, str]:
    """What no run may change."""
    return tree_hashes(repo, skip=(".git/objects/", ".git/refs/heads/corral/"))


def test_the_user_is_an_ordinary_one(user: User) -> None:
    assert user.do("id", "-u").stdout != "0\n"
    assert user.do("test", "-r", "/etc/shadow").returncode != 0
    assert user.do("sh", "-c", "grep CapEff /proc/self/status").stdout.split()[1] == "0" * 16


def test_every_task_has_its_verdict(night: Night) -> None:
    assert night.done.verdicts == {
        "accepted": "accepted",
        "timeout": "timeout",
        "salvaged": "done",
        "writes": "done",
        "reads": "done",
        "asks-a-model": "accepted",
    }, night.done.err


def test_work_comes_home(night: Night) -> None:
    assert (
        night.user.git("diff", "--name-only", "main", night.done.attempt("accepted")["branch"]) == "d/e/x\ny"
    )
    late = night.done.attempt("timeout")
    assert (late["work"], late["check"]) == ("gathered", "passed")
    assert night.user.git("diff", "--name-only", "main", late["branch"]) == "good"


def test_the_gateway_answers_through_the_socket_and_through_the_loopback_port(night: Night) -> None:
    branch = night.done.attempt("asks-a-model")["branch"]
    for number in (0, 1):
        assert night.user.git("show", f"{branch}:answer{number}") == "the script says hello"
    assert night.done.attempt("asks-a-model")["requests"] == 2


def test_mail_is_read_where_only_the_engine_can_look(night: Night) -> None:
    got = night.user.git("show", f"{night.done.attempt('reads')['branch']}:got")
    assert (json.loads(got)["from"], json.loads(got)["payload"]) == ("writes", "hello")
    refused = night.user.git("show", f"{night.done.attempt('writes')['branch']}:got")
    assert "it is not a plain file" in refused
    assert "a message's file is named like" in refused


def test_branches_and_objects_belong_to_the_user_and_the_rest_is_as_it_was(night: Night) -> None:
    uid = pwd.getpwnam(night.user.name).pw_uid
    repo = night.user.home / "repo"
    assert {path.lstat().st_uid for path in repo.rglob("*")} == {uid}
    assert _kept(repo) == night.before
    assert night.user.git("fsck", "--strict", "--no-dangling") == ""
    assert night.user.git("worktree", "list").count("\n") == 0


def test_nothing_that_the_boxes_wrote_is_left(night: Night) -> None:
    uid = pwd.getpwnam(night.user.name).pw_uid
    state = night.user.home / "state"
    for folder in ("w", "q", "s"):
        assert not list((state / folder).glob("*")), folder
    foreign = [path for path in state.rglob("*") if path.lstat().st_uid != uid]
    assert foreign == []
    with Engine({}) as engine:
        assert engine.find(names.label_filters(names.home_id(str(state)))) == []


def test_what_boxes_used_is_known_without_rights(night: Night) -> None:
    used = night.done.attempt("timeout")["used"]
    assert used["cpu_seconds"] > 0
    assert used["peak_working_set"] > 0
    assert used["most_pids"] >= 1
    assert 0 < used["disk_used"] < 10 * 2**30
    shown = night.user.corral("top", "--once")
    assert (shown.code, "no box lives" in shown.out) == (0, True), shown.err


def test_kept_files_are_the_users_own(night: Night) -> None:
    kept = night.done.attempt("salvaged")["kept"]
    listed = night.user.do("tar", "-tzf", kept)
    assert (listed.returncode, "lost" in listed.stdout) == (0, True), listed.stderr


@pytest.mark.parametrize("command", [("doctor",), ("status",), ("report",), ("diff", "accepted"), ("reap",)])
def test_other_commands_work_too(night: Night, command: tuple[str, ...]) -> None:
    done = night.user.corral(*command)
    assert done.code == 0, done.err or done.out
    assert "Traceback" not in done.err
