"""Bad input is refused before anything starts: with its place, cause and cure, and with nothing created."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import Corral, Picture, git, make_repo, picture, tree_hashes

COMMAND = "agents: {a: {cli: command, run: touch x}}\n"
RULE = "a lower-case letter"
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
    "bad unit": Bad(
        tasks("id: t, limits: {memory: 4 gigs}"), 3, "'4 gigs' is not a size: write it like 512MiB", ""
    ),
    "cycle": Bad(
        tasks("id: t, needs: [u]", "id: u, needs: [t]"),
        3,
        "a cycle: 't' needs 'u' needs 't'",
        "take one `needs` out",
    ),
    "unknown profile": Bad(tasks("id: t, agent: b"), 3, "no agent 'b'", "known are: a"),
    "unknown task": Bad(
        tasks("id: t, needs: [tt]"), 3, "task 't' needs 'tt', which is no task", "did you mean 't'?"
    ),
    "duplicate id": Bad(tasks("id: t", "id: t"), 4, "two tasks are called 't'", "line 3"),
    "empty prompt": Bad(
        tasks("id: t, prompt: ' '", head=CLAUDE), 3, "task 't' has no prompt", "say in `prompt:`"
    ),
    "no prompt": Bad(tasks("id: t", head=CLAUDE), 3, "task 't' has no prompt", "say in `prompt:`"),
    "climbing id": Bad(tasks("id: ../t"), 3, "'../t' is not usable as a name", RULE),
    "id of two lines": Bad(tasks('id: "t\\nu"'), 3, r"'t\nu' is not usable as a name", RULE),
    "id like an option": Bad(tasks("id: --flag"), 3, "'--flag' is not usable as a name", RULE),
    "broken yaml": Bad("tasks: [\n", 2, "not YAML: ", ""),
    "key as variable": Bad(
        tasks("id: t", head="agents: {a: {cli: command, run: x, env: {CORRAL_HOME: x}}}\n"),
        1,
        "is set by Corral",
        "remove",
    ),
    "include of a key": Bad("include: [.ssh/id_rsa]\n" + GOOD, 1, "looks like a key", "leave it out"),
    "include of nothing": Bad(
        "include: [gone.env]\n" + GOOD, 1, "gone.env, which can't be read", "make the file"
    ),
    # the repository
    "missing base": Bad("base: v9\n" + GOOD, 1, "no commit called 'v9'", "name a branch"),
    "not a repository": Bad(
        "repo: ../plain\n" + GOOD, 1, "not in a git repository", "git init", plain_folder
    ),
    "unborn branch": Bad("repo: other\n" + GOOD, 1, "has no commit yet", "make a first commit", unborn),
    "SHA-256 objects": Bad("repo: other\n" + GOOD, 1, "sha256 objects", "SHA-1", sha256),
    "missing blobs": Bad("repo: other\n" + GOOD, 1, "lacks 1 objects", "git fetch --refetch", partial),
    "submodules": Bad(GOOD, None, "submodules at its base (sub)", "base:", with_submodule),
    "LFS": Bad(GOOD, None, "Git LFS at its base (.gitattributes)", "base:", with_lfs),
    "branch corral": Bad(
        GOOD, None, "in the way of the run's branches: corral", "branch_prefix:", branch("corral")
    ),
    "branch of the run": Bad(
        GOOD,
        None,
        "in the way of the run's branches: corral/r",
        "branch_prefix:",
        branch("corral/r"),
        ("--name", "r"),
    ),
    "branch below the run": Bad(
        GOOD, None, "corral/r/t/a/1", "branch_prefix:", branch("corral/r/t/a/1"), ("--name", "r")
    ),
    # around them
    "no credential": Bad(
        tasks("id: t, prompt: p", head=CLAUDE), None, "no credential is set", "ANTHROPIC_API_KEY"
    ),
    "missing transcript": Bad(
        "upstream: script:gone.yaml\n" + tasks("id: t, prompt: p", head=CLAUDE), None, "gone.yaml", "upstream"
    ),
    "run's name": Bad(GOOD, None, "a run can't be called '../x'", "lower-case", options=("--name", "../x")),
    "bad variable": Bad(GOOD, None, "CORRAL_JOBS can't be used", "unset", env={"CORRAL_JOBS": "many"}),
}


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Picture]:
    """What there is on the host before and after all of these."""
    home = tmp_path_factory.mktemp("host")
    before = picture(home)
    yield before
    assert picture(home).since(before) == []


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
    assert bad.cure in done.err.partition("→")[2]
    if bad.line is not None:
        assert f"{file}:{bad.line}: " in done.err
    assert tree_hashes(tmp_path) == before, "something was created"
    assert corral("status").code == 2  # no run
    assert tree_hashes(tmp_path) == before, "something was created"


def test_a_state_directory_that_cannot_be_made_is_the_hosts_fault(tmp_path: Path) -> None:
    file = make_repo(tmp_path / "repo") / "night.yaml"
    file.write_text(GOOD)
    done = Corral(Path("/proc/corral"))("run", file)
    message, _, cure = done.err.partition("\n  → ")
    assert (done.code, message) == (3, "error: /proc/corral can't hold state: No such file or directory")
    assert cure == "set CORRAL_HOME to a directory of yours\n"


def test_another_prefix_goes_around_a_branch_in_the_way(corral: Corral, repo: Path) -> None:
    git(repo, "branch", "corral")
    done = corral.run(repo, {"t": "touch x"}, "--name", "r", branch_prefix="team/night")
    assert (done.code, done.attempt("t")["branch"]) == (0, "team/night/r/t/do-t/1")


def test_a_branch_of_an_earlier_run_gives_the_next_one_another_name(corral: Corral, repo: Path) -> None:
    runs = [corral.run(repo, {"t": "touch x"}, name="night").summary["run"] for _ in range(2)]
    git(repo, "branch", "corral/night-3/mine")
    runs.append(corral.run(repo, {"t": "touch x"}, name="night").summary["run"])
    assert runs == ["night", "night-2", "night-4"]


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "can't be read: No such file"), (b"", ""), (b"tasks: \xff\n", "is not UTF-8 text (byte 7)")],
)
def test_a_file_that_is_no_task_file(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "night.yaml"
    if content is not None:
        file.write_bytes(content)
    done = Corral(tmp_path / "home")("run", file)
    assert (done.code, str(file) in done.err, why in done.err) == (2, True, True), done.err
    assert not (tmp_path / "home").exists()
