"""Corral with one of its defences taken away: `without.py DEFENCE ARGUMENTS…` is `corral ARGUMENTS…` so.

Run as a process of its own. There is no switch in the product that does this: here its parts are replaced
before anything else has seen them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from runner.errors import EngineError
from runner.gather.policy import Shape, TreeWalk
from runner.git import base_store as stores
from runner.guarded import GuardedError
from runner.sandbox import box, outbox, workspace
from runner.sandbox.disks import LimitedDisks, Place, Rung, WatchedDirectories
from runner.sandbox.standing import Post
from runner.sandbox.steward import Steward
from runner.sandbox.workspace import Workspace


def without_mask() -> None:
    """Nothing is mounted over a worktree's `.git`, which leads to the private git directory by itself."""
    places, lay_out = Workspace._places, workspace.lay_out

    def unmasked(self: Workspace, *given: Any, **named: Any) -> tuple[box.Mount, ...]:
        return tuple(m for m in places(self, *given, **named) if m.target != "/workspace/.git")

    def laid_out(
        space: Workspace,
        base: stores.BaseStore,
        git_dir: Path,
        locks: Path,
        inputs: workspace.Inputs,
        on: str | None = None,
    ) -> str:
        begins = lay_out(space, base, git_dir, locks, inputs, on)
        file = space.tree / ".git"
        file.chmod(0o644)
        file.write_text(workspace.MASK)
        with (space.root / "agent" / "home" / ".gitconfig").open("a") as settings:
            settings.write("[safe]\n\tdirectory = *\n")  # the file is not the box's own: git would refuse it
        return begins

    Workspace._places = unmasked  # type: ignore[method-assign] # the defence is taken away
    workspace.lay_out = laid_out


def without_seccomp() -> None:
    """Boxes run under no profile."""
    box._security = _unconfined


def _unconfined(spec: box.BoxSpec) -> list[str]:
    return ["no-new-privileges", *([] if spec.user is None else ["seccomp=unconfined"])]


def without_base_store() -> None:
    """Boxes are given the user's whole repository to borrow from."""

    def whole(_: Path, git_dir: Path, commit: str, *__: str) -> stores.BaseStore:
        return stores.BaseStore(git_dir, commit)

    stores.base_store = whole  # type: ignore[assignment] # as above


def without_tree_policy() -> None:
    """No tree is looked at."""
    TreeWalk.shape = lambda *_: Shape(0, 0, 0)  # type: ignore[method-assign] # as above


class _Unbounded(WatchedDirectories):
    """Plain directories that pass for bounded disks."""

    rung: Rung = "limited"

    def exceeds(self, box: str, place: Place, size: int) -> bool:  # noqa: ARG002 - nobody looks
        return False


def without_disk_cap() -> None:
    """The files of boxes lie on the host's own file system, and nobody looks after their size."""
    from runner.supervisor import means  # after the other parts: it takes them in  # noqa: PLC0415

    @contextmanager
    def standing(post: Post) -> Iterator[means.Stewards]:
        with ExitStack() as stack:
            steward = stack.enter_context(Steward(post))
            yield means.Stewards(steward, _Unbounded(steward, post.home))

    means.standing = standing


def without_loop_devices() -> None:
    """A platform that lacks a part: nothing can be mounted."""

    def prove(self: LimitedDisks) -> None:
        raise EngineError(f"the {self.role} could not prove: there are no loop devices")

    LimitedDisks.prove = prove  # type: ignore[method-assign] # as above


def without_sight() -> None:
    """The disks of boxes can't be looked into by this process, as for an ordinary user."""
    setattr(outbox, "list_names", _unseen)  # noqa: B010 - as above


def _unseen(root: Path, relative: str, most: int) -> list[str]:  # noqa: ARG001 - nothing is looked at
    raise GuardedError("missing", f"{relative!a} is not there")


DEFENCES: dict[str, Callable[[], None]] = {
    "mask": without_mask,
    "seccomp": without_seccomp,
    "base-store": without_base_store,
    "tree-policy": without_tree_policy,
    "disk-cap": without_disk_cap,
    "loop-devices": without_loop_devices,
    "sight": without_sight,
}


def main() -> None:
    """Take the defence away, and be the command."""
    defence, *arguments = sys.argv[1:]
    DEFENCES[defence]()
    from runner.cli import main as corral  # only now, so that it meets what was replaced  # noqa: PLC0415
    from runner.supervisor.ownership import detached  # noqa: PLC0415

    detached.PROGRAM = (sys.executable, "-m", "tests.attacks.without", defence)
    sys.argv = ["corral", *arguments]
    corral()


if __name__ == "__main__":
    main()
