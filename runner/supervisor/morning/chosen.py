"""Which accepted branches of a run are to be put together: one for each task, and one only. Pure.

What a person chose by `corral decide … use` counts first; else the first accepted one in the order of the
profiles in the task file, then of the repeats, whatever order lots gave them: so do tasks choose that go on
from another's work. One that cheated, as the audit found, goes in at a person's word only. A branch that
builds on another's brings that along. So what builds on others is chosen first, and of each task that it
builds on the attempt that it holds: never two of one task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from runner.compare.audit import discounted
from runner.errors import UsageError
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.morning.evidence import audited
from runner.supervisor.scoring import scored
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.tasks.plan import Source
from runner.tasks.when import SKIPPED


@dataclass(frozen=True)
class PassedOver:
    """An accepted branch that is not to go in, though no other one of its task is.

    It builds on `holds`; of that one's task `instead` goes in. Or it cheated, or builds on one that did: then
    `cheated` says how.
    """

    attempt: AttemptState
    holds: AttemptKey
    instead: AttemptKey | None = None
    cheated: str = ""


TRIED = ("conflict", "check", "same", "error")
"""The causes for which a branch is left out that was to go in."""


@dataclass(frozen=True)
class Outdated:
    """That other branches would be put together now: `new` ones, and no more those that are `gone`."""

    new: tuple[str, ...]
    gone: tuple[str, ...]


@dataclass(frozen=True)
class Gathered:
    """The accepted branches of one repository that build on one base; there may be none left.

    Attributes:
        name: The repository, as a person named it; with the base, where the run has more of it.
        source: Where their attempts started from.
        accepted: All of them, as the task file is written.
        wanted: Those that are to go in, one for each task.
        passed_over: Those that can't, since they build on another attempt than the one that goes in.
        discarded: What was accepted of tasks of which no branch is left, since these were discarded.
    """

    name: str
    source: Source
    accepted: tuple[AttemptState, ...]
    wanted: tuple[AttemptState, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    discarded: tuple[AttemptState, ...] = ()


def gathered(state: RunState, cheats: Mapping[str, str] | None = None) -> list[Gathered]:
    """The accepted branches of a run, by repository and base, as the task file is written.

    Args:
        state: The run.
        cheats: By name, attempts that reached for their result by another way than the task's, and how: they
            go in at a person's word only.
    """
    groups: dict[tuple[str, str], list[AttemptState]] = {}
    for attempt in state.as_written:
        if _was_accepted(state, attempt):
            source = _source(state, attempt)
            groups.setdefault((source.git_dir, source.base), []).append(attempt)
    bases = [git_dir for git_dir, _ in groups]
    found = []
    for (git_dir, _), group in groups.items():
        source = _source(state, group[0])
        name = source.repo if bases.count(git_dir) == 1 else names_of(source)[1]
        accepted = [one for one in group if one.has_work]
        left = {one.key.task for one in accepted}
        gone = tuple(one for one in group if one.key.task not in left)
        chosen = _Chosen(state, accepted, cheats or {})
        found.append(Gathered(name, source, tuple(accepted), *chosen.of_each_task(), discarded=gone))
    return found


def is_accepted(state: RunState, attempt: AttemptState) -> bool:
    """Whether a try has a branch, and served its task by its verdict or by a person's word."""
    return attempt.has_work and _was_accepted(state, attempt)


def _was_accepted(state: RunState, attempt: AttemptState) -> bool:
    return attempt.commit is not None and attempt.verdict != SKIPPED and state.counts(attempt)


def names_of(source: Source) -> tuple[str, str]:
    """What a group is called: the repository, or, where a run has several bases of it, that one."""
    return source.repo, f"{source.repo} at {source.base_name}"


def integrations(state: RunState) -> list[tuple[Source, e.Integrated]]:
    """What was put together and is a branch, each with its repository.

    Raises:
        UsageError: Nothing is.
    """
    found = []
    for name, event in state.integrated.items():
        sources = (one for one in state.plan.sources if name in names_of(one) and one.base == event.base)
        source = next(sources, None)
        if source is not None and event.commit is not None:
            found.append((source, event))
    if not found:
        said = f"nothing of the run {state.name} was put together"
        raise UsageError(said, cure=f"`corral integrate {state.name}` does it")
    return found


