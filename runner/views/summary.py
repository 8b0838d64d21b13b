"""A run as plain values for programs: the stable machine format."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from runner.gateway.grants import Held
from runner.names import AttemptKey
from runner.supervisor import events as e
from runner.supervisor.graph import deciding
from runner.supervisor.graph.schedule import decide
from runner.supervisor.journal import Row
from runner.supervisor.morning.chosen import outdated
from runner.supervisor.scoring import scored as scored  # noqa: PLC0414 - it is a view of the run, too
from runner.supervisor.state import RunState
from runner.supervisor.tried import AttemptState
from runner.tasks.identity import attempt_hash
from runner.views import conditions, inbox, wording

Json = dict[str, JsonValue]


def summary(
    state: RunState, held: Mapping[str, Held] | None = None, signs: Mapping[str, e.Signs] | None = None
) -> Json:
    """The summary of a run; unknown values are None.

    Args:
        state: The run.
        held: What the requests of living attempts wait for just now, by the attempt's name.
        signs: The latest signs of life of those, in the same way.
    """
    waiting, old = _waiting(state), outdated(state)
    return {
        "kind": "run.summary",
        "schema": 1,
        "run": state.name,
        "file": state.plan.file,
        "started": state.started,
        "ended": state.ended,
        "exit_code": state.exit_code,
        "scripted": bool(scripted(state)),
        "notes": list(state.plan.notes),
        "weaker": list(state.weaker),
        "starts": state.starts,
        "until": state.until,
        "jobs": state.jobs,
        "short": None if state.short is None else state.short.model_dump(mode="json", exclude={"kind", "at"}),
        "questions": [inbox.as_json(state, one, ()) for one in state.open_questions],
        "late": [late.model_dump(mode="json") for late in state.late.values()],
        "decided": None if state.decided is None else state.decided.model_dump(mode="json", exclude={"kind"}),
        "untold": dict(state.untold),
        "windows": [shut.model_dump(mode="json") for shut in state.shut],
        "undecided": [undecided(state, one) for one in deciding.undecided(state)],
        "skipped": [*sorted(state.skipped)],
        "integrated": [
            {**one.model_dump(mode="json", exclude={"kind", "at"}), "outdated": name in old}
            for name, one in state.integrated.items()
        ],
        "attempts": [
            attempt_row(
                state,
                attempt,
                (held or {}).get(str(attempt.key)),
                (signs or {}).get(str(attempt.key)),
                waiting,
            )
            for attempt in state.as_written
        ],
    }


def _waiting(state: RunState) -> dict[AttemptKey, str]:
    """Why those are not started yet that are not, in words."""
    if state.ended is not None:
        return {}
    found = {one.key: one for one in decide(state, state.jobs) if one.standing in {"wait", "start"}}
    room = state.short.why if state.short is not None else ""
    return {key: room if one.standing == "start" else one.why for key, one in found.items()}


def attempt_row(
    state: RunState,
    attempt: AttemptState,
    held: Held | None = None,
    signs: e.Signs | None = None,
    waiting: Mapping[AttemptKey, str] | None = None,
) -> Json:
    """One try of an attempt; if it lives, what it waits for just now, and the condition of its agent.

    `waiting` is why those are not started yet that are not, if that is known already.
    """
    if waiting is None:
        waiting = _waiting(state) if attempt.phase == "queued" else {}
    if held is None and attempt.phase == "held" and attempt.held_since is not None:
        held = Held(kind="overload", why=attempt.held, since=attempt.held_since)
    return {
        "task": attempt.key.task,
        "profile": attempt.key.profile,
        "n": attempt.key.n,
        "item": state.plan.task(attempt.key.task).item,
        "try": attempt.key.try_,
        "phase": attempt.phase,
        "verdict": attempt.verdict,
        "ended": attempt.ended,
        "work": attempt.work,
        "check": attempt.check,
        "reason": attempt.reason or None,
        "branch": attempt.branch,
        "commit": attempt.commit,
        "base": attempt.base,
        "repo": state.plan.sources[state.plan.task(attempt.key.task).source].repo,
        "files": attempt.files,
        "insertions": attempt.insertions,
        "deletions": attempt.deletions,
        "kept": attempt.kept,
        "discarded": None
        if attempt.discarded is None
        else attempt.discarded.model_dump(mode="json", include={"at", "branch", "bundle", "elsewhere"}),
        "usd": attempt.usd,
        "settings": settings(state, attempt.key),
        "scripted": attempt.key.profile in scripted(state),
        "replayed": replayed(attempt),
        "tokens": attempt.tokens,
        "requests": attempt.requests,
        "overshot": attempt.overshot.model_dump(mode="json") if attempt.spent else None,
        "seconds": attempt.seconds,
        "held_s": attempt.held_s,
        "held": None if held is None else held.model_dump(mode="json"),
        "frozen": None if attempt.frozen is None else attempt.frozen.why,
        "waiting": waiting.get(attempt.key) or None,
        "condition": conditions.row(signs),
        "attention": attempt.attention or None,
        "check_seconds": attempt.check_seconds,
        "checks": [one.model_dump(mode="json") for one in attempt.checks],
        "peak_memory": attempt.peak_memory,
        "cpu_seconds": attempt.cpu_seconds,
        "used": None if attempt.used is None else attempt.used.model_dump(mode="json"),
        "flags": list(attempt.flags),
        "retry": retry(attempt),
        "chosen": attempt.key in state.used,
    }


def settings(state: RunState, key: AttemptKey) -> str:
    """What identifies all settings under which an attempt was made: its profile's and its task's."""
    return attempt_hash(state.plan, state.plan.task(key.task), state.plan.profile(key.profile))


def retry(attempt: AttemptState) -> Json | None:
    """What led to a later try, and what it began with; None for a first one."""
    if attempt.retry is None:
        return None
    told = attempt.retry.model_dump(mode="json", exclude={"kind", "at", "attempt"})
    return {"of": attempt.retry.attempt, **told}


def undecided(state: RunState, one: deciding.Undecided) -> Json:
    """A task that waits for a person, and what can be typed about it."""
    return {
        "task": one.task,
        "attempts": [str(attempt.key) for attempt in one.attempts],
        "waiting": [str(key) for key in one.waiting],
        "commands": [command for command, _ in deciding.commands(state, one)],
    }


def event_row(row: Row) -> Json:
    """One event, for `--json` streams; its number is None if it is not journaled."""
    body: Json = row.event.model_dump(mode="json")
    return {"kind": body.pop("kind"), "run": row.run, "seq": row.seq or None, **body}


def scripted(state: RunState) -> tuple[str, ...]:
    """The profiles for which a file played the model: their tokens are invented, or those of another time."""
    return tuple(profile.name for profile in state.plan.profiles if profile.upstream.is_played)


def replayed(attempt: AttemptState) -> Json | None:
    """How an attempt followed the recording that answered it; None if none did."""
    if attempt.replayed is None:
        return None
    departed = attempt.replayed.first_departure()
    return {
        "turns": attempt.replayed.turns,
        "reached": attempt.replayed.reached,
        "departed": None if departed is None else departed.model_dump(mode="json"),
    }


def played_words(state: RunState, profile: str | None = None) -> str:
    """What is said of figures that no service told, of one profile or of any; empty if there are none."""
    kinds = {one.upstream.kind for one in state.plan.profiles if profile in (None, one.name)}
    said = {"script": wording.SCRIPTED, "replay": wording.REPLAYED}
    return " ".join(words for kind, words in said.items() if kind in kinds)


def who_played(state: RunState) -> str:
    """What a headline says of scripts that played the model; empty if none did."""
    played = scripted(state)
    if not played:
        return ""
    whose = "" if len(played) == len(state.plan.profiles) else f" for {', '.join(played)}"
    kinds = {profile.upstream.kind for profile in state.plan.profiles if profile.upstream.is_played}
    what = " and ".join({"script": "a script", "replay": "a recording"}[kind] for kind in sorted(kinds))
    return f"{what} play{'s' if len(kinds) == 1 else ''} the model{whose}"
