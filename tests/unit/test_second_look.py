"""What checks say once more, on a commit without the work's own versions of files that steer them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.gather.findings import Between
from runner.git import closed
from runner.git.base_store import History, base_store
from runner.git.putting_back import put_back
from runner.supervisor.attempt.check import Checked
from runner.supervisor.attempt.inherited import Inherited
from runner.supervisor.attempt.judging import Look
from runner.supervisor.attempt.verifying import Bench, Commit, Verification
from runner.supervisor.verdict import Check
from runner.supervisor.verified import CheckResult
from runner.tasks.plan import CheckSpec
from tests.support import git, make_repo

Files = Mapping[str, str]
"""By path, the text of a file; a text `-> x` is a link, and one that begins with `#!` can be run."""


def commit(repo: Path, files: Files) -> str:
    """A commit that holds exactly these."""
    git(repo, "rm", "-r", "-q", "--cached", "--ignore-unmatch", ".")
    rows = []
    for path, text in files.items():
        is_link = text.startswith("-> ")
        oid = git(repo, "hash-object", "-w", "--stdin", stdin=text.removeprefix("-> "))
        mode = "120000" if is_link else "100755" if text.startswith("#!") else "100644"
        rows.append(f"{mode} {oid}\t{path}\0")
    git(repo, "update-index", "-z", "--index-info", stdin="".join(rows))
    tree = git(repo, "write-tree")
    return git(repo, "commit-tree", tree, "-p", "main", "-m", "work")


def files_of(git_dir: Path, tip: str, *alternates: Path) -> dict[str, str]:
    """What a commit holds."""
    listed = closed.git(git_dir, "ls-tree", "-r", "-z", tip, alternates=alternates).decode().split("\0")
    found = {}
    for row in filter(None, listed):
        (mode, _, oid), path = row.partition("\t")[0].split(), row.partition("\t")[2]
        text = closed.git(git_dir, "cat-file", "blob", oid, alternates=alternates).decode()
        found[path] = f"-> {text}" if mode == "120000" else text
    return found


def between(folder: Path, before: Files, after: Files) -> Between:
    """Work in a quarantine of its own, beside the base in its store."""
    repo = make_repo(folder / "repo")
    git(repo, "update-ref", "refs/heads/main", commit(repo, before))
    base, tip = git(repo, "rev-parse", "main"), commit(repo, after)
    store = base_store(folder / "bases", repo / ".git", base)
    quarantine = closed.init_bare(folder / "quarantine")
    packed = (repo / ".git", ("pack-objects", "-q", "--revs", "--stdout"), f"{tip}\n^{base}\n".encode())
    closed.pipe(packed, (quarantine, ("index-pack", "--stdin")), closed.DEFAULT)
    return Between(quarantine, (store.objects,), base, tip)


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ({"a": "1"}, {"a": "2", "conftest.py": "x"}, {"a": "2"}),
        ({"a": "1", "conftest.py": "x"}, {"a": "2"}, {"a": "2", "conftest.py": "x"}),
        ({"a": "1", "Makefile": "x"}, {"a": "2", "Makefile": "y"}, {"a": "2", "Makefile": "x"}),
        ({"a": "1"}, {"a": "2", "pytest": "-> e", "e/x.py": "x"}, {"a": "2", "e/x.py": "x"}),
        ({"a": "1", ".cargo/config": "x"}, {"a": "2", ".cargo": "-> e"}, {"a": "2", ".cargo/config": "x"}),
        ({"a": "1"}, {"a": "2", "x\ny/conftest.py": "x"}, {"a": "2"}),
        ({"a": "1"}, {"a": "2", "p-1.dist-info/entry_points.txt": "x"}, {"a": "2"}),
        ({"a": "1"}, {"a": "2", ".gitattributes": "x"}, {"a": "2"}),
        ({"a": "1", "t/run.sh": "x"}, {"a": "2", "t/run.sh": "y"}, {"a": "2", "t/run.sh": "x"}),
        ({"a": "1", "t/all": "#!x"}, {"a": "2", "t/all": "y"}, {"a": "2", "t/all": "#!x"}),
        ({"a": "1", "t/all": "x"}, {"a": "2", "t/all": "y"}, {"a": "2", "t/all": "y"}),
        ({"a": "1"}, {"a": "2", "coverage.py": "x"}, {"a": "2"}),
        (
            {"a": "1", "coverage/x.py": "x"},
            {"a": "2", "coverage/x.py": "y"},
            {"a": "2", "coverage/x.py": "y"},
        ),
        (
            {"a": "1", "s": "-> t", "u/run.sh": "x", "t": "-> ./u/"},
            {"a": "2", "s": "-> t", "u/run.sh": "y", "t": "-> ./u/"},
            {"a": "2", "s": "-> t", "u/run.sh": "x", "t": "-> ./u/"},
        ),
        (
            {"a": "1", "t": "-> u", "u/run.sh": "x"},
            {"a": "2", "t/run.sh": "y", "t/more": "y", "u/run.sh": "x"},
            {"a": "2", "t": "-> u", "u/run.sh": "x"},
        ),
        (
            {"a": "1", "t": "-> u", "u/run.sh": "x"},
            {"a": "2", "t": "-> v", "u/run.sh": "x", "v/run.sh": "y"},
            {"a": "2", "t": "-> u", "u/run.sh": "x", "v/run.sh": "y"},
        ),
        (
            {"a": "1", "conftest.py": "-> /workspace/b/fixtures.py", "b/fixtures.py": "x"},
            {"a": "2", "conftest.py": "-> /workspace/b/fixtures.py", "b/fixtures.py": "y"},
            {"a": "2", "conftest.py": "-> /workspace/b/fixtures.py", "b/fixtures.py": "x"},
        ),
        (
            {"a": "1", "t/conftest.py": "x", "t/other": "x"},
            {"a": "2", "t": "-> u", "u/conftest.py": "x", "u/other": "x"},
            {"a": "2", "t/conftest.py": "x", "t/other": "x", "u/other": "x"},
        ),
        (
            {"a": "1", "t/run.sh": "x"},
            {"a": "2", "t": "-> u", "u/run.sh": "y"},
            {"a": "2", "t/run.sh": "x", "u/run.sh": "y"},
        ),
        ({"a": "1"}, {"a": "2", **{f"d{n}/conftest.py": "x" for n in range(1500)}}, {"a": "2"}),
    ],
)
def test_only_such_files_are_put_back(tmp_path: Path, before: Files, after: Files, wanted: Files) -> None:
    work = between(tmp_path, before, after)
    made = work.without(work.steering(("timeout 9 sh t/run.sh && flock a t/all && coverage run x",)))
    assert files_of(work.git_dir, made, *work.alternates) == wanted
    parents = [
        closed.git(work.git_dir, "rev-parse", f"{one}^@", alternates=work.alternates)
        for one in (made, work.tip)
    ]
    assert parents[0] == parents[1]


def test_a_box_needs_nothing_but_the_quarantine_and_the_base(tmp_path: Path) -> None:
    """Where the files come from a commit before the base, they are brought along."""
    repo = make_repo(tmp_path / "repo")
    source = commit(repo, {"a": "1", "conftest.py": "as it was", "d/pytest.ini": "as it was, too"})
    git(repo, "update-ref", "refs/heads/main", commit(repo, {"a": "1", "conftest.py": "planted"}))
    base = git(repo, "rev-parse", "main")
    tip = commit(repo, {"a": "2", "conftest.py": "planted"})
    store = base_store(tmp_path / "bases", repo / ".git", base, "shallow")
    quarantine = closed.init_bare(tmp_path / "quarantine")
    (quarantine / "shallow").write_text(store.shallow)
    packed = (repo / ".git", ("pack-objects", "-q", "--revs", "--stdout"), f"{tip}\n^{base}\n".encode())
    closed.pipe(packed, (quarantine, ("index-pack", "--stdin")), closed.DEFAULT)
    borrowed = (store.objects, repo / ".git" / "objects")
    made = put_back(quarantine, borrowed, source, tip, {b"conftest.py", b"d/pytest.ini"})
    found = files_of(quarantine, made, store.objects)
    assert found == {"a": "2", "conftest.py": "as it was", "d/pytest.ini": "as it was, too"}


@pytest.mark.parametrize(
    ("wanted", "here"),
    [
        ((), {"a": "2", "t/x": "1", "t/gone": "1", "t/y": "2"}),
        (("t",), {"a": "2", "t/x": "2", "t/y": "2"}),
        (("a", "t/x"), {"a": "2", "t/x": "2", "t/gone": "1", "t/y": "2"}),
    ],
)
def test_what_is_protected_is_as_a_person_gave_or_wanted_it(
    tmp_path: Path, wanted: tuple[str, ...], here: Files
) -> None:
    """What work before changed there is undone, but for its `paths`; tests that it added stay."""
    given = {"a": "1", "t/x": "1", "t/gone": "1"}
    work = Inherited(between(tmp_path, given, {"a": "2", "t/x": "2", "t/y": "2"}), wanted)
    made = work.without(work.restored(("./t/",)))
    assert files_of(work.work.git_dir, made, *work.work.alternates) == here


def test_what_was_planted_beside_what_was_weakened_is_in_neither_look(tmp_path: Path) -> None:
    """A check takes protected files from a commit without both, however much of them there is."""
    given = {"a": "1", "t/x": "1", "b/x": "1"}
    left = {"a": "2", "t/x": "2", "t/conftest.py": "x", "t/new": "2", "b/x": "2", "b/conftest.py": "x"}
    work = Inherited(between(tmp_path, given, left), ("b",))
    seen, restored = work.seen(("t", "b"), ("pytest",))
    assert restored == ("t/x", "t/conftest.py")
    here = {"a": "2", "t/x": "1", "t/new": "2", "b/x": "2", "b/conftest.py": "x"}
    assert files_of(work.work.git_dir, seen, *work.work.alternates) == here
    assert Inherited(between(tmp_path / "2", given, given)).seen(("t",), ())[1] == ()


@pytest.mark.parametrize("history", ["shallow", "none"])
def test_what_is_protected_brings_no_history_along(tmp_path: Path, history: History) -> None:
    repo = make_repo(tmp_path / "repo")
    for files in ({"secret": "s"}, {"a": "1", "t": "as given"}, {"a": "1", "t": "planted"}):
        git(repo, "update-ref", "refs/heads/main", commit(repo, files))
    source, base = git(repo, "rev-parse", "main^"), git(repo, "rev-parse", "main")
    store = base_store(tmp_path / "bases", repo / ".git", base, history)
    quarantine = closed.init_bare(tmp_path / "quarantine")
    (quarantine / "shallow").write_text(store.shallow)
    borrowed = (store.objects, repo / ".git" / "objects")
    work = Inherited(Between(quarantine, borrowed, source, store.commit))
    made = work.without(work.restored(("t",)))
    assert files_of(quarantine, made, store.objects) == {"a": "1", "t": "as given"}
    assert not closed.succeeds(quarantine, "cat-file", "-e", git(repo, "rev-parse", "main~2"))


NAMES = st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a", "e", "e/f"])


def trees() -> st.SearchStrategy[dict[str, str]]:
    """Trees in which no file stands where there is a directory."""
    held = st.dictionaries(NAMES, st.sampled_from(["1", "2", "-> a"]), max_size=5)
    return held.filter(
        lambda one: not any(f"{path}/" in f"{other}"[: len(path) + 1] for path in one for other in one)
    )


@given(before=trees(), after=trees(), names=st.sets(NAMES))
def test_each_file_is_as_it_was_or_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, str], after: dict[str, str], names: set[str]
) -> None:
    repo = make_repo(tmp_path_factory.mktemp("trees"))
    base, tip = commit(repo, before), commit(repo, after)
    made = put_back(repo / ".git", (), base, tip, {name.encode() for name in names})
    wanted = {path: text for path, text in after.items() if path not in names}
    back = {path: text for path, text in before.items() if path in names}
    shut = {other for other in after for path in back if path.startswith(f"{other}/")}
    back |= {path: text for path, text in before.items() for one in shut if path.startswith(f"{one}/")}
    for path in back:  # what stands in the way of a file that was there gives way
        wanted = {
            other: text
            for other, text in wanted.items()
            if not path.startswith(f"{other}/") and not other.startswith(f"{path}/")
        }
    assert files_of(repo / ".git", made) == wanted | back


class SayingBench:
    """A bench whose checks say what they are told to: first on the work itself, then without its files."""

    def __init__(self, tip: str, second: list[Look]) -> None:
        self.tip, self.second = tip, iter(second)
        self.asked: list[Commit] = []

    def run(self, check: CheckSpec, commit: Commit, protect: tuple[str, ...], log: Path) -> Look:  # noqa: ARG002
        """See `Bench`."""
        self.asked.append(commit)
        return next(self.second) if len(self.asked) > 1 else look("passed")


def look(said: Check, code: int | None = 1) -> Look:
    """A run that ended so."""
    return Look(Checked(said, "" if said == "passed" else "it failed", 0 if said == "passed" else code, 1.0))


OWN = "it passes only with the work's own x/conftest.py"
PASSED, FAILED = look("passed"), look("failed")


def looked(
    folder: Path,
    second: list[Look],
    wanted: tuple[str, ...] = (),
    protect: tuple[str, ...] = (),
    planted: tuple[str, ...] = (),
    given: str | None = None,
) -> tuple[SayingBench, CheckResult]:
    """What comes of work with a `conftest.py` of its own, of which the second look says this."""
    work = between(folder, {"a": "1"}, {"a": "2", "x/conftest.py": "x"})
    bench = SayingBench(work.tip, second)
    commit = Commit(work.tip, work.git_dir, given)
    made = Verification(cast(Bench, bench), (CheckSpec(run="true"),), commit, protect, folder / "log")
    (told,) = made.without_steering(made.results(()), work, wanted, planted)
    return bench, told


@pytest.mark.parametrize(
    ("second", "said", "why", "code"),
    [
        ([PASSED], "passed", "", 0),
        ([FAILED, FAILED], "failed", OWN, 0),
        ([FAILED, PASSED, PASSED], "passed", "", 0),
        ([FAILED, PASSED, FAILED], "failed", OWN, 0),
        ([look("not-run", None)], "not-run", "the run was stopped", 0),
        ([look("failed", None)], "failed", "without x/conftest.py: it failed", None),
    ],
)
def test_it_counts_what_is_said_without_them(
    tmp_path: Path, second: list[Look], said: Check, why: str, code: int | None
) -> None:
    bench, told = looked(tmp_path, second)
    assert (told.check, told.reason.partition(";")[0], told.exit_code) == (said, why, code)
    assert len(bench.asked) == 1 + len(second)


@pytest.mark.parametrize(("wanted", "protect"), [(("x/",), ()), ((), ("x",)), (("x/conftest.py",), ())])
def test_what_is_wanted_or_restored_is_left_as_it_is(
    tmp_path: Path, wanted: tuple[str, ...], protect: tuple[str, ...]
) -> None:
    bench, told = looked(tmp_path, [FAILED, FAILED], wanted, protect)
    assert (told.check, len(bench.asked)) == ("passed", 1)


def test_what_others_planted_is_looked_past_also_where_it_would_be_restored(tmp_path: Path) -> None:
    """It is no doing of the work's own: it is not accepted for it, and not called a cheat."""
    bench, told = looked(tmp_path, [FAILED, FAILED], protect=("x",), planted=("x/conftest.py",))
    assert bench.asked[1].base != bench.asked[0].base
    assert (told.check, told.exit_code) == ("failed", None)
    assert told.reason.startswith("it passes only with x/conftest.py as work before it left it;")


def test_both_looks_restore_what_a_person_gave(tmp_path: Path) -> None:
    bench, told = looked(tmp_path, [FAILED, FAILED], protect=("t",), given="g")
    assert (told.check, {one.base for one in bench.asked}) == ("failed", {"g"})
