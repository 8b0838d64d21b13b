"""How the demo's repositories are made, on packages of the test's own; the index is a local folder."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from demo import fetch
from demo.packages import Package, Release
from demo.prepare import main, prepare
from runner.errors import HostError, UsageError

INFO = b"Metadata-Version: 2.1\nName: small-thing\nVersion: 1.0\n"
COMMIT = "7bd5a93d3287713a35905e92b256512f8fc815ea"
"""What the two archives of these tests come to, on every machine."""


def archive(path: Path, files: dict[str, bytes], *, mode: int = 0o644) -> Path:
    """A source archive with these files."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return path


def release(version: str, path: Path) -> Release:
    """The release that an archive holds."""
    return Release("small-thing", version, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def archives(tmp_path: Path) -> tuple[Path, Path]:
    """Two releases; the later has a new test, and other code that must not come along."""
    earlier = {
        "small-thing-1.0/PKG-INFO": INFO,
        "small-thing-1.0/thing.py": b"def one():\r\n    return 2\r\n",
        "small-thing-1.0/tests/__pycache__/x.pyc": b"junk",
        "small-thing-1.0/small_thing.egg-info/PKG-INFO": INFO,
    }
    later = {
        "small-thing-1.1/thing.py": b"def one():\n    return 1\n",
        "small-thing-1.1/tests/test_thing.py": b"from thing import one\n\nassert one() == 1\n",
        "small-thing-1.1/tests/test_more.py": b"",
    }
    return archive(tmp_path / "1.tar.gz", earlier), archive(tmp_path / "2.tar.gz", later)


@pytest.fixture
def package(archives: tuple[Path, Path]) -> Package:
    """The package of the two releases, with the commit that it always comes to."""
    earlier, later = archives
    tests = ("tests/test_thing.py",)
    return Package(release("1.0", earlier), release("1.1", later), tests, COMMIT)


def from_disk(archives: tuple[Path, Path]) -> Callable[[Sequence[Release], Path], dict[Release, Path]]:
    """A download that finds the archives on disk."""
    by_hash = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in archives}
    return lambda releases, _folder: {each: by_hash[each.sha256] for each in releases}


def git(folder: Path, *arguments: str) -> str:
    """What git prints."""
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    ).stdout


def made(package: Package, archives: tuple[Path, Path], target: Path) -> tuple[Path, list[str]]:
    """The package's repository, and what was said about it."""
    said: list[str] = []
    return prepare(target, [package], said.append, from_disk(archives))[package.name], said


def test_a_repository_is_the_earlier_release_with_the_later_tests(
    package: Package, archives: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing of the person's git may show in the commits, or their ids would differ.
    for name, value in (("AUTHOR_NAME", "Me"), ("DIR", "/nowhere"), ("COMMITTER_DATE", "1 +0100")):
        monkeypatch.setenv(f"GIT_{name}", value)
    folder, said = made(package, archives, tmp_path / "work")
    for name in ("GIT_AUTHOR_NAME", "GIT_DIR", "GIT_COMMITTER_DATE"):
        monkeypatch.delenv(name)
    assert git(folder, "symbolic-ref", "HEAD").strip() == "refs/heads/main"
    assert git(folder, "log", "--format=%s").splitlines() == [
        "Add the tests of 1.1",
        "small-thing 1.0, as released",
    ]
    assert git(folder, "ls-files").split() == [".gitignore", "PKG-INFO", "tests/test_thing.py", "thing.py"]
    assert (folder / "thing.py").read_bytes() == b"def one():\r\n    return 2\r\n"
    assert git(folder, "status", "--short") == ""
    assert len(said) == 1
    assert "made" in said[0]
    assert [path.name for path in (tmp_path / "work").iterdir()] == [package.name]


def test_a_second_time_finds_it_there_and_downloads_nothing(
    package: Package, archives: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, _ = made(package, archives, tmp_path / "work")
    (folder / "thing.py").write_text("the person tries something")
    said: list[str] = []
    prepare(tmp_path / "work", [package], said.append, from_disk((archives[0], archives[0])))
    assert "is there" in said[0]
    assert (folder / "thing.py").read_text() == "the person tries something"


def test_another_folder_in_the_way_is_left_alone(
    package: Package, archives: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "work" / package.name
    folder.mkdir(parents=True)
    (folder / "mine").touch()
    with pytest.raises(UsageError, match="branch main is missing"):
        made(package, archives, tmp_path / "work")
    assert [path.name for path in folder.iterdir()] == ["mine"]


def test_a_repository_that_came_out_otherwise_is_not_kept(
    package: Package, archives: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(HostError, match=f"commit {COMMIT}, not 0000"):
        made(replace(package, commit="0" * 40), archives, tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_a_folder_that_can_not_be_written_is_said(
    package: Package, archives: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "work").write_text("a file")
    with pytest.raises(HostError, match="can't be made in"):
        made(package, archives, tmp_path / "work")


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "xmltodict").mkdir()
    assert main([str(tmp_path)]) == 2
    assert "move the folder away" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["/etc/passwd", "a/../../b", "a/.git/hooks/post-checkout", "top-level"])
def test_an_archive_with_a_hostile_path_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="path that it should not"):
        fetch.read(archive(tmp_path / "a.tar.gz", {"a/fine": b"", path: b"x"}))


def test_links_in_an_archive_are_passed_over_and_modes_kept(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar.gz", {"a/run": b"x"}, mode=0o755)
    with tarfile.open(path, "w:gz") as tar:
        for name, kind in (
            ("a/link", tarfile.SYMTYPE),
            ("a/hard", tarfile.LNKTYPE),
            ("a/pipe", tarfile.FIFOTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        member = tarfile.TarInfo("a/run")
        member.mode = 0o755
        tar.addfile(member)
    assert fetch.read(path) == [fetch.SourceFile("run", b"", executable=True)]


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="more than"):
        fetch.read(archive(tmp_path / "a.tar.gz", {"a/big": b"\0" * (fetch.LARGEST_ARCHIVE + 1)}))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which pip looks for packages, and nowhere else; one of them would betray that it ran."""
    folder = tmp_path / "index"
    folder.mkdir()
    betrayal = f"open({str(tmp_path / 'it-ran')!r}, 'w')\n".encode()
    archive(
        folder / "small-thing-1.0.tar.gz",
        {"small-thing-1.0/PKG-INFO": INFO, "small-thing-1.0/setup.py": betrayal},
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_download_runs_nothing_of_the_package(index: Path, tmp_path: Path) -> None:
    wanted = release("1.0", index / "small-thing-1.0.tar.gz")
    (tmp_path / "to").mkdir()
    found = fetch.fetch([wanted], tmp_path / "to")
    assert found[wanted].read_bytes() == (index / "small-thing-1.0.tar.gz").read_bytes()
    assert not (tmp_path / "it-ran").exists()


def test_other_bytes_than_the_pinned_ones_are_refused(index: Path, tmp_path: Path) -> None:
    wanted = replace(release("1.0", index / "small-thing-1.0.tar.gz"), sha256="0" * 64)
    (tmp_path / "to").mkdir()
    with pytest.raises(HostError, match="HASH"):
        fetch.fetch([wanted], tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []
