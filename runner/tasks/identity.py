"""What makes two profiles, or two attempts, the same: the hash of all settings that can change what they do.

Every field counts unless it is named here as one that does not, so that a new setting can't be forgotten.
"""

from __future__ import annotations

import hashlib
import json

from runner.tasks.plan import Plan, Profile, Retry, Settings, Task

NOT_OF_TASK = frozenset(
    {"id", "kind", "source", "of", "needs", "when", "any_item", "for_each", "compared", "priority"}
)
"""Names; what comes before it, which decides what it starts from and not how it works; and who goes first."""

NOT_OF_SOURCE = frozenset({"repo", "git_dir", "base", "base_name"})
"""Where the checkout lies, and what is worked on: the same settings work on another commit tomorrow."""


def settings_hash(
    settings: Settings,
    upstream: str,
    *,
    places: tuple[str, ...] = (),
    version: str | None = None,
    retry: Retry | None = None,
) -> str:
    """Identifies a profile. The upstream counts as written, so that a checkout's place does not.

    Args:
        settings: The agent's: CLI, model, effort, arguments, environment.
        upstream: Who answers it.
        places: Where that is, if it is a service and known.
        version: The version of its CLI; None for a command, which comes with the image.
        retry: How it is retried, where that is a part of what is compared.
    """
    everything: dict[str, object] = {"settings": settings.model_dump(mode="json"), "upstream": upstream}
    if places:
        everything["places"] = places
    if version is not None:
        everything["version"] = version
    if retry is not None:
        everything["retry"] = retry.model_dump(mode="json")
    return _hashed(everything)


def attempt_hash(plan: Plan, task: Task, profile: Profile) -> str:
    """Identifies how a profile does a task: its own identity, and all that the task sets.

    That is what the agent is told, its image, limits, hosts, mail and patience, what an attempt may spend,
    how it is retried, and how it is judged.
    """
    left_out: dict[str, bool | set[str]] = {**dict.fromkeys(NOT_OF_TASK, True), "hidden": {"path"}}
    everything = {
        "profile": profile.hash,
        "task": task.model_dump(mode="json", exclude=left_out),
        "source": plan.sources[task.source].model_dump(mode="json", exclude=set(NOT_OF_SOURCE)),
        "budget": plan.budget.attempt.model_dump(mode="json"),
        "on_limit": plan.on_limit,
    }
    return _hashed(everything)


def _hashed(everything: object) -> str:
    canonical = json.dumps(everything, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
