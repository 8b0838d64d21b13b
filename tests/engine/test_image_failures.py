"""An image can't be prepared: what needs it ends with the reason, and the rest of the run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.sandbox.engine import Engine
from runner.sandbox.layers import LABEL_DESCRIPTION, LABEL_LAYER
from tests.support import Corral, Done, git, host_git_hashes, make_repo, write_tasks

SETUP = ["echo first step", "echo looking for the license; cat license", "echo never reached"]


@pytest.fixture(autouse=True)
def no_new_images() -> Iterator[None]:
    """The images that the tests make are removed; those that others make meanwhile are not touched."""
    yield
    with Engine({}) as engine:
        for facts in engine.images(LABEL_LAYER):
            if facts.labels[LABEL_LAYER] == "setup" and "cat license" in facts.labels[LABEL_DESCRIPTION]:
                for tag in facts.tags:
                    engine.remove_image(tag)


@pytest.fixture
def done(corral: Corral, repo: Path, tmp_path: Path) -> Done:
    """A run over two repositories, in one of which setup can't do its work."""
    licensed = make_repo(tmp_path / "licensed", {"license": "yes\n"})
    tasks = {
        "a": {"sh": "touch made", "repo": str(licensed)},
        "b": "touch made",
        "c": "touch made",
        "after-b": {"sh": "touch more", "needs": ["b"]},
    }
    before = host_git_hashes(repo)
    ended = corral.run(repo, tasks, setup=SETUP)
    assert host_git_hashes(repo) == before
    assert ended.attempt("a")["repo"] == str(licensed)
    return ended


def test_a_failing_setup_ends_the_tasks_that_need_it_and_no_others(done: Done) -> None:
    assert (done.code, "Traceback" in done.err) == (3, False), done.err
    assert done.verdicts == {"a": "done", "b": "infrastructure", "c": "infrastructure", "after-b": None}
    assert git(Path(done.attempt("a")["repo"]), "ls-tree", "--name-only", done.attempt("a")["branch"])


def test_the_reason_names_the_step_and_shows_what_it_said(done: Done) -> None:
    for task in "bc":
        reason = done.attempt(task)["reason"]
        assert "cat license" in reason
        assert "No such file" in reason
        assert "never reached" not in reason.replace(SETUP[2], "")


def test_an_image_that_does_not_exist(corral: Corral, repo: Path) -> None:
    done = corral.run(repo, {"t": "touch made"}, image={"name": "localhost:1/does-not-exist:1"})
    assert (done.code, "Traceback" in done.err) == (3, False), done.err
    assert done.verdicts == {"t": "infrastructure"}
    assert "localhost:1/does-not-exist:1" in done.attempt("t")["reason"]


def test_a_dockerfile_that_fails(corral: Corral, repo: Path) -> None:
    (repo / "box").mkdir()
    (repo / "box" / "Dockerfile").write_text("FROM scratch\nCOPY not-there /\n")
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "--message=box")
    done = corral.run(repo, {"t": "touch made"}, image={"build": "box"})
    assert (done.code, "Traceback" in done.err) == (3, False), done.err
    assert done.verdicts == {"t": "infrastructure"}
    assert "not-there" in done.attempt("t")["reason"]


def test_a_person_is_told_and_can_mend_it(corral: Corral, repo: Path) -> None:
    file = write_tasks(repo.parent / "t.yaml", repo, {"t": "touch made"}, setup=["cat license"])
    told = corral("run", file)
    assert told.code == 3
    assert "image failed for" in told.out
    assert "cat license" in told.out
    (repo / "license").write_text("yes\n")
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "--message=license")
    mended = corral("run", file, "--json")
    assert (mended.code, mended.verdicts) == (0, {"t": "done"})
