"""Cases 1 to 20: git, its configuration and the worktree.

What a task says about itself stands in its
row; that nothing ran on the host, nothing of it changed and nothing is left is the oracle's to say.
"""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.attacks import night as nights
from tests.attacks import oracle
from tests.attacks.git_attacks import attacks, drivers, nested
from tests.attacks.night import Night
from tests.attacks.oracle import Stakes
from tests.engine.living import living
from tests.support import Corral, git, write_tasks

MADE = {"made": "A"}
LOOKING = ("show", "diff")


@pytest.fixture(scope="module")
def night(stakes: Stakes) -> Night:
    """One run of all of them; afterwards a person looks at everything."""
    tasks = attacks(stakes)

    def look(corral: Corral) -> dict[str, str]:
        shown = {
            f"corral {verb} {task}": corral(verb, task)
            for verb in LOOKING
            for task in tasks
            if task[:2] in LOOKED_AT
        }
        shown |= {f"corral report {form}": corral("report", form) for form in ("--markdown", "--json")}
        return {name: done.out + done.err for name, done in shown.items()}

    return nights.night(stakes, tasks, after=look)


LOOKED_AT = {"01", "03", "05", "19"}


def test_the_promises_hold(night: Night, promise: str) -> None:
    assert oracle.broken(promise, night.seen) == []


def serves(night: Night, task: str, files: dict[str, str] | None = None) -> None:
    """A task's honest work came home, and nothing else did."""
    row = night.row(task)
    assert row["verdict"] == "done", row
    assert night.files(task) == (MADE if files is None else files)


def test_case_01_configuration_and_hooks_that_name_programs(night: Night) -> None:
    """Every setting and hook that names a program → the work comes home and none of them ran."""
    serves(night, "01-configuration")


def test_case_02_filters(night: Night) -> None:
    """A required filter that rewrites every file → files come home byte by byte, unfiltered."""
    serves(night, "02-filters", {"made": "A", ".gitattributes": "A"})
    assert night.content("02-filters", "made") == "lower"


def test_case_03_diff_and_merge_drivers(night: Night) -> None:
    """Drivers for diff, text conversion and merge → `corral diff` shows the plain difference."""
    serves(night, "03-diff-drivers", {"made": "A", ".gitattributes": "A", "a.txt": "M"})
    assert "+more\n" in night.seen.texts["corral diff 03-diff-drivers"]


def test_case_04_nineteen_ways_to_take_the_mask_off(night: Night) -> None:
    """Remove, replace, exchange, unmount, mount over /workspace/.git → each refused, the file the same."""
    serves(night, "04-mask")
    said = night.log("04-mask").splitlines()
    assert [line for line in said if line.startswith("OPEN")] == []
    assert sum(line.startswith("HELD") for line in said) == 19
    assert "SAME 19" in said


def test_case_05_repositories_inside_of_the_tree(night: Night) -> None:
    """Nested repositories with settings of their own → only their ids come home, and that is said."""
    serves(night, "05-nested", {"made": "A", "sub": "A", "new": "A"})
    assert "submodule entry 'sub'" in night.words("05-nested")
    assert "submodule entry 'new'" in night.words("05-nested")


def test_case_05_a_submodule_in_the_base_is_refused_by_the_plan(stakes: Stakes) -> None:
    """With a gitlink in the base the host would know of `sub` → nothing starts."""
    repo = stakes.folder / "with-submodule"
    git(stakes.folder, "clone", "--quiet", str(stakes.repo), str(repo))
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{git(repo, 'rev-parse', 'main')},sub")
    git(repo, "commit", "--quiet", "--message=a submodule")
    file = write_tasks(stakes.folder / "submodule.yaml", repo, {"t": "touch made"})
    done = nights.corral(stakes)("plan", file)
    assert (done.code, "submodules" in done.err) == (2, True)


def test_case_06_a_bare_repository_and_a_pointer_to_the_host_s(night: Night) -> None:
    """A bare repository as files, and a `.git` that names the host's → plain files at most."""
    row = night.row("06-embedded-bare")
    assert row["verdict"] == "done"
    files = night.files("06-embedded-bare")
    assert files["made"] == "A"
    assert all(name == "made" or name.startswith(("bare.git/", "evil")) for name in files)


@pytest.mark.parametrize(
    "task",
    ["07-alternates", "07-objects-link", "07-commondir", "08-known-tip",
     "09-known-blob", "09-known-tree", "09-known-root"],
)  # fmt: skip
def test_case_07_08_09_nothing_secret_is_reached_by_its_name(night: Night, task: str) -> None:
    """Borrows the host's objects, or names one that it never got → the files alone come home."""
    serves(night, task)
    assert night.row(task)["work"] == "salvaged", night.row(task)
    branch = night.row(task)["branch"]
    reached = git(night.repo, "rev-list", "--objects", branch, "^main")
    for secret in ("secret", "secret^{tree}", "secret:secret.txt"):
        assert git(night.repo, "rev-parse", secret) not in reached


@pytest.mark.parametrize("task", ["10-fifos", "10-links", "10-endless-include", "10-endless-refs"])
def test_case_10_git_directories_that_never_answer(night: Night, task: str) -> None:
    """Pipes, links to endless files, settings and refs that include themselves → salvaged, in time."""
    serves(night, task)
    assert night.row(task)["work"] in {"salvaged", "gathered"}
    at = {event["kind"]: event["at"] for event in night.events(task)}
    assert at["attempt.gathered"] - at["attempt.ended"] < 60


