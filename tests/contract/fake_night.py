"""Nights over the FAKE engine: the real supervisor, `drive`, git, journal and leases; no container.

Each night has a `Place`: a repository, a state directory and the fake engine's daemon. Supervisors come and
go in it (`supervisor`), and one of them can be made to die after any of its writes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from runner.errors import HostError
from runner.names import AttemptKey
from runner.sandbox.disks import Place as DiskPlace
from runner.sandbox.disks import WatchedDirectories
from runner.sandbox.standing import Post
from runner.sandbox.steward import Steward
from runner.supervisor.attempt.spec import Rooms
from runner.supervisor.events import Event
from runner.supervisor.journal import Journal, Row
from runner.supervisor.night import Night
from runner.supervisor.outfit import Means
from runner.supervisor.ownership.lease import owned
from runner.supervisor.people.herald import Herald
from runner.supervisor.state import RunState, fold
from runner.tasks.plan import CheckSpec, CommandSettings, Plan, PlannedAttempt, Profile, Source, Task
from tests.contract.fake_engine import FakeEngine
from tests.contract.fake_host import FakeHost, Work
from tests.support import IDENTITY, git, make_repo

RUN = "fake"
IMAGE = "sha256:fake"


class Killed(BaseException):
    """The supervisor was killed, as far as this process can be."""


class FakeImages:
    """Prepares images: they are there, or are so from then on."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host

    def prepare(self, source: Source, cli: str | None, on_line: Callable[[str], None]) -> str:  # noqa: ARG002
        """See `imaging.ImageMaker`."""
        if self._host.images is not None:
            self._host.images.add(IMAGE)
        return IMAGE


class FakeDisks(WatchedDirectories):
    """Disks that bound by themselves, as limited ones do: nobody has to look at them."""

    def exceeds(self, box: str, place: DiskPlace, size: int) -> bool:  # noqa: ARG002
        """Never."""
        return False


class MortalJournal(Journal):
    """The real journal, until its owner dies, or its disk is full, at the write of that number.

    Attributes:
        dies: Called at that write, before or after it is done; whatever it raises comes out of `append`.
    """

    def __init__(
        self, file: Path, at: int | None, dies: Callable[[], None], *, after: bool, kind: str | None = None
    ) -> None:
        super().__init__(file)
        self.appends = 0
        self._at, self._dies, self._after, self._kind = at, dies, after, kind

    def append(self, run: str, event: Event, token: int | None = None) -> Row:
        """See `Journal`."""
        self.appends += 1
        if event.kind == self._kind:
            self._at = self.appends
        if self._at is None or self.appends < self._at:
            return super().append(run, event, token)
        if self._after and self.appends == self._at:
            super().append(run, event, token)
        self._dies()
        raise AssertionError("what dies raises")


