"""A run as plain values for programs: the stable machine format."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from runner.compare.side_by_side import Scored
from runner.gateway.grants import Held
from runner.supervisor import events as e
from runner.supervisor.journal import Row
from runner.supervisor.state import AttemptState, RunState
from runner.tasks.when import SKIPPED
from runner.views import conditions, wording

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
        "until": state.until,
        "windows": [shut.model_dump(mode="json") for shut in state.shut],
        "attempts": [
            attempt_row(
                state, attempt, (held or {}).get(str(attempt.key)), (signs or {}).get(str(attempt.key))
            )
            for attempt in state.attempts.values()
        ],
    }


def attempt_row(
    state: RunState, attempt: AttemptState, held: Held | None = None, signs: e.Signs | None = None
) -> Json:
    """One try of an attempt; if it lives, what it waits for just now, and the condition of its agent."""
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
        "usd": attempt.usd,
        "scripted": attempt.key.profile in scripted(state),
        "replayed": replayed(attempt),
        "tokens": attempt.tokens,
        "requests": attempt.requests,
        "overshot": attempt.overshot.model_dump(mode="json") if attempt.spent else None,
        "seconds": attempt.seconds,
        "held_s": attempt.held_s,
        "held": None if held is None else held.model_dump(mode="json"),
        "condition": conditions.row(signs),
        "attention": attempt.attention or None,
        "check_seconds": attempt.check_seconds,
        "peak_memory": attempt.peak_memory,
        "cpu_seconds": attempt.cpu_seconds,
        "used": None if attempt.used is None else attempt.used.model_dump(mode="json"),
        "flags": list(attempt.flags),
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


def scored(state: RunState) -> list[Scored]:
    """The first tries of the compared profiles, as values for comparing.

    A try that ended as infrastructure and was made again is represented by its successor.
    """
    rows = []
    for planned in state.plan.attempts:
        if not state.plan.task(planned.task).compared:
            continue
        attempt = state.tries(planned.key)[-1]
        if attempt.verdict not in {None, SKIPPED}:
            rows.append(
                Scored(
                    task=attempt.key.task,
                    profile=attempt.key.profile,
                    n=attempt.key.n,
                    verdict=attempt.verdict,
                    accepted=state.serves(attempt),
                    seconds=attempt.seconds,
                    tokens=attempt.tokens,
                    usd=attempt.usd,
                )
            )
    return rows
