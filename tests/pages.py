"""Material for the report's page: a night that could have been, with figures of a size that nights have.

Nothing in it was measured. It is made from a seed, so that pictures and tests see the same one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta, timezone
from typing import Any

from runner.compare.audit import Audit, Finding, PairVerdict
from runner.compare.scored import Comparison, Excluded, Pair, Side
from runner.gather.conflicts import Kind, Matrix, Meeting
from runner.names import AttemptKey, branch
from runner.supervisor import events as e
from runner.supervisor.attempt.samples import Course
from runner.supervisor.journal import by_attempt
from runner.supervisor.scoring import comparison
from runner.supervisor.state import RunState, apply, begin
from runner.supervisor.verified import CheckResult, Counts
from runner.tasks.plan import (
    Budget,
    Caps,
    CheckSpec,
    ClaudeSettings,
    CodexSettings,
    Plan,
    PlannedAttempt,
    Profile,
    Source,
    Task,
)
from runner.views.page import lives
from runner.views.page.material import Material, Read, Shown, Spending, Step

ZONE = timezone(timedelta(hours=1))
BEGAN = 1_795_644_900.0
"""23:15 of a November evening in that zone."""
BASE = "5d1f0c3a9b7e" + "0" * 28
GIB = 1024**3
SHUT = (2.1 * 3600, 3.8 * 3600)
"""Seconds after the start between which one provider's window is closed."""

TASKS = (
    ("parse-trailing-comma", "The parser drops trailing commas in nested lists. Find out why and fix it."),
    ("cache-expiry", "Entries of the response cache outlive their expiry when the clock steps back. Fix it."),
    ("retry-after-date", "`Retry-After` with an HTTP date is ignored. Honour it, also in the past."),
    ("unicode-slug", "`slugify` turns “Ærøskøbing” into an empty string. Letters should be transliterated."),
    (
        "zip-slip",
        "`extract_all` writes outside of its target for names with `..`. Refuse them, and add a test.",
    ),
    ("csv-quote", "A field with a quote and a line end is written so that it can’t be read back."),
    (
        "tz-naive-compare",
        "Comparing an aware with a naive time raises deep in the scheduler; say it at the edge.",
    ),
    ("stream-close", "The stream’s file descriptor leaks if the consumer stops early."),
    ("glob-order", "Results of `find` come in another order on each machine. Sort them, and keep it lazy."),
    ("decimal-round", "Totals differ by a cent from the sum of their lines. Round once, at the end."),
    ("header-case", "Header names that differ in case only are sent twice."),
    ("lru-thread", "Two threads can compute the same entry of the cache at once."),
)
QUALITY = {"opus-high": 0.8, "opus-low": 0.53, "codex-high": 0.62}
COST = {"opus-high": 1.42, "opus-low": 0.55, "codex-high": 0.83}

SOURCE = '''diff --git a/src/toolkit/{module}.py b/src/toolkit/{module}.py
index 9c1b8a2..f3d0e41 100644
--- a/src/toolkit/{module}.py
+++ b/src/toolkit/{module}.py
@@ -41,12 +41,23 @@ class Reader:
     def items(self, text: str) -> Iterator[Item]:
         """The items of a list, in order."""
         depth = 0
-        for token in self.tokens(text):
-            if token.kind == "comma" and depth == 0:
-                yield self.item()
+        pending = False  # whether an item was read since the last comma
+        for token in self.tokens(text):
+            match token.kind:
+                case "open":
+                    depth += 1
+                case "close":
+                    depth -= 1
+                case "comma" if depth == 0:
+                    if not pending:
+                        raise ParseError(f"nothing before the comma at {{token.at}}", at=token.at)
+                    yield self.item()
+                    pending = False
+                    continue
+            pending = True
             self.push(token)
-        if self.stack:
-            yield self.item()
+        if pending:  # a trailing comma ends the list; it begins no item
+            yield self.item()
{blank}
     def tokens(self, text: str) -> Iterator[Token]:
         for match in TOKEN.finditer(text):
'''
TESTS = '''diff --git a/tests/test_{module}.py b/tests/test_{module}.py
new file mode 100644
index 0000000..51b7a0c
--- /dev/null
+++ b/tests/test_{module}.py
@@ -0,0 +1,9 @@
+import pytest
+
+from toolkit.{module} import Reader
+
+
+@pytest.mark.parametrize("text", ["[1, 2,]", "[[1,], [2,],]", "[]"])
+def test_a_trailing_comma_begins_no_item(text: str) -> None:
+    """As in the grammar: `list = "[" [item {{"," item}} [","]] "]"`."""
+    assert all(item is not None for item in Reader().items(text))
'''
SAID = (
    "I’ll look at how the module reads its input, and at the test that the report names.",
    "The state is kept between calls: `pending` has to be cleared where the item is given away, not before.",
    (
        "All tests pass, the new one too. A comma at the end was taken for the beginning of another item, "
        "which then was empty. I kept the function lazy and added a test for nested lists."
    ),
)


