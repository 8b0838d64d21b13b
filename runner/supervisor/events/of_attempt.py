"""What happens to an attempt. `attempt` is `TASK/PROFILE/N[.TRY]`."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from runner.agents.seeking import Sought
from runner.gateway.grants import Answered, Replayed, Tokens, Traffic
from runner.gather.tampering import Sign
from runner.supervisor.attempt.samples import Used
from runner.supervisor.events.common import OfAttempt, Words
from runner.supervisor.host.weather import Weather
from runner.supervisor.slept import Slept
from runner.supervisor.verdict import Check, Ended, Verdict, Work
from runner.supervisor.verified import CheckResult
from runner.tasks.plan import Caps, Spent


class AttemptStarted(OfAttempt):
    """An attempt's life began, from the commit `base`."""

    kind: Literal["attempt.started"] = "attempt.started"
    box: str
    base: str
    image: str | None = None
    """The id of the image that its boxes are made from."""
    version: str | None = None
    """The version of the agent CLI in it; None where that is the image's own affair."""
    queued_s: float | None = None
    """For how many seconds nothing but a place, or room on the host, kept it from its start."""


class BoxStarted(OfAttempt):
    """Its container runs."""

    kind: Literal["attempt.running"] = "attempt.running"
    container: str
    again: int = 0
    """How often its agent went on in a new container before this one."""
    slept: Slept | None = None
    """How long the machine had slept by when it began, or was first taken up where nobody had noted that."""


Cause = Literal["limit", "machine", "nudge"]


class AttemptHeld(OfAttempt):
    """Its agent goes on in a new container.

    `cause` says why the one before it is gone: a `limit` of its provider's, which is waited for; the
    `machine`, or the engine, that stopped; or a `nudge`, since it got nowhere.

    `seconds`, `held_s` and `told_s` say what passed in the attempt so far: working time, time in which it was
    held, and the part of that which the gateway's own count holds. The other figures are this container's.
    """

    kind: Literal["attempt.held"] = "attempt.held"
    container: str
    why: Words
    cause: Cause = "limit"
    session: str | None = None
    """Under which its agent goes on; None for one that begins anew on the same files."""
    exit_code: int | None = None
    seconds: float
    held_s: float
    told_s: float = 0.0
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    output: int = 0
    """Bytes of its output until now."""


class AttemptAttention(OfAttempt):
    """A person is to be told of the condition that its agent is in (`health:`, `then: notify`)."""

    kind: Literal["attempt.attention"] = "attempt.attention"
    condition: Words
    why: Words = ""
    seconds: float | None = None
    """For how long it has been in it."""


class AttemptFrozen(OfAttempt):
    """Its agent was frozen: it keeps its memory and gets no CPU. That is no working time."""

    kind: Literal["attempt.frozen"] = "attempt.frozen"
    why: Words
    by: Literal["pressure", "person"] = "pressure"
    """Whether the host had hardly any memory left, or a person asked for it."""
    slept: Slept | None = None
    """How long the machine had slept until then."""


class AttemptThawed(OfAttempt):
    """Its agent goes on after it was frozen."""

    kind: Literal["attempt.thawed"] = "attempt.thawed"
    slept: Slept | None = None
    """How long the machine had slept until then."""


class AttemptEnded(OfAttempt):
    """What became of the agent, measured on the host's side. Unknown figures are None."""

    kind: Literal["attempt.ended"] = "attempt.ended"
    ended: Ended
    reason: Words = ""
    exit_code: int | None = None
    seconds: float | None = None
    """Working time."""
    held_s: float | None = None
    """Seconds in which the gateway held it, or in which it waited to go on; they are no working time."""
    peak_memory: int | None = None
    cpu_seconds: float | None = None
    used: Used | None = None
    """What its boxes used in all, by the record of its meter; None where there is no record."""
    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    usd: float | None = None
    """What its model calls cost; None where that is not known."""
    spent: Spent = ""
    """Whose budget was spent, if that ended it."""
    session: str | None = None
    """Under which its conversation could go on in a later try; None where its agent told none."""
    replayed: Replayed | None = None
    """How it followed the recording that answered it, if one did."""
    overshot: Caps = Caps()
    """By how much more than that."""
    models: dict[Words, Tokens] | None = None
    """Its tokens by the model that the replies name; None where no model was to be reached."""
    answered: tuple[Answered, ...] = ()
    """Which models answered for which."""
    egress: Traffic | None = None
    """Which hosts it tried to reach; None where it had no way to try, or nobody knows."""
    weather: Weather | None = None
    """In what conditions it lived; None where nobody looked."""
    sought: tuple[Sought, ...] | None = None
    """What its agent ran to find an answer instead of working it out; None where that is not known."""
    flags: tuple[Words, ...] = ()


