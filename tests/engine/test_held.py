"""Real boxes that the real gateway holds, since their provider's limit is reached."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.contract.gateway_service import USAGE, Upstream, plain, playing
from tests.engine.living import living
from tests.engine.test_limits import ASK
from tests.support import Corral, git, write_tasks

ERROR = json.dumps({"type": "error", "error": {"type": "rate_limit_error", "message": "no more"}}).encode()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A model service on this host."""
    with playing() as made:
        yield made


@pytest.fixture
def asking(corral: Corral, repo: Path, upstream: Upstream) -> Corral:
    """The command, with a credential for that service; the repository holds a program that asks it."""
    (repo / "ask.py").write_text(ASK)
    git(repo, "add", "--all")
    git(repo, "commit", "-qm", "ask")
    corral.env |= {"ANTHROPIC_BASE_URL": upstream.url, "ANTHROPIC_API_KEY": "sk-dummy"}
    return corral


def closed_window(asked: BaseHTTPRequestHandler) -> None:
    """Answer that the 5-hour window is used up for another hour."""
    name = "anthropic_ratelimit_unified_{}"
    told = {
        "status": "rejected",
        "reset": str(int(time.time()) + 3600),
        "representative_claim": "five_hour",
        "5h_status": "rejected",
        "5h_reset": str(int(time.time()) + 3600),
        "5h_utilization": "1.0",
    }
    plain(asked, ERROR, 429, **{name.format(key): value for key, value in told.items()})


def test_a_hold_is_no_working_time(asking: Corral, repo: Path, upstream: Upstream) -> None:
    """An attempt of few seconds outlives a hold that is longer, and ends after its seconds of work."""
    lets = threading.Event()
    upstream.answer = lambda asked: plain(asked, USAGE) if lets.is_set() else plain(asked, ERROR, 529)
    sh = "python3 ask.py 0 && echo after > made; while :; do echo works; sleep 1; done"
    limits = {"memory": "256MiB", "time": "8s", "idle": "6s", "cpus": 1}
    file = write_tasks(repo.parent / "t.yaml", repo, {"a": {"sh": sh, "limits": limits}})
    with living(asking, "run", file) as run:
        run.until("attempt.signs")  # it tells that it has been held for longer than both of its limits
        held = run.events[-1]
        shown = asking("status", "--json").json["attempts"][0]
        said = asking("gateway", "status").out
        lets.set()
        assert run.end() == 1
    assert (held["held_kind"], held["held_s"] > 8) == ("overload", True)
    assert shown["held"]["kind"] == "overload"
    assert "a/do-a/1" in said
    assert "waits: " in said
    row = run.rows()["a"]
    assert (row["verdict"], row["reason"]) == ("timeout", "over its 8s")
    assert row["held_s"] > 8
    assert row["seconds"] >= 8
    assert git(repo, "show", f"{row['branch']}:made") == "after"


def test_a_box_in_a_closed_window_is_limited_when_the_run_ends(
    asking: Corral, repo: Path, upstream: Upstream
) -> None:
    upstream.answer = closed_window
    tasks: dict[str, Any] = {"a": {"sh": "echo x > made; python3 ask.py 0", "check": "test -s made"}}
    with living(asking, "run", write_tasks(repo.parent / "t.yaml", repo, tasks)) as run:
        run.until("attempt.signs")
        held = run.events[-1]
        run.kill()
    assert held["held_kind"] == "window"
    assert held["held_until"] > time.time() + 1000
    with living(asking, "resume", "--for", "3s") as resumed:
        assert resumed.end() == 4
    row = resumed.rows()["a"]
    assert (row["verdict"], row["check"]) == ("limited", "passed")
    assert "5-hour window" in row["reason"]
    assert row["held_s"] > 0
    assert git(repo, "show", f"{row['branch']}:made") == "x"
    assert len(upstream.seen) == 1, "nothing is sent into a closed window"


def test_who_does_not_want_to_wait_ends_as_limited(asking: Corral, repo: Path, upstream: Upstream) -> None:
    upstream.answer = closed_window
    tasks: dict[str, Any] = {"a": {"sh": "echo x > made; python3 ask.py 0", "check": "test -s made"}}
    done = asking.run(repo, tasks, on_limit="stop")
    row = done.attempt("a")
    assert (done.code, row["verdict"], row["check"]) == (4, "limited", "passed")
    assert "5-hour window" in row["reason"]
    assert "is used up" in row["reason"]
    assert git(repo, "show", f"{row['branch']}:made") == "x"