def test_case_11_everything_deleted(night: Night) -> None:
    """Deletes its work tree and its git directory → a branch with the deletions, or nothing usable."""
    row = night.row("11-all-deleted")
    assert row["verdict"] == "done"
    assert set(night.files("11-all-deleted").values()) == {"D"}


def test_case_12_stale_locks(night: Night) -> None:
    """Locks on everything → nobody waits for them."""
    serves(night, "12-locks")
    assert night.row("12-locks")["work"] == "gathered"


@pytest.mark.parametrize("task", ["13-orphan", "13-rewritten", "13-below-base", "13-shallow"])
def test_case_13_a_history_that_is_not_the_base_s(night: Night, task: str) -> None:
    """An orphan, an amended base, a reset below it → the history is left out, kept, and that is said."""
    extra = {"c.txt": "D"} if task == "13-below-base" else {}
    serves(night, task, MADE | extra)
    row = night.row(task)
    assert row["work"] == "salvaged"
    assert "history" in night.words(task)
    assert git(night.repo, "rev-list", "--count", f"main..{row['branch']}") == "1"
    assert tarfile.is_tarfile(row["kept"])


def test_case_14_refs_of_every_kind(night: Night) -> None:
    """Two hundred branches, tags, notes, a replaced base, names for a shell → one branch, what HEAD holds."""
    serves(night, "14-many-refs")
    assert (
        git(night.repo, "for-each-ref", "--format=%(refname)", "refs/replace", "refs/notes", "refs/tags")
        == ""
    )
    assert night.row("14-many-refs")["kept"]


def test_case_15_missing_objects_and_a_promise_to_fetch_them(night: Night) -> None:
    """A partial clone that lacks an object → it is missing, nothing fetches it, and the files come home."""
    serves(night, "15-lazy-fetch")
    assert night.row("15-lazy-fetch")["work"] == "salvaged"


def test_case_16_a_person_opens_the_worktree_while_it_is_being_attacked(stakes: Stakes) -> None:
    """A person's git runs in the worktree, during the run and after it → nothing of the box runs.

    Where the host sees the box's files, their owner is another user, which git refuses; where they lie on
    a disk that the engine alone has mounted, there is nothing to open.
    """
    sh = f"{nested(stakes.mark('16'))}; {drivers(stakes.mark('16'))}; echo begun; sleep 8"
    file = write_tasks(stakes.folder / "open.yaml", stakes.repo, {"opened": sh})
    before = oracle.look(stakes)
    with living(nights.corral(stakes), "run", file) as run:
        run.until_said("begun")
        trees = [path.parent for path in (stakes.home / "w").glob("**/corral-*/.git")]
        assert trees
        for tree in trees:
            assert_nothing_to_open(tree)
        assert run.end() == 0
    assert list(oracle._marker(seen_between(stakes, before))) == []
    assert list(oracle._leftovers(seen_between(stakes, before))) == []


def assert_nothing_to_open(tree: Path) -> None:
    """Git in the worktree, as a person's editor runs it, shows nothing that the box wrote."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    done = subprocess.run(
        ["git", "status", "--porcelain"],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "dubious ownership" in done.stderr or not {"made", "new"} & {
        file.name for file in tree.iterdir()
    }, done


def seen_between(at: Stakes, before: oracle.Snapshot) -> oracle.Seen:
    """What the oracle needs of a run that was not a night of its own."""
    return oracle.Seen(at, "", before, oracle.look(at), {}, None, {})


@pytest.mark.parametrize("command", ["worktree remove --force {}", "worktree prune --expire now",
                                     "worktree repair {}", "gc --prune=now --quiet"])  # fmt: skip
def test_case_17_a_person_tidies_up_during_the_run(stakes: Stakes, command: str) -> None:
    """The person's own git removes, prunes or repairs worktrees → the lock prevents it, work comes home."""
    file = write_tasks(
        stakes.folder / "tidy.yaml", stakes.repo, {"tidied": "touch made; echo begun; sleep 6; git add made"}
    )
    before = oracle.look(stakes)
    with living(nights.corral(stakes), "run", file) as run:
        run.until_said("begun")
        (tree,) = [path.parent for path in (stakes.home / "w").glob("**/corral-*/.git")
                   if "/check/" not in str(path)]  # fmt: skip
        words = [str(tree) if word == "{}" else word for word in command.split()]
        done = subprocess.run(
            ["git", "-C", str(stakes.repo), *words], capture_output=True, text=True, check=False
        )
        if "remove" in words:
            assert "locked working tree" in done.stderr
        assert (tree / ".git").is_file()
        assert run.end() == 0, run.rows()
    assert (run.rows()["tidied"]["verdict"], run.rows()["tidied"]["files"]) == ("done", 1)
    assert list(oracle._leftovers(seen_between(stakes, before))) == []


@pytest.mark.parametrize("task", ["18-worktree-is-root", "18-worktree-is-gitdir", "18-git-dir-file"])
def test_case_18_settings_that_move_the_tree_elsewhere(night: Night, task: str) -> None:
    """`core.worktree` names `/` or the git directory → only files of the workspace are in the branch."""
    serves(night, task)


def test_case_19_a_spoofed_author_and_a_garbage_signature(night: Night) -> None:
    """A commit in another person's name, with a signature → it is shown as what was written, unverified.

    No view of ours vouches for an author: none names one, and nothing verifies the signature.
    """
    serves(night, "19-spoofed")
    branch = night.row("19-spoofed")["branch"]
    assert "gpgsig" in git(night.repo, "cat-file", "commit", branch)
    for name, text in night.seen.texts.items():
        if name.startswith("corral"):
            assert not re.search("torvalds|verified|good signature", text, re.IGNORECASE), name