def cheats(state: RunState) -> dict[str, str]:
    """The attempts that cheated, as the audit finds, and how."""
    return discounted(audited(state, scored(state)))


def outdated(state: RunState) -> dict[str, Outdated]:
    """By repository, what was put together and would now be put together of other branches."""
    groups = gathered(state, cheats(state)) if state.integrated else []
    found: dict[str, Outdated] = {}
    for name, event in state.integrated.items():
        group = next((g for g in groups if g.source.base == event.base and name in names_of(g.source)), None)
        now = [] if group is None else [str(one.key) for one in group.wanted]
        then = [one.attempt for one in event.joined if one.went_in or one.cause in TRIED]
        new, gone = [one for one in now if one not in then], [one for one in then if one not in now]
        if new or gone:
            found[name] = Outdated(tuple(new), tuple(gone))
    return found


def _source(state: RunState, attempt: AttemptState) -> Source:
    return state.plan.sources[state.plan.task(attempt.key.task).source]


@dataclass
class _Chosen:
    state: RunState
    accepted: Sequence[AttemptState]
    cheats: Mapping[str, str]
    fixed: dict[str, AttemptKey] = field(default_factory=dict)

    def of_each_task(self) -> tuple[tuple[AttemptState, ...], tuple[PassedOver, ...]]:
        over = [one for task in self._tasks() if (one := self._choose(task)) is not None]
        wanted = tuple(one for one in self.accepted if self.fixed.get(one.key.task) == one.key)
        return wanted, tuple(over)

    def _tasks(self) -> Iterable[str]:
        """The tasks with accepted branches: a person's choices first, then what needs others before these."""
        there = {one.key.task for one in self.accepted}
        of_person = [task.id for task in self.state.plan.tasks if self._uses(task.id)]
        needing_first = [task.id for task in reversed(self.state.plan.tasks)]
        return (task for task in dict.fromkeys([*of_person, *needing_first]) if task in there)

    def _uses(self, task: str) -> list[AttemptState]:
        """Those of a task that a person chose, the last word first."""
        last_first = tuple(reversed(self.state.used))
        uses = [one for one in self.accepted if one.key.task == task and one.key in last_first]
        return sorted(uses, key=lambda one: last_first.index(one.key))

    def _choose(self, task: str) -> PassedOver | None:
        """Fix which attempt of a task goes in, and of those that it builds on; or say why none can."""
        if task in self.fixed:
            return None
        options = [one for one in self.accepted if one.key.task == task]
        options.sort(key=lambda one: (self._rank(one.key.profile), one.key.n, one.key.try_))
        options = self._uses(task) or options
        first: PassedOver | None = None
        for option in options:
            line = [option.key, *self._held(option)]
            cheat = next((key for key in line if self._cheated(key)), None)
            if cheat is not None:
                first = first or PassedOver(option, cheat, cheated=self.cheats[str(cheat)])
                continue
            clash = next((key for key in line if self.fixed.get(key.task, key) != key), None)
            if clash is None:
                self.fixed.update((key.task, key) for key in line)
                return None
            first = first or PassedOver(option, clash, self.fixed[clash.task])
        return first

    def _rank(self, profile: str) -> int:
        """Where a profile stands in the file; in which order attempts were started says nothing."""
        compared = self.state.plan.compared
        return compared.index(profile) if profile in compared else len(compared)

    def _cheated(self, key: AttemptKey) -> bool:
        return str(key) in self.cheats and key not in self.state.used

    def _held(self, attempt: AttemptState) -> Iterator[AttemptKey]:
        """The accepted attempts on whose branches one was built, the nearest first."""
        by_commit = {one.commit: one for one in reversed(self.accepted)}
        seen = {attempt.key}
        while (before := by_commit.get(attempt.base)) is not None and before.key not in seen:
            seen.add(before.key)
            yield before.key
            attempt = before
