"""Agents of which it is known how good they are, and the model that makes them so.

An agent is a few lines of Python, the same for all: it sends its prompt to the model of its name, through
the gateway, as any agent does, and writes the files that the answer holds. So the fix is neither in the
repository nor in the prompt nor in the box's image; it is where any agent's knowledge is, in the model. That
is a service on this machine, which answers by the plan that `works` tells beforehand.

A box does not know which repeat it is. The model does not either, but counts: the first time that a task is
asked about gets the plan's first answer. Which repeat that is does not matter to any figure.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Literal

from demo.packages import Release
from tests.contract.gateway_service import Upstream, plain
from tests.truth import making
from tests.truth.bugs import Bug

Work = Literal["fix", "nothing", "broken", "unfixed"]
"""What is done: the real fix; nothing; the fix with something broken beside it; or what else was changed."""

VERDICTS: dict[Work, str] = {
    "fix": "accepted",
    "nothing": "no-change",
    "broken": "rejected",
    "unfixed": "rejected",
}

SHARES = {"perfect": 100, "coin-70": 70, "coin-40": 40, "idle": 0, "breaker": 0}
"""The models, and in how many cases of a hundred each is right."""

PRICE = {"input": 1, "output": 5}
"""US dollars for a million tokens."""

USAGE = {"input_tokens": 1000, "output_tokens": 200}
"""Of every answer."""

_ASK = """\
import json, os, pathlib, urllib.request
prompt = pathlib.Path(os.environ["CORRAL_PROMPT_FILE"]).read_text()
asked = {"model": os.environ["MODEL"], "max_tokens": 64000,
         "messages": [{"role": "user", "content": prompt}]}
request = urllib.request.Request(
    os.environ["ANTHROPIC_BASE_URL"] + "/v1/messages", json.dumps(asked).encode(),
    {"Content-Type": "application/json", "X-Api-Key": os.environ["ANTHROPIC_API_KEY"]})
with urllib.request.urlopen(request, timeout=60) as answer:
    files = json.loads(json.load(answer)["content"][0]["text"])
for path, text in files.items():
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_text(text, newline="")
print("changed", *files)
"""


def profile(model: str) -> dict[str, Any]:
    """The profile that asks a model."""
    return {"cli": "command", "run": ["python3", "-c", _ASK], "env": {"MODEL": model}}


def works(model: str, bug: str, times: int, seed: int) -> tuple[Work, ...]:
    """What a model does, the first `times` times that it is asked about a bug."""
    return tuple(_work(model, f"{seed} {model} {bug} {time}") for time in range(times))


def _work(model: str, case: str) -> Work:
    if model == "breaker":
        return "broken"
    if _hundredth(case) < SHARES[model]:
        return "fix"
    return "nothing" if model == "idle" or _hundredth(f"{case} wrong") < 50 else "unfixed"


def _hundredth(text: str) -> int:
    """A number from 0 to 99 that a text comes to, always the same."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) % 100


def answer(work: Work, bug: Bug, found: Mapping[Release, Path]) -> dict[str, str]:
    """The files that a model answers with, whole, by path."""
    if work == "nothing":
        return {}
    made = {"fix": making.fixed, "broken": making.broken, "unfixed": making.unfixed}[work](bug, found)
    return {path: content.decode() for path, content in made.items()}


@dataclass
class Model(Upstream):
    """The service that plays the models. `asked` says how often each was asked about each bug."""

    bugs: Sequence[Bug] = ()
    found: Mapping[Release, Path] = field(default_factory=dict)
    seed: int = 0
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, asked: BaseHTTPRequestHandler) -> None:
        """Answer one request: which bug it is about, the prompt says."""
        body = json.loads(asked.rfile.read(int(asked.headers["content-length"])))
        model, prompt = str(body["model"]), str(body["messages"][0]["content"])
        (bug,) = (bug for bug in self.bugs if bug.report.strip() in prompt)
        with self._lock:
            time = self.asked[model, bug.id]
            self.asked[model, bug.id] += 1
        files = answer(works(model, bug.id, time + 1, self.seed)[-1], bug, self.found)
        message = {
            "id": f"msg_{model}_{time}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": json.dumps(files)}],
            "stop_reason": "end_turn",
            "usage": USAGE,
        }
        plain(asked, json.dumps(message).encode())
