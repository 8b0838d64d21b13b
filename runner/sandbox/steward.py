"""The steward: cares for files that a box wrote, with rights over them that Corral must not need.

It gives directories to the box's uid, removes what a box wrote, and saves what must not be lost. It can
mount nothing, so that whatever a hostile tree does to `tar` or `rm` stays in a container without power.
"""

from __future__ import annotations

import os
from pathlib import Path

from runner.sandbox.box import Mount
from runner.sandbox.standing import Post, Standing, folder


class Steward(Standing):
    """A steward, started when it is first needed; `disks` is what it sees of the mounter's disks."""

    role = "steward"
    script = "/opt/corral/steward.sh"
    capabilities = ("CHOWN", "DAC_OVERRIDE", "FOWNER")

    def __init__(self, post: Post, disks: tuple[Mount, ...] = ()) -> None:
        super().__init__(post)
        self._disks = disks

    def own(self, workspace: str, place: str, uid: int) -> None:
        """Give one place of an attempt (`agent` or `check`) to the box's uid."""
        self.do("own", workspace, place, str(uid))

    def empty(self, workspace: str) -> None:
        """Remove every file of an attempt, whoever owns it."""
        if (self._post.home / "w" / workspace).is_dir():
            self.do("empty", workspace)

    def clear(self, workspace: str, place: str) -> None:
        """Remove every file of one place of an attempt, whoever owns it."""
        self.do("clear", workspace, place)

    def used(self, workspace: str, place: str) -> tuple[int, int] | None:
        """Bytes and files that a place holds; None if there are too many to count in time."""
        said = self.do("used", workspace, place).split()
        return None if said == ["too", "many"] else (int(said[0]), int(said[1]))

    def keep(self, workspace: str, name: str) -> Path:
        """Save an attempt's files as an archive and return its path."""
        self.do("keep", workspace, name, f"{os.getuid()}:{os.getgid()}")
        return self._post.home / "kept" / f"{name}.tar.gz"

    def outbox(self, workspace: str, most: int) -> str:
        """The names in an attempt's outbox, at most so many, in base64, with a NUL behind each."""
        return self.do("outbox", workspace, str(most))

    def letter(self, workspace: str, name: str, most: int) -> str:
        """`missing`, `odd`, or `plain` and the first so many bytes of a file there in base64."""
        return self.do("letter", workspace, name, str(most))

    def report(self, workspace: str, name: str, most: int) -> str:
        """As `letter`, of a file in the HOME that checks have."""
        return self.do("report", workspace, name, str(most))

    def mounts(self) -> tuple[Mount, ...]:
        """The workspaces, the archives, and the disks."""
        home = self._post.home
        return (
            Mount(str(folder(home / "w")), "/state/w", read_only=False),
            Mount(str(folder(home / "kept")), "/state/kept", read_only=False),
            *self._disks,
        )
