"""Included files are plain files of the work tree that hold no key."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.supervisor.attempt.includes import read_includes
from runner.tasks.plan import Source


def source(repo: Path, *include: str) -> Source:
    return Source(
        repo=str(repo), git_dir=str(repo / ".git"), base="a" * 40, base_name="HEAD", include=include
    )


def test_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / ".env.test").write_bytes(b"A=1\n\xff")
    assert read_includes(source(tmp_path, "d/.env.test")) == {"d/.env.test": b"A=1\n\xff"}


@pytest.mark.parametrize("what", ["missing", "link", "directory", "key"])
def test_what_is_refused(tmp_path: Path, what: str) -> None:
    repo = tmp_path / "repo"
    (repo / "directory").mkdir(parents=True)
    (tmp_path / "outside").write_text("secret")
    (repo / "link").symlink_to(tmp_path / "outside")
    (repo / "key").write_text("TOKEN=ghp_" + "a" * 36)
    with pytest.raises(UsageError) as refused:
        read_includes(source(repo, what))
    assert refused.value.cure
    assert "ghp_" not in str(refused.value)


def test_a_link_in_the_way_does_not_lead_out(tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "f").write_text("x")
    (repo / "d").symlink_to(tmp_path / "out")
    with pytest.raises(UsageError, match="no plain file"):
        read_includes(source(repo, "d/f"))
