"""From task files to plans: the matrix, lineages, the order, sources and hashes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import TaskFileError
from runner.tasks import fanout
from runner.tasks.plan import CommandSettings, ImageSpec, Limits, MailTerms, Plan, Retry
from runner.tasks.planning import RepoFacts, Unusable, Wanted, make_plan, wanted_repos
from runner.tasks.starter import starter
from runner.tasks.taskfile import load

FILE = Path("/somewhere/else/night.yaml")

PROFILES = """\
agents:
  p1: {cli: claude, model: m1}
  p2: {cli: claude, model: m2, effort: low}
  own: {cli: command, run: make tidy}
"""


def fact(wanted: Wanted, notes: tuple[str, ...] = ()) -> RepoFacts:
    repo, base = wanted
    return RepoFacts(str(repo), f"{repo}/.git", "a" * 40, base, notes)


def planned(text: str) -> Plan:
    file = load(text, FILE)
    return make_plan(file, FILE, "night", {wanted: fact(wanted) for wanted in wanted_repos(file, FILE)})


def order(plan: Plan) -> list[str]:
    return [str(attempt.key) for attempt in plan.attempts]


def attempt(plan: Plan, name: str) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    found = next(attempt for attempt in plan.attempts if str(attempt.key) == name)
    return found.after, found.start


def test_profiles_are_interleaved_and_first_repeats_come_first() -> None:
    plan = planned(
        PROFILES + "tasks:\n  - {id: t1, prompt: p}\n  - {id: t2, prompt: p}\n"
        "compare: {agents: [p2, p1], repeats: 2}\n"
    )
    assert order(plan) == [
        "t1/p2/1", "t1/p1/1", "t2/p2/1", "t2/p1/1",
        "t1/p2/2", "t1/p1/2", "t2/p2/2", "t2/p1/2",
    ]  # fmt: skip
    assert plan.compared == ("p2", "p1")
    assert [profile.name for profile in plan.profiles] == ["p1", "p2"]
    assert plan.notes == ("no task uses the agent 'own'",)


def test_a_compared_dependent_stays_in_its_lineage() -> None:
    plan = planned(
        PROFILES + "tasks:\n  - {id: b, prompt: p, needs: [a]}\n  - {id: a, prompt: p}\n"
        "compare: {agents: [p1, p2], repeats: 2}\n"
    )
    assert attempt(plan, "b/p2/2") == ((("a/p2/2",),), ("a/p2/2",))
    assert attempt(plan, "b/p1/1") == ((("a/p1/1",),), ("a/p1/1",))
    assert order(plan).index("a/p2/2") < order(plan).index("b/p2/2")


def test_a_task_with_its_own_agent_takes_the_first_that_served_in_profile_order() -> None:
    plan = planned(
        PROFILES + "tasks:\n  - {id: a, prompt: p}\n  - {id: b, needs: [a], agent: own}\n"
        "  - {id: c, needs: [b], prompt: p}\ncompare: {agents: [p2, p1], repeats: 2}\n"
    )
    candidates = ("a/p2/1", "a/p2/2", "a/p1/1", "a/p1/2")
    assert attempt(plan, "b/own/1") == ((candidates,), candidates)
    assert attempt(plan, "c/p1/2") == ((("b/own/1",),), ("b/own/1",))
    assert order(plan)[4] == "b/own/1"


def test_from_base_waits_but_starts_afresh() -> None:
    plan = planned(
        "agents: {p: {cli: claude, model: m}}\ntasks:\n  - {id: a, prompt: p}\n  - {id: b, prompt: p}\n"
        "  - {id: c, prompt: p, needs: [a, b], from: base}\n  - {id: d, prompt: p, needs: [a, b], from: b}\n"
    )
    assert attempt(plan, "c/p/1") == ((("a/p/1",), ("b/p/1",)), ())
    assert attempt(plan, "d/p/1") == ((("a/p/1",), ("b/p/1",)), ("b/p/1",))
    assert plan.compared == ()


def test_default_agent_and_own_agent() -> None:
    plan = planned(PROFILES + "default_agent: p2\ntasks:\n  - {id: a, prompt: p}\n  - {id: b, agent: own}\n")
    assert order(plan) == ["a/p2/1", "b/own/1"]


def test_tasks_override_the_file_key_by_key() -> None:
    plan = planned(
        PROFILES + "default_agent: own\nrepo: ../one\nbase: main\nhistory: none\nsetup: [make]\n"
        "include: [x.env]\n"
        "image: {name: python}\nlimits: {memory: 1GiB, cpus: 1}\n"
        "tasks:\n  - {id: a, limits: {memory: 2GiB}, check: make test, protect: [tests],"
        " may_be_empty: true, priority: high}\n"
        "  - {id: b, repo: /two, base: v1, history: shallow, setup: [], include: [], image: {build: .}}\n"
        "  - {id: c}\n"
        "  - {id: d, image: {devcontainer: {ignore: [features]}}}\n"
        "  - {id: e, image: {devcontainer: true, ignore: [features]}}\n"
    )
    one, two, three = plan.sources
    assert (one.repo, one.base_name, one.setup, one.include) == (
        "/somewhere/else/../one",
        "main",
        ("make",),
        ("x.env",),
    )
    assert (two.repo, two.base_name, two.setup, two.include) == ("/two", "v1", (), ())
    assert [source.history for source in plan.sources] == ["none", "shallow", "none"]
    assert [source.image for source in plan.sources] == [
        ImageSpec(kind="name", name="python"),
        ImageSpec(kind="build", path="."),
        ImageSpec(kind="devcontainer", ignore=("features",)),
    ]
    assert three.repo == one.repo
    assert [task.source for task in plan.tasks] == [0, 1, 0, 2, 2]
    assert plan.task("a").limits == Limits(memory=2 * 1024**3, cpus=1)
    assert plan.task("c").limits == Limits(memory=1024**3, cpus=1)
    assert (plan.task("a").check, plan.task("a").protect, plan.task("a").may_be_empty) == (
        "make test",
        ("tests",),
        True,
    )
    assert [task.priority for task in plan.tasks][:2] == ["high", "normal"]
    assert plan.profile("own").settings == CommandSettings(run=("sh", "-c", "make tidy"))
    assert plan.file == str(FILE)


def test_repositories_are_asked_for_once() -> None:
    file = load(
        "agents: {p: {cli: claude, model: m}}\ntasks:\n  - {id: a, prompt: p}\n  - {id: b, prompt: p}\n"
        "  - {id: c, prompt: p, base: v1}\n",
        FILE,
    )
    assert wanted_repos(file, FILE) == [(FILE.parent, "HEAD"), (FILE.parent, "v1")]


def test_notes_are_said_once() -> None:
    file = load(
        "agents: {p: {cli: claude, model: m}}\ntasks: [{id: a, prompt: p}, {id: b, prompt: p, setup: [x]}]",
        FILE,
    )
    facts = {wanted: fact(wanted, ("a dirty tree",)) for wanted in wanted_repos(file, FILE)}
    assert make_plan(file, FILE, "night", facts).notes == ("a dirty tree",)


def test_unusable_repositories_are_told_at_once_with_their_lines() -> None:
    file = load(
        "repo: x\nbase: gone\nagents: {p: {cli: claude, model: m}}\ntasks:\n  - {id: a, prompt: p}\n"
        "  - {id: b, prompt: p}\n  - id: c\n    prompt: p\n    repo: y\n",
        FILE,
    )
    first, second = wanted_repos(file, FILE)
    facts = {first: Unusable("no commit 'gone'", "git branch", "base"), second: Unusable("not a repository")}
    with pytest.raises(TaskFileError) as caught:
        make_plan(file, FILE, "night", facts)
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [
        (2, "no commit 'gone'"),
        (9, "not a repository"),
    ]
    assert "git branch" in str(caught.value)


def test_too_many_attempts_are_refused() -> None:
    tasks = ", ".join(f"{{id: t{n}, prompt: p}}" for n in range(6))
    text = f"{PROFILES}tasks: [{tasks}]\ncompare: {{agents: [p1, p2], repeats: 1000}}\n"
    with pytest.raises(TaskFileError, match=r":6: 12000 attempts; at most 10000"):
        planned(text)


def test_the_hash_covers_all_settings_and_nothing_else() -> None:
    def hashed(settings: str, name: str = "p", top: str = "") -> str:
        text = f"{top}agents: {{{name}: {{{settings}}}}}\ntasks: [{{id: t, prompt: x}}]"
        return planned(text).profiles[0].hash

    plain = hashed("cli: claude, model: m")
    assert len(plain) == 16
    assert plain == hashed("model: m, cli: claude", name="other")
    assert plain == hashed("cli: claude, model: m, upstream: service", top="upstream: script:x\n")
    variants = {
        hashed(f"cli: claude, model: m, {more}")
        for more in ("effort: low", "args: [--x]", "args: [--x, y]", "env: {A: b}", "upstream: script:x")
    } | {
        plain,
        hashed("cli: claude, model: n"),
        hashed("cli: command, run: m"),
        hashed("cli: command, run: [m]"),
    }
    assert len(variants) == 9
    codex = {
        hashed(f"cli: codex, model: m{more}")
        for more in (
            "",
            ", effort: low",
            ", verbosity: low",
            ", args: [--trust]",
            ", args: [--ignore-rules]",
            ", env: {A: b}",
        )
    }
    assert len(codex | variants) == 9 + 6
    assert hashed("cli: claude, model: m", top="upstream: script:x\n") in variants


def test_scripts_are_found_beside_the_task_file() -> None:
    plan = planned(
        "upstream: script:transcripts\nagents:\n  p: {cli: claude, model: m}\n"
        "  q: {cli: claude, model: m, upstream: service}\n"
        "tasks: [{id: a, prompt: p, agent: p}, {id: b, prompt: p, agent: q}]\n"
    )
    assert plan.profile("p").upstream.script == "/somewhere/else/transcripts"
    assert plan.profile("p").upstream.kind == "script"
    assert plan.profile("q").upstream.kind == "service"
    assert plan.record is False


def test_recordings_are_named_as_transcripts_are() -> None:
    plan = planned(
        "record: true\nupstream: replay:recordings\nagents: {p: {cli: claude, model: m}}\n"
        "tasks: [{id: t, prompt: p}]\n"
    )
    assert (plan.profile("p").upstream.kind, plan.record) == ("replay", True)
    assert plan.profile("p").upstream.script == "/somewhere/else/recordings"
    assert plan.profile("p").asks_a_model


@pytest.mark.parametrize("devcontainer", [True, False])
def test_the_starter_plans(devcontainer: bool) -> None:
    plan = planned(starter(devcontainer=devcontainer))
    assert order(plan) == ["first/opus/1"]
    assert plan.sources[0].image.kind == ("devcontainer" if devcontainer else "default")


def test_a_plan_survives_json() -> None:
    plan = planned(
        PROFILES
        + "tasks:\n  - {id: a, prompt: p}\n  - {id: b, agent: own, needs: [a]}\ncompare: {agents: [p1, p2]}\n"
    )
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_hosts_are_those_of_the_task_or_else_of_the_file() -> None:
    plan = planned(
        PROFILES + "default_agent: own\nnetwork: {allow: [Docs.Example.org, '*.pkg.example.org']}\n"
        "tasks:\n  - {id: a}\n  - {id: b, network: {allow: ['git.example.org:8443']}}\n"
        "  - {id: c, network: {}}\n"
    )
    names = [[str(host) for host in task.network] for task in plan.tasks]
    assert names == [["docs.example.org", "*.pkg.example.org"], ["git.example.org:8443"], []]
    assert plan.task("a").network[0].ports == (443, 80)
    assert plan.task("b").network[0].ports == (8443,)
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_what_services_may_do_is_that_of_the_task_or_else_of_the_file() -> None:
    plan = planned(
        PROFILES + "default_agent: own\nnetwork: {hosted: [web_search, code_execution]}\n"
        "tasks:\n  - {id: a}\n  - {id: b, network: {hosted: [web_fetch]}}\n"
        "  - {id: c, network: {allow: [docs.example.org]}}\n"
    )
    assert [task.hosted for task in plan.tasks] == [("web_search", "code_execution"), ("web_fetch",), ()]
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_profiles_do_not_differ_by_hosts() -> None:
    text = PROFILES + "default_agent: own\ntasks: [{id: a}]\n"
    assert planned(text).profiles == planned(text + "network: {allow: [docs.example.org]}\n").profiles


@st.composite
def task_files(draw: st.DrawFn) -> str:
    """Valid files: an acyclic graph in any file order, each task compared or with its own agent."""
    count = draw(st.integers(1, 7))
    repeats = draw(st.integers(1, 3))
    tasks: list[dict[str, object]] = []
    for index in range(count):
        needs = draw(st.lists(st.integers(0, index - 1), unique=True, max_size=3)) if index else []
        task: dict[str, object] = {"id": f"t{index}", "prompt": "p", "needs": [f"t{need}" for need in needs]}
        if draw(st.booleans()):
            task["agent"] = draw(st.sampled_from(["p1", "own"]))
        if len(needs) > 1 or draw(st.booleans()):
            task["from"] = draw(st.sampled_from(["base", *(f"t{need}" for need in needs)]))
        tasks.append(task)
    compare = {"agents": draw(st.permutations(["p1", "p2"])), "repeats": repeats}
    if all("agent" in task for task in tasks):
        del tasks[0]["agent"]
    shuffled = draw(st.permutations(tasks))
    return PROFILES + f"tasks: {json.dumps(shuffled)}\ncompare: {json.dumps(compare)}\n"


@given(task_files())
def test_any_graph_is_planned_soundly(text: str) -> None:
    file = load(text, FILE)
    assert file.compare is not None
    plan = planned(text)
    expected = {
        f"{task.id}/{profile}/{n}"
        for task in file.tasks
        for profile, n in (
            [(task.agent, 1)]
            if task.agent
            else [(profile, n) for profile in file.compare.agents for n in range(1, file.compare.repeats + 1)]
        )
    }
    names = order(plan)
    assert len(names) == len(set(names)) == len(expected)
    assert set(names) == expected
    for index, attempt_ in enumerate(plan.attempts):
        needs = plan.task(attempt_.task).needs
        assert len(attempt_.after) == len(needs)
        for need, group in zip(needs, attempt_.after, strict=True):
            assert group
            assert set(group) <= set(names[:index])
            assert {name.split("/")[0] for name in group} == {need}
        assert not attempt_.start or attempt_.start in attempt_.after


def test_the_largest_plan_is_made_in_time() -> None:
    chain = [
        {"id": f"t{n}", "prompt": "p", "needs": [f"t{n - 1}"] if n else []}
        for n in range(fanout.MOST_ATTEMPTS // 4)
    ]
    plan = planned(f"{PROFILES}tasks: {json.dumps(chain)}\ncompare: {{agents: [p1, p2], repeats: 2}}\n")
    assert len(plan.attempts) == fanout.MOST_ATTEMPTS


def test_a_prompt_can_begin_with_the_agent_that_is_meant() -> None:
    plan = planned(
        PROFILES + "tasks:\n  - {id: a, prompt: '@p2 look at @p1'}\n\n"
        "  - {id: b, prompt: '@p1: mail me@x.org'}\n"
        "  - {id: c, prompt: 'ask @p2'}\n  - {id: d, agent: p1, prompt: 'x @p2'}\ncompare: {agents: [p1]}\n"
    )
    assert order(plan) == ["a/p2/1", "b/p1/1", "c/p1/1", "d/p1/1"]
    assert [task.prompt for task in plan.tasks] == ["look at @p1", "mail me@x.org", "ask @p2", "x @p2"]
    assert [task.compared for task in plan.tasks] == [False, False, True, False]


def test_a_sequence_follows_the_file_needs_first_and_lineages() -> None:
    text = (
        "tasks:\n  - {id: b, prompt: p, needs: [a]}\n  - {id: a, prompt: p}\n"
        "  - {id: c, agent: own, from: base}\n  - {id: d, prompt: p}\nmode: sequential\n"
    )
    plan = planned(PROFILES + text + "compare: {agents: [p1, p2]}\n")
    found = {str(one.key): one for one in plan.attempts}
    assert {name: one.previous for name, one in found.items()} == {
        "a/p1/1": (),
        "a/p2/1": (),
        "b/p1/1": ("a/p1/1",),
        "b/p2/1": ("a/p2/1",),
        "c/own/1": ("b/p1/1", "b/p2/1"),
        "d/p1/1": ("c/own/1",),
        "d/p2/1": ("c/own/1",),
    }
    assert [name for name, one in found.items() if not one.checkpoint] == ["c/own/1"]
    assert not any(one.start for one in plan.attempts)


def test_what_when_asks_about_must_be_over_and_what_else_is_needed_must_have_served() -> None:
    plan = planned(
        PROFILES + "default_agent: p1\ntasks:\n  - {id: a, prompt: p}\n  - {id: b, prompt: p}\n"
        "  - {id: c, prompt: p, needs: [a, b], from: a, when: a.verdict == 'rejected'}\n"
    )
    one = plan.attempt("c/p1/1")
    assert (one.after, one.settled, one.start) == ((("b/p1/1",),), ("a/p1/1",), ("a/p1/1",))


def test_mail_is_off_unless_the_file_or_the_task_says_so() -> None:
    tasks = "tasks:\n  - {id: a}\n  - {id: b, mail: false}\n  - {id: c, mail: {wait: 2h}}\n"
    own = "agents: {own: {cli: command, run: make}}\n"
    assert [task.mail for task in planned(own + tasks).tasks] == [None, None, MailTerms(wait=7200)]
    for words, terms in (("true", MailTerms()), ("{wait: 30min}", MailTerms(wait=1800)), ("false", None)):
        plan = planned(f"mail: {words}\n{own}{tasks}")
        assert [task.mail for task in plan.tasks] == [terms, None, MailTerms(wait=7200)]


def test_where_there_is_no_mail_tasks_may_be_called_as_they_like() -> None:
    own = "agents: {own: {cli: command, run: make}}\ntasks: [{id: person}, {id: all}, {id: corral}]\n"
    assert [task.id for task in planned(f"mail: false\n{own}").tasks] == ["person", "all", "corral"]


RETRIED = "agents: {a: {cli: claude, model: m}, tidy: {cli: command, run: make}}\n"


def test_what_is_said_of_retries_by_default_and_key_by_key() -> None:
    plan = planned(
        RETRIED + "retry: {pause: 1min, oom: {memory: 8GiB}}\ntasks:\n"
        "  - {id: t, prompt: p, agent: a, retry: {feedback: 2, session: fresh}}\n"
        "  - {id: u, agent: tidy}\n"
        "  - {id: v, agent: tidy, retry: {infrastructure: 0, feedback: 1, oom: {memory: 16GiB}}}\n"
    )
    gib = 1024**3
    assert [plan.task(name).retry for name in "tuv"] == [
        Retry(infrastructure=3, pause=60, feedback=2, session="fresh", memory=8 * gib),
        Retry(infrastructure=3, pause=60, feedback=0, memory=8 * gib),
        Retry(infrastructure=0, pause=60, feedback=1, memory=16 * gib),
    ]
    assert planned(RETRIED + "tasks: [{id: t, prompt: p, agent: a}]\n").task("t").retry == Retry(
        infrastructure=3, pause=15, feedback=1
    )


def test_compared_tasks_are_tried_once_unless_retries_are_compared() -> None:
    text = (
        RETRIED + "retry: {feedback: 2, oom: {memory: 8GiB}}\n"
        "tasks: [{id: t, prompt: p}, {id: own, prompt: p, agent: a}, {id: said, prompt: '@a p'}]\n"
    )
    plain = planned(text + "compare: {agents: [a]}\n")
    assert (plain.task("t").retry.feedback, plain.task("t").retry.memory) == (0, None)
    assert plain.task("t").retry.infrastructure == 3
    assert [plain.task(name).retry.feedback for name in ("own", "said")] == [2, 2]
    assert any("`compare: {retry: true}` would" in note for note in plain.notes)
    with_it = planned(text + "compare: {agents: [a], retry: true}\n")
    assert with_it.compared_retry
    assert with_it.task("t").retry.feedback == 2
    assert with_it.notes == plain.notes[:-1]


def test_retries_are_a_part_of_the_settings_where_they_are_compared() -> None:
    def hashed(retry: str, compare: str) -> str:
        text = f"{RETRIED}retry: {retry}\ntasks: [{{id: t, prompt: p}}]\ncompare: {{agents: [a]{compare}}}\n"
        return planned(text).profiles[0].hash

    assert hashed("{}", "") == hashed("{feedback: 3}", "")
    assert (
        len({hashed("{}", ""), hashed("{}", ", retry: true"), hashed("{feedback: 3}", ", retry: true")}) == 3
    )


def test_more_memory_must_be_more() -> None:
    text = (
        RETRIED + "retry:\n  oom: {memory: 8GiB}\ntasks:\n"
        "  - {id: t, prompt: p, agent: a}\n"
        "  - {id: u, prompt: p, agent: a, limits: {memory: 8GiB}}\n"
        "  - {id: v, prompt: p, agent: a, retry: {oom: {memory: 4GiB}}}\n"
    )
    with pytest.raises(TaskFileError) as caught:
        planned(text)
    assert [(problem.line, problem.message.partition(":")[0]) for problem in caught.value.problems] == [
        (3, "task 'u'"),
        (7, "task 'v'"),
    ]


@pytest.mark.parametrize(
    "retry",
    ["{feedback: -1}", "{feedback: true}", "{session: anew}", "{oom: 8GiB}", "{pause: 3}", "3", "{x: 1}"],
)
def test_retries_that_mean_nothing_are_refused(retry: str) -> None:
    with pytest.raises(TaskFileError):
        planned(f"{RETRIED}retry: {retry}\ntasks: [{{id: t, prompt: p, agent: a}}]\n")
