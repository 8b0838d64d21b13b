"""An attempt's workspace: a real, locked git worktree, a private git directory, a HOME and its inputs.

    w/<id>/agent/corral-<id>   the worktree, mounted at /workspace
    w/<id>/agent/gitdir        the private git directory, mounted at /gitdir
    w/<id>/agent/home          HOME
    w/<id>/agent/out           its outbox, where it has mail, mounted at /run/corral/mail/out
    w/<id>/mail                its inbox, mounted read-only at /run/corral/mail/in
    w/<id>/check               the same again, for the check's clean container
    w/<id>/dotgit              the file that masks the worktree's .git, mounted read-only over it
    w/<id>/in                  prompt, included files and protected paths, mounted read-only

A workspace in which only checks run has `check`, `dotgit` and `in` alone.

The host's own git directory is in no box. The private one borrows the objects of the base store, so
git works inside as usual. The host writes here only before the box exists: then `agent` and `check` are
taken over by `disks`, and where disks are limited, the host sees no file in them any more.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.git import earlier, worktree
from runner.git.base_store import BaseStore
from runner.guarded import GuardedError, read_file
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


OUT = "out"
"""The outbox, in the agent's place: what a box puts there lies on its own disk."""
MAIL = "/run/corral/mail"
"""Where a box that has mail finds its inbox (`in`) and its outbox (`out`)."""

MORE = "more"
"""The file beside the prompt with what an agent is told that goes on in a new box."""

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
        mail: Whether it gets an inbox and an outbox.
    """

    prompt: str
    home: Mapping[str, bytes]
    include: Mapping[str, bytes]
    protect: tuple[str, ...]
    author: tuple[str, str] = AUTHOR
    mail: bool = False


@dataclass(frozen=True)
class Workspace:
    """The places of one attempt. `root` is `w/<id>` below the state directory."""

    id: str
    root: Path

    @property
    def tree(self) -> Path:
        """The worktree."""
        return self.root / "agent" / self.tree_name

    @property
    def tree_name(self) -> str:
        """What the worktree's directory is called: git names its entry in the repository so."""
        return f"corral-{self.id}"

    @property
    def disk(self) -> Path:
        """The file that holds the agent's disk, where disks are limited."""
        return self.root / "agent.ext4"

    @property
    def inbox(self) -> Path:
        """The directory that the host alone writes messages for the box into."""
        return self.root / "mail"

    @property
    def is_whole(self) -> bool:
        """Whether it was laid out to its end and not begun to be emptied, so that work may lie in it."""
        places = (self.root / "agent" / name for name in (self.tree_name, "gitdir", "home"))
        return self.disk.is_file() or all(place.is_dir() for place in places)

    @property
    def note(self) -> Path:
        """The file beside the workspaces that says whose this one is."""
        return self.root.parent / f"{self.id}.json"

    def agent_mounts(
        self, seen: Path, base: BaseStore, sockets: Path | None, *, mail: bool = False
    ) -> tuple[Mount, ...]:
        """What the agent's box sees.

        Args:
            seen: Where the engine finds the attempt's places (`Disks.seen`).
            base: The history it is given.
            sockets: Holds the gateway's socket, if a model is reachable.
            mail: Whether it has an inbox and an outbox.
        """
        gateway = () if sockets is None else (Mount(str(sockets), "/run/gw"),)
        post = (
            Mount(str(self.inbox), f"{MAIL}/in"),
            Mount(str(seen / "agent" / OUT), f"{MAIL}/out", read_only=False),
        )
        return (
            *gateway,
            *(post if mail else ()),
            *self._places(seen / "agent", base, read_only=False),
            *self._inputs,
        )

    def gather_mounts(self, seen: Path, base: BaseStore) -> tuple[Mount, ...]:
        """What the gather container sees: the same files, nothing writable, nothing else."""
        home = f"{seen}/agent/home"
        places = self._places(seen / "agent", base, read_only=True)
        return tuple(mount for mount in places if mount.source != home)

    def home_mounts(self, seen: Path, archive: tuple[Mount, ...] = ()) -> tuple[Mount, ...]:
        """What a container sees that packs HOME, or, given an archive, lays it into HOME."""
        return (Mount(str(seen / "agent" / "home"), "/home/agent", read_only=not archive), *archive)

    def check_mounts(
        self, seen: Path, base: BaseStore, quarantine: Path, hidden: Path | None = None
    ) -> tuple[Mount, ...]:
        """What the check's clean container sees: the gathered objects, and none of the agent's files.

        Args:
            seen: Where the engine finds the attempt's places (`Disks.seen`).
            base: The history that the work builds on.
            quarantine: Where the objects are.
            hidden: The files that are laid over the work for checks alone, if there are any.
        """
        places = self._places(seen / "check", base, read_only=False)
        unseen = () if hidden is None else (Mount(str(hidden), "/run/corral/hidden"),)
        return (*places, *self._inputs, *unseen, Mount(str(quarantine), "/quarantine"))

    def _places(self, place: Path, base: BaseStore, *, read_only: bool) -> tuple[Mount, ...]:
        return (
            Mount(str(place / self.tree_name), "/workspace", read_only=read_only),
            Mount(str(self.root / "dotgit"), "/workspace/.git"),
            Mount(str(place / "gitdir"), "/gitdir", read_only=read_only),
            Mount(str(place / "home"), "/home/agent", read_only=read_only),
            Mount(str(base.path), "/base"),
        )

    @property
    def _inputs(self) -> tuple[Mount, ...]:
        return (Mount(str(self.root / "in"), "/run/corral/in"),)

    @property
    def mask_holds(self) -> bool:
        """Whether the mask still says what it said: checked before anything is gathered."""
        try:
            return read_file(self.root, "dotgit", 2 * len(MASK)) == MASK.encode()
        except GuardedError:
            return False


