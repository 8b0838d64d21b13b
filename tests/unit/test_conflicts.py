"""The conflict matrix: it says of every two branches what a real merge of them says."""

from __future__ import annotations

import shutil
import tempfile
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.gather.conflicts import Branch, Matrix, Met, meet
from runner.gather.overlaps import partners, places
from runner.git import closed
from runner.git.branches import Repository, Touched
from runner.git.merging import merges_in_memory, prepare
from tests.conftest import FULL
from tests.support import git, host_git_hashes
from tests.unit.trees import Tree, make_branches, really_merged

LINES = "".join(f"line {number}\n" for number in range(12))
FEW = settings(max_examples=60 if FULL else 8)


def changed(number: int, word: str) -> str:
    """The lines, one of them another."""
    return LINES.replace(f"line {number}\n", f"{word}\n")


def met(repo: Path, place: Path, count: int, *, whole: bool | None = None) -> Met:
    merging = prepare(place, repo, whole=whole)
    branches = [Branch(f"t{n}/p/1", git(repo, "rev-parse", f"b{n}")) for n in range(count)]
    return meet(merging, git(repo, "rev-parse", "main"), branches)


def matrix_of(tmp_path: Path, base: Tree, *branches: Tree | tuple[int, Tree], **options: bool) -> Matrix:
    repo = make_branches(tmp_path / "r.git", base, branches)
    return met(repo, tmp_path / "q", len(branches), **options).matrix


def kinds(matrix: Matrix) -> dict[tuple[str, str], str]:
    return {(one.a[:2], one.b[:2]): one.kind for one in matrix.meetings}


both_ways = pytest.mark.parametrize("whole", [True, False], ids=["merge-tree", "by index"])


@both_ways
def test_clean_conflict_and_nothing_in_common(tmp_path: Path, whole: bool) -> None:
    base = {"a": LINES, "b": LINES, "d/c": LINES}
    matrix = matrix_of(
        tmp_path,
        base,
        base | {"a": changed(1, "one")},
        base | {"a": changed(10, "ten")},
        base | {"a": changed(1, "uno"), "b": changed(2, "two")},
        base | {"d/c": changed(5, "five")},
        whole=whole,
    )
    assert kinds(matrix) == {("t0", "t1"): "clean", ("t0", "t2"): "conflict", ("t1", "t2"): "clean"}
    conflict = matrix.between("t2/p/1", "t0/p/1")
    assert conflict is not None
    assert conflict.files == ("a",)
    assert matrix.conflicts()["t0/p/1"] == {"t2/p/1"}


@both_ways
def test_a_file_where_another_has_a_directory_is_a_conflict(tmp_path: Path, whole: bool) -> None:
    base = {"x": LINES}
    matrix = matrix_of(tmp_path, base, base | {"new": "1\n"}, base | {"new/file": "1\n"}, whole=whole)
    assert kinds(matrix) == {("t0", "t1"): "conflict"}


def test_a_file_added_to_a_directory_that_another_renamed_is_asked_about(tmp_path: Path) -> None:
    base = {"d/a": LINES, "d/b": changed(3, "x"), "z": "z\n"}
    renamed = {"e/a": LINES, "e/b": changed(3, "x"), "z": "z\n"}
    matrix = matrix_of(tmp_path, base, renamed, base | {"d/new": "new\n"})
    assert kinds(matrix) == {("t0", "t1"): "conflict"}  # as `git merge` says: it may belong in `e`


def test_work_that_builds_on_another_is_contained(tmp_path: Path) -> None:
    base = {"a": LINES}
    first = {"a": changed(1, "one")}
    second = {"a": changed(1, "one").replace("line 9", "nine")}
    repo = make_branches(tmp_path / "r.git", base, [first, (0, second), {"a": changed(1, "uno")}])
    found = met(repo, tmp_path / "q", 3)
    assert kinds(found.matrix) == {
        ("t0", "t1"): "clean",
        ("t0", "t2"): "conflict",
        ("t1", "t2"): "conflict",
    }
    assert [one.contained for one in found.matrix.meetings] == [True, False, False]
    assert found.holds["t1/p/1"] == {"t0/p/1"}
    assert found.holds["t0/p/1"] == frozenset()


def test_what_was_undone_since_a_shared_commit_counts(tmp_path: Path) -> None:
    """Against the base the first does not touch `a`; against the commit that both build on it does."""
    base = {"a": LINES, "b": LINES}
    middle = base | {"a": changed(1, "one")}
    matrix = matrix_of(
        tmp_path, base, middle, (0, base | {"b": changed(2, "b")}), (0, base | {"a": changed(1, "two")})
    )
    assert kinds(matrix)["t1", "t2"] == "conflict"


