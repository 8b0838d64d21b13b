"""The disks of attempts: where the files of a box lie, and what bounds them.

The first that works on a host is taken:

    limited   a file system of the limit's size for each place, on a loop device, mounted `nosuid,nodev`
              by the mounter: full means full, for bytes and for files, whatever becomes of Corral
    watched   plain directories, whose size is looked at every few seconds: weaker, and said so

The mounter mounts below a volume of the engine's, which the engine mounts for it and shares with the
boxes. Nothing of it needs rights that a member of the `docker` group lacks, and nothing of it outlives
the containers that use it: the engine unmounts the volume with the last of them, and a loop device lets
go of its file by itself.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from runner import names
from runner.errors import EngineError
from runner.sandbox.box import MIB, Mount
from runner.sandbox.standing import Post, Standing, folder
from runner.sandbox.steward import Steward

Place = Literal["agent", "check"]
Rung = Literal["limited", "watched"]

BYTES_PER_FILE = 16 * 1024
"""One file for so many bytes: the ratio of e2fsprogs (`inode_ratio` in mke2fs.conf)."""
FEWEST_FILES = 2048
MOST_FILES = 2_000_000
FULL_BYTES = 64 * 1024
"""A disk with less room than this counts as full: hardly any write succeeds on it."""

WATCHED = (
    "`limits.disk` is only looked after every few seconds: a box can fill the disk of CORRAL_HOME in "
    "between, and leave setuid files there"
)
"""What is weaker where disks are watched."""

BLOCK = 512
"""Bytes in which the kernel tells the room that a file takes (`st_blocks`, stat(2))."""

SMALLEST = 4 * MIB
"""A disk below this size could not even hold the files that every box gets."""


@dataclass(frozen=True)
class Room:
    """What is left on a disk: bytes, and files that can still be made."""

    bytes: int
    files: int

    @property
    def is_full(self) -> bool:
        """Whether what failed on it may have failed for want of room."""
        return self.bytes < FULL_BYTES or self.files == 0


class Disks(Protocol):
    """Where the files of attempts lie; `box` is an attempt's twelve digits."""

    rung: Rung

    def seen(self, box: str) -> Path:
        """The directory, as the engine sees it, below which the places of an attempt lie."""

    def make(self, box: str, place: Place, size: int, uid: int) -> int:
        """Take what was laid out in a place over: bounded by `size` bytes, owned by the box's uid.

        Returns the size it has: less than was asked for where the host has hardly any room left.
        """

    def reach(self, box: str, place: Place) -> None:
        """See to it that a place which an earlier process made is there again."""

    def exceeds(self, box: str, place: Place, size: int) -> bool:
        """Whether more was written than a disk of `size` bytes holds, where only looking bounds it.

        Looking can take half a minute.
        """

    def room(self, box: str, place: Place) -> Room | None:
        """What is left, or None where that is not known."""

    def used(self, box: str, place: Place) -> int | None:
        """Bytes that the files take, or None where that is not known. It is quick."""

    def flush(self, box: str, place: Place) -> None:
        """Write everything down.

        Raises:
            EngineError: The host's disk could not take all of it: what is there may be incomplete.
        """

    def set_aside(self, box: str, name: str) -> Path | None:
        """Keep the agent's disk as it is, where its files can't be archived; None where there is none."""

    def drop(self, box: str, place: Place) -> None:
        """Give one place back, with everything in it."""

    def free(self, box: str) -> None:
        """Give all of an attempt's places back, with everything in them."""


