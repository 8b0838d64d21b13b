"""Files that only checks see: read whole, kept as they were, and nowhere where an agent finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import TaskFileError, UsageError
from runner.supervisor import prepare
from runner.supervisor.attempt import hidden
from tests.support import git, make_repo, write_tasks

TASK = {"t": {"sh": "true", "check": "true", "hidden": "unseen"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "unseen" / "tests").mkdir(parents=True)
    (tmp_path / "unseen" / "tests" / "test_a.py").write_text("assert True\n")
    (tmp_path / "unseen" / "run").write_text("#!/bin/sh\n")
    (tmp_path / "unseen" / "run").chmod(0o700)
    (tmp_path / "unseen" / "__pycache__").mkdir()
    (tmp_path / "unseen" / "__pycache__" / "x.pyc").write_text("left out")
    return tmp_path


def test_they_are_kept_as_they_were_when_the_run_was_planned(folder: Path) -> None:
    file = write_tasks(folder / "t.yaml", make_repo(folder / "repo"), TASK)
    plan = prepare.plan(file, [])
    told = plan.task("t").hidden
    assert told is not None
    hidden.keep(plan, folder / "home")
    (folder / "unseen" / "tests" / "test_a.py").write_text("assert False\n")
    hidden.keep(plan, folder / "home")  # as a resume does
    kept = hidden.place(folder / "home", told)
    assert (kept / "tests" / "test_a.py").read_text() == "assert True\n"
    assert sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*")) == [
        "run",
        "tests",
        "tests/test_a.py",
    ]
    assert ((kept / "run").stat().st_mode & 0o777, (kept / "tests").stat().st_mode & 0o777) == (0o755, 0o755)
    assert prepare.plan(file, []).task("t").hidden != told


def test_what_was_changed_since_is_not_taken_for_what_was_planned(folder: Path) -> None:
    file = write_tasks(folder / "t.yaml", make_repo(folder / "repo"), TASK)
    plan = prepare.plan(file, [])
    (folder / "unseen" / "run").chmod(0o600)
    with pytest.raises(UsageError, match="changed since"):
        hidden.keep(plan, folder / "home")
    assert list((folder / "home").glob("hidden/*")) == []


def refused(folder: Path) -> str:
    with pytest.raises(TaskFileError) as raised:
        prepare.plan(folder / "t.yaml", [])
    (problem,) = raised.value.problems
    assert problem.line is not None
    return problem.message


def test_what_can_t_be_hidden_is_refused(folder: Path) -> None:
    repo = make_repo(folder / "repo")
    write_tasks(folder / "t.yaml", repo, TASK)
    (folder / "unseen" / "link").symlink_to("/etc/passwd")
    assert "not a plain file" in refused(folder)
    (folder / "unseen" / "link").unlink()
    (folder / "unseen" / "dir").symlink_to("/etc")
    assert "is a link" in refused(folder)
    (folder / "unseen" / "dir").unlink()
    (folder / "unseen" / "key").write_text("sk-ant-api03-" + "a" * 90)
    assert "looks like" in refused(folder)
    write_tasks(folder / "t.yaml", repo, {"t": {**TASK["t"], "hidden": "nowhere"}})
    assert "no directory" in refused(folder)
    (folder / "empty").mkdir()
    write_tasks(folder / "t.yaml", repo, {"t": {**TASK["t"], "hidden": "empty"}})
    assert "holds no file" in refused(folder)


def test_a_directory_that_agents_find_in_the_base_is_not_hidden(folder: Path) -> None:
    repo = make_repo(folder / "repo")
    (repo / "seen").mkdir()
    (repo / "seen" / "test_b.py").write_text("x")
    write_tasks(folder / "t.yaml", repo, {"t": {**TASK["t"], "hidden": "repo/seen"}})
    assert prepare.plan(folder / "t.yaml", []).task("t").hidden is not None
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "seen")
    assert "agents find it there" in refused(folder)


def was_committed(repo: Path, path: str, content: str) -> None:
    (repo / path).parent.mkdir(exist_ok=True)
    (repo / path).write_text(content)
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "with it")
    git(repo, "rm", "-q", path)
    git(repo, "commit", "-qm", "without it")


@pytest.mark.parametrize(
    ("hidden_path", "committed", "words"),
    [("repo/seen", "seen/test_old.py", "the history of"), ("unseen", "attic/b.py", "as attic/b.py")],
    ids=["the-directory", "the-file"],
)
def test_what_was_once_committed_is_hidden_from_those_alone_who_have_no_past(
    folder: Path, hidden_path: str, committed: str, words: str
) -> None:
    repo = make_repo(folder / "repo")
    was_committed(repo, committed, "assert True\n")
    (folder / hidden_path).mkdir(exist_ok=True)
    (folder / hidden_path / "test_new.py").write_text("assert 2\n")
    task = {"t": {**TASK["t"], "hidden": hidden_path}}
    write_tasks(folder / "t.yaml", repo, task)
    with pytest.raises(TaskFileError) as raised:
        prepare.plan(folder / "t.yaml", [])
    (problem,) = raised.value.problems
    assert words in problem.message
    assert problem.cure is not None
    assert "history: none" in problem.cure
    for history in ("none", "shallow"):
        write_tasks(folder / "t.yaml", repo, {"t": {**task["t"], "history": history}})
        assert prepare.plan(folder / "t.yaml", []).task("t").hidden is not None


def notes(folder: Path) -> tuple[str, ...]:
    return prepare.plan(folder / "t.yaml", []).notes


TESTS = {
    "a_test.go": "package a\n",
    "src/it/ParserIT.java": "class ParserIT {}\n",
    "e2e/login.js": "it('goes in', () => {})\n",
    "spec/a_spec.rb": "describe A\n",
    "src/lib.rs": "#[test]\nfn a() {}\n",
    "verify/cases.py": "def test_a():\n    f()\n",
}
BESIDE = {
    "tests/data/in.json": "{}\n",
    "tests/README.md": "def test_a():\n",
    "pkg/tests/golden.txt": "1\n",
    "tests/helpers.py": "import f\n",
    "tests/test_data.csv": "1,2\n",
    "tests/deep/conftest.py": "def test_client():\n    return 1\n",
}


@pytest.mark.parametrize(
    ("name", "text", "then", "is_refused"),
    [
        ("tests/test_b.py", "def test_b():\n    f()\n", "def test_b():\r\n    f()\r\n", True),
        ("tests/test_b.py", "def test_b():\r\n    f()\r\n", "def test_b():\n    f()\n", True),
        ("verify.py", "f()\n", "f()\n", True),
        ("tests/conftest.py", "import f\n", "import f\n", False),
        ("data.json", "[1]\n", "[1]\n", False),
        *((name, text, text, True) for name, text in TESTS.items()),
        *((name, text, text, False) for name, text in BESIDE.items()),
    ],
)
def test_tests_alone_are_refused_for_what_was_once_committed(
    folder: Path, name: str, text: str, then: str, *, is_refused: bool
) -> None:
    """With the ends that lines have on Unix or on Windows; what is beside tests is told."""
    repo = make_repo(folder / "repo")
    git(repo, "config", "core.autocrlf", "false")
    (repo / "was").write_bytes(then.encode())
    for words in (
        ("add", "was"),
        ("commit", "-qm", "with it"),
        ("rm", "-q", "was"),
        ("commit", "-qm", "without"),
    ):
        git(repo, *words)
    (folder / "unseen" / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / "unseen" / name).write_bytes(text.encode())
    write_tasks(folder / "t.yaml", repo, {"t": {**TASK["t"], "check": "python3 verify.py"}})
    if is_refused:
        assert f"{name} agents find in the history of" in refused(folder)
    else:
        assert [note for note in notes(folder) if f"{name} agents find in the history" in note]


def test_it_is_told_that_there_were_tests_like_the_hidden_ones(folder: Path) -> None:
    repo = make_repo(folder / "repo")
    write_tasks(folder / "t.yaml", repo, TASK)
    assert not notes(folder)
    was_committed(repo, "tests/test_a.py", "assert False\n")
    (note,) = notes(folder)
    assert "has had a tests/test_a.py, like the hidden" in note
    assert "history: none" in note
    (repo / "tests").mkdir()
    (repo / "tests" / "test_a.py").write_text("assert 0\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "again")
    assert not notes(folder)


def test_it_is_told_of_tests_that_a_merge_alone_left_behind(folder: Path) -> None:
    repo = make_repo(folder / "repo")
    write_tasks(folder / "t.yaml", repo, TASK)
    main = git(repo, "rev-parse", "HEAD")
    (repo / "tests").mkdir()
    (repo / "tests" / "test_a.py").write_text("assert False\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "with it")
    parents = ("-p", main, "-p", git(repo, "rev-parse", "HEAD"))
    merge = git(repo, "commit-tree", f"{main}^{{tree}}", *parents, "-m", "merge")
    git(repo, "reset", "-q", "--hard", merge)
    assert "has had a tests/test_a.py, like the hidden" in notes(folder)[0]


def test_what_only_other_branches_have_is_hidden(folder: Path) -> None:
    repo = make_repo(folder / "repo")
    git(repo, "checkout", "-qb", "fixed")
    (repo / "test_a.py").write_text("assert True\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "fix")
    git(repo, "checkout", "-q", "-")
    file = write_tasks(folder / "t.yaml", repo, TASK)
    assert prepare.plan(file, []).task("t").hidden is not None


def test_later_tests_may_hold_those_that_the_base_has_but_not_these_alone(folder: Path) -> None:
    repo = make_repo(folder / "repo")
    (repo / "test_a.py").write_text("assert True\n")
    (repo / "blank.py").write_text("")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "tests")
    file = write_tasks(folder / "t.yaml", repo, TASK)
    assert prepare.plan(file, []).task("t").hidden is not None
    (folder / "unseen" / "run").write_text("\n")
    assert "all of whose files" in refused(folder)
