"""The real Claude Code asks a person as its prompt tells it to, and goes on with the answer."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.engine.living import living
from tests.support import QUICK, Corral, git, make_repo

TALK = r"""
turns:
  - expect: '`question` asks a person'
    tools:
      - name: Bash
        input:
          command: >-
            cd "$CORRAL_MAIL/out" &&
            echo '{"to": "person", "type": "question", "payload": "Which format is meant?"}' > q1.part &&
            mv q1.part q1.json && until grep -qs '"answer"' ../in/*.json; do sleep 1; done; cat ../in/*.json
    usage: {input: 7, output: 3}
  - expect: the short one
    tools: [{name: Bash, input: {command: "echo short > /workspace/format"}}]
    usage: {input: 7, output: 3}
  - text: Done.
    usage: {input: 7, output: 3}
"""


def test_claude_asks_and_is_answered(corral: Corral, tmp_path: Path) -> None:
    folder, repo = tmp_path, make_repo(tmp_path / "repo")
    (folder / "talk.yaml").write_text(TALK)
    file = folder / "corral.yaml"
    tasks = [{"id": "asks", "prompt": "Write the format.", "check": "grep -q short format"}]
    text = {
        "repo": str(repo),
        "upstream": "script:talk.yaml",
        "mail": {"wait": "5min"},
        "limits": {**QUICK, "memory": "1GiB"},
        "agents": {"steady": {"cli": "claude", "model": "scripted"}},
        "tasks": tasks,
    }
    file.write_text(yaml.safe_dump(text))
    with living(corral, "run", file) as run:
        run.until("run.mail")
        (row,) = corral("inbox", "--json").json["messages"]
        assert (row["attempt"], row["payload"]) == ("asks/steady/1", "Which format is meant?")
        assert corral("inbox", "answer", "1", "the short one").code == 0
        assert run.end() == 0
    row = run.rows()["asks"]
    assert row["verdict"] == "accepted"
    assert git(repo, "cat-file", "blob", f"{row['branch']}:format") == "short"