class AttemptGathered(OfAttempt):
    """What came home."""

    kind: Literal["attempt.gathered"] = "attempt.gathered"
    work: Work
    reason: Words = ""
    branch: str | None = None
    commit: str | None = None
    files: int | None = None
    insertions: int | None = None
    deletions: int | None = None
    kept: Words | None = None
    """Where the files were saved, if they could not come home as a branch."""
    signs: tuple[Sign, ...] | None = None
    """What in it touches the judgement on it; None where that was not looked at."""
    flags: tuple[Words, ...] = ()


class AttemptChecked(OfAttempt):
    """What the check said."""

    kind: Literal["attempt.checked"] = "attempt.checked"
    check: Check
    reason: Words = ""
    exit_code: int | None = None
    seconds: float | None = None
    checks: tuple[CheckResult, ...] = ()
    """What each of its checks said, in order."""
    flags: tuple[Words, ...] = ()


class AttemptFinal(OfAttempt):
    """The attempt is judged, and nothing of it is left but its branch and its record."""

    kind: Literal["attempt.final"] = "attempt.final"
    verdict: Verdict
    reason: Words = ""
    again: bool = False
    """Whether another try follows at once. Earlier versions said it here; now `attempt.retried` does."""
    home: bool = False
    """Whether its HOME is kept, so that a later try can go on with its conversation."""


Why = Literal["infrastructure", "feedback", "memory", "person"]
"""Why an attempt is tried again: a fault that is not its own; what its check or its agent said; more memory;
or because a person wants it."""


class AttemptRetried(OfAttempt):
    """Another try follows this one, `attempt`, which ended; how it begins is all said here."""

    kind: Literal["attempt.retried"] = "attempt.retried"
    why: Why
    not_before: float | None = None
    """When its pause is over, in seconds since the epoch; None for at once."""
    told: str | None = None
    """The attempt of whose end, and of whose check's output, its agent is told."""
    base: str | None = None
    """The commit that its work is compared with and checked against; None for whatever its needs give it."""
    on: str | None = None
    """The commit that its workspace begins with, where that is an earlier try's work."""
    session: str | None = None
    """The conversation that goes on in it."""
    home: str | None = None
    """The attempt whose HOME it begins with."""
    memory: int | None = None
    """Its memory limit in bytes, where that is not the task's."""
    note: Words = ""
    """What a person has to say to its agent."""


class AttemptRested(OfAttempt):
    """The pause before this try is over."""

    kind: Literal["attempt.rested"] = "attempt.rested"


class AttemptDiscarded(OfAttempt):
    """A person did not want its branch any more: it is gone."""

    kind: Literal["attempt.discarded"] = "attempt.discarded"
    branch: str
    commit: str
    bundle: Words | None = None
    """The file that holds its commits now; None where others held them, or nobody did any more."""
    elsewhere: tuple[Words, ...] = ()
    """The user's own branches and tags that hold its commit, the first few."""


class AttemptSkipped(OfAttempt):
    """The attempt is not wanted, by the `when` of its task."""

    kind: Literal["attempt.skipped"] = "attempt.skipped"
    reason: Words
    base: str
    """The commit that it would have started from."""
    passes: bool
    """Whether all that it asked about served: then what needs it starts from `base`, else it is held."""


class RunMail(OfAttempt):
    """A message that an attempt's agent sent, or tried to: then `refused` says why it went to nobody."""

    kind: Literal["run.mail"] = "run.mail"
    file: Words
    """Its name in the outbox."""
    to: Words = ""
    type: Words = ""
    payload: JsonValue = None
    refused: Words = ""


class Signs(OfAttempt):
    """Signs of life, for looking at: not journaled."""

    kind: Literal["attempt.signs"] = "attempt.signs"
    stage: str
    doing: Words | None = None
    cpu: float | None = None
    memory: int | None = None
    tokens: int | None = None
    usd: float | None = None
    held: Words | None = None
    """What it waits for, if it can't go on: whose limit, or which service."""
    held_kind: str | None = None
    """Of which kind that is: see the gateway's `Held`; or `engine`, which is away."""
    held_since: float | None = None
    held_until: float | None = None
    """When that is known to end; None where nobody has said."""
    held_s: float | None = None
    """For how many seconds it has been held in all."""
    condition: Words | None = None
    """In which condition its agent is: see `attempt.health`. None before that was looked at."""
    cause: Words = ""
    """By what that is told, in words."""
    lasted: float | None = None
    """For how many seconds it has been in it, in working time."""
    silence: float | None = None
    """For how many seconds it has given no sign of life, in working time."""