def test_equal_trees_are_a_group(tmp_path: Path) -> None:
    base = {"a": LINES}
    one = {"a": changed(1, "one")}
    matrix = matrix_of(tmp_path, base, one, one, {"a": changed(2, "two")})
    assert matrix.same == (("t0/p/1", "t1/p/1"),)
    assert kinds(matrix)["t0", "t1"] == "clean"


def test_a_branch_whose_commit_is_gone_is_left_out(tmp_path: Path) -> None:
    repo = make_branches(tmp_path / "r.git", {"a": LINES}, [{"a": "x\n"}])
    merging = prepare(tmp_path / "q", repo)
    branches = [Branch("t0/p/1", git(repo, "rev-parse", "b0")), Branch("gone/p/1", "1" * 40)]
    assert meet(merging, git(repo, "rev-parse", "main"), branches).matrix.attempts == ("t0/p/1",)


def test_names_are_safe_to_show(tmp_path: Path) -> None:
    evil = "\\033]0;x\\007\\nnew\\342\\200\\256"  # in git's quotes: ESC, BEL, a line end, a bidi sign
    matrix = matrix_of(tmp_path, {"z": "z"}, {"z": "z", evil: "1\n"}, {"z": "z", evil: "2\n"})
    (meeting,) = matrix.meetings
    assert meeting.kind == "conflict"
    assert meeting.files == ("\\x1b]0;x\\x07\\nnew\\u202e",)


@both_ways
def test_no_merge_driver_of_a_branch_runs(tmp_path: Path, whole: bool) -> None:
    """Nor one that the user's own repository configures: its configuration is not read."""
    marker = tmp_path / "ran"
    base = {".gitattributes": "* merge=evil\n", "a": LINES}
    branches = [base | {"a": changed(1, "one")}, base | {"a": changed(1, "uno")}]
    repo = make_branches(tmp_path / "r.git", base, branches)
    for key in ("merge.evil.driver", "merge.default.driver", "core.fsmonitor", "filter.evil.smudge"):
        git(repo, "config", key, f"touch {marker}; true")
    git(repo, "config", "merge.default", "evil")
    (repo / "info").mkdir(exist_ok=True)
    (repo / "info" / "attributes").write_text("* merge=evil\n")
    assert kinds(met(repo, tmp_path / "q", 2, whole=whole).matrix) == {("t0", "t1"): "conflict"}
    assert not marker.exists()
    tips = [git(repo, "rev-parse", name) for name in ("b0", "b1")]
    assert really_merged(repo, tmp_path / "scratch", *tips) is None  # a clone has no such driver either
    git(tmp_path / "scratch", "config", "merge.evil.driver", f"touch {marker}; true")
    really_merged(repo, tmp_path / "scratch", *tips)
    assert marker.exists()  # so the driver would have run where git listens to it


@both_ways
def test_nothing_is_written_to_the_users_repository(tmp_path: Path, whole: bool) -> None:
    base = {"a": LINES}
    repo = make_branches(tmp_path / "r.git", base, [{"a": changed(1, "one")}, {"a": changed(9, "nine")}])
    before = host_git_hashes(repo), git(repo, "count-objects", "-v")
    met(repo, tmp_path / "q", 2, whole=whole)
    assert (host_git_hashes(repo), git(repo, "count-objects", "-v")) == before


def test_a_pair_that_git_fails_on_is_unknown_and_the_others_are_not(tmp_path: Path) -> None:
    base = {"a": LINES}
    repo = make_branches(
        tmp_path / "r.git", base, [{"a": changed(n, f"{n}")} for n in (1, 6, 10)] + [{"a": changed(1, "x")}]
    )
    blob = git(repo, "rev-parse", "b1:a")
    git(repo, "repack", "-qad")
    _lose(repo, blob)
    matrix = met(repo, tmp_path / "q", 4).matrix
    assert kinds(matrix)["t0", "t2"] == "clean"
    assert kinds(matrix)["t0", "t3"] == "conflict"
    lost = matrix.between("t0/p/1", "t1/p/1")
    assert lost is not None
    assert lost.kind == "unknown"
    assert "git could not merge them" in lost.why


def _lose(repo: Path, blob: str) -> None:
    """Take one object out of a repository."""
    (pack,) = (repo / "objects" / "pack").glob("*.pack")
    data = pack.read_bytes()
    shutil.rmtree(pack.parent)
    closed.git(repo, "unpack-objects", "-q", stdin=data)
    (repo / "objects" / blob[:2] / blob[2:]).unlink()


