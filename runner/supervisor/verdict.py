"""The verdict on an attempt: three facts, one pure function.

    ended        what became of the agent         work        what came home      check
    exited       by itself, successfully          none        nothing changed     passed
    timeout      over its time limit              gathered    all of it           failed
    stalled      hung, looping or dead inside     salvaged    what was readable   not-run
    oom          killed for its memory limit      refused     by the import       none
    disk         its disk limit was full                      policy
    over-budget  its budget was spent
    limited      the provider's window closed, and nobody waits for it any more
    needs-input  it asked a person
    agent-error  it reported failure, or crashed
    cancelled    a person stopped it
    infrastructure  our fault, or the engine's

An attempt that its task's `when` does not want has no such facts: its verdict is `skipped`.

Nothing is ever concluded from prose that a model may have written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runner.tasks.plan import Spent

Ended = Literal[
    "exited",
    "timeout",
    "stalled",
    "oom",
    "disk",
    "over-budget",
    "limited",
    "needs-input",
    "agent-error",
    "cancelled",
    "infrastructure",
]
Work = Literal["none", "gathered", "salvaged", "refused"]
Check = Literal["passed", "failed", "not-run", "none"]
Verdict = Literal[
    "timeout",
    "stalled",
    "oom",
    "disk",
    "over-budget",
    "limited",
    "needs-input",
    "agent-error",
    "cancelled",
    "infrastructure",
    "refused",
    "no-change",
    "accepted",
    "rejected",
    "done",
    "skipped",
]
Stop = Literal[
    "timeout",
    "stalled",
    "nudge",
    "needs-input",
    "infrastructure",
    "disk",
    "cancelled",
    "over",
    "pressure",
]
"""Why Corral itself ended a box; `over`: the run's end came; `pressure`: the host had no memory left;
`nudge`: its agent is to go on in another one; `infrastructure`: it is to be tried again."""

RUN_OVER = "the run's end came"
GIVEN_UP = "the host had no memory left: it was ended so that the others could go on"

LAYOUT_FAILED = 113
"""Exit code of the first program in a box when the workspace could not be laid out."""

OVERLAY_FAILED = 114
"""Its exit code when what setup kept, or what is included, could not be laid over the commit's files."""

CHECKOUT_FAILED = 115
"""Its exit code when a check's commit could not be checked out where its base could: it does not fit."""

KILLED = 137
"""The exit code of a main process that SIGKILL ended, and of a shell whose last command it ended."""


@dataclass(frozen=True)
class Exit:
    """What was observed when an agent's box ended.

    Attributes:
        code: The main process's exit code, or None if the engine doesn't know it.
        oom_killed: Whether the kernel killed a process of the box for its memory limit, at any time.
        oom_last: Whether it did so just before the box ended.
        stopped: Why Corral itself ended the box, if it did.
        cause: In words, the condition for which it did.
        ready: Whether the box's first program reported that the workspace was laid out.
        report: The failure that the agent's own report states, if any.
        disk_full: Whether its disk had no room left at the end.
        spent: Whose budget was spent, if the box was refused a request for that.
        window: Which window of its provider it waited for in the end, or was refused a request for, in words.
        asked: What it asked a person by mail that is not answered, in words.
    """

    code: int | None
    oom_killed: bool = False
    oom_last: bool = False
    stopped: Stop | None = None
    cause: str = ""
    ready: bool = True
    report: str | None = None
    disk_full: bool = False
    spent: Spent = ""
    window: str = ""
    asked: str = ""


def how_it_ended(seen: Exit) -> tuple[Ended, str]:
    """What became of the agent, with the reason in words. The first that applies."""
    if seen.stopped is not None:
        return _stopped(seen.stopped, seen)
    if seen.oom_killed and seen.code == KILLED:
        return "oom", "the kernel killed it at its memory limit"
    if not seen.ready and seen.code in {LAYOUT_FAILED, OVERLAY_FAILED}:
        return _not_laid_out(seen)
    if seen.code is None:
        return "infrastructure", "the engine lost the box"
    if seen.disk_full and (seen.code != 0 or seen.report is not None):
        return "disk", ""
    if seen.spent:
        return "over-budget", f"the budget of its {seen.spent} is spent"
    if seen.window:
        return "limited", seen.window
    if seen.oom_last and seen.code != 0:
        return "oom", f"{_exit_code(seen.code)}, just after the kernel killed a process at its memory limit"
    if seen.asked:
        return "needs-input", seen.asked
    return _by_itself(seen.code, seen.report)


def _not_laid_out(seen: Exit) -> tuple[Ended, str]:
    """What became of an agent that was never started."""
    if seen.disk_full:  # an earlier attempt's branch can be larger than what it took on its own disk
        return "disk", "what it starts from does not fit on its disk"
    if seen.oom_last:
        return "oom", "the kernel killed what lays out its workspace at its memory limit"
    return "infrastructure", "the workspace could not be laid out in the box"


def _stopped(why: Stop, seen: Exit) -> tuple[Ended, str]:
    """What became of an agent whose box Corral ended."""
    if seen.asked and why in {"needs-input", "over"}:
        return "needs-input", seen.asked
    if why == "pressure":
        return "infrastructure", GIVEN_UP
    if why == "nudge":
        return "stalled", seen.cause
    if why != "over":
        return why, seen.cause
    if seen.window:
        return "limited", f"{RUN_OVER} while it waited: {seen.window}"
    return "timeout", RUN_OVER


def _by_itself(code: int, report: str | None) -> tuple[Ended, str]:
    if report is not None:
        return "agent-error", report
    return ("agent-error", _exit_code(code)) if code else ("exited", "")


def verdict(ended: Ended, work: Work, check: Check) -> Verdict:
    """The verdict: the first that applies."""
    if ended != "exited":
        return ended
    if work == "refused":
        return "refused"
    if work == "none":
        return "no-change"
    if check == "none":
        return "done"
    if check == "not-run":  # only a person's stop leads here: a check that can't be run is our fault
        return "cancelled"
    return "accepted" if check == "passed" else "rejected"


def served(reached: Verdict, *, may_be_empty: bool) -> bool:
    """Whether the task got what it asked for: exit code 0 and the start of dependents rest on it."""
    return reached in {"accepted", "done"} or (reached == "no-change" and may_be_empty)


def _exit_code(code: int) -> str:
    known = {126: "the command could not be executed", 127: "the command was not found"}
    if code in known:
        return f"exit {code}: {known[code]}"
    return f"exit {code}" if code <= 128 else f"exit {code} (signal {code - 128})"
