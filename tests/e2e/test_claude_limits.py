"""The real Claude Code at a provider's limit: it goes on in a new box, in the same session."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.engine.living import living
from tests.support import Corral, git, make_repo

BEGIN = """
turns:
  - text: I begin.
    tools: [{name: Bash, input: {command: "echo one > made; echo begun"}}]
    usage: {input: 100, output: 10}
"""
BUSY = BEGIN + "  - error: {status: 529, message: too much to do}\n"
FREE = (
    BEGIN
    + """
  - expect: begun
    tools: [{name: Bash, input: {command: "echo two >> made"}}]
    usage: {input: 100, output: 10}
  - text: Done.
    usage: {input: 100, output: 10}
"""
)


def test_a_session_that_died_of_a_limit_is_taken_up_again_in_a_new_box(tmp_path: Path) -> None:
    """What the model is sent from the new box holds what the tools of the old one printed."""
    corral = Corral(tmp_path / "home")
    repo = make_repo(tmp_path / "repo")
    (tmp_path / "turns.yaml").write_text(BUSY)
    tasks = {
        "repo": str(repo),
        "upstream": "script:turns.yaml",
        "limits": {"memory": "1GiB", "time": "3min"},
        "agents": {"p": {"cli": "claude", "model": "claude-opus-5-5"}},
        "tasks": [{"id": "t", "prompt": "Make it.", "check": "grep -q two made"}],
    }
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(tasks))
    with living(corral, "run", tmp_path / "t.yaml") as run:
        run.until("attempt.held")
        free = tmp_path / "free.yaml"
        free.write_text(FREE)
        free.rename(tmp_path / "turns.yaml")
        assert run.end() == 0
    row = run.rows()["t"]
    assert (row["verdict"], row["try"]) == ("accepted", 1)
    assert git(repo, "show", f"{row['branch']}:made").split() == ["one", "two"]
    sessions = {event["session"] for event in run.events if event["kind"] == "attempt.held"}
    assert len(sessions) == 1
    assert None not in sessions
    assert row["tokens"] == 330
    assert row["held_s"] > 0
    said = corral("logs", "t").out
    assert said.index("I begin.") < said.index("Done.")