@dataclass(frozen=True)
class Size:
    """How large a night is."""

    tasks: int = 12
    repeats: int = 2
    jobs: int = 8
    diff: str = ""
    """What every attempt changed; its own small one where this is empty."""


def plan(size: Size) -> Plan:
    """What the night was to do."""
    profiles = (
        Profile(
            name="opus-high",
            settings=ClaudeSettings(model="claude-opus-5-5", effort="high"),
            hash="8c1f20be77",
        ),
        Profile(
            name="opus-low", settings=ClaudeSettings(model="claude-opus-5-5", effort="low"), hash="1d92aa0345"
        ),
        Profile(name="codex-high", settings=CodexSettings(model="gpt-5.5", effort="high"), hash="f07be4c918"),
    )
    names = [
        TASKS[n % len(TASKS)][0] + (f"-{n // len(TASKS) + 1}" if n >= len(TASKS) else "")
        for n in range(size.tasks)
    ]
    tasks = tuple(
        Task(
            id=name,
            prompt=TASKS[n % len(TASKS)][1],
            checks=(CheckSpec(run=f"pytest -q tests/test_{name.replace('-', '_')}.py"),),
            compared=True,
            protect=("tests/",),
        )
        for n, name in enumerate(names)
    )
    attempts = tuple(
        PlannedAttempt(task=name, profile=profile.name, n=n + 1)
        for name in names
        for n in range(size.repeats)
        for profile in profiles
    )
    return Plan(
        run="20261125-231500",
        file="/home/ada/toolkit/corral.yaml",
        sources=(
            Source(repo="/home/ada/toolkit", git_dir="/home/ada/toolkit/.git", base=BASE, base_name="main"),
        ),
        profiles=profiles,
        tasks=tasks,
        attempts=attempts,
        compared=tuple(profile.name for profile in profiles),
        budget=Budget(run=Caps(usd=100.0)),
    )


