"""The quarantine: a bare repository in which gathered objects are checked before they count as work.

It borrows the base store's objects, never the user's, so that no commit of the user's which the box was
not given can be made part of the work by naming it. Checks come in the order of their danger: the pack
itself (strictly, under limits), the shape of its history, the shape of its trees. Only then is anything
else asked of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from runner.gather.findings import Between, Change
from runner.gather.objects import reading
from runner.gather.pack import RawWork
from runner.gather.policy import Policy, Refused, TreeWalk, plain_modules
from runner.gather.tampering import Sign
from runner.git import closed
from runner.git.base_store import BaseStore
from runner.git.closed import GitError, LongRecordError
from runner.git.commits import oid_of, parents_of, tree_of, with_parents

PACK_LIMIT = 1024**3


@dataclass(frozen=True)
class Quarantine:
    """Checked work.

    Attributes:
        path: The bare repository that holds the objects on the way to the user's repository.
        base: The history that the box was given.
        commit: The tip as it comes home: it builds on `base.origin`.
        checked: The bare repository that holds the objects as the box made them.
        tip: The tip as the box made it: it builds on `base.commit`, and a check works on it.
        size: Bytes of the files that are new in it.
    """

    path: Path
    base: BaseStore
    commit: str
    checked: Path
    tip: str
    size: int = 0

    @property
    def alternates(self) -> tuple[Path, ...]:
        """Where objects are that `path` borrows."""
        own = () if self.path == self.checked else (self.checked / "objects",)
        return (*own, self.base.objects)

    @property
    def is_empty(self) -> bool:
        """Whether the tip's files are those of the base."""
        return not self._since_base.touches()

    def change(self) -> Change:
        """Files, inserted and deleted lines against the base."""
        return self._since_base.change()

    def flags(self) -> tuple[str, ...]:
        """Links that leave the tree, submodules, and files that act on whoever meets them."""
        return self._since_base.flags()

    def signs(self, check: str | None, protect: tuple[str, ...]) -> tuple[Sign, ...] | None:
        """What in the work touches the judgement on it; None if it can't be read."""
        return self._since_base.signs(check, protect)

    def touched(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        """Flags for those of these paths at or below which the work differs from the base."""
        return tuple(
            f"protected path {path!a} is changed in the branch; the check saw it as in the base"
            for path in paths
            if self._since_base.touches(path)
        )

    def among(self, paths: Collection[str]) -> tuple[str, ...]:
        """Those of these files that the work adds or changes, the first few, as they can be shown."""
        return self._since_base.among(paths)

    def since(self, commit: str) -> Between:
        """The work as it is checked, set against a commit."""
        return Between(self.checked, (self.base.objects,), commit, self.tip)

    def outside(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        """A flag for what the work changes outside of these paths; none where there are no paths."""
        return self._since_base.outside(paths) if paths else ()

    @property
    def _since_base(self) -> Between:
        return self.since(self.base.commit)


def take_in(path: Path, work: RawWork, base: BaseStore, policy: Policy | None = None) -> Quarantine:
    """Check gathered work strictly.

    Args:
        path: Where the quarantine is made; must not exist.
        work: What the gather container printed.
        base: The history that the box was given.
        policy: The bounds on the trees.

    Raises:
        Refused: The work is malformed, incomplete, not built on the base, or breaks the policy.
        GitError: Git failed for another reason, such as a full disk.
    """
    policy = policy or Policy()
    closed.init_bare(path)
    if base.shallow:
        (path / "shallow").write_text(base.shallow)
    quarantine = Quarantine(path, base, work.tip, path, work.tip)
    _index(quarantine, work.pack)
    commits = _history(quarantine, policy)
    quarantine = replace(quarantine, size=_contents(quarantine, commits, policy))
    closed.open_to_read(path)
    return quarantine if base.original is None else _put_onto(base.original, quarantine, commits, policy)


def _index(quarantine: Quarantine, pack: Path) -> None:
    with pack.open("rb") as stream:
        try:
            closed.git(
                quarantine.path,
                *("index-pack", "--stdin", "--fix-thin", "--strict", "--fsck-objects"),
                f"--max-input-size={PACK_LIMIT}",
                stdin=stream,
                alternates=quarantine.alternates,
            )
        except GitError as error:
            if "No space left" in error.stderr:
                raise
            raise Refused(f"git refuses its objects: {_words(error)}") from error


def _history(quarantine: Quarantine, policy: Policy) -> list[str]:
    """The commits between base and tip, children first, each with a bounded number of parents."""
    git_dir, base, tip = quarantine.path, quarantine.base.commit, quarantine.commit
    alternates = quarantine.alternates
    try:
        kind = closed.git(git_dir, "cat-file", "-t", tip, alternates=alternates).strip()
    except GitError as error:
        raise Refused("the tip it names is not there") from error
    if kind != b"commit":
        raise Refused("its tip is not a commit")
    try:
        commits = _commits(quarantine, policy)
        if not closed.succeeds(git_dir, "merge-base", "--is-ancestor", base, tip, alternates=alternates):
            raise Refused("its history does not build on the base commit")
        closed.git(git_dir, "rev-list", "--objects", "--quiet", tip, f"^{base}", alternates=alternates)
    except LongRecordError as error:
        raise Refused(f"a commit with more than {policy.parents} parents") from error
    except GitError as error:
        raise Refused(f"its history is incomplete: {_words(error)}") from error
    return commits


def _commits(quarantine: Quarantine, policy: Policy) -> list[str]:
    commits = []
    with closed.records(
        quarantine.path,
        *("rev-list", "--parents", "--topo-order", f"--max-count={policy.commits + 1}"),
        *(quarantine.commit, f"^{quarantine.base.commit}"),
        longest=(policy.parents + 2) * 41,
        alternates=quarantine.alternates,
    ) as rows:
        for row in rows:
            commit, *parents = row.decode("ascii").split()
            if len(parents) > policy.parents:
                raise Refused(f"a commit with more than {policy.parents} parents")
            commits.append(commit)
    if len(commits) > policy.commits:
        raise Refused(f"more than {policy.commits} commits")
    return commits


def _contents(quarantine: Quarantine, commits: list[str], policy: Policy) -> int:
    """Every commit's tree within its bounds, every new file within its size; returns that of all of them."""
    with reading(quarantine.path, quarantine.alternates) as objects:
        base = quarantine.base
        walk = TreeWalk(lambda oid: objects.body(oid, policy.tree_object), policy, base.holds)
        walk.begin_with(closed.git(base.path, "rev-parse", f"{base.commit}^{{tree}}").decode().strip())
        for commit in commits:
            walk.shape(_tree_named(objects.body(commit, policy.commit_object)))
        for oid in walk.modules:
            plain_modules(objects.body(oid.hex(), policy.commit_object))
    total = 0
    for size in _new_files(quarantine):
        total += size
        if size > policy.blob:
            raise Refused(f"a file of more than {policy.blob // 1024**2} MiB")
        if total > policy.total:
            raise Refused(f"more than {policy.total // 1024**2} MiB of new files")
    return total


def _tree_named(commit: bytes) -> str:
    """The tree of a commit whose header says to everybody what it says to git."""
    try:
        parents_of(commit)
        return tree_of(commit)
    except ValueError as error:
        raise Refused("a malformed commit") from error


def _new_files(quarantine: Quarantine) -> Iterator[int]:
    """The size of every file that the work adds to the base."""
    alternates, since = quarantine.alternates, (quarantine.commit, f"^{quarantine.base.commit}")
    listing = ("rev-list", "--objects", "--no-object-names", *since)
    sizes = ("cat-file", "--batch-check=%(objecttype) %(objectsize)")
    with closed.streaming(quarantine.path, *listing, alternates=alternates) as names:
        with closed.records(quarantine.path, *sizes, stdin=names.stdout, alternates=alternates) as rows:
            for row in rows:
                kind, size = row.split()
                if kind == b"blob":
                    yield int(size)
        if names.wait() != 0:
            raise GitError(listing[0], names.returncode, "the new files could not be listed")


def _put_onto(original: bytes, found: Quarantine, commits: list[str], policy: Policy) -> Quarantine:
    """The same work with the user's own commit in the place of the one that stood for it.

    The new commits lie in a repository of their own: a check sees the work as the box made it.
    """
    path = found.path.with_name(f"{found.path.name}-onto")
    closed.init_bare(path)
    (path / "shallow").write_text(f"{found.base.origin}\n")  # what came before it is not needed here
    instead, bodies = {found.base.commit: found.base.origin}, [original]
    with reading(found.path, found.alternates) as objects:
        for commit in reversed(commits):
            bodies.append(with_parents(objects.body(commit, policy.commit_object), instead))
            instead[commit] = oid_of("commit", bodies[-1])
    _write_commits(path, bodies)
    return replace(found, path=path, commit=instead[found.tip])


def _write_commits(path: Path, bodies: list[bytes]) -> None:
    """Store raw commits, of which the user's own may be older than today's rules for commits."""
    with tempfile.TemporaryDirectory(dir=path) as folder:
        files = [Path(folder) / str(number) for number in range(len(bodies))]
        for file, body in zip(files, bodies, strict=True):
            file.write_bytes(body)
        names = "".join(f"{file}\n" for file in files).encode()
        options = ("-t", "commit", "-w", "--no-filters", "--literally", "--stdin-paths")
        written = closed.git(path, "hash-object", *options, stdin=names).decode().split()
    if written != [oid_of("commit", body) for body in bodies]:
        raise GitError("hash-object", 0, "it stored other commits than it was given")


def _words(error: GitError) -> str:
    lines = error.stderr.strip().splitlines() or ["no message"]
    return ascii(lines[-1][:200]).strip("'\"")
