"""Attacks that once got through: each got in by a way that no other test goes."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from runner import names
from tests.engine.living import living
from tests.support import Corral, git, make_repo, write_tasks

pytestmark = pytest.mark.engine

FILES = {
    "a.txt": "one\n",
    "tests/cases.txt": "1 2\n",
    "tests/check.sh": "exit 1\n",
    ".gitignore": "*.env\n",
}
CASES = "while read -r a b; do exit 1; done < tests/cases.txt; exit 0"
OTHER_ENCODING = """
printf 'tests/*.txt text working-tree-encoding=IBM037\\n' > .gitattributes
git add .gitattributes && git commit -qm x && rm tests/cases.txt && git checkout -q tests
"""
LINE_ENDS = "echo '* text eol=crlf' > .gitattributes; git add .gitattributes; git commit -qm x"
OVER_THE_TEST = "ln -s tests/check.sh my.env; git add -f my.env; git commit -qm x"
GROWS_ELSEWHERE = """
yes '' | head -c 45000000 > f; cp f g; git add -A; git commit -qm x
echo '* text eol=crlf' > .gitattributes; git add .gitattributes; git commit -qm y
"""
LONG_NAME = """
base=$(git rev-parse HEAD) name=$(printf 'a%.0s' $(seq 300)) file=$(echo hi | git hash-object -w --stdin)
tree=$( (git ls-tree HEAD; printf "100644 blob $file\\t$name\\n") | git mktree)
git update-ref HEAD $(echo x | git commit-tree $tree -p $base)
deep=.; for level in $(seq 70); do deep=$deep/d; done; mkdir -p $deep; echo > $deep/f
"""
CAPITALS = """
echo x > new; git add -A; git commit -qm x
parent=$(git rev-parse HEAD^ | tr a-f A-F)
git cat-file commit HEAD | sed "s/^parent .*/parent $parent/" > /tmp/commit
git reset -q --hard $(git hash-object -t commit -w /tmp/commit)
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with a protected test that fails, and an ignored file to be included."""
    made = make_repo(tmp_path / "repo", FILES)
    (made / "my.env").write_text("DEBUG=1\n")
    return made


@pytest.mark.parametrize("history", ["full", "none"])
def test_protected_paths_are_what_they_were(corral: Corral, repo: Path, history: str) -> None:
    """Neither attributes of the work's own nor a link where a file is laid over them changes them."""
    line_ends = "test $(wc -c < tests/check.sh) = 7"
    tasks = {
        "encoding": {"sh": OTHER_ENCODING, "check": CASES},
        "line-ends": {"sh": LINE_ENDS, "check": line_ends},
        "link": {"sh": OVER_THE_TEST, "check": "sh tests/check.sh"},
        "edits": {"sh": "echo exit 0 > tests/check.sh", "check": line_ends},
    }
    protected = {name: {**task, "protect": ["tests/", "more"]} for name, task in tasks.items()}
    done = corral.run(repo, protected, "--jobs", "3", include=["my.env"], history=history)
    assert done.verdicts == {
        "encoding": "rejected",
        "line-ends": "accepted",
        "link": "rejected",
        "edits": "accepted",
    }
    said = "protected path 'tests/' is changed in the branch; the check saw it as in the base"
    assert [task for task in tasks if said in done.attempt(task)["flags"]] == ["edits"]


def test_work_that_cannot_be_checked_out_is_not_our_fault(corral: Corral, repo: Path) -> None:
    """An agent that makes its own check impossible gets no second try; the run is not said to be broken."""
    small = {"disk": "120MiB", "memory": "512MiB"}
    tasks = {
        "grows": {"sh": GROWS_ELSEWHERE, "check": "true", "limits": small},
        "long": {"sh": LONG_NAME, "check": "true"},
    }
    done = corral.run(repo, tasks, "--jobs", "2")
    assert done.verdicts == {"grows": "rejected", "long": "refused"}
    assert done.code == 1
    assert len(done.summary["attempts"]) == 2
    assert done.attempt("grows")["reason"] == "the work could not be checked out on a disk of `limits.disk`"
    assert done.attempt("long")["reason"] == "a file name longer than 255 bytes"


