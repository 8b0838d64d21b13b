"""Every refusal of a task file: its line, its cause and its cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import TaskFileError
from runner.tasks.taskfile import load

FILE = Path("/somewhere/night.yaml")

ONE = "agents: {a: {cli: claude, model: m}}\n"
TWO = "agents: {a: {cli: claude, model: m}, b: {cli: command, run: make}}\n"


def problems(text: str) -> list[tuple[int | None, str, str]]:
    with pytest.raises(TaskFileError) as caught:
        load(text, FILE)
    assert caught.value.exit_code == 2
    return [(problem.line, problem.message, problem.cure or "") for problem in caught.value.problems]


def task(keys: str, agents: str = ONE) -> str:
    """A file of one task; the task's keys stand in line 4."""
    return f"{agents}tasks:\n  - id: t\n    {keys}\n"


REFUSALS = [
    # the shape
    ("- a\n", 1, "not keys and values", "corral init"),
    (ONE, 1, "lacks `tasks:`", "what to do"),
    ("tasks: [{id: t, prompt: p}]\n", 1, "lacks `agents:`", "profiles"),
    (ONE + "tasks: []\n", 2, "tasks is empty", "at least one"),
    ("agents: {}\ntasks: [{id: t, prompt: p}]\n", 1, "agents is empty", "at least one"),
    (ONE + "tasks: {id: t}\n", 2, "tasks must be a list, not a mapping", ""),
    (ONE + "taskz: []\ntasks: [{id: t, prompt: p}]\n", 2, "unknown key 'taskz'", "did you mean 'tasks'?"),
    (ONE + "<<: {}\ntasks: [{id: t, prompt: p}]\n", 2, "unknown key '<<'", "merge keys"),
    (task("prompt: p\n    chek: x"), 5, "unknown key 'chek' in task 't'", "did you mean 'check'?"),
    (task("prompt: p\n    check:"), 5, "'check' has no value", "remove the line"),
    # units and limits
    (task("prompt: p\n    limits: {memory: 4 gigs}"), 5, "'4 gigs' is not a size", ""),
    (task("prompt: p\n    limits: {memory: 4}"), 5, "4B is out of range (from 6MiB", "forget a unit"),
    (task("prompt: p\n    limits: {memory: 5m}"), 5, "5MiB is out of range (from 6MiB", ""),
    (task("prompt: p\n    limits: {disk: 1m}"), 5, "1MiB is out of range", ""),
    (task("prompt: p\n    limits: {time: 45}"), 5, "45 has no unit: write 45s", ""),
    (task("prompt: p\n    limits: {idle: 0s}"), 5, "0s is out of range", ""),
    (task("prompt: p\n    limits: {cpus: 0}"), 5, "0 is out of range", "from 0.01 to 4096"),
    (task("prompt: p\n    limits: {cpus: two}"), 5, "'two' is not a number of CPUs", ""),
    (task("prompt: p\n    limits: {cpus: true}"), 5, "true is not a number of CPUs", ""),
    (task("prompt: p\n    limits: {pids: 1}"), 5, "1 is out of range", "from 2 to 4194304"),
    (task("prompt: p\n    limits: {pids: 2.5}"), 5, "2.5 is not a number of processes", ""),
    (task("prompt: p\n    limits: {cpu: 1}"), 5, "unknown key 'cpu' in task 't': limits", "'cpus'"),
    # prices
    (task("prompt: p") + "prices: {m: {input: 1}}\n", 5, "prices.m lacks `output:`", "million tokens"),
    (task("prompt: p") + "prices:\n  m: {input: -1, output: 1}\n", 6, "-1 is out of range", "from 0"),
    (task("prompt: p") + "prices: {m: {input: a lot, output: 1}}\n", 5, "is not an amount of US", ""),
    (
        task("prompt: p") + "prices: {m: {input: 1, output: 1, cache: 1}}\n",
        5,
        "unknown key 'cache'",
        "'cache_read'",
    ),
    (task("prompt: p") + "prices: {m: 3}\n", 5, "prices.m must be a mapping", ""),
    (task("prompt: p") + "prices: [m]\n", 5, "prices must be a mapping", "prices: {my-model"),
    (task("prompt: p") + "prices: {'': {input: 1, output: 1}}\n", 5, "prices", ""),
    # names
    (ONE + "tasks:\n  - {id: ../x, prompt: p}\n", 3, "'../x' is not usable as a name", "lower-case"),
    (ONE + 'tasks:\n  - {id: "x\\ny", prompt: p}\n', 3, "'x\\ny' is not usable as a name", ""),
    (ONE + "tasks:\n  - {id: --flag, prompt: p}\n", 3, "'--flag' is not usable", ""),
    (ONE + "tasks:\n  - {id: x.lock, prompt: p}\n", 3, "'x.lock' is not usable", ""),
    (ONE + "tasks:\n  - {id: base, prompt: p}\n", 3, "can't be called 'base'", "rename"),
    (ONE + "tasks:\n  - {id: 007, prompt: p}\n", 3, "id must be text, not 7", "quotes"),
    (ONE + "tasks:\n  - {prompt: p}\n", 3, "task number 1 lacks `id:`", "the task's name"),
    (
        "agents:\n  Opus: {cli: claude, model: m}\ntasks: [{id: t, prompt: p}]\n",
        2,
        "'Opus' is not usable",
        "",
    ),
    ("name: a/b\n" + task("prompt: p"), 1, "'a/b' is not usable as a name", ""),
    ("branch_prefix: a//b\n" + task("prompt: p"), 1, "'a//b' is not usable as a branch prefix", ""),
    (
        ONE + "tasks:\n  - {id: t, prompt: p}\n  - {id: t, prompt: p}\n",
        4,
        "two tasks are called 't'",
        "line 3",
    ),
    # references
    (task("prompt: p\n    agent: aa", TWO), 5, "no agent 'aa'", "did you mean 'a'?"),
    (task("prompt: p\n    agent: zz", TWO), 5, "no agent 'zz'", "known are: a, b"),
    ("default_agent: zz\n" + task("prompt: p", TWO), 1, "no agent 'zz'", ""),
    ("compare: {agents: [a, zz]}\n" + task("prompt: p", TWO), 1, "no agent 'zz'", ""),
    (task("prompt: p\n    needs: [tt]"), 5, "task 't' needs 'tt', which is no task", "did you mean 't'?"),
    (task("prompt: p\n    needs: [t]"), 5, "a cycle: 't' needs 't'", "take one `needs` out"),
    (
        ONE + "tasks:\n  - {id: x, prompt: p, needs: [y]}\n  - {id: y, prompt: p, needs: [x]}\n",
        3,
        "a cycle: 'x' needs 'y' needs 'x'",
        "",
    ),
    (task("prompt: p\n    needs: t"), 5, "needs must be a list, not 't'", "write [t]"),
    # who does it
    (task("prompt: p", TWO), 3, "task 't' names no agent, and there are 2", "default_agent"),
    (
        "compare: {agents: [a]}\ndefault_agent: a\n" + task("prompt: p"),
        2,
        "`default_agent` and `compare` both",
        "remove one",
    ),
    ("compare: {agents: [a]}\n" + task("prompt: p\n    agent: a"), 1, "`compare` covers no task", ""),
    ("compare: {agents: [a, a]}\n" + task("prompt: p"), 1, "'a' is named twice", ""),
    ("compare: {agents: []}\n" + task("prompt: p"), 1, "compare.agents is empty", ""),
    ("compare: {agents: [a], repeats: 0}\n" + task("prompt: p"), 1, "0 is out of range", "from 1 to 1000"),
    ("compare: [a]\n" + task("prompt: p"), 1, "compare must be a mapping", "agents: [one, other]"),
    # graphs of tasks
    (task("prompt: '@zz do it'", TWO), 4, "an agent that there is not: 'zz'", "known are: a, b"),
    (task("prompt: '@aa do it'"), 4, "an agent that there is not: 'aa'", "did you mean 'a'?"),
    (task("prompt: '@a do it'\n    agent: b", TWO), 4, "its prompt names one: '@a'", "once"),
    (task("prompt: '@a'"), 4, "has no prompt", ""),
    (task("prompt: p\n    for_each: []"), 5, "for_each is empty", ""),
    (
        task("prompt: p\n    for_each: x"),
        5,
        "for_each must be a mapping (`key: value`), not 'x'",
        "for_each: [one, other]",
    ),
    (task("prompt: p\n    for_each: {}"), 5, "nothing to do it for", "write a list"),
    (task("prompt: p\n    for_each: {files: a, command: b}"), 5, "files and command together", ""),
    (task("prompt: p\n    for_each: {file: a}"), 5, "unknown key 'file'", "'files'"),
    (task("prompt: p\n    for_each: [a, a]"), 5, "'a' is named twice", ""),
    (task('prompt: p\n    for_each: ["a\\nb"]'), 5, "not plain text", "one line"),
    (task("prompt: p\n    for_each: ['']"), 5, "an item is empty", ""),
    (task("prompt: p\n    for_each: {files: /etc/*}"), 5, "no pattern of the repository's files", "src/**"),
    (task("prompt: p\n    for_each: {files: [a, ../b]}"), 5, "no pattern of the repository's files", ""),
    (task("prompt: p\n    for_each: {files: ':(attr:x)'}"), 5, "no pattern of the repository's files", ""),
    (task("prompt: p\n    for_each: [a]\n    check: cat {item}"), 6, "{item} in `check`", '"$CORRAL_ITEM"'),
    (
        ONE + "tasks:\n  - {id: t, prompt: p, for_each: [a]}\n  - {id: t.1, prompt: p}\n",
        4,
        "'t.1' is called as the task of an item of 't'",
        "rename",
    ),
    (
        ONE + "tasks:\n  - {id: t, prompt: p, for_each: [a]}\n  - {id: u, prompt: p, needs: [t], from: t}\n",
        4,
        "starts from 't', which is one for each item",
        "pass: [branch]",
    ),
    (task("prompt: p\n    fan_in: any"), 5, "nothing that it needs has `for_each`", "remove"),
    (task("prompt: p\n    pass: [diff]"), 5, "`pass`, but it needs no task", "needs"),
    (
        ONE + "tasks:\n  - {id: t, prompt: p}\n  - {id: u, prompt: p, needs: [t], pass: [patch]}\n",
        4,
        "'patch' is not known",
        "branch, summary, diff",
    ),
    (task("prompt: p\n    when: x.verdict == 'done'"), 5, "asks 'x', which is no task", ""),
    (
        ONE + "tasks:\n  - {id: t, prompt: p}\n  - {id: u, prompt: p, when: t.verdict == 'done'}\n",
        4,
        "`when` asks 't', which it does not need",
        "add t to `needs`",
    ),
    (task("prompt: p\n    when: t.verdict = 'done'"), 5, "when: '=' compares nothing", "=="),
    (task("prompt: p\n    when: 1"), 5, "when must be text", "quotes"),
    (
        ONE + "tasks:\n  - {id: t, prompt: p}\n  - {id: u, prompt: p, needs: [t], when: t.failed > 0}\n",
        4,
        "how many failed 't' has, which has no `for_each`",
        "verdict",
    ),
    (
        ONE + "tasks:\n  - {id: t, prompt: p, for_each: [a]}\n"
        "  - {id: u, prompt: p, needs: [t], when: t.verdict == 'done'}\n",
        4,
        "done for many items",
        "t.failed > 0",
    ),
    (task("prompt: p\n    paths: []"), 5, "paths is empty", ""),
    (task("prompt: p\n    paths: [.]"), 5, "means the whole tree", ""),
    (task("prompt: p\n    paths: [../x]"), 5, "leaves the repository", ""),
    (task("prompt: p\n    outside_paths: refuse"), 5, "`outside_paths` without `paths`", ""),
    ("mode: both\n" + task("prompt: p"), 1, "'both' is not known", ""),
    # prompts
    (task("check: x"), 3, "task 't' has no prompt", "cli: command"),
    (task("prompt: ''"), 4, "task 't' has no prompt", ""),
    (task('prompt: " \\n "'), 4, "task 't' has no prompt", ""),
    (task("prompt: 5"), 4, "prompt must be text, not 5", "quotes"),
    # where it starts
    (
        ONE
        + "tasks:\n  - {id: x, prompt: p}\n  - {id: y, prompt: p}\n  - {id: z, prompt: p, needs: [x, y]}\n",
        5,
        "task 'z' needs several tasks",
        "`from: x`",
    ),
    (
        ONE
        + "tasks:\n  - {id: x, prompt: p}\n  - {id: y, prompt: p}\n"
        + "  - {id: z, prompt: p, needs: [x], from: y}\n",
        5,
        "task 'z' starts from 'y', which it does not need",
        "x",
    ),
    (
        ONE + "tasks:\n  - {id: x, prompt: p}\n  - id: y\n    prompt: p\n    needs: [x]\n    repo: other\n",
        6,
        "starts from 'x', which has another repository or base",
        "from: base",
    ),
    # paths
    ("include: [../x]\n" + task("prompt: p"), 1, "'../x' leaves the repository", ""),
    ("include: [/etc/passwd]\n" + task("prompt: p"), 1, "leaves the repository", ""),
    ("include: [.git/config]\n" + task("prompt: p"), 1, "lies in the git directory", ""),
    ("include: [certs/server.pem]\n" + task("prompt: p"), 1, "looks like a key (rule: *.pem)", "stand-ins"),
    ("include: [.npmrc]\n" + task("prompt: p"), 1, "looks like a key (rule: .npmrc)", ""),
    (task("prompt: p\n    protect: [.]"), 5, "means the whole tree", ""),
    ("repo: https://example.org/x.git\n" + task("prompt: p"), 1, "is a URL", "clone it"),
    ("repo: git@example.org:x.git\n" + task("prompt: p"), 1, "is a URL", "clone it"),
    ("repo: ~/x\n" + task("prompt: p"), 1, "`~` is not expanded", ""),
    ("base: --all\n" + task("prompt: p"), 1, "'--all' is not usable", ""),
    ("base: 1234567\n" + task("prompt: p"), 1, "base must be text", "quotes"),
    # hosts
    ("network: [a.example]\n" + task("prompt: p"), 1, "network must be a mapping", "network: {allow:"),
    ("network: {allow: a.example}\n" + task("prompt: p"), 1, "must be a list", "write [a.example]"),
    ("network: {hosted: [web_serach]}\n" + task("prompt: p"), 1, "hosted", "web_search"),
    ("network: {hosted: [mcp]}\n" + task("prompt: p"), 1, "hosted", "code_execution"),
    ("network: {hosted: [web_search, web_search]}\n" + task("prompt: p"), 1, "web_search", "name it once"),
    ("network: {allow: ['*']}\n" + task("prompt: p"), 1, "'*' means every host", "*.example.org"),
    ("network: {allow: [10.0.0.1]}\n" + task("prompt: p"), 1, "'10.0.0.1' is an address", "host's name"),
    (task("prompt: p\n    network: {allow: [a.example.]}"), 5, "ends with a dot", "write a.example"),
    (task("prompt: p\n    network: {alow: []}"), 5, "unknown key 'alow' in task 't': network", "'allow'"),
    (
        "network: {allow: [A.example, a.example]}\n" + task("prompt: p"),
        1,
        "'a.example' is named twice",
        "once",
    ),
    (
        f"network: {{allow: [{', '.join(f'h{n}.example' for n in range(257))}]}}\n" + task("prompt: p"),
        1,
        "more than 256 entries",
        "fewer",
    ),
    # mail
    ("mail: 5min\n" + task("prompt: p"), 1, "mail must be a mapping", "mail: {wait: 30min}"),
    ("mail: {wait: 5}\n" + task("prompt: p"), 1, "5 has no unit", ""),
    ("mail: {wait: 0s}\n" + task("prompt: p"), 1, "0s is out of range", ""),
    ("mail: {patience: 5min}\n" + task("prompt: p"), 1, "unknown key 'patience' in mail", ""),
    (
        "mail: true\n" + task("prompt: p").replace("id: t", "id: person"),
        4,
        "'person' means somebody",
        "rename",
    ),
    (
        task("prompt: p\n    mail: {wait: 1h}").replace("id: t", "id: all"),
        3,
        "'all' means somebody",
        "rename",
    ),
    # images
    ("image: python\n" + task("prompt: p"), 1, "image must be a mapping", "image: {name:"),
    ("image: {}\n" + task("prompt: p"), 1, "an image without a source", "one of"),
    ("image: {name: x, build: y}\n" + task("prompt: p"), 1, "name and build together", "one of"),
    (
        "image: {name: x, ignore: [features]}\n" + task("prompt: p"),
        1,
        "`ignore` is about a dev container",
        "",
    ),
    ("image: {devcontainer: false}\n" + task("prompt: p"), 1, "false means nothing", "write true"),
    ("image: {build: ../x}\n" + task("prompt: p"), 1, "leaves the repository", ""),
    ("image: {name: 'a b'}\n" + task("prompt: p"), 1, "is not an image's name", ""),
    ("setup: pip install x\n" + task("prompt: p"), 1, "setup must be a list", "[pip install x]"),
    ("upstream: x\n" + task("prompt: p"), 1, "'x' is not an upstream", "script:PATH"),
    ("upstream: 'script:'\n" + task("prompt: p"), 1, "is not an upstream", ""),
    ("upstream: 'replay:'\n" + task("prompt: p"), 1, "is not an upstream", "replay:PATH"),
    ("upstream: 'service:x'\n" + task("prompt: p"), 1, "is not an upstream", ""),
    ("record: please\n" + task("prompt: p"), 1, "record", ""),
    # agents
    ("agents:\n  a: {model: m}\ntasks: [{id: t, prompt: p}]\n", 2, "agent 'a' lacks `cli:`", "cli: claude"),
    (
        "agents:\n  a: {cli: claude}\ntasks: [{id: t, prompt: p}]\n",
        2,
        "agent 'a' lacks `model:`",
        "full name",
    ),
    (
        "agents:\n  a: {cli: claude, model: m, effort: hi}\ntasks: [{id: t, prompt: p}]\n",
        2,
        "effort: 'hi' is not known",
        "did you mean 'high'?",
    ),
    (
        "agents:\n  a: {cli: claude, model: m, run: x}\ntasks: [{id: t, prompt: p}]\n",
        2,
        "unknown key 'run' in agent 'a'",
        "known are: cli, model",
    ),
    *(
        (
            f"agents:\n  a:\n    cli: codex\n    model: m\n    args: {args}\ntasks: [{{id: t, prompt: p}}]\n",
            5,
            said,
            cure,
        )
        for args, said, cure in (
            ("[--model=x]", "'--model' can't be among `args`", "`model:`"),
            ("[-mx]", "'-m' can't be", "`model:`"),
            ("[-c, model_provider=openai]", "'-c model_provider' can't be", "`upstream:`"),
            (
                "['-cmodel_providers.corral.base_url=http://x']",
                "'-c model_providers.corral.base_url'",
                "who answers",
            ),
            ("['--config=model_providers={}']", "'--config model_providers'", "who answers"),
            ("[-c, openai_base_url=http://x]", "'-c openai_base_url'", "who answers"),
            ("[-c, ' model_reasoning_effort = low']", "'-c model_reasoning_effort'", "`effort:`"),
            ("[-c, model_verbosity=low]", "'-c model_verbosity'", "`verbosity:`"),
            ("[-c, '\"model\"=x']", "model", "without quotes"),
            ("[-c, sandbox_mode=read-only]", "'-c sandbox_mode'", "the box is the sandbox"),
            ("[-c]", "'-c' can't be", "its value"),
            ("[--sandbox, read-only]", "'--sandbox'", "the box is the sandbox"),
            ("[-s=read-only]", "'-s'", "the box is the sandbox"),
            (
                "[--dangerously-bypass-approvals-and-sandbox]",
                "'--dangerously-bypass-app",
                "Corral sets it itself",
            ),
            ("[--json]", "'--json'", "Corral sets it itself"),
            ("[--oss]", "'--oss'", "who answers"),
            ("[-C, /]", "'-C'", "the workspace"),
            ("[-p, other]", "'-p'", "single settings"),
            ("[--ephemeral]", "'--ephemeral'", "resumed"),
            ("[resume, --last]", "'resume' can't be", "known are"),
            ("['-']", "'-' can't be", "known are"),
            ("[--skip-git-repo-check=x]", "can't be among `args`", "known are"),
            (
                "[-c, x=sk-ant-api03-0123456789012345678901234567890123456789]",
                "keys never enter a box",
                "shell",
            ),
        )
    ),
    (
        "agents: {a: {cli: codex, model: m, effort: huge}}\ntasks: [{id: t, prompt: p}]\n",
        1,
        "'huge' is not known",
        "xhigh",
    ),
    (
        "agents: {a: {cli: codex, model: m, verbosity: 3}}\ntasks: [{id: t, prompt: p}]\n",
        1,
        "3 is not known",
        "medium",
    ),
    ("agents: {a: {cli: codex}}\ntasks: [{id: t, prompt: p}]\n", 1, "agent 'a' lacks `model:`", "full name"),
    (
        "agents: {a: {cli: codex, model: m, modell: x}}\ntasks: [{id: t, prompt: p}]\n",
        1,
        "unknown key 'modell'",
        "'model'",
    ),
    ("agents: {a: {cli: codex, model: m}}\ntasks: [{id: t}]\n", 2, "task 't' has no prompt", "say in"),
    (
        "agents: {a: {cli: codex, model: m, env: {CODEX_HOME: /x}}}\ntasks: [{id: t, prompt: p}]\n",
        1,
        "CODEX_HOME is set by",
        "",
    ),
    (
        "agents: {a: {cli: codex, model: m, env: {OPENAI_BASE_URL: x}}}\ntasks: [{id: t, prompt: p}]\n",
        1,
        "OPENAI_BASE_URL is set",
        "",
    ),
    (
        "agents:\n  a: {cli: claude, model: m, args: ['--model=x']}\ntasks: [{id: t, prompt: p}]\n",
        2,
        "--model can't be among `args`",
        "model:",
    ),
    ("agents:\n  a: {cli: command, run: []}\ntasks: [{id: t}]\n", 2, "`run:` names no program", ""),
    ("agents:\n  a: {cli: command, run: ' '}\ntasks: [{id: t}]\n", 2, "`run:` names no program", ""),
    (
        "agents:\n  a: {cli: command, run: x, env: {A B: x}}\ntasks: [{id: t}]\n",
        2,
        "'A B' is not a variable",
        "",
    ),
    (
        "agents:\n  a: {cli: command, run: x, env: {HOME: x}}\ntasks: [{id: t}]\n",
        2,
        "HOME is set by Corral",
        "",
    ),
    (
        "agents:\n  a: {cli: command, run: x, env: {ANTHROPIC_API_KEY: x}}\ntasks: [{id: t}]\n",
        2,
        "ANTHROPIC_API_KEY is set by Corral",
        "on the host",
    ),
    (
        "agents:\n  a: {cli: command, run: x, env: {A: 1}}\ntasks: [{id: t}]\n",
        2,
        "env.A must be text",
        "quotes",
    ),
]


@pytest.mark.parametrize(("text", "line", "message", "cure"), REFUSALS)
def test_every_refusal_names_line_cause_and_cure(text: str, line: int, message: str, cure: str) -> None:
    found = problems(text)
    assert len(found) == 1, found
    assert found[0][0] == line
    assert message in found[0][1]
    assert cure in found[0][2]
