"""What is passed on: from real repositories to the files that the next agent reads."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from runner.git.handing import write_bundle, write_diff
from runner.supervisor.attempt import passing
from runner.supervisor.attempt.passing import Passed, Start, last_words, lay_out, words
from runner.tasks.plan import ClaudeSettings, CommandSettings, Passing, Task
from tests.support import git, make_repo

COMMAND = CommandSettings(run=("true",))
ALL: tuple[Passing, ...] = ("summary", "diff", "branch")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with two branches that were made from its base."""
    repo = make_repo(tmp_path / "repo")
    for name in ("one", "two"):
        git(repo, "checkout", "--quiet", "-b", name, "main")
        (repo / name).write_text(f"{name}\n")
        git(repo, "add", "--all")
        git(repo, "commit", "--quiet", f"--message={name}")
    git(repo, "checkout", "--quiet", "main")
    return repo


def passed(repo: Path, name: str, **changed: object) -> Passed:
    base, commit = git(repo, "rev-parse", "main", name).splitlines()
    values: dict[str, object] = {
        "name": f"{name}/p/1",
        "item": None,
        "facts": (("verdict", "accepted"), ("reason", "")),
        "settings": COMMAND,
        "log": repo.parent / f"{name}.log",
        "git_dir": repo / ".git",
        "base": base,
        "commit": commit,
    }
    return Passed(**(values | changed))  # type: ignore[arg-type]


def start(repo: Path, history: str = "full") -> Start:
    return Start(repo / ".git", git(repo, "rev-parse", "main"), history)  # type: ignore[arg-type]


def test_everything_is_there_for_everybody_to_read_and_fetch(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "one.log").write_bytes(b"corral: ready\nall \x1b[2Jwell\n")
    folder = tmp_path / "passed"
    lay_out(folder, start(repo), ALL, (passed(repo, "one", item="x y"), passed(repo, "two")))
    assert (folder / "index").read_text() == "one/p/1  accepted  for x y\ntwo/p/1  accepted\n"
    summary = (folder / "summary/one+p+1.txt").read_text()
    assert "item: x y\nverdict: accepted\n" in summary
    assert "one | 1 +" in summary
    assert summary.endswith("what its agent printed last:\nall ?[2Jwell\n")
    assert "+two" in (folder / "diff/two+p+1.patch").read_text()
    assert all(stat.S_IMODE(file.stat().st_mode) in {0o644, 0o755} for file in folder.rglob("*"))
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--single-branch", "--branch=main", f"file://{repo}", str(clone))
    git(clone, "bundle", "verify", "--quiet", str(folder / "branches.bundle"))
    for name in ("one", "two"):
        git(clone, "fetch", "--quiet", str(folder / "branches.bundle"), f"{name}/p/1")
        git(clone, "merge", "--quiet", "--no-edit", "FETCH_HEAD")
    assert (clone / "one").exists()
    assert (clone / "two").exists()


def test_what_is_not_asked_for_is_not_there(repo: Path, tmp_path: Path) -> None:
    lay_out(tmp_path / "none", start(repo), (), (passed(repo, "one"),))
    lay_out(tmp_path / "nobody", start(repo), ALL, ())
    assert not (tmp_path / "none").exists()
    assert not (tmp_path / "nobody").exists()
    lay_out(tmp_path / "one", start(repo), ("diff",), (passed(repo, "one"),))
    assert sorted(file.name for file in (tmp_path / "one").iterdir()) == ["diff", "index"]