@dataclass
class Night:
    """Lives through a plan with so many places, an attempt after the other."""

    plan: Plan
    jobs: int
    chance: random.Random

    def events(self) -> list[e.Event]:
        """All events of the run, in order."""
        free = [BEGAN + 40.0 + 3 * n for n in range(self.jobs)]
        found: list[e.Event] = [
            e.RunStarted(at=BEGAN, plan=self.plan, jobs=self.jobs, until=BEGAN + 8 * 3600),
            e.WindowsChanged(
                at=BEGAN + SHUT[0],
                shut=tuple(
                    e.Shut(
                        profile=name,
                        window="Anthropic, the 5-hour window",
                        since=BEGAN + SHUT[0],
                        until=BEGAN + SHUT[1],
                    )
                    for name in ("opus-high", "opus-low")
                ),
            ),
            e.WindowsChanged(at=BEGAN + SHUT[1]),
            e.HostShort(at=BEGAN + 5.2 * 3600, why="memory: 1.1 GiB free", thing="memory"),
            e.HostShort(at=BEGAN + 5.3 * 3600),
        ]
        for planned in self.plan.attempts:
            place = min(range(self.jobs), key=lambda n: free[n])
            of_it = list(self._life(planned.key, free[place]))
            free[place] = of_it[-1].at + self.chance.uniform(4, 20)
            found += of_it
        end = max(free) + 4
        found.append(
            e.BudgetUsed(at=max(BEGAN + 1, end - 1500), whose="run", unit="usd", used=80.4, cap=100.0)
        )
        return [*sorted(found, key=lambda one: one.at), e.RunEnded(at=end, exit_code=1)]

    def _life(self, key: AttemptKey, at: float) -> Iterator[e.Event]:
        name, chance = str(key), self.chance
        if key.profile.startswith("opus") and SHUT[0] < at - BEGAN < SHUT[1]:
            at = BEGAN + SHUT[1] + chance.uniform(5, 240)
        yield e.AttemptStarted(at=at, attempt=name, box="0" * 12, base=BASE)
        at += chance.uniform(1.5, 6)
        yield e.BoxStarted(at=at, attempt=name, container="c")
        work, held = chance.lognormvariate(6.9, 0.45), 0.0
        stop = at + work
        shut = BEGAN + SHUT[0] + chance.uniform(0, 200)
        if key.profile.startswith("opus") and at < shut < stop:
            held = BEGAN + SHUT[1] + chance.uniform(5, 90) - shut
            yield e.AttemptHeld(
                at=shut,
                attempt=name,
                container="c",
                why="Anthropic, the 5-hour window",
                seconds=shut - at,
                held_s=0.0,
            )
            yield e.BoxStarted(at=shut + held, attempt=name, container="d", again=1)
            stop += held
        elif chance.random() < 0.05:
            yield e.AttemptFrozen(at=at + 0.4 * work, attempt=name, why="the host had hardly any memory left")
            yield e.AttemptThawed(at=at + 0.4 * work + 190, attempt=name)
            stop, held = stop + 190, 190.0
        yield from self._end(key, stop, work, held)

    def _end(self, key: AttemptKey, at: float, work: float, held: float) -> Iterator[e.Event]:
        name, chance = str(key), self.chance
        lot = chance.random()
        ended = "infrastructure" if lot > 0.975 else "timeout" if lot > 0.95 else "exited"
        usd = COST[key.profile] * chance.lognormvariate(0, 0.4)
        tokens = round(usd * 610_000)
        yield e.AttemptEnded.model_validate(
            {
                "at": at,
                "attempt": name,
                "ended": ended,
                "seconds": work,
                "held_s": held,
                "usd": usd,
                "input_tokens": tokens // 9,
                "output_tokens": tokens // 14,
                "cache_read_tokens": tokens - tokens // 6,
                "cache_write_tokens": tokens // 30,
                "requests": round(work / 16),
                "cpu_seconds": work * 0.4,
                "peak_memory": round(chance.uniform(0.5, 3.4) * GIB),
                "reason": "the engine lost the box"
                if ended == "infrastructure"
                else "over its time limit"
                if ended == "timeout"
                else "",
            }
        )
        if ended == "infrastructure":
            yield e.AttemptFinal(at=at + 3, attempt=name, verdict="infrastructure")
            return
        added, removed = chance.randint(6, 90), chance.randint(1, 30)
        yield e.AttemptGathered(
            at=at + 1.2,
            attempt=name,
            work="gathered",
            branch=branch(self.plan.run, key),
            commit="b" * 40,
            files=chance.randint(1, 4),
            insertions=added,
            deletions=removed,
        )
        task = int.from_bytes(key.task.encode()[:2], "big") % 7 / 20 - 0.15
        passed = chance.random() < QUALITY[key.profile] + task
        took = chance.uniform(9, 60)
        yield e.AttemptChecked(
            at=at + 1.2 + took,
            attempt=name,
            check="passed" if passed else "failed",
            seconds=took,
            checks=tuple(self._checks(passed, took)),
        )
        verdict = "timeout" if ended == "timeout" else "accepted" if passed else "rejected"
        yield e.AttemptFinal.model_validate({"at": at + 2 + took, "attempt": name, "verdict": verdict})

    def _checks(self, passed: bool, took: float) -> Iterator[CheckResult]:
        flaky = self.chance.random() < 0.04
        counts = Counts(
            passed=214 if passed else 212,
            failed=0 if passed else 2,
            skipped=3,
            failing=()
            if passed
            else ("tests/test_reader.py::test_nested[deep]", "tests/test_reader.py::test_empty"),
        )
        yield CheckResult(
            name="tests",
            check="passed" if passed else "failed",
            seconds=took * 0.8,
            runs=3 if flaky else 1,
            flaky=flaky,
            tests=counts,
            before="failed",
            exit_code=0 if passed else 1,
            reason="" if passed else "exit 1",
            broken=() if passed else ("tests/test_reader.py::test_empty",),
        )
        yield CheckResult(name="types", check="passed", seconds=took * 0.2, before="passed", exit_code=0)


def night(size: Size | None = None, seed: int = 7) -> Material:
    """The material of a night."""
    size = size or Size()
    chance = random.Random(seed)  # noqa: S311
    events = Night(plan(size), size.jobs, chance).events()
    return of_events(events, chance, size)


def state_of(events: list[e.Event]) -> RunState:
    """The run after these events."""
    first, *rest = events
    state = begin("20261125-231500", first)
    for event in rest:
        state = apply(state, event)
    return state


