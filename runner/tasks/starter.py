"""The first task file, which `corral init` writes: commented, and ready to plan as it is.

Where a space follows the `#`, a line explains; where none does, it is a key to switch on by removing it.
"""

from __future__ import annotations

_HEAD = """\
# A task file for Corral. `corral plan FILE` shows what a run will do, `corral run FILE` does it.
# For help in your editor: `corral schema > corral.schema.json`, and as the first line here
# yaml-language-server: $schema=corral.schema.json

# Where work starts. Pinned to a commit when the run is planned; uncommitted changes are left out.
#repo: .
#base: HEAD

# The environment that agents and checks work in; one of these, or Corral's own image.
"""

_IMAGES = """\
#image: {name: python:3.12-bookworm}
#image: {build: docker}
"""

_TAIL = """\
# Commands that prepare it: run once, with network. Attempts install nothing.
#setup: [pip install -e .]
# Ignored files that the tasks need; never keys.
#include: [.env.test]

# What each attempt may use; a task can have its own. 512m is 512 MiB.
limits: {cpus: 2, memory: 4GiB, pids: 512, disk: 10GiB, time: 45min, idle: 10min}

# No key at hand? Transcripts can play the model: a file, or a directory of PROFILE/TASK.yaml.
#upstream: script:transcripts

# Who does the work. Keys are read from your environment (ANTHROPIC_API_KEY,
# OPENAI_API_KEY, …) and never enter a box.
agents:
  opus: {cli: claude, model: claude-opus-5-5, effort: high}
  #opus-low: {cli: claude, model: claude-opus-5-5, effort: low}
  #codex: {cli: codex, model: gpt-5.5, effort: high}
  #lint: {cli: command, run: [ruff, check, --fix, .]}

# Who does the tasks that name no agent: one, or several side by side, each so often.
default_agent: opus
#compare: {agents: [opus, opus-low], repeats: 3}

tasks:
  - id: first
    prompt: |
      Find one thing in this repository that its README promises and the code does not do.
      Make the code do it, with a test, and commit.
    # Decides in a clean container, over a fresh checkout of the work: exit 0 accepts it.
    #check: python -m pytest -q
    # Restored from the base before the check, so that no test passes because it was changed.
    #protect: [tests/]
    #limits: {time: 20min}
  #- {id: second, needs: [first], agent: lint}
"""


def starter(*, devcontainer: bool = False) -> str:
    """The text of the file.

    Args:
        devcontainer: Whether the repository has a dev container, which is then used.
    """
    own = "image: {devcontainer: true}" if devcontainer else "#image: {devcontainer: true}"
    return f"{_HEAD}{own}\n{_IMAGES}{_TAIL}"
