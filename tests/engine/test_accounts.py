"""Accounts in a real run: a key that is changed is picked up, and no box, file or view shows one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import psutil
import pytest

from runner.gateway.client import Gateway
from runner.gateway.keys import logins
from runner.gateway.keys.logins import Login
from tests.contract.gateway_service import CANARY, USAGE, Upstream, keys_of, plain, playing
from tests.contract.token_service import FIRST, giving_tokens
from tests.support import Corral, git, write_tasks

ASK = r"""
import pathlib, socket, time
def ask():
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect("/run/gw/gw.sock")
        s.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                  b"Content-Length: 2\r\n\r\n{}")
        got = b""
        while more := s.recv(65536):
            got += more
    return got
answers = [ask()]
while sum(b" 200 " in answer[:15] for answer in answers) < 2:
    time.sleep(0.05)
    answers.append(ask())
print(answers[0].decode(), answers[-1].decode())
for file in pathlib.Path("/proc").glob("[0-9]*/*"):
    if file.name in ("environ", "cmdline"):
        try:
            print(file, file.read_bytes())
        except OSError:
            pass
pathlib.Path("made").write_text("made")
"""


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """The model service."""
    with playing() as made:
        yield made


def test_a_run_by_accounts(corral: Corral, repo: Path, tmp_path: Path, upstream: Upstream) -> None:
    key = tmp_path / "key"
    key.write_text(CANARY)
    key.chmod(0o600)
    seen: list[str] = []

    def answer(asked: BaseHTTPRequestHandler) -> None:
        found = Gateway.look(corral.home)
        assert found is not None
        process = psutil.Process(found[0])
        seen.append(f"{process.cmdline()} {process.environ()}")
        counts = key.read_text()
        if asked.headers.get("x-api-key") != counts:
            plain(asked, b'{"error": {"type": "authentication_error"}}', 401)
            return
        plain(asked, USAGE, 200, X_Echo=f"{counts} for the asking")
        if counts == CANARY:
            key.write_text(f"{CANARY}-new")

    upstream.answer = answer
    with giving_tokens() as tokens:
        (tmp_path / "config.toml").write_text(f"""
[[accounts]]
name = "work"
provider = "anthropic"
base_url = "{upstream.url}"
credential = {{ file = "key" }}

[[accounts]]
name = "max"
provider = "anthropic"
credential = {{ login = {{ token_url = "{tokens.url}", client_id = "c" }} }}
""")
        corral.env["CORRAL_CONFIG"] = str(tmp_path / "config.toml")
        corral.env["MY_OTHER_SECRET"] = f"{CANARY}-variable"
        logins.save(corral.home, "max", Login(refresh_token=FIRST))
        (repo / "ask.py").write_text(ASK)
        git(repo, "add", "--all")
        git(repo, "commit", "-qm", "ask")
        file = write_tasks(tmp_path / "t.yaml", repo, {"a": "python3 ask.py"})

        planned = corral("plan", file)
        assert f"{upstream.url} (account work), through the gateway" in " ".join(planned.out.split())
        doctor = corral("doctor")
        assert "account work: anthropic, key from the file" in doctor.out
        assert "account max: anthropic, key from the login made for it" in doctor.out
        done = corral("run", file, "--json")
        assert done.verdicts == {"a": "done"}, done.err
        assert tokens.asked == [], "only the first account is used"

    shown = [keys_of(one) for one in upstream.seen]
    assert shown[0] == [f"x-api-key: {CANARY}"]
    assert shown[-1] == [f"x-api-key: {CANARY}-new"]
    shown_too = (planned, doctor, done, corral("report"), corral("logs", "a"))
    said = "".join(part.out + part.err for part in shown_too)
    assert "X-Echo: " + "*" * len(CANARY) in said
    kept = [path for top in (corral.home, repo) for path in top.rglob("*") if path.is_file()]
    kept = [path for path in kept if path.parent.name != "logins" and os.access(path, os.R_OK)]
    assert {"journal.db", "ledger.db", "gateway.log"} <= {path.name for path in kept}
    for words in (said, json.dumps(seen), *(path.read_bytes().decode("latin-1") for path in kept)):
        assert "canary" not in words
