"""Boxes that are let through to hosts, without any model: what they find, and what is noted."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from runner import names
from runner.names import AttemptKey
from tests.support import Corral, Done, make_repo

LET_THROUGH = "docs.corral.invalid"
"""A host that does not exist (RFC 6761, section 6.4): nothing but the question to the resolver leaves."""

ASK = """
env | grep -i _proxy= | sort
python3 - <<'END'
import urllib.request
for url in ("https://NAME/", "http://NAME/", "https://other.invalid/", "http://NAME:8080/", "http://10.0.0.1/"):
    try:
        urllib.request.urlopen(url, timeout=30)
        print("REACHED", url)
    except Exception as error:
        print("FAILED", url, error)
END
touch made
""".replace("NAME", LET_THROUGH)
CHECK = "! env | grep -i _proxy= && ! ls /run/gw/gw.sock"


@pytest.fixture
def done(corral: Corral, tmp_path: Path) -> Done:
    """A run of one task that is let through to a host and one that is not."""
    tasks = {"out": {"sh": ASK, "check": CHECK}, "in": {"sh": ASK, "network": {}}}
    return corral.run(make_repo(tmp_path / "repo"), tasks, network={"allow": [LET_THROUGH]})


def noted(corral: Corral, done: Done, task: str) -> list[dict[str, Any]]:
    """What the audit says of a task's box."""
    box = names.box_id(str(corral.home), done.summary["run"], AttemptKey(task, f"do-{task}"))
    rows = [json.loads(line) for line in (corral.home / "g" / "egress.log").read_text().splitlines()]
    return [row for row in rows if row["box"] == box]


def log(corral: Corral, task: str) -> list[str]:
    """What a task's command printed."""
    (file,) = (corral.home / "runs").rglob(f"{task}+do-{task}+1.log")
    return file.read_text().splitlines()


def test_a_box_that_is_let_through_finds_the_way_out_and_it_leads_to_its_host_alone(
    corral: Corral, done: Done
) -> None:
    """One run, looked at from all sides: it takes some seconds."""
    assert done.verdicts == {"out": "accepted", "in": "done"}, "checks have no way out"
    said = log(corral, "out")
    ways = [row for row in said if row.lower().startswith(("http", "all")) and "=" in row]
    assert {row.partition("=")[2] for row in ways} == {"http://127.0.0.1:8484"}
    assert len(ways) == 6
    assert [row.split()[:2] for row in said if row.startswith(("REACHED", "FAILED"))] == [
        ["FAILED", f"https://{LET_THROUGH}/"],
        ["FAILED", f"http://{LET_THROUGH}/"],
        ["FAILED", "https://other.invalid/"],
        ["FAILED", f"http://{LET_THROUGH}:8080/"],
        ["FAILED", "http://10.0.0.1/"],
    ]
    rows = noted(corral, done, "out")
    assert [row["why"].replace(LET_THROUGH, "it") for row in rows] == [
        "it could not be looked up: gaierror",
        "it could not be looked up: gaierror",
        "the task does not allow other.invalid:443",
        "the task does not allow it:8080",
        "a plain request is for http://HOST/PATH or http://HOST:PORT/PATH",
    ]
    assert not any(row["allowed"] or row["up"] or row["down"] for row in rows)
    assert stat.S_IMODE((corral.home / "g" / "egress.log").stat().st_mode) == 0o600
    assert not [row for row in log(corral, "in") if "8484" in row or "REACHED" in row]
    assert noted(corral, done, "in") == []
    for task in ("out", "in"):
        assert done.attempt(task)["tokens"] is None, "there is no model to count for"