def lay_out(
    space: Workspace, base: BaseStore, git_dir: Path, locks: Path, inputs: Inputs, on: str | None = None
) -> str:
    """Make a workspace's directories and register its worktree. The steward must own them over next.

    Args:
        space: The workspace.
        base: The history that its box is given.
        git_dir: The user's git directory.
        locks: Where lock files lie.
        inputs: What it is seeded with.
        on: The work in the user's repository that it begins with, instead of the base commit.

    Returns:
        The commit that the box is to check out.

    Raises:
        GitError: The worktree could not be registered, or the work is no longer there.
        OSError: The disk is full, or the state directory is not ours.
    """
    space.root.mkdir(parents=True)
    worktree.add(git_dir, space.tree, base.origin, locks)
    (space.tree / ".git").chmod(0o400)
    _mask(space)
    _place(space.root / "agent", base, ("/base/objects",), inputs.author)
    for path, content in inputs.home.items():
        _write(space.root / "agent" / "home" / path, content)
    _inputs(space.root / "in", inputs)
    if inputs.mail:
        _folder(space.inbox)
        _folder(space.root / "agent" / OUT, mode=0o700)
    if on is None:
        return base.commit
    gitdir = space.root / "agent" / "gitdir"
    begins = earlier.lay_in(git_dir, gitdir, on, base)
    (gitdir / "refs" / "heads" / "work").write_text(f"{begins}\n")
    return begins


def lay_out_check(space: Workspace, base: BaseStore, protect: tuple[str, ...]) -> None:
    """Make the directories of the check's place.

    What is there already, and where a check may have run, is put aside; it goes with all the rest.

    Args:
        space: The workspace.
        base: The history that the work builds on.
        protect: The paths that are restored from the base before this check.
    """
    _protect(space.root / "in", protect)
    check = space.root / "check"
    for before in (check, space.root / "check.ext4"):
        if before.exists():
            before.rename(space.root / f"earlier-{os.urandom(4).hex()}")
    _folder(check / space.tree_name)
    (check / space.tree_name / ".git").touch()
    _place(check, base, ("/base/objects", "/quarantine/objects"), AUTHOR)


