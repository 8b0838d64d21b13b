"""The reference of the task file, made from the models, so that it can't lag behind them.

`python -m runner.tasks.reference > docs/task-file.md` writes it.
"""

from __future__ import annotations

from runner.tasks.agent_parts import ClaudePart, CodexPart, CommandPart
from runner.tasks.budget_parts import BudgetPart, CapsPart, PricePart
from runner.tasks.check_part import CheckPart
from runner.tasks.graph_parts import ForEachPart
from runner.tasks.health_part import HealthPart, PatiencePart
from runner.tasks.models import (
    ComparePart,
    ImagePart,
    LimitsPart,
    MailPart,
    NetworkPart,
    RepositoryPart,
    TaskFile,
    TaskPart,
    keys_of,
)
from runner.tasks.part import Part
from runner.tasks.retry_part import OomPart, RetryPart

_HEAD = """\
# The task file

YAML, checked before anything starts: what is wrong is reported with its line and a cure, and exit code 2. All
that is wrong in the file itself is told at once; only then is looked at what it names (repositories and their
bases, images, `hidden` and included files), one after the other. `corral init` writes a commented first one;
`corral schema` prints the JSON Schema for editors.

```yaml
repo: .
base: main
setup: ["pip install -e '.[test]'"]
limits: {cpus: 2, memory: 4GiB, time: 45min, idle: 10min}
agents:
  opus-high: {cli: claude, model: claude-opus-5-5, effort: high}
  opus-low:  {cli: claude, model: claude-opus-5-5, effort: low}
  codex:     {cli: codex, model: gpt-5.5, effort: high}
  lint:      {cli: command, run: [ruff, check, --fix, .]}
tasks:
  - id: fix-parser
    prompt: The parser drops trailing commas. Find out why and fix it.
    check: pytest -q tests/test_parser.py
    protect: [tests/]
  - id: lint-it
    needs: [fix-parser]
    agent: lint
compare: {agents: [opus-high, opus-low, codex], repeats: 3}
```

Sizes are binary: `512m` and `512MiB` are the same. Times need a unit: `90s`, `45min`, `1h30min`. Ids are
lower-case letters, digits, `.`, `_` and `-`, and become parts of branch names.

Where several profiles are compared, a task that needs a compared one runs once for each of its attempts;
a task with an `agent` of its own starts from the first attempt that served, in the order of the profiles.
A task whose needs did not serve is held, not failed.

Attempts at one task in one repeat are started side by side, and the order of the profiles and of the tasks in
each repeat is drawn: from a seed that the plan keeps and shows. Another plan draws another one, also `corral
run` after `corral plan`, unless `compare: {seed: N}` names it.

Tasks for each item of a list, each file or each line of a command, tasks that get the results of others, that
are done only if `when` says so, in sequence, or with paths of their own: see [graphs of tasks](graphs.md). A
prompt that begins with `@PROFILE` names its agent, as `agent:` does.

Every box can ask the model service, a command's too (at the loopback address in `ANTHROPIC_BASE_URL`), if
the host has a credential for it; `corral plan` says for each profile what is allowed out.

What is spent on models can be capped, in any of three units, for each part and for the whole:

```yaml
budget: {attempt: {usd: 3}, task: {requests: 500}, run: {usd: 60, tokens: 40M}, day: {usd: 100}}
```

The first cap that is reached ends the attempt as `over-budget`: what it is being answered comes to its end,
further requests are refused, its work comes home, and what was not started of that task, profile or run is
held. Caps hold over a restart, and for any number of requests at once; one is overshot by what one request
costs at most. What was not started when a day's budget was spent waits for the next day, unless the run must
end before it, or `on_limit` is `stop`. `day` counts all runs of the calendar day of this `CORRAL_HOME`,
scripted ones aside: the day on which a request is sent, by the host's clock and its own time zone (`TZ` is
not looked at).

A cap in dollars needs prices. Where a model has none that is known, or you pay another, say what a million
tokens cost you; what is said here goes before what is known:

```yaml
prices:
  my-model: {input: 0.5, output: 2}
  claude-opus-5-5: {input: 3, output: 15, cache_read: 0.15, cache_write: 4}
```

Nothing else leaves a box, unless `network:` names hosts, for the file or for one task:

```yaml
network: {allow: [docs.example.org, "*.pkg.example.org", git.example.org:8443]}
```

Agents' boxes then find an HTTP proxy at the usual variables (`HTTP_PROXY`, `HTTPS_PROXY`, …, in both cases);
the checks' boxes reach nothing. Names alone are taken, no addresses. What is said at the port 443 must be
TLS, and for that very host (no encrypted ClientHello: browsers must have it switched off); at 80 plain HTTP;
at a port that you name yourself TLS for that host, or anything else, unseen. The gateway looks the names up,
connects to public addresses only, and writes each attempt, allowed or not, to `g/egress.log` below
`CORRAL_HOME`. It connects directly, also where the host itself has a proxy. What can be reached can be told
things: see [security](security.md).

How many attempts live at once can be bounded for each agent and each repository; how many in all, the host
says, or `--jobs` (see [admission](admission.md)):

```yaml
agents:
  opus: {cli: claude, model: claude-opus-5-5, at_once: 4}
repositories:
  ../backend: {at_once: 2}
```

Nor does the model's service do anything for an agent besides answering, unless `hosted:` names it:

```yaml
network: {hosted: [web_search, code_execution]}
```

- `web_search`: Anthropic's `web_search_…`; OpenAI's `web_search`, `web_search_preview`, `web_search_options`
  and models that search by themselves; Gemini's `googleSearch` and `googleSearchRetrieval`.
- `web_fetch`: Anthropic's `web_fetch_…`; images, documents and files by their URL; Gemini's `urlContext`.
- `code_execution`: Anthropic's `code_execution_…`; OpenAI's `code_interpreter` and `shell`, in a new
  container without files, skills and network; Gemini's `codeExecution`.

Whatever is named, these stay refused: MCP servers and connectors, what a service keeps (files, containers,
conversations, caches, stores), batch and administration. What a hosted tool brings in counts as tokens once
the answer has ended, and is not in what is set aside for a request before; the fees that services take for
its use are counted in no budget.
"""

_PARTS: tuple[tuple[str, type[Part]], ...] = (
    ("The file", TaskFile),
    ("A task", TaskPart),
    ("`check`, or one of several by name", CheckPart),
    ("`for_each`", ForEachPart),
    ("An agent: `cli: claude`", ClaudePart),
    ("An agent: `cli: codex`", CodexPart),
    ("An agent: `cli: command`", CommandPart),
    ("`limits`", LimitsPart),
    ("`health`", HealthPart),
    ("A condition of `health`", PatiencePart),
    ("`budget`", BudgetPart),
    ("A cap of a budget", CapsPart),
    ("A price, of one model of `prices`", PricePart),
    ("`retry`", RetryPart),
    ("`retry: {oom: …}`", OomPart),
    ("A repository, by its name under `repositories`", RepositoryPart),
    ("`image`", ImagePart),
    ("`network`", NetworkPart),
    ("`mail`", MailPart),
    ("`compare`", ComparePart),
)


def markdown() -> str:
    """The whole reference."""
    return "\n".join((_HEAD, *(_table(title, part) for title, part in _PARTS)))


def _table(title: str, part: type[Part]) -> str:
    rows = "\n".join(f"| `{key}` | {words} |" for key, words in keys_of(part).items())
    return f"## {title}\n\n| Key | Meaning |\n|---|---|\n{rows}\n"


if __name__ == "__main__":
    print(markdown(), end="")