@dataclass
class Place:
    """Where a night takes place."""

    folder: Path
    host: FakeHost = field(default_factory=FakeHost)

    def __post_init__(self) -> None:
        self.repo = make_repo(self.folder / "repo")
        self.base = git(self.repo, "rev-parse", "HEAD")
        scratch = self.folder / "scratch"
        self.host.work = cache(lambda base: make_work(self.repo, base, scratch))

    @property
    def home(self) -> Path:
        """The state directory."""
        return self.folder / "home"

    @property
    def file(self) -> Path:
        """The journal."""
        return self.home / "journal.db"

    def plan(self, *attempts: PlannedAttempt, commands: dict[str, str], check: str | None = None) -> Plan:
        """A plan of these attempts; each profile runs words that the fake engine knows."""
        return Plan(
            run=RUN,
            file="/nonexistent/corral.yaml",
            sources=(
                Source(
                    repo=str(self.repo), git_dir=str(self.repo / ".git"), base=self.base, base_name="HEAD"
                ),
            ),
            profiles=tuple(
                Profile(name=name, settings=CommandSettings(run=("sh", "-c", words)), hash=name)
                for name, words in commands.items()
            ),
            tasks=tuple(
                Task(id=name, checks=() if check is None else (CheckSpec(run=check),))
                for name in dict.fromkeys(a.task for a in attempts)
            ),
            attempts=attempts,
        )

    def rooms(self, engine: FakeEngine) -> Rooms:
        """What attempts work with, over a connection to the fake engine."""
        steward = Steward(Post(engine, IMAGE, self.home, RUN))
        return Rooms(
            engine=engine,
            steward=steward,
            disks=FakeDisks(steward, self.home),
            steward_image=IMAGE,
            gateway=None,
            home=self.home,
            uid=os.getuid(),
            owner=os.getuid(),
        )

    @contextmanager
    def supervisor(
        self,
        jobs: int,
        watcher: Callable[[Row, RunState], None] = lambda row, state: None,  # noqa: ARG005
        *,
        dies_at: int | None = None,
        after: bool = True,
        full: bool = False,
        dies_of: str | None = None,
        herald: Herald | None = None,
    ) -> Iterator[Night]:
        """A supervisor.

        Args:
            jobs: How many attempts live at once.
            watcher: Told of every event.
            dies_at: At which write of its journal it dies.
            after: Whether that write is done.
            full: Instead of dying it finds that the journal can't be written from then on.
            dies_of: At the write of an event of which kind it dies.
            herald: Who tells people; by default nobody.
        """
        engine = FakeEngine(self.host)

        def die() -> None:
            if full:
                raise HostError("the journal can't be written: no room, as it was told")
            engine.cut()
            raise Killed

        self.home.mkdir(exist_ok=True)
        with (
            MortalJournal(self.file, dies_at, die, after=after, kind=dies_of) as journal,
            owned(journal, self.home, RUN) as lease,
        ):
            rooms = self.rooms(engine)
            try:
                yield Night(
                    Means(
                        rooms=rooms,
                        journal=journal,
                        lease=lease,
                        images=FakeImages(self.host),
                        accesses=lambda profile, key: (),  # noqa: ARG005
                        jobs=jobs,
                        herald=herald or Herald(),
                    ),
                    watcher,
                )
            finally:
                engine.cut()

    def rows(self) -> list[Row]:
        """What the journal holds."""
        with Journal(self.file) as journal:
            return list(journal.events(RUN))

    def folded(self) -> RunState:
        """The state as a process finds it that has nothing but the journal."""
        return fold((row.run, row.event) for row in self.rows())

    def branches(self) -> dict[AttemptKey, str]:
        """The branch of each attempt, with its commit."""
        prefix = f"refs/heads/corral/{RUN}/"
        told = git(self.repo, "for-each-ref", "--format=%(refname) %(objectname)", prefix).splitlines()
        return {
            AttemptKey.parse(name.removeprefix(prefix)): oid for name, oid in (line.split() for line in told)
        }

    def leftovers(self) -> list[str]:
        """What should not be there once everything has ended."""
        boxes = [f"box {box.name}" for box in FakeEngine(self.host).find([])]
        files = [str(path) for name in "wqs" for path in (self.home / name).glob("*")]
        entries = [str(path) for path in (self.repo / ".git" / "worktrees").glob("*")]
        return boxes + files + entries


def make_work(repo: Path, base: str, scratch: Path) -> Work:
    """A commit on `base` that adds a file, as a thin pack; the repository itself is only read."""
    scratch.mkdir(exist_ok=True)
    environment = {
        **os.environ,
        **IDENTITY,
        "GIT_OBJECT_DIRECTORY": str(scratch),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(repo / ".git" / "objects"),
    }

    def ask(*words: str, stdin: bytes = b"") -> bytes:
        command = ["git", "-C", str(repo), *words]
        return subprocess.run(command, input=stdin, env=environment, check=True, capture_output=True).stdout

    blob = ask("hash-object", "-w", "--stdin", stdin=f"made on {base}\n".encode()).strip()
    listing = ask("ls-tree", base) + b"100644 blob " + blob + f"\tmade-{base[:8]}\n".encode()
    tree = ask("mktree", stdin=listing).decode().strip()
    tip = ask("commit-tree", tree, "-p", base, "-m", "work").decode().strip()
    pack = ask("pack-objects", "-q", "--revs", "--thin", "--stdout", stdin=f"{tip}\n^{base}\n".encode())
    return Work(tip, pack)