def test_a_parent_in_capitals_does_not_land_elsewhere(corral: Corral, repo: Path) -> None:
    """What comes home builds on the user's commit, also where the box was given another in its place."""
    done = corral.run(repo, {"t": CAPITALS}, history="none")
    row = done.attempt("t")
    assert row["work"] == "salvaged"
    assert "its history was left out: a malformed commit" in row["flags"]
    assert git(repo, "rev-list", "--parents", row["branch"]).splitlines() == [
        f"{row['commit']} {row['base']}",
        row["base"],
    ]


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"null", b'{"run": 1}', b"\xff\xfe"])
def test_a_broken_note_does_not_stop_the_clearing(corral: Corral, note: bytes) -> None:
    """What a killed process or a failing disk left of a note is cleared away like the rest."""
    (corral.home / "w").mkdir(parents=True)
    (corral.home / "w" / "0123456789ab.json").write_bytes(note)
    reaped = corral("reap")
    assert reaped.code == 0, reaped.err
    assert "a repository that is not known" in reaped.out


def test_a_hidden_history_does_not_show_in_the_names_of_mounts(corral: Corral, repo: Path) -> None:
    """Where a box sees no history, it can't read the commit's id anywhere either."""
    everywhere = "cat /proc/self/mountinfo /proc/1/cmdline /proc/1/environ; env; git log --all --format=%H"
    done = corral.run(repo, {"t": everywhere}, history="none")
    (log,) = (corral.home / "runs" / done.summary["run"] / "logs").iterdir()
    assert git(repo, "rev-parse", "HEAD").encode() not in log.read_bytes()
    assert b"/bases/" in log.read_bytes()


def test_a_killed_process_leaves_no_file(corral: Corral) -> None:
    """The files of a process that died between two steps are found, those of a living run are not."""
    place = corral.home / "w"
    place.mkdir(parents=True)
    disk = place / f".prove-corral-disks-{names.home_id(str(corral.home))}-gone.ext4.part"
    disk.touch()
    (corral.home / "kept").mkdir()
    for archive in ("gone+t+p+1", "reaped+0123456789ab"):
        (corral.home / "kept" / f"{archive}.part").touch()
    (place / "0123456789ab.new").write_text(json.dumps({"run": "gone", "git_dir": "/nowhere"}))
    reaped = corral("reap")
    assert reaped.code == 0, reaped.err
    assert [*place.iterdir(), *(corral.home / "kept").iterdir()] == []


def test_two_clearings_at_once_do_not_hinder_each_other(corral: Corral, repo: Path) -> None:
    """The second waits; else it would take the first one's containers for leftovers."""
    tasks = {
        f"t{number}": "head -c 20000000 /dev/urandom > made; echo begun; sleep 300" for number in range(3)
    }
    file = write_tasks(repo.parent / "t.yaml", repo, tasks)
    with living(corral, "run", file, "--jobs", "3") as run:
        run.until_said("begun", 3)
        run.kill()
    clearing = []
    for _ in range(3):
        clearing.append(corral.start("reap"))
        time.sleep(0.5)
    ended = [(process.communicate(timeout=120), process.returncode) for process in clearing]
    assert [code for _, code in ended] == [0, 0, 0], ended
    assert sorted(path.suffix for path in (corral.home / "kept").iterdir()) == [".gz"] * 3


def test_the_first_command_makes_the_state_directory_private(corral: Corral, repo: Path) -> None:
    """Base stores and included files in it are nobody else's to read."""
    file = write_tasks(repo.parent / "t.yaml", repo, {"t": "true"})
    assert corral("image", "build", file).code == 0
    assert corral.home.stat().st_mode & 0o777 == 0o700


def test_a_base_that_expands_to_billions_of_files_is_refused(corral: Corral, repo: Path) -> None:
    """A branch of another's making can be named as a base; a plan looks at it within bounds."""
    blob = git(repo, "hash-object", "-w", "--stdin", stdin="x")
    tree = git(repo, "mktree", stdin="".join(f"100644 blob {blob}\tf{number}\n" for number in range(10)))
    for _ in range(9):
        tree = git(repo, "mktree", stdin="".join(f"040000 tree {tree}\td{number}\n" for number in range(10)))
    git(repo, "update-ref", "refs/heads/bomb", git(repo, "commit-tree", "-m", "bomb", tree))
    file = write_tasks(repo.parent / "t.yaml", repo, {"t": "true"}, base="bomb")
    small = Corral(corral.home, before=("prlimit", f"--as={2 * 1024**3}:"))
    done = small("plan", file, timeout=60)
    assert done.code == 2
    assert "more than 500000 files" in done.err


def test_a_state_directory_that_is_not_utf8_is_refused(corral: Corral, repo: Path, tmp_path: Path) -> None:
    """The engine takes paths as UTF-8 alone."""
    file = write_tasks(tmp_path / "t.yaml", repo, {"t": "true"})
    done = Corral(tmp_path / "home\udcff")("run", file)
    assert done.code == 2
    assert "not UTF-8" in done.err
    assert not corral.home.exists()
