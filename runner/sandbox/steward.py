"""The steward: one small container per run that does with the engine's rights what Corral must not need.

It gives directories to the box's uid, removes what a box wrote, and saves what must not be lost. It has
no network, sees only the workspaces, and lives as long as this process holds its standard input: it is
gone, by itself, when the supervisor is.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from types import TracebackType

from runner import names
from runner.errors import EngineError
from runner.sandbox.box import MIB, BoxSpec, Mount
from runner.sandbox.engine import Engine

CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER")


class StewardError(EngineError):
    """The steward could not do what it was asked."""


class Steward:
    """A running steward; leave the context to end it."""

    def __init__(self, engine: Engine, image: str, home: Path, run: str) -> None:
        self._engine = engine
        self._image = image
        self._home = home
        self._run = run
        self._lock = threading.Lock()
        self._container: str | None = None

    def __enter__(self) -> Steward:
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._container is None:
            return
        self._lifeline.close()
        with contextlib.suppress(EngineError):  # it ends by itself, and the run's own outcome counts for more
            self._engine.remove(self._container)
            self._engine.wait_gone(self._container)

    def own(self, workspace: str, uid: int) -> None:
        """Give an attempt's directories to the box's uid."""
        self._do("own", workspace, str(uid))

    def empty(self, workspace: str) -> None:
        """Remove every file of an attempt, whoever owns it."""
        if (self._home / "w" / workspace).is_dir():
            self._do("empty", workspace)

    def keep(self, workspace: str, name: str) -> Path:
        """Save an attempt's files as an archive and return its path."""
        self._do("keep", workspace, name, f"{os.getuid()}:{os.getgid()}")
        return self._home / "kept" / f"{name}.tar.gz"

    def _do(self, *command: str) -> None:
        with self._lock:
            if self._container is None or self._engine.inspect(self._container) is None:
                self._begin()
            container = self._container
        assert container is not None  # noqa: S101 - `_begin` set it, or raised
        code, output = self._engine.execute(container, ["/opt/corral/steward.sh", *command])
        if code != 0:
            raise StewardError(f"the steward could not {' '.join(command[:2])}: {output.strip()[-300:]}")

    def _begin(self) -> None:
        for folder in ("w", "kept"):
            (self._home / folder).mkdir(parents=True, exist_ok=True)
        container = self._engine.create(self._spec())
        try:
            self._lifeline = self._engine.hold_stdin(container)
            self._engine.start(container)
        except EngineError:
            self._engine.remove(container)
            raise
        self._container = container

    def _spec(self) -> BoxSpec:
        home = names.home_id(str(self._home))
        return BoxSpec(
            name=f"corral-steward-{home}-{self._run}-{os.urandom(3).hex()}",
            image=self._image,
            argv=("/bin/cat",),
            labels=names.labels(home, self._run, None, "steward"),
            user=None,
            cpus=1.0,
            memory=1024 * MIB,
            pids=64,
            capabilities=CAPABILITIES,
            mounts=(
                Mount(str(self._home / "w"), "/state/w", read_only=False),
                Mount(str(self._home / "kept"), "/state/kept", read_only=False),
            ),
            workdir="/",
            tmp=16 * MIB,
            keep_output=False,
            stdin_lifeline=True,
        )