def of_events(events: list[e.Event], chance: random.Random, size: Size) -> Material:
    """The material of a run with these events."""
    state = state_of(events)
    accepted = [str(one.key) for one in state.attempts.values() if state.serves(one) and one.branch]
    matrix = matrix_of(accepted, chance)
    state = apply(state, integrated(accepted, matrix, state.ended or 0.0))
    of_it = by_attempt(events)
    shown = tuple(
        Shown(
            state=one,
            spans=lives.spans(state.started, of_it.get(str(one.key), ()), state.ended or 0.0),
            moments=lives.moments_of(of_it.get(str(one.key), ())),
            **read(one.key, chance, size),
        )
        for one in state.attempts.values()
    )
    compared = comparison(state)
    return Material(
        state=state,
        now=(state.ended or 0.0) + 60,
        attempts=shown,
        moments=lives.moments_of_run(events),
        spending=tuple(spending(events)),
        shut=lives.shut(events, state.ended or 0.0),
        comparison=compared,
        audit=audit(state, compared),
        matrices={"/home/ada/toolkit": matrix},
        zone=ZONE,
    )


def read(key: AttemptKey, chance: random.Random, size: Size) -> dict[str, Any]:
    """What files say of an attempt."""
    module = key.task.replace("-", "_")
    diff = size.diff or SOURCE.format(module=module, blank=" ") + TESTS.format(module=module)
    steps = (
        Step("said", SAID[0]),
        Step("did", f"Read: src/toolkit/{module}.py · tests/test_{module}.py · src/toolkit/tokens.py"),
        Step("did", f"Bash: pytest -q tests/test_{module}.py"),
        Step("got", "F.......                                          1 failed, 7 passed in 0.41s"),
        Step("said", SAID[1]),
        None,
        Step("did", f"Edit: src/toolkit/{module}.py · tests/test_{module}.py"),
        Step("did", "Bash: pytest -q && mypy src"),
        Step("got", "217 passed, 3 skipped in 8.92s"),
        Step("said", SAID[2]),
    )
    points, at = 60, 0.3
    cores, memory = [], []
    for n in range(points):
        at = min(2.0, max(0.03, at + chance.uniform(-0.35, 0.35) + (0.9 if chance.random() < 0.07 else 0)))
        cores.append(None if n == 22 and chance.random() < 0.3 else at)
        memory.append(round((0.35 + 1.6 * (1 - math.exp(-n / 18)) + 0.5 * at) * GIB))
    output = "\n".join(
        (
            "........................................................................ [ 33%]",
            "........................................................................ [ 67%]",
            "......................................................................   [100%]",
            "217 passed, 3 skipped in 8.92s",
        )
    )
    return {
        "steps": steps,
        "diff": Read(diff),
        "check": Read(output),
        "course": Course(BEGAN, 15.0, tuple(cores), tuple(memory)),
    }


def audit(state: RunState, compared: Comparison) -> Audit:
    """Findings of every weight."""
    keys = [str(one.key) for one in state.attempts.values() if one.verdict in {"accepted", "rejected"}]
    if len(keys) < 8:
        return Audit()
    found = (
        Finding(
            keys[4],
            "protected-touched",
            "it changed tests/test_reader.py, which was put back before the check",
            "cheating",
        ),
        Finding(
            keys[7],
            "cpu-pressure",
            "its box waited for CPU in 41 % of its time; its counterpart in 3 %",
            "unfair",
        ),
        Finding(
            keys[2],
            "model-drift",
            "the service answered with claude-opus-5-5-20261120, asked for claude-opus-5-5",
        ),
        Finding(keys[5], "cache-hits", "83 % of its input tokens came from the cache; its counterpart 79 %"),
    )
    a = keys[7].split("/")
    other = next((side.profile for side in compared.profiles if side.profile != a[1]), a[1])
    pairs = [PairVerdict(keys[n], keys[n + 1], fair=True) for n in range(0, len(keys) - 1, 2)]
    unfair = PairVerdict(
        keys[7], f"{a[0]}/{other}/{a[2]}", fair=False, why=("CPU pressure differed by 38 points",)
    )
    return Audit(found, (*pairs, unfair))


def matrix_of(accepted: list[str], chance: random.Random) -> Matrix:
    """How accepted branches meet: those of one task change the same paths."""
    names = accepted[:18]
    met = []
    for n, a in enumerate(names):
        for b in names[n + 1 :]:
            same_task = a.split("/")[0] == b.split("/")[0]
            if same_task or chance.random() < 0.08:
                kind: Kind = "conflict" if chance.random() < (0.6 if same_task else 0.2) else "clean"
                met.append(Meeting(a, b, kind, (f"src/toolkit/{b.split('/')[0].replace('-', '_')}.py",)))
    return Matrix(tuple(names), tuple(met))


