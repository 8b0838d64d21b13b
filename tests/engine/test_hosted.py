"""Hosted tools allowed by the task file, asked for in real boxes by what speaks Gemini's API."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.support import Corral, make_repo, write_tasks

TRANSCRIPT = {"turns": [{"text": "found", "usage": {"input": 100, "output": 40, "reasoning": 5}}]}
ASK = """
python3 - <<'END'
import json, os, urllib.error, urllib.request
for tool in ("googleSearch", "urlContext"):
    tools = [{"functionDeclarations": [{"name": "f"}]}, {tool: {}}]
    body = json.dumps({"contents": [{"parts": [{"text": "go"}]}], "tools": tools}).encode()
    key = {"x-goog-api-key": os.environ["GEMINI_API_KEY"]}
    url = os.environ["GOOGLE_GEMINI_BASE_URL"] + "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
    asked = urllib.request.Request(url, body, key)
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            print(tool, answer.status, "STOP" in answer.read().decode())
    except urllib.error.HTTPError as error:
        print(tool, error.code, json.load(error)["error"]["status"])
END
touch made
"""


def said(corral: Corral, task: str) -> list[str]:
    """What the program printed, without what the box's forwarder says of itself."""
    (file,) = (corral.home / "runs").rglob(f"{task}+do-{task}+1.log")
    return [row for row in file.read_text().splitlines() if row.startswith(("google", "url"))]


def test_a_box_may_have_done_for_it_what_its_task_names(corral: Corral, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    transcript = tmp_path / "transcript.yaml"
    transcript.write_text(yaml.safe_dump(TRANSCRIPT))
    tasks = {"open": {"sh": ASK}, "closed": {"sh": ASK, "network": {}}}
    file = write_tasks(tmp_path / "t.yaml", repo, tasks, network={"hosted": ["web_search"]})
    text = yaml.safe_load(file.read_text())
    for agent in text["agents"].values():
        agent["upstream"] = f"script:{transcript}"
    file.write_text(yaml.safe_dump(text))
    assert "what open may have the model's service do: web_search;" in corral("plan", file).out
    done = corral("run", file, "--json")
    assert done.verdicts == {"open": "done", "closed": "done"}
    refused = "403 PERMISSION_DENIED"
    assert said(corral, "open") == ["googleSearch 200 True", f"urlContext {refused}"]
    assert said(corral, "closed") == [f"googleSearch {refused}", f"urlContext {refused}"]
    assert [done.attempt(task)["tokens"] for task in tasks] == [140, 0]
