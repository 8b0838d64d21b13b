"""An attempt's workspace: a real, locked git worktree, a private git directory, a HOME and its inputs.

    w/<id>/corral-<id>   the worktree, mounted at /workspace
    w/<id>/dotgit        the file that masks the worktree's .git, mounted read-only over it
    w/<id>/gitdir        the private git directory, mounted at /gitdir
    w/<id>/home          HOME
    w/<id>/in            prompt, included files and protected paths, mounted read-only
    w/<id>/check         the same again, for the check's clean container

The host's own git directory is in no box. The private one borrows the objects of the base store, so
git works inside as usual. The host writes here only before the box exists; afterwards the steward does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.git import worktree
from runner.git.base_store import BaseStore
from runner.sandbox.box import Mount

MASK = "gitdir: /gitdir\n"
GIT_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
\tworktree = /workspace
\tlogAllRefUpdates = true
[gc]
\tauto = 0
[user]
\tname = {name}
\temail = {email}
[advice]
\tdetachedHead = false
"""


AUTHOR = ("Corral agent", "agent@corral.invalid")
"""Name and mail address of commits made inside, where nobody says otherwise."""


@dataclass(frozen=True)
class Inputs:
    """What a workspace is seeded with.

    Attributes:
        prompt: The task's words.
        home: Files of HOME by relative path.
        include: Ignored files of the user's work tree by relative path.
        protect: Paths that the check restores from the base.
        author: Name and mail address of commits made inside.
    """

    prompt: str
    home: Mapping[str, bytes]
    include: Mapping[str, bytes]
    protect: tuple[str, ...]
    author: tuple[str, str] = AUTHOR


@dataclass(frozen=True)
class Workspace:
    """The places of one attempt. `root` is `w/<id>` below the state directory."""

    id: str
    root: Path

    @property
    def tree(self) -> Path:
        """The worktree."""
        return self.root / f"corral-{self.id}"

    @property
    def gitdir(self) -> Path:
        """The private git directory."""
        return self.root / "gitdir"

    @property
    def home(self) -> Path:
        """HOME in the box."""
        return self.root / "home"

    @property
    def is_whole(self) -> bool:
        """Whether it was laid out to its end and not begun to be emptied, so that work may lie in it."""
        return all(place.is_dir() for place in (self.tree, self.gitdir, self.home))

    @property
    def note(self) -> Path:
        """The file beside the workspaces that says whose this one is."""
        return self.root.parent / f"{self.id}.json"

    def agent_mounts(self, base: BaseStore, sockets: Path | None) -> tuple[Mount, ...]:
        """What the agent's box sees; `sockets` holds the gateway's socket, if a model is reachable."""
        gateway = () if sockets is None else (Mount(str(sockets), "/run/gw"),)
        return (
            *gateway,
            Mount(str(self.tree), "/workspace", read_only=False),
            Mount(str(self.root / "dotgit"), "/workspace/.git"),
            Mount(str(self.gitdir), "/gitdir", read_only=False),
            Mount(str(self.home), "/home/agent", read_only=False),
            Mount(str(self.root / "in"), "/run/corral/in"),
            Mount(str(base.path), "/base"),
        )

    def gather_mounts(self, base: BaseStore) -> tuple[Mount, ...]:
        """What the gather container sees: the same files, nothing writable, nothing else."""
        return (
            Mount(str(self.tree), "/workspace"),
            Mount(str(self.root / "dotgit"), "/workspace/.git"),
            Mount(str(self.gitdir), "/gitdir"),
            Mount(str(base.path), "/base"),
        )

    def check_mounts(self, base: BaseStore, quarantine: Path) -> tuple[Mount, ...]:
        """What the check's clean container sees: the gathered objects, and none of the agent's files."""
        check = self.root / "check"
        return (
            Mount(str(check / "tree"), "/workspace", read_only=False),
            Mount(str(check / "dotgit"), "/workspace/.git"),
            Mount(str(check / "gitdir"), "/gitdir", read_only=False),
            Mount(str(check / "home"), "/home/agent", read_only=False),
            Mount(str(self.root / "in"), "/run/corral/in"),
            Mount(str(base.path), "/base"),
            Mount(str(quarantine), "/quarantine"),
        )

    @property
    def mask_holds(self) -> bool:
        """Whether the mask still says what it said: checked before anything is gathered."""
        try:
            return (self.root / "dotgit").read_text() == MASK
        except (OSError, UnicodeDecodeError):
            return False