def integrated(accepted: list[str], matrix: Matrix, at: float) -> e.Integrated:
    """What came of putting them together."""
    joined: list[e.Joined] = []
    for n, name in enumerate(matrix.attempts or tuple(accepted[:1])):
        inside = [one.attempt for one in joined if one.went_in]
        against = [one for one in inside if (met := matrix.between(one, name)) and met.kind == "conflict"]
        if against:
            met = matrix.between(against[0], name)
            joined.append(
                e.Joined(
                    attempt=name,
                    went_in=False,
                    cause="conflict",
                    with_=tuple(against[:2]),
                    files=met.files if met else (),
                )
            )
        elif n == 5:
            joined.append(
                e.Joined(
                    attempt=name,
                    went_in=False,
                    cause="check",
                    with_=tuple(inside[:1]),
                    why="tests/test_scheduler.py::test_order fails with both",
                )
            )
        else:
            joined.append(e.Joined(attempt=name, went_in=True))
    return e.Integrated(
        at=at - 30,
        repo="/home/ada/toolkit",
        base=BASE,
        branch="corral/20261125-231500/+integration",
        commit="e" * 40,
        joined=tuple(joined),
        check_runs=6,
        seconds=212.0,
        checks=(
            CheckResult(name="tests", check="passed", tests=Counts(passed=231, skipped=3)),
            CheckResult(name="types", check="passed"),
        ),
    )


def spending(events: list[e.Event]) -> Iterator[Spending]:
    """What was spent until when."""
    usd, tokens = 0.0, 0
    for event in events:
        if isinstance(event, e.AttemptEnded):
            parts = (
                event.input_tokens,
                event.output_tokens,
                event.cache_read_tokens,
                event.cache_write_tokens,
            )
            usd, tokens = usd + (event.usd or 0.0), tokens + sum(part or 0 for part in parts)
            yield Spending(event.at, usd, tokens)


def large_diff(lines: int = 3000) -> str:
    """A difference of many lines of code in several files."""
    parts = []
    for n in range(max(1, lines // 500)):
        body = "".join(
            f"+    def method_{line}(self, value: int = {line}) -> str:  # number {line}\n"
            for line in range(500)
        )
        parts.append(
            f"diff --git a/src/part_{n}.py b/src/part_{n}.py\nnew file mode 100644\n--- /dev/null\n"
            f"+++ b/src/part_{n}.py\n@@ -0,0 +1,500 @@\n{body}"
        )
    return "".join(parts)


def with_text(material: Material, text: str) -> Material:
    """The same with this text in every place that a box, a repository or a model can write to."""
    shown = tuple(
        replace(
            one,
            state=replace(one.state, reason=text, flags=(text,), kept=text, held=text),
            steps=(Step("said", text), Step("did", f"Bash: {text}"), Step("got", text)),
            diff=Read(
                f"diff --git a/{text} b/{text}\n--- a/{text}\n+++ b/{text}\n"
                f"@@ -1 +1 @@ {text}\n-{text}\n+{text}\n"
            ),
            check=Read(text),
            output=Read(text),
            moments=tuple(replace(moment, words=text) for moment in one.moments),
            spans=tuple(replace(span, why=text) for span in one.spans),
        )
        for one in material.attempts
    )
    named = shown[0].name
    joined = e.Joined(
        attempt=text, went_in=False, why=text, cause="conflict", with_=(text, named), files=(text,)
    )
    event = e.Integrated(at=1.0, repo=text, base=text, branch=text, commit=text, joined=(joined,))
    tasks = tuple(
        task.model_copy(update={"prompt": text, "checks": (CheckSpec(name=text, run=text),), "item": text})
        for task in material.state.plan.tasks
    )
    changed = material.state.plan.model_copy(update={"tasks": tasks, "notes": (text,), "file": text})
    profiles = Side(text, text, 2, 2, 1, 0, 0.5, 0.1, 0.9, 1.0)
    return replace(
        material,
        state=replace(
            material.state,
            plan=Plan(**{name: getattr(changed, name) for name in Plan.model_fields}),
            weaker=(text,),
            untold={text: text},
            integrated={text: event},
        ),
        attempts=shown,
        moments=tuple(replace(moment, words=text) for moment in material.moments),
        comparison=Comparison(
            (profiles,),
            (Pair(text, text, 1, 0.1, -0.1, 0.3, 0.5, 0.1, words=text),),
            (Excluded(text, text), Excluded(named, text)),
            notes=(text,),
        ),
        audit=Audit(
            (Finding(text, text, text, "cheating"), Finding(named, text, text)),
            (PairVerdict(text, named, fair=False, why=(text,)),),
        ),
        matrices={
            text: Matrix((text, named), (Meeting(text, named, "conflict", (text,)),), ((text, named),))
        },
    )
