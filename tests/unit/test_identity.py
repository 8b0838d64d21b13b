"""What identifies settings: each that can change what an agent does counts, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.accounts import ProviderAccount
from runner.agents import catalog
from runner.settings import Settings as HostSettings
from runner.supervisor import prepare
from runner.tasks import identity
from runner.tasks.checks import CheckSpec, Hidden
from runner.tasks.identity import attempt_hash, settings_hash
from runner.tasks.plan import (
    AllowedHost,
    Budget,
    Caps,
    ClaudeSettings,
    CodexSettings,
    CommandSettings,
    ForEach,
    Health,
    ImageSpec,
    Limits,
    MailTerms,
    Patience,
    Plan,
    Profile,
    Retry,
    Settings,
    Source,
    Task,
    Value,
)
from tests.support import make_repo
from tests.unit.test_planning import PROFILES, planned

OTHER: Mapping[type[Value], Mapping[str, Any]] = {
    ClaudeSettings: {"model": "n", "effort": "low", "args": ("--x",), "env": {"A": "b"}},
    CodexSettings: {"model": "n", "effort": "low", "verbosity": "low", "args": ("-x",), "env": {"A": "b"}},
    CommandSettings: {"run": ("b",), "env": {"A": "b"}},
    Limits: {"cpus": 1.0, "memory": 1, "pids": 1, "disk": 1, "time": 1.0, "idle": 1.0},
    Retry: {
        "infrastructure": 9, "pause": 9.0, "feedback": 9, "session": "fresh", "memory": 9,
    },
    Source: {
        "repo": "/y", "git_dir": "/y/.git", "base": "b" * 40, "base_name": "b", "history": "none",
        "image": ImageSpec(kind="name", name="i"), "setup": ("s",), "include": ("i",),
    },
    Task: {
        "id": "other", "kind": "k", "prompt": "q", "source": 1, "checks": (CheckSpec(run="c"),),
        "check_base": False, "hidden": Hidden(path="/h", digest="1"), "protect": ("p",),
        "needs": ("n",), "may_be_empty": True, "compared": True, "limits": Limits(cpus=1), "runtime": "r",
        "network": (AllowedHost(name="h"),), "hosted": ("web_search",), "priority": "low",
        "for_each": ForEach(items=("i",)), "of": "o", "item": "i", "any_item": True, "when": "w",
        "passes": ("diff",), "paths": ("p",), "refuse_outside": True, "mail": MailTerms(),
        "retry": Retry(feedback=1), "health": Health(hung=Patience(after=1.0)),
    },
}  # fmt: skip
"""For each field of these values another value than the one in `WORLD`."""

SETTINGS: Mapping[str, Settings] = {
    "claude": ClaudeSettings(model="m"),
    "codex": CodexSettings(model="m"),
    "command": CommandSettings(run=("a",)),
}
SOURCE = Source(repo="/x", git_dir="/x/.git", base="a" * 40, base_name="HEAD")
TASK = Task(id="t", prompt="p")


def hashed(task: Task = TASK, source: Source = SOURCE, budget: Budget | None = None, **plan: Any) -> str:
    """The identity of an attempt at a task."""
    profile = Profile(name="p", settings=SETTINGS["claude"], hash="1")
    made = Plan(
        run="r", file="/f", sources=(source, source), profiles=(profile,), tasks=(task,), attempts=(),
        budget=budget or Budget(), **plan,
    )  # fmt: skip
    return attempt_hash(made, task, profile)


def changed(value: Value, field: str) -> Any:
    return value.model_copy(update={field: OTHER[type(value)][field]})


def fields(kind: type[Value], but: frozenset[str] = frozenset()) -> list[str]:
    """All fields of a value: one that is new, and has no other value here yet, fails its test."""
    return [name for name in kind.model_fields if name not in but]


@pytest.mark.parametrize(
    ("cli", "field"),
    [(cli, field) for cli, one in SETTINGS.items() for field in fields(type(one)) if field != "cli"],
)
def test_each_setting_of_a_profile_counts(cli: str, field: str) -> None:
    before = SETTINGS[cli]
    assert settings_hash(changed(before, field), "service") != settings_hash(before, "service")


def test_so_do_the_cli_its_version_who_answers_and_how_it_is_retried() -> None:
    claude = SETTINGS["claude"]
    assert len({settings_hash(one, "service") for one in SETTINGS.values()}) == 3
    plain = settings_hash(claude, "service", version="1")
    retried = [
        settings_hash(claude, "service", version="1", retry=changed(Retry(), f)) for f in fields(Retry)
    ]
    others = [
        settings_hash(claude, "script:x", version="1"),
        settings_hash(claude, "service", version="2"),
        settings_hash(claude, "service", version="1", places=("gateway.local",)),
    ]
    assert len({plain, *others, *retried}) == 4 + len(fields(Retry))


AGENTS = {"a": {"cli": "claude", "model": "m"}, "c": {"cli": "command", "run": "true"}}
ONE = [{"agent": "a", "id": "a", "prompt": "p"}, {"agent": "c", "id": "c"}]


def upstreams(folder: Path, *addresses: str, **more: Any) -> dict[str, Profile]:
    """The profiles of a plan on a host with accounts at these addresses."""
    file = folder / "t.yaml"
    file.write_text(json.dumps({"repo": "repo", "agents": AGENTS, "tasks": ONE, **more}))
    listed = tuple(
        ProviderAccount(name=f"n{n}", provider="anthropic", base_url=address, header="x-api-key")
        for n, address in enumerate(addresses)
    )
    made = prepare.plan(file, [], settings=HostSettings(accounts=listed))
    return {profile.name: profile for profile in made.profiles}


def test_so_does_where_the_service_is_and_nothing_else_of_its_account(tmp_path: Path) -> None:
    make_repo(tmp_path / "repo")
    usual, other = "https://api.anthropic.com", "http://Gateway.local:4000/claude/"
    made = [upstreams(tmp_path, *them) for them in ((usual,), (other,), (usual, other), (other, usual), ())]
    assert [one["a"].upstream.places for one in made[:2]] == [
        ("api.anthropic.com",),
        ("gateway.local:4000/claude",),
    ]
    hashes = [one["a"].hash for one in made]
    assert (hashes[2], hashes[3], len(set(hashes))) == (hashes[0], hashes[1], 3)
    assert len({one["c"].hash for one in made}) == 1
    both = upstreams(tmp_path, usual, other, usual, on_limit="next-account")["a"]
    assert both.upstream.places == ("api.anthropic.com", "gateway.local:4000/claude")
    played = upstreams(tmp_path, usual, upstream="script:x")["a"]
    assert played.upstream.places == ()
    assert upstreams(tmp_path, "https://me:secret@host")["a"].upstream.places == ()


@pytest.mark.parametrize("field", fields(Task, identity.NOT_OF_TASK))
def test_each_setting_of_a_task_counts(field: str) -> None:
    assert hashed(changed(TASK, field)) != hashed()


@pytest.mark.parametrize("field", fields(Limits))
def test_each_limit_counts(field: str) -> None:
    assert hashed(changed(TASK.model_copy(update={"limits": Limits()}), "limits")) != hashed()
    assert hashed(TASK.model_copy(update={"limits": changed(Limits(), field)})) != hashed()


@pytest.mark.parametrize("field", fields(Source, identity.NOT_OF_SOURCE))
def test_so_do_the_image_and_what_is_seen_of_the_past(field: str) -> None:
    assert hashed(source=changed(SOURCE, field)) != hashed()


def test_and_what_an_attempt_may_spend_but_not_what_all_of_them_may() -> None:
    assert hashed(budget=Budget(attempt=Caps(usd=1))) != hashed()
    assert hashed(on_limit="stop") != hashed()
    assert hashed(budget=Budget(run=Caps(usd=1), day=Caps(tokens=1))) == hashed()


@given(
    st.sets(st.sampled_from(sorted(identity.NOT_OF_TASK))),
    st.sets(st.sampled_from(sorted(identity.NOT_OF_SOURCE))),
)
def test_names_and_the_place_of_the_checkout_do_not(of_task: set[str], of_source: set[str]) -> None:
    task, source = TASK, SOURCE
    for field in of_task:
        task = changed(task, field)
    for field in of_source:
        source = changed(source, field)
    assert hashed(task, source) == hashed()


def test_of_hidden_tests_what_they_are_counts_and_not_where() -> None:
    def hiding(path: str, digest: str) -> str:
        return hashed(TASK.model_copy(update={"hidden": Hidden(path=path, digest=digest)}))

    assert hiding("/a", "1") == hiding("/b", "1") != hiding("/a", "2")


def test_a_plan_knows_the_versions_that_are_pinned() -> None:
    assert catalog.version("command") is None
    assert catalog.VERSIONS.keys() == {"claude", "codex"}


COMPARED = PROFILES + (
    "limits: {time: 5min}\n"
    "tasks:\n  - {id: a, prompt: p}\n  - {id: b, prompt: q, limits: {cpus: 1}, needs: [a]}\n"
    "compare: {agents: [p1, p2], repeats: 2}\n"
)


def test_compared_profiles_differ_in_nothing_but_themselves() -> None:
    """Equal limits: what their attempts are made of is the same but for the profile."""
    plan = planned(COMPARED)

    def made_of(profile: str, n: int) -> Callable[[str], tuple[object, ...]]:
        def of(task: str) -> tuple[object, ...]:
            one = plan.attempt(f"{task}/{profile}/{n}")
            found = plan.task(one.task)
            same = plan.profile(profile).model_copy(update={"hash": "", "name": ""})
            return found.limits, found.retry, attempt_hash(plan, found, same), len(one.after), len(one.start)

        return of

    for n in (1, 2):
        assert list(map(made_of("p1", n), "ab")) == list(map(made_of("p2", n), "ab"))
    assert plan.task("b").limits == Limits(cpus=1, time=300)
