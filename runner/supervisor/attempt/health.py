"""What condition a living agent is in, and what is done about it: pure functions over what was seen of it.

    looks at the box, one a second → `Signals` → one `Condition`, with its cause → what its patience says

All spans are seconds of working time that was watched: what the gateway held the agent for, what it was
frozen for, and what nobody watched (Corral was stopped, or the host slept) makes nothing grow older. No
single sign decides: an agent that uses CPU is not hung, whatever it says; one that prints is at work only if
it does something besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from runner.agents.actions import Repeats
from runner.tasks.plan import Health, Patience, Then
from runner.tasks.units import format_duration

Condition = Literal[
    "working",
    "waiting-for-the-model",
    "held-by-a-limit",
    "running-a-tool",
    "quiet-but-busy",
    "looping",
    "waiting-for-a-person",
    "hung",
    "dead-inside",
    "gateway-unreachable",
]
Row = Condition | Literal["first-output"]

QUIET = 30.0
"""Seconds without a sign of life after which an agent is no longer taken to be at work."""
WITHOUT_EFFECT = 300.0
"""Seconds after which an agent that does nothing but print is no longer taken to be at work."""
REPEATED = 12
"""So often in a row the same actions are a loop. Less often it can be an agent that waits for something."""
LONGEST_STEP = 3.0
"""Seconds: two looks that lie further apart tell nothing of what was in between."""


@dataclass(frozen=True)
class Rule:
    """What the table says of one condition.

    Attributes:
        seen: By what it is told.
        counted: From when its patience counts; empty where it has none.
        after: The patience in seconds; `idle` for `limits.idle`, `half` for half of that, None for no end.
        then: What is done after that.
    """

    seen: str
    counted: str = ""
    after: float | Literal["idle", "half"] | None = None
    then: Then = "nothing"


PATIENCE: Mapping[Row, Rule] = {
    "working": Rule("it printed, acted, changed files or used CPU, and no other row fits"),
    "waiting-for-the-model": Rule(
        "a request of its is under way", "the last byte of an answer", 1800.0, "notify"
    ),
    "held-by-a-limit": Rule(
        "all its requests wait in the gateway, for a limit or a service", "the hold's begin", 3600.0
    ),
    "running-a-tool": Rule("by its own events a tool runs", "the last sign of life", "idle", "stop"),
    "quiet-but-busy": Rule("it uses CPU or a disk, and says nothing", "the last word", 1800.0),
    "looping": Rule(
        "up to 4 actions, with the same answers, 12 times in a row; or it prints, and nothing comes of it",
        "the first of them, or the last effect",
        600.0,
        "stop",
    ),
    "waiting-for-a-person": Rule("it asked a person", "the question", 30.0, "stop"),
    "hung": Rule("no sign of life", "the last one", "idle", "stop"),
    "dead-inside": Rule(
        "no sign of life, and of its processes only ended ones are left, besides the main one",
        "when that was first seen",
        "half",
        "stop",
    ),
    "gateway-unreachable": Rule(
        "the gateway does not answer us, and the agent is not busy otherwise",
        "the gateway's last answer",
        300.0,
        "retry",
    ),
    "first-output": Rule(
        "no sign of life, and an agent whose CLI tells what it does has printed nothing at all yet",
        "its start",
        300.0,
        "retry",
    ),
}
"""Each condition, its patience and what is done then. The same table is in docs/health.md."""


@dataclass(frozen=True)
class Care:
    """For how many seconds a condition is borne (None: without end), and what is done then."""

    after: float | None
    then: Then


def cares(health: Health, idle: float) -> dict[Row, Care]:
    """The table as it holds for a task.

    Args:
        health: What the task file says.
        idle: The task's `limits.idle`, in seconds.
    """
    said = {row: getattr(health, row.replace("-", "_"), None) for row in PATIENCE}
    return {row: _care(rule, said[row], idle) for row, rule in PATIENCE.items()}


def _care(rule: Rule, said: Patience | None, idle: float) -> Care:
    named = {"idle": idle, "half": idle / 2}
    after = named[rule.after] if isinstance(rule.after, str) else rule.after
    if said is None:
        return Care(after, rule.then)
    return Care(after if said.after is None else said.after, said.then or rule.then)


@dataclass(frozen=True)
class Processes:
    """The processes of a box, by state; the box's own first process is left out.

    Attributes:
        hollow: Whether none lives but the main one, or not even that, while others have ended.
    """

    running: int = 0
    sleeping: int = 0
    waiting: int = 0
    """For a disk."""
    stopped: int = 0
    ended: int = 0
    """Zombies: nobody asked how they ended."""
    hollow: bool = False

    def __str__(self) -> str:
        counts = {
            "running": self.running,
            "asleep": self.sleeping,
            "waiting for a disk": self.waiting,
            "stopped": self.stopped,
            "ended": self.ended,
        }
        said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        return f"processes: {said or 'none'}"


@dataclass(frozen=True)
class Look:
    """One look at a box: what happened since the one before, and how it stands.

    Attributes:
        printed: Something came on one of its streams.
        novel: A line came that is none of the last ones.
        spoke: Something came ever since it was started.
        acted: Its CLI told of something that it did.
        asked: It asked a model or a host, or got something from there.
        burned: It used CPU, or waited for a disk.
        changed: Its files changed.
        sees_files: Whether a change of its files would be seen.
        tells: Whether its CLI tells what it does.
        in_flight: Requests to a model that are under way; 0 also where that is not known.
        held: What all its requests wait for in the gateway, in words; empty for nothing.
        held_s: Since when, in seconds of the wall clock.
        answers: Whether the gateway answers us; None for a box that has nothing to ask there.
        question: What it asked a person, in words.
        tool: The tool that it says it runs, in words.
        repeats: How its latest actions repeat themselves.
        processes: Its processes; None where they can't be seen, or were not looked at.
    """

    printed: bool = False
    novel: bool = False
    spoke: bool = False
    acted: bool = False
    asked: bool = False
    burned: bool = False
    changed: bool = False
    sees_files: bool = False
    tells: bool = False
    in_flight: int = 0
    held: str = ""
    held_s: float = 0.0
    answers: bool | None = None
    question: str = ""
    tool: str = ""
    repeats: Repeats = field(default_factory=Repeats)
    processes: Processes | None = None


@dataclass(frozen=True)
class Signals:
    """All signals of a box: the latest look, and how long ago each of the signs was seen last, in seconds.

    What was never seen is as old as the watch.
    """

    look: Look = field(default_factory=Look)
    printed: float = 0.0
    novel: float = 0.0
    acted: float = 0.0
    asked: float = 0.0
    burned: float = 0.0
    changed: float = 0.0
    looped: float = 0.0
    """For how long its actions have repeated themselves."""
    questioned: float = 0.0
    """For how long its question has been open."""
    hollow: float = 0.0
    """For how long its processes have been gone."""
    unanswered: float = 0.0
    """For how long the gateway has not answered us."""

    @classmethod
    def silent(cls, seconds: float) -> Signals:
        """Those of a box that has given no sign for so long."""
        return cls(
            printed=seconds, novel=seconds, acted=seconds, asked=seconds, burned=seconds, changed=seconds
        )

    def after(self, look: Look, seconds: float) -> Signals:
        """The signals after one more look, so many seconds of working time after the one before."""
        step = 0.0 if look.held else max(0.0, min(seconds, LONGEST_STEP))
        back = self.look.answers is False and look.answers is True  # it may not have been able to ask

        def since(seen: bool, before: float) -> float:
            return 0.0 if seen else before + step

        return Signals(
            look=look,
            printed=since(look.printed, self.printed),
            novel=since(look.novel, self.novel),
            acted=since(look.acted, self.acted),
            asked=since(look.asked or back, self.asked),
            burned=since(look.burned, self.burned),
            changed=since(look.changed, self.changed),
            looped=since(look.repeats.times < 2, self.looped),
            questioned=since(not look.question, self.questioned),
            hollow=since(look.processes is None or not look.processes.hollow, self.hollow),
            unanswered=since(look.answers is not False, self.unanswered),
        )

    @property
    def waits(self) -> bool:
        """Whether a request to its model is known to be under way."""
        return self.look.answers is not False and self.look.in_flight > 0

    @property
    def silence(self) -> float:
        """How long ago it gave the last sign of life, of whatever kind."""
        if self.waits:
            return 0.0
        return min(self.printed, self.acted, self.asked, self.burned, self.changed)

    @property
    def without_effect(self) -> float:
        """How long ago anything came of what it does, if all it does is to print; 0 where that can't be told.

        One that prints the same lines again and again may burn CPU: that is the printing.
        """
        if not self.look.sees_files or self.waits:
            return 0.0
        effect = min(self.acted, self.asked, self.changed)
        return max(min(effect, self.burned), min(effect, self.novel))


@dataclass(frozen=True)
class State:
    """The condition of an agent: for how long it has lasted, in seconds, and its cause in words."""

    condition: Condition
    lasted: float = 0.0
    why: str = ""
    mute: bool = False
    """Whether it is one that should have said something since its start, and did not."""

    def __str__(self) -> str:
        name = self.condition.replace("-", " ")
        return f"{name}: {self.why}" if self.why else name


def judge(signals: Signals, table: Mapping[Row, Care]) -> State:
    """The one condition that an agent is in: the first that applies.

    Args:
        signals: What was seen of it.
        table: For how long conditions are borne (`cares`): one that is to be noticed early is told early.
    """
    look = signals.look
    if look.held:
        return State("held-by-a-limit", look.held_s, look.held)
    if look.question:
        return State("waiting-for-a-person", signals.questioned, look.question)
    if look.repeats.times >= REPEATED:
        return State("looping", signals.looped, str(look.repeats))
    if signals.waits:
        return State("waiting-for-the-model", signals.asked)
    if signals.printed < _quiet(table) and signals.without_effect >= _early(table["looping"], WITHOUT_EFFECT):
        why = f"it prints, and nothing came of it for {_words(signals.without_effect)}"
        return State("looping", signals.without_effect, why)
    return _busy(signals, table) or _idle(signals, table)


def _busy(signals: Signals, table: Mapping[Row, Care]) -> State | None:
    """The condition of an agent that does something, or says that it does; None for others."""
    look, quiet = signals.look, _quiet(table)
    if signals.silence >= quiet and look.processes is not None and look.processes.hollow:
        return State("dead-inside", signals.hollow, f"its main process waits for nobody ({look.processes})")
    if look.tool:
        silence = f", no sign of life for {_words(signals.silence)}" if signals.silence >= quiet else ""
        return State("running-a-tool", signals.silence, f"{look.tool}{silence}")
    if signals.burned >= quiet:
        return None
    said = min(signals.printed, signals.acted, signals.changed)
    return State("working") if said < quiet else State("quiet-but-busy", said, f"no word for {_words(said)}")


def _idle(signals: Signals, table: Mapping[Row, Care]) -> State:
    """The condition of an agent that uses no CPU, waits for no answer, and runs no tool that it told of."""
    look, silence = signals.look, signals.silence
    if look.answers is False:
        why = f"it has not answered for {_words(signals.unanswered)}"
        return State("gateway-unreachable", signals.unanswered, why)
    if silence < _quiet(table):
        return State("working")
    mute = look.tells and not look.spoke
    what = "no output since its start, and no sign of life" if mute else "no sign of life"
    more = f" ({look.processes})" if look.processes is not None else ""
    return State("hung", silence, f"{what} for {_words(silence)}{more}", mute)


def due(state: State, table: Mapping[Row, Care]) -> Then:
    """What is to be done about an agent now, by the table: `nothing` while its patience lasts."""
    rows: tuple[Row, ...] = (state.condition, "first-output") if state.mute else (state.condition,)
    borne = [(care.after, care.then) for care in (table[row] for row in rows) if care.after is not None]
    ripe = [(after, then) for after, then in borne if state.lasted >= after]
    return min(ripe)[1] if ripe else "nothing"


def still_known(
    attended: frozenset[Condition], state: State, table: Mapping[Row, Care]
) -> frozenset[Condition]:
    """Of the conditions that somebody was told of, those that have not passed: of others it is news again."""
    after = table[state.condition].after
    passed = after is not None and state.lasted < after
    return attended - {state.condition} if passed else attended


def count(stats: list[str], init: int) -> Processes:
    """The processes of a box by their lines of `/proc/PID/stat`.

    The main process is the oldest child of the box's first one, which adopts what others leave. The program
    that leads to the gateway (`socat`, started by ours) is nobody's work.

    Source: proc(5), `/proc/pid/stat`: pid, (comm), state, ppid, …, and as field 22 the start time.
    """
    rows = [row for row in map(_row, stats) if row is not None and row.pid != init]
    children = sorted((row for row in rows if row.parent == init), key=lambda row: row.started)
    main = children[0].pid if children else None
    others = [row for row in rows if row.pid != main and row.name != "socat"]
    alive = [row for row in rows if row.pid == main and row.state not in _ENDED]
    ended = sum(row.state in _ENDED for row in rows)
    return Processes(
        running=sum(row.state == "R" for row in rows),
        sleeping=sum(row.state in "SI" for row in rows),
        waiting=sum(row.state == "D" for row in rows),
        stopped=sum(row.state in "Tt" for row in rows),
        ended=ended,
        hollow=all(row.state in _ENDED for row in others) and (bool(others) or not alive) and ended > 0,
    )


_ENDED = "ZXx"


@dataclass(frozen=True)
class _Process:
    pid: int
    name: str
    state: str
    parent: int
    started: int


def _row(text: str) -> _Process | None:
    """One line, or None for what is none. The name stands in brackets, and may hold some itself."""
    head, _, tail = text.rpartition(")")
    pid, _, name = head.partition(" (")
    fields = tail.split()
    try:
        return _Process(int(pid), name, fields[0], int(fields[1]), int(fields[19]))
    except (ValueError, IndexError):
        return None


def _quiet(table: Mapping[Row, Care]) -> float:
    """Seconds of silence after which nobody is taken to be at work."""
    return _early(table["hung"], QUIET)


def _early(care: Care, usual: float) -> float:
    """When a condition is told: usually, or earlier where its patience is short."""
    return usual if care.after is None else min(usual, care.after / 2)


def _words(seconds: float) -> str:
    return format_duration(round(seconds))