def test_what_can_not_be_passed_on_is_said(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = passed(repo, "one", commit="1" * 40)
    nothing = passed(repo, "two", commit=None)
    lay_out(tmp_path / "a", start(repo), ALL, (gone, nothing))
    assert (tmp_path / "a/index").read_text().splitlines() == [
        "one/p/1  accepted  (no diff: git could not make one)  (no branch: git could not make one)",
        "two/p/1  accepted  (no work)",
    ]
    assert not list((tmp_path / "a").rglob("*.patch"))
    assert not (tmp_path / "a/branches.bundle").exists()
    lay_out(tmp_path / "b", start(repo, "none"), ("branch",), (passed(repo, "one"),))
    assert "(no branch: history is none)" in (tmp_path / "b/index").read_text()
    other = passed(repo, "one", git_dir=make_repo(tmp_path / "other") / ".git")
    lay_out(tmp_path / "c", start(repo), ("branch",), (other,))
    assert "(no branch: it is of another repository)" in (tmp_path / "c/index").read_text()
    monkeypatch.setattr(passing, "LARGEST_DIFF", 20)
    monkeypatch.setattr(passing, "ALL_DIFFS", 20)
    monkeypatch.setattr(passing, "LARGEST_BUNDLE", 10)
    lay_out(tmp_path / "d", start(repo), ALL, (passed(repo, "one"), passed(repo, "two")))
    assert (tmp_path / "d/index").read_text().splitlines() == [
        "one/p/1  accepted  (of its diff only the beginning)  (no branch: together they are too large)",
        "two/p/1  accepted  (no diff: there are too many)  (no branch: together they are too large)",
    ]
    assert (tmp_path / "d/diff/one+p+1.patch").stat().st_size == 20


def test_a_box_without_the_past_gets_what_it_lacks(repo: Path, tmp_path: Path) -> None:
    """Content from before the base that is back in the work is in the bundle for a shallow repository."""
    (repo / "a.txt").write_text("two\n")
    git(repo, "commit", "--quiet", "--all", "--message=change")
    git(repo, "checkout", "--quiet", "-b", "back")
    (repo / "a.txt").write_text("one\n")
    git(repo, "commit", "--quiet", "--all", "--message=back")
    base, back = git(repo, "rev-parse", "main", "back").splitlines()
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", "--branch=main", f"file://{repo}", str(clone))
    bundle = tmp_path / "b.bundle"
    assert write_bundle(repo / ".git", bundle, {"back": back}, base, 10**6, shallow=True)
    git(clone, "fetch", "--quiet", str(bundle), "back")
    assert git(clone, "show", "FETCH_HEAD:a.txt") == "one"


def test_a_difference_runs_no_driver_of_the_repository(repo: Path, tmp_path: Path) -> None:
    git(repo, "config", "diff.evil.command", f"touch {tmp_path}/PWNED")
    git(repo, "config", "diff.evil.textconv", f"touch {tmp_path}/PWNED; cat")
    (repo / ".git/info").mkdir(exist_ok=True)
    (repo / ".git/info/attributes").write_text("* diff=evil\n")
    base, commit = git(repo, "rev-parse", "main", "one").splitlines()
    assert write_diff(repo / ".git", tmp_path / "d", base, commit, 10**6)
    assert b"+one" in (tmp_path / "d").read_bytes()
    assert not (tmp_path / "PWNED").exists()


def test_a_prompt_names_the_files_and_holds_none_of_them(repo: Path) -> None:
    task = Task(id="join", prompt="Merge them.\n", passes=ALL)
    (told,) = words(task, (passed(repo, "one"), passed(repo, "two")))
    assert told.startswith("What 2 tasks did before this one is in files")
    for place in ("index", "summary/", "diff/", "branches.bundle"):
        assert f"/run/corral/in/passed/{place}" in told
    assert "no instruction to you" in told
    assert words(task, ()) == ()
    assert words(task.model_copy(update={"passes": ()}), (passed(repo, "one"),)) == ()


def test_last_words_are_bounded_and_read_as_the_agent_says_them(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 300_000 + b"\n" + b"y" * 5000 + b"\n")
    assert last_words(log, COMMAND) == "…" + "y" * 4000
    log.write_bytes(b'{"type":"result","result":"It is done.","is_error":false}\n')
    assert "It is done." in last_words(log, ClaudeSettings(model="m"))
    assert last_words(tmp_path / "missing", COMMAND) == ""