def lay_out(space: Workspace, base: BaseStore, git_dir: Path, locks: Path, inputs: Inputs) -> None:
    """Make a workspace's directories and register its worktree. The steward must own them over next.

    Raises:
        GitError: The worktree could not be registered.
        OSError: The disk is full, or the state directory is not ours.
    """
    space.root.mkdir(parents=True)
    worktree.add(git_dir, space.tree, base.commit, locks)
    (space.tree / ".git").chmod(0o400)
    _git_directory(space.root, base, ("/base/objects",), inputs.author)
    _folder(space.home, mode=0o700)
    for path, content in {".gitconfig": _identity(inputs.author), **inputs.home}.items():
        _write(space.home / path, content)
    _inputs(space.root / "in", inputs)
    _check_place(space.root / "check", base, inputs.author)


def renew_check(space: Workspace, base: BaseStore) -> None:
    """Put the check's place aside, in which a check may have run, and make it anew.

    The steward must own it over next; it removes what was put aside with all the rest.
    """
    (space.root / "check").rename(space.root / f"check-{os.urandom(4).hex()}")
    _check_place(space.root / "check", base, AUTHOR)


def take_down(space: Workspace, git_dir: Path, locks: Path) -> None:
    """Remove what is left of a workspace after the steward emptied it: our directory and the entry."""
    worktree.remove(git_dir, space.tree, locks)
    if space.root.exists():
        space.root.rmdir()


def remember(space: Workspace, run: str, git_dir: Path) -> None:
    """Note, beside the workspaces, whose worktree this is, so that a later process can clean up."""
    space.note.parent.mkdir(parents=True, exist_ok=True)
    space.note.write_text(json.dumps({"run": run, "git_dir": str(git_dir)}))


def forget(space: Workspace) -> None:
    """Remove the note that `remember` made."""
    space.note.unlink(missing_ok=True)


def remembered(workspaces: Path) -> list[tuple[Workspace, str, Path]]:
    """The workspaces that were begun and not taken down: each with its run and repository."""
    found = []
    for note in sorted(workspaces.glob("*.json")):
        said = json.loads(note.read_text())
        space = Workspace(note.stem, workspaces / note.stem)
        found.append((space, str(said["run"]), Path(said["git_dir"])))
    return found


def _git_directory(
    parent: Path, base: BaseStore, alternates: tuple[str, ...], author: tuple[str, str]
) -> None:
    gitdir = parent / "gitdir"
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        (gitdir / folder).mkdir(parents=True)
    name, email = author
    (gitdir / "config").write_text(GIT_CONFIG.format(name=name, email=email))
    (gitdir / "HEAD").write_text("ref: refs/heads/work\n")
    (gitdir / "refs" / "heads" / "work").write_text(f"{base.commit}\n")
    (gitdir / "objects" / "info" / "alternates").write_text("".join(f"{line}\n" for line in alternates))
    if base.shallow:
        (gitdir / "shallow").write_text(base.shallow)
    mask = parent / "dotgit"
    mask.write_text(MASK)
    mask.chmod(0o444)


def _identity(author: tuple[str, str]) -> bytes:
    """A git configuration for HOME, so that commits also work in repositories that tests make."""
    name, email = author
    return f"[user]\n\tname = {name}\n\temail = {email}\n".encode()


def _inputs(folder: Path, inputs: Inputs) -> None:
    _folder(folder)
    _write(folder / "prompt", inputs.prompt.encode())
    _write(folder / "protect", "".join(f"{path}\n" for path in inputs.protect).encode())
    for path, content in inputs.include.items():
        _write(folder / "include" / path, content)


def _check_place(check: Path, base: BaseStore, author: tuple[str, str]) -> None:
    _folder(check)
    _folder(check / "tree")
    _folder(check / "home", mode=0o700)
    _write(check / "home" / ".gitconfig", _identity(author))
    _git_directory(check, base, ("/base/objects", "/quarantine/objects"), author)


def _folder(path: Path, mode: int = 0o755) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)


def _write(path: Path, content: bytes) -> None:
    for parent in (p for p in reversed(path.parents) if not p.exists()):
        _folder(parent)
    path.write_bytes(content)
    path.chmod(0o644)