def lay_out_clean(space: Workspace, include: Mapping[str, bytes]) -> None:
    """Make a workspace in which nothing but checks will run: it is no worktree of the user's repository."""
    space.root.mkdir(parents=True)
    _mask(space)
    _inputs(space.root / "in", Inputs("", {}, include, ()))


def say_more(space: Workspace, words: str) -> None:
    """Write what an agent is told that goes on in a new box; it stands beside the prompt."""
    _write(space.root / "in" / MORE, words.encode())


def take_down(space: Workspace, git_dir: Path, locks: Path) -> None:
    """Remove what is left of a workspace after the steward emptied it: our directory and the entry."""
    worktree.remove(git_dir, space.tree, locks)
    if space.root.exists():
        space.root.rmdir()


def remember(space: Workspace, run: str, git_dir: Path) -> None:
    """Note, beside the workspaces, whose worktree this is, so that a later process can clean up."""
    space.note.parent.mkdir(parents=True, exist_ok=True)
    fresh = space.note.with_suffix(".new")  # a note is whole, or it is not there
    fresh.write_text(json.dumps({"run": run, "git_dir": str(git_dir)}))
    fresh.rename(space.note)


def forget(space: Workspace) -> None:
    """Remove the note that `remember` made."""
    space.note.unlink(missing_ok=True)


def remembered(workspaces: Path) -> list[tuple[Workspace, str, Path | None]]:
    """The workspaces that were begun and not taken down: each with its run and repository.

    A note that can't be read, as a failing disk may leave it, belongs to a run without a name and to no
    repository that is known.
    """
    return [
        (Workspace(note.stem, workspaces / note.stem), *_said(note))
        for note in sorted(workspaces.glob("*.json"))
        if re.fullmatch("[0-9a-f]{12}", note.stem)
    ]


def half_noted(workspaces: Path) -> list[tuple[str, Path]]:
    """Notes that were never finished, each with its run, as far as it says."""
    return [(_said(note)[0], note) for note in workspaces.glob("*.new")]


def _said(note: Path) -> tuple[str, Path | None]:
    try:
        said = json.loads(note.read_text())
        return str(said["run"]), Path(said["git_dir"])
    except (OSError, ValueError, TypeError, KeyError):
        return "", None


def _place(place: Path, base: BaseStore, alternates: tuple[str, ...], author: tuple[str, str]) -> None:
    """A private git directory and a HOME."""
    gitdir = place / "gitdir"
    for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        (gitdir / folder).mkdir(parents=True)
    name, email = author
    (gitdir / "config").write_text(GIT_CONFIG.format(name=name, email=email))
    (gitdir / "HEAD").write_text("ref: refs/heads/work\n")
    (gitdir / "refs" / "heads" / "work").write_text(f"{base.commit}\n")
    (gitdir / "objects" / "info" / "alternates").write_text("".join(f"{line}\n" for line in alternates))
    if base.shallow:
        (gitdir / "shallow").write_text(base.shallow)
    _folder(place / "home", mode=0o700)
    _write(place / "home" / ".gitconfig", _identity(author))


def _identity(author: tuple[str, str]) -> bytes:
    """A git configuration for HOME, so that commits also work in repositories that tests make."""
    name, email = author
    return f"[user]\n\tname = {name}\n\temail = {email}\n".encode()


def _mask(space: Workspace) -> None:
    """The file that stands in boxes where the worktree's own `.git` is."""
    mask = space.root / "dotgit"
    mask.write_text(MASK)
    mask.chmod(0o444)


def _protect(folder: Path, paths: tuple[str, ...]) -> None:
    _write(folder / "protect", b"".join(os.fsencode(path) + b"\n" for path in paths))


def _inputs(folder: Path, inputs: Inputs) -> None:
    _folder(folder)
    _write(folder / "prompt", inputs.prompt.encode())
    _protect(folder, inputs.protect)
    for path, content in inputs.include.items():
        _write(folder / "include" / path, content)


def _folder(path: Path, mode: int = 0o755) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)


def _write(path: Path, content: bytes) -> None:
    for parent in (p for p in reversed(path.parents) if not p.exists()):
        _folder(parent)
    path.write_bytes(content)
    path.chmod(0o644)
