"""Bad input is refused before anything starts: with its place, cause and cure, and with nothing created."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import Corral, Picture, git, make_repo, picture, tree_hashes

COMMAND = "agents: {a: {cli: command, run: touch x}}\n"
CLAUDE = "agents: {a: {cli: claude, model: m}}\n"


@dataclass(frozen=True)
class Bad:
    """What is written into the task file, what is done to the repository, and how it is refused.

    `line` is where the file is said to be wrong, or None where the cause is not in the file.
    """

    text: str
    line: int | None
    why: str
    cure: str
    repo: Callable[[Path], object] = lambda _: None
    options: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


def tasks(*rows: str, head: str = COMMAND) -> str:
    return head + "tasks:\n" + "".join(f"  - {{{row}}}\n" for row in rows)


GOOD = tasks("id: t")


def with_submodule(repo: Path) -> None:
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{git(repo, 'rev-parse', 'HEAD')},sub")
    git(repo, "commit", "-qm", "submodule")


def with_lfs(repo: Path) -> None:
    (repo / ".gitattributes").write_text("*.bin filter=lfs\n")
    git(repo, "add", ".gitattributes")
    git(repo, "commit", "-qm", "lfs")


def unborn(repo: Path) -> None:
    git(repo, "init", "-q", "--initial-branch=main", "other")


def sha256(repo: Path) -> None:
    git(repo, "init", "-q", "--object-format=sha256", "other")
    git(repo / "other", "commit", "-q", "--allow-empty", "-m", "first")


def partial(repo: Path) -> None:
    (repo / "a.txt").write_text("two\n")
    git(repo, "commit", "-qam", "second")
    git(repo, "config", "uploadpack.allowFilter", "true")
    git(repo, "clone", "-q", "--filter=blob:none", repo.as_uri(), "other")


def plain_folder(repo: Path) -> None:
    (repo.parent / "plain").mkdir()


def branch(name: str) -> Callable[[Path], object]:
    return lambda repo: git(repo, "branch", name)


BAD: dict[str, Bad] = {
    # the file
    "unknown key": Bad(tasks("id: t, chek: x"), 3, "unknown key 'chek'", "did you mean 'check'?"),
    "bad unit": Bad(tasks("id: t, limits: {memory: 4 gigs}"), 3, "'4 gigs' is not a size", "4GiB"),
    "cycle": Bad(tasks("id: t, needs: [u]", "id: u, needs: [t]"), 3, "each other", "`needs`"),
    "unknown profile": Bad(tasks("id: t, agent: b"), 3, "no agent 'b'", "known are: a"),
    "unknown task": Bad(tasks("id: t, needs: [tt]"), 3, "no task 'tt'", "did you mean 't'?"),
    "duplicate id": Bad(tasks("id: t", "id: t"), 4, "two tasks are called 't'", "line 3"),
    "empty prompt": Bad(tasks("id: t, prompt: ' '", head=CLAUDE), 3, "empty text", "write something"),
    "no prompt": Bad(tasks("id: t", head=CLAUDE), 3, "prompt", "prompt"),
    "climbing id": Bad(tasks("id: ../t"), 3, "'../t' is not usable as a name", "a lower-case letter"),
    "id of two lines": Bad(tasks('id: "t\\nu"'), 3, r"'t\nu' is not usable as a name", "a lower-case letter"),
    "id like an option": Bad(tasks("id: --flag"), 3, "'--flag' is not usable as a name", "a lower-case letter"),
    "broken yaml": Bad("tasks: [\n", 1, "", ""),
    "key as variable": Bad(
        tasks("id: t", head="agents: {a: {cli: command, run: x, env: {CORRAL_HOME: x}}}\n"), 1, "is set by Corral", "remove"
    ),
    "include of a key": Bad("include: [.ssh/id_rsa]\n" + GOOD, 1, "looks like a key", "leave it out"),
    "include of nothing": Bad("include: [gone.env]\n" + GOOD, 1, "no file gone.env", "make it"),
    # the repository
    "missing base": Bad("base: v9\n" + GOOD, 1, "no commit called 'v9'", "name a branch"),
    "not a repository": Bad("repo: ../plain\n" + GOOD, 1, "not in a git repository", "git init", plain_folder),
    "unborn branch": Bad("repo: other\n" + GOOD, 1, "has no commit yet", "make a first commit", unborn),
    "SHA-256 objects": Bad("repo: other\n" + GOOD, 1, "sha256 objects", "SHA-1", sha256),
    "missing blobs": Bad("repo: other\n" + GOOD, 1, "lacks 1 objects", "git fetch --refetch", partial),
    "submodules": Bad(GOOD, None, "submodules at its base (sub)", "base:", with_submodule),
    "LFS": Bad(GOOD, None, "Git LFS at its base (.gitattributes)", "base:", with_lfs),
    "branch corral": Bad(GOOD, None, "in the way of the run's branches: corral", "branch_prefix:", branch("corral")),
    "branch of the run": Bad(
        GOOD, None, "in the way of the run's branches: corral/r", "branch_prefix:", branch("corral/r"), ("--name", "r")
    ),
    "branch below the run": Bad(
        GOOD, None, "corral/r/t/a/1", "branch_prefix:", branch("corral/r/t/a/1"), ("--name", "r")
    ),
    # around them
    "no credential": Bad(tasks("id: t, prompt: p", head=CLAUDE), None, "no credential is set", "ANTHROPIC_API_KEY"),
    "missing transcript": Bad(
        "upstream: script:gone.yaml\n" + tasks("id: t, prompt: p", head=CLAUDE), None, "gone.yaml", ""
    ),
    "run's name": Bad(GOOD, None, "a run can't be called '../x'", "lower-case", options=("--name", "../x")),
    "bad variable": Bad(GOOD, None, "CORRAL_JOBS", "", env={"CORRAL_JOBS": "many"}),
    "bad state directory": Bad(GOOD, None, "can't hold state", "CORRAL_HOME", env={"CORRAL_HOME": "/proc/corral"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Picture]:
    """What there is on the host before and after all of these."""
    home = tmp_path_factory.mktemp("host")
    before = picture(home)
    yield before
    assert picture(home) == before


@pytest.mark.usefixtures("things")
@pytest.mark.parametrize("what", BAD)
def test_refused(tmp_path: Path, what: str) -> None:
    bad = BAD[what]
    repo = make_repo(tmp_path / "repo")
    bad.repo(repo)
    file = repo / "night.yaml"
    file.write_text(bad.text)
    before = tree_hashes(tmp_path)
    corral = Corral(tmp_path / "home", bad.env)
    done = corral("run", file, *bad.options)
    assert done.code == 2, done
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    assert bad.why in done.err
    assert f"→ {bad.cure}" if not bad.cure else bad.cure in done.err.partition("→")[2]
    if bad.line is not None:
        assert f"{file}:{bad.line}: " in done.err
    assert tree_hashes(tmp_path) == before, "something was created"
    assert corral("status").code == 2  # no run
    assert tree_hashes(tmp_path) == before, "something was created"