def files_of(size: int) -> int:
    """How many files a disk of that many bytes may hold."""
    return max(FEWEST_FILES, min(size // BYTES_PER_FILE, MOST_FILES))


def share_of(size: int, free: int) -> tuple[int, bool]:
    """How large a disk of `size` bytes may be with `free` on the host, and whether room is scarce.

    Raises:
        EngineError: The host has no room for a disk at all.
    """
    if free >= 2 * size:
        return size, False
    share = min(size, free // 4)
    if share < SMALLEST:
        raise EngineError(
            "No space left on the disk of CORRAL_HOME", cure="free some, or set CORRAL_HOME to a larger disk"
        )
    return share, True


class LimitedDisks(Standing):
    """A file system of its own for each place. As a context, it holds the volume they are mounted in."""

    role = "mounter"
    script = "/opt/corral/disks.sh"
    capabilities = ("SYS_ADMIN", "CHOWN", "DAC_OVERRIDE", "FOWNER")
    rung: Rung = "limited"

    def __init__(self, post: Post) -> None:
        super().__init__(post)
        self._volume = _volume(post.home, post.run)
        labels = names.labels(post.home_id, post.run, None, self.role)
        self._at = post.engine.make_volume(self._volume, SHARED_FOLDER, labels)

    def __exit__(self, *exception: object) -> None:
        super().__exit__(None, None, None)
        with contextlib.suppress(EngineError):  # a box that lives on still holds it; then `reap` removes it
            self._post.engine.remove_volume(self._volume)

    def prove(self) -> None:
        """Make a disk, look whether it is bounded, and remove it.

        Raises:
            EngineError: This host can't: no loop devices, or no right to mount.
        """
        self.do("prove", self._volume)

    def seen(self, box: str) -> Path:
        """Below the volume, where the engine finds what the mounter mounts."""
        return Path(self._at) / box

    def make(self, box: str, place: Place, size: int, uid: int) -> int:
        """Make the file system with what was laid out in it, and mount it.

        A disk takes room on the host as it fills. Where the host could not bear a full one, and so what a
        box wrote could be lost, the disk is made smaller, and its room is taken at once.
        """
        granted, scarce = share_of(size, shutil.disk_usage(self._post.home).free)
        how = "reserved" if scarce else "sparse"
        self.do("make", box, place, how, str(granted), str(files_of(granted)), str(uid))
        return granted

    def reach(self, box: str, place: Place) -> None:
        """Mount a disk that was made earlier, unless it is mounted."""
        self.do("reach", box, place)

    def exceeds(self, box: str, place: Place, size: int) -> bool:  # noqa: ARG002 - nobody has to look
        """Never: the disk itself is the limit."""
        return False

    def room(self, box: str, place: Place) -> Room | None:
        """What is left, as the file system says; asked of it directly where this process may look."""
        directly = _room(self.seen(box) / place)
        if directly is not None:
            return directly
        try:
            free, files = self.do("room", box, place).split()
        except EngineError:
            return None
        return Room(int(free), int(files))

    def used(self, box: str, place: Place) -> int | None:
        """What is used of the file system; where this process may not look at it, of the file it lies in.

        That file keeps the room that it once took. One whose room was taken at once tells nothing.
        """
        mounted = self.seen(box) / place
        if _is_mounted(mounted):
            with contextlib.suppress(OSError):
                here = os.statvfs(mounted)
                return (here.f_blocks - here.f_bfree) * here.f_frsize
        try:
            file = (self._post.home / "w" / box / f"{place}.ext4").stat()
        except OSError:
            return None
        taken = file.st_blocks * BLOCK
        return taken if taken < file.st_size else None

    def flush(self, box: str, place: Place) -> None:
        """Write everything through to the host's disk."""
        self.do("flush", box, place)

    def set_aside(self, box: str, name: str) -> Path | None:
        """Unmount the agent's disk and move its file to the archives: it can be mounted like any image."""
        self.do("aside", box, "agent", name, f"{os.getuid()}:{os.getgid()}")
        return self._post.home / "kept" / f"{name}.ext4"

    def drop(self, box: str, place: Place) -> None:
        """Unmount and remove its file system."""
        self.do("drop", box, place)

    def free(self, box: str) -> None:
        """Unmount and remove the file systems: the room is free at once, however many files they held."""
        self.do("free", box)

    def shown_to_steward(self) -> tuple[Mount, ...]:
        """What the steward needs to see of the disks."""
        return (
            Mount(self._volume, "/volume", is_volume=True),
            Mount(self._at, "/disks", read_only=False, propagation="rslave"),
        )

    def mounts(self) -> tuple[Mount, ...]:
        """The volume twice: as a volume, so that the engine mounts it, and as a directory to mount in."""
        return (
            Mount(self._volume, "/volume", is_volume=True),
            Mount(self._at, "/disks", read_only=False, propagation="rshared"),
            Mount(str(folder(self._post.home / "w")), "/state/w", read_only=False),
            Mount(str(folder(self._post.home / "kept")), "/state/kept", read_only=False),
            Mount("/dev", "/dev"),
        )


def _volume(home: Path, run: str) -> str:
    return f"corral-disks-{names.home_id(str(home))}-{run}"


def half_proved(home: Path) -> list[tuple[str, Path]]:
    """Small disks of a `prove` that did not come to its end, each with its run."""
    before = f".prove-{_volume(home, '')}"
    found = (home / "w").glob(f"{before}*")
    return [(file.name.removeprefix(before).partition(".ext4")[0], file) for file in found]


SHARED_FOLDER = {"type": "tmpfs", "device": "tmpfs", "o": "size=4m,mode=755,shared"}
"""The volume: it holds nothing but the directories that file systems are mounted on."""


def _room(mounted: Path) -> Room | None:
    """What is left below a mount; None where it is not one here, or root's alone to look at."""
    if not _is_mounted(mounted):
        return None
    try:
        here = os.statvfs(mounted)
    except OSError:
        return None
    return Room(here.f_bavail * here.f_frsize, here.f_favail)


def _is_mounted(place: Path) -> bool:
    """Whether a file system of its own is seen there; not where it is root's alone to look at."""
    try:
        return place.stat().st_dev != place.parent.stat().st_dev
    except OSError:
        return False


class WatchedDirectories:
    """Plain directories below the state directory, owned by the box's uid."""

    rung: Rung = "watched"

    def __init__(self, steward: Steward, home: Path) -> None:
        self._steward = steward
        self._home = home
        self._used: dict[str, tuple[int, int]] = {}

    def seen(self, box: str) -> Path:
        """Where the host sees it, too."""
        return self._home / "w" / box

    def make(self, box: str, place: Place, size: int, uid: int) -> int:
        """Give the directories to the box's uid."""
        self._steward.own(box, place, uid)
        return size

    def reach(self, box: str, place: Place) -> None:
        """It is where it was."""

    def exceeds(self, box: str, place: Place, size: int) -> bool:
        """Looked up file by file; what can't be counted in time is too much."""
        used = self._steward.used(box, place)
        if used is not None:
            self._used[box] = used
        return used is None or used[0] > size or used[1] > files_of(size)

    def room(self, box: str, place: Place) -> Room | None:  # noqa: ARG002 - the host's room is not the box's
        """Not known."""
        return None

    def used(self, box: str, place: Place) -> int | None:  # noqa: ARG002 - one place at a time is watched
        """What it was when that was last looked at for its limit."""
        return self._used[box][0] if box in self._used else None

    def flush(self, box: str, place: Place) -> None:
        """The host's own file system answers for what is written."""

    def set_aside(self, box: str, name: str) -> Path | None:  # noqa: ARG002 - there is none
        """There is no disk to keep."""
        return None

    def drop(self, box: str, place: Place) -> None:
        """Remove its files."""
        self._steward.clear(box, place)

    def free(self, box: str) -> None:
        """Remove every file."""
        self._used.pop(box, None)
        self._steward.empty(box)