# -- against a real merge


paths = st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a", "f", "d", "f/x"])
contents = st.sampled_from([LINES, changed(1, "one"), changed(1, "uno"), changed(10, "ten"), "short\n", ""])


def plain(tree: dict[str, str]) -> dict[str, str]:
    """Without files that stand where others need a directory."""
    return {path: text for path, text in tree.items() if not any(o.startswith(f"{path}/") for o in tree)}


trees = st.dictionaries(paths, contents, max_size=5).map(plain)


@FEW
@given(base=trees, branches=st.lists(st.tuples(st.none() | st.integers(0, 1), trees), min_size=2, max_size=5))
def test_the_matrix_says_what_git_merge_says(
    base: dict[str, str], branches: list[tuple[int | None, dict[str, str]]]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = [
            tree if on is None or on >= number else (on, tree) for number, (on, tree) in enumerate(branches)
        ]
        repo = make_branches(folder / "r.git", base, made)
        matrix = met(repo, folder / "q", len(made)).matrix
        for a, b in combinations(range(len(made)), 2):
            merged = really_merged(
                repo, folder / "scratch", *(git(repo, "rev-parse", f"b{n}") for n in (a, b))
            )
            meeting = matrix.between(f"t{a}/p/1", f"t{b}/p/1")
            said = "clean" if meeting is None else meeting.kind
            assert said == ("conflict" if merged is None else "clean"), (a, b)


@FEW
@given(base=trees, ours=trees, theirs=trees)
def test_older_git_merges_as_the_strategy_resolve_does(
    base: dict[str, str], ours: dict[str, str], theirs: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repo = make_branches(folder / "r.git", base, [ours, theirs])
        tips = [git(repo, "rev-parse", f"b{n}") for n in (0, 1)]
        found = prepare(folder / "q", repo, whole=False).merge(tips[0], tips[1])
        really = really_merged(repo, folder / "scratch", *tips, "--strategy=resolve")
        if plain({**base, **ours, **theirs}) == {**base, **ours, **theirs}:
            assert found.tree == really
        else:  # a file of one stands where another has a directory: it takes no chances
            assert found.tree in {None, really}


# -- which pairs are asked about


def test_this_git_merges_in_memory(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "x")
    assert merges_in_memory(tmp_path / "x") == (tuple(_version()) >= (2, 39))


def _version() -> list[int]:
    return [int(part) for part in git(Path("/"), "version").split()[2].split(".")[:2]]


sets = st.sets(st.sampled_from([b"a", b"b", b"a/x", b"a/y/z", b"b/c"]), max_size=3)


@given(st.lists(st.tuples(sets, sets), max_size=6), st.dictionaries(st.text(max_size=3), st.integers(0, 63)))
def test_who_is_asked_about_is_so_both_ways(
    given_sets: list[tuple[set[bytes], set[bytes]]], together: dict[str, int]
) -> None:
    touched = [Touched(paths=paths, removed=gone) for paths, gone in given_sets]
    limit = (1 << len(touched)) - 1
    found = partners(touched, {name: mask & limit for name, mask in together.items()})
    for place, mask in enumerate(found):
        assert not mask >> place & 1
        assert all(found[other] >> place & 1 for other in places(mask))
    for a, b in combinations(range(len(touched)), 2):
        if touched[a].paths & touched[b].paths:
            assert found[a] >> b & 1


def test_a_branch_too_large_to_tell_is_asked_about_with_all() -> None:
    assert partners([Touched(), Touched(everything=True), Touched()], {}) == [0b010, 0b101, 0b010]


def test_what_changes_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    base = {"d/a": "1\n", "e": "1\n"}
    header = "0" * 40
    odd = f"{header} {header}\\n:100644"
    repo = make_branches(tmp_path / "r.git", base, [base, {"d": "file\n", odd: "1\n"}, {"e": "1\n"}])
    ask = Repository(repo)
    tips = [git(repo, "rev-parse", name) for name in ("main", "b0", "b1", "b2")]
    trees = ask.trees(tips)
    found = ask.touched(trees[tips[0]], [trees[tip] for tip in tips[1:]])
    assert found[trees[tips[1]]] == Touched()
    whole = f"{header} {header}\n:100644".encode()
    assert found[trees[tips[2]]] == Touched(paths={b"d", b"d/a", b"e", whole}, removed={b"d"})
    assert found[trees[tips[3]]] == Touched(paths={b"d/a"}, removed={b"d"})
