"""From what was observed of an attempt's agent to the events that tell it. Pure."""

from __future__ import annotations

from runner.supervisor import events as e
from runner.supervisor.attempt.health import State
from runner.supervisor.attempt.samples import Used
from runner.supervisor.attempt.spec import AttemptSpec
from runner.supervisor.attempt.watch import Watched
from runner.supervisor.verdict import Ended
from runner.tasks.plan import Caps, Limits, Spent
from runner.tasks.units import format_duration, format_size

NO_ENGINE = "the container engine does not answer"


def ended_event(
    spec: AttemptSpec,
    at: float,
    ended: Ended,
    seen: Watched,
    reason: str = "",
    flags: tuple[str, ...] = (),
    used: Used | None = None,
) -> e.AttemptEnded:
    """The end of an attempt's agent, with all that was measured."""
    model = seen.model if spec.accesses else None
    told = model if model is not None and model.tokens is not None else None
    return e.AttemptEnded(
        at=at,
        attempt=str(spec.key),
        ended=ended,
        reason=reason,
        exit_code=seen.exit.code if seen.exit else None,
        seconds=seen.seconds,
        held_s=seen.held_s,
        peak_memory=seen.measured.peak_memory,
        cpu_seconds=seen.measured.cpu_seconds,
        used=used,
        requests=model.requests if model else None,
        input_tokens=told.input if told else None,
        output_tokens=told.output if told else None,
        cache_read_tokens=told.cache_read if told else None,
        cache_write_tokens=told.cache_write if told else None,
        usd=seen.usd if model else None,
        spent=spent(seen) if ended == "over-budget" else "",
        replayed=spec.followed(model),
        overshot=model.overshot if model and ended == "over-budget" else Caps(),
        models=told.models if told else None,
        answered=model.answered if model else (),
        egress=seen.model.egress if seen.model is not None else None,
        flags=flags,
    )


def signs(spec: AttemptSpec, at: float, stage: str, seen: Watched) -> e.Signs:
    """Signs of life."""
    held = seen.held
    return e.Signs(
        at=at,
        attempt=str(spec.key),
        stage=stage,
        doing=seen.doing,
        cpu=seen.cores,
        memory=seen.measured.memory,
        tokens=seen.tokens if spec.accesses else None,
        usd=seen.usd if spec.accesses else None,
        held=held.why if held is not None else None,
        held_kind=held.kind if held is not None else None,
        held_since=held.since if held is not None else None,
        held_until=held.until if held is not None else None,
        held_s=seen.held_s if spec.accesses else None,
        condition=seen.state.condition if seen.state is not None else None,
        cause=seen.state.why if seen.state is not None else "",
        lasted=seen.state.lasted if seen.state is not None else None,
        silence=seen.silence,
    )


def signs_without_engine(spec: AttemptSpec, at: float, seen: Watched, since: float) -> e.Signs:
    """Signs of an attempt that waits for its engine: what was seen last of it.

    Args:
        spec: The attempt.
        at: Now, in seconds since the epoch.
        seen: What was seen of its box before.
        since: Since when the engine is away, likewise.
    """
    away = {"held": NO_ENGINE, "held_kind": "engine", "held_since": since, "held_until": None}
    return signs(spec, at, "held", seen).model_copy(update=away)


def attention(spec: AttemptSpec, at: float, state: State) -> e.AttemptAttention:
    """What a person is told of an agent's condition."""
    return e.AttemptAttention(
        at=at, attempt=str(spec.key), condition=state.condition, why=state.why, seconds=state.lasted
    )


def spent(seen: Watched) -> Spent:
    """Whose budget was spent, if it was refused a request for that."""
    return seen.model.over_budget if seen.model is not None else ""


def limit_words(ended: Ended, limits: Limits, disk: int) -> str:
    """The limit that was reached, in words; empty if none was.

    Args:
        ended: How it ended.
        limits: What it might use.
        disk: Bytes of disk that it got.
    """
    if ended == "timeout":
        return f"over its {format_duration(limits.time)}"
    if ended == "disk":
        short = "" if disk >= limits.disk else ", all that the host had room for"
        return f"over its {format_size(disk)} of disk{short}"
    return f"no sign of life for {format_duration(limits.idle)}" if ended == "stalled" else ""
