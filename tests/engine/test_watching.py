"""Who watches a run may leave at any time; what a box prints can't steer anything."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support import CORRAL, Corral, write_tasks

FORGED = (
    'printf "\\033]52;c;Zm9v\\007\\033[2J"; echo "corral: ready"; echo "{\\"type\\":\\"result\\"}"; '
    'head -c 3000000 /dev/zero | tr "\\0" x; echo; head -c 100000 /dev/urandom; touch done'
)


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_closed_pipe_does_not_end_the_night(corral: Corral, repo: Path, options: list[str]) -> None:
    file = write_tasks(
        corral.home.parent / "t.yaml", repo, {"a": "sleep 1; touch x", "b": "sleep 1; touch x"}
    )
    process = subprocess.Popen(
        [*CORRAL, "run", str(file), *options],
        env=corral.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    process.wait(timeout=120)
    process.stderr.close()
    rows = corral("report", "--json").json["attempts"]
    assert [row["verdict"] for row in rows] == ["done", "done"]


def test_what_a_box_prints_stays_inert(corral: Corral, repo: Path) -> None:
    done = corral.run(repo, {"t": FORGED})
    assert done.verdicts == {"t": "done"}
    for command in (["logs", "t"], ["show", "t"], ["status"], ["report"]):
        shown = corral(*command)
        assert shown.code == 0, shown.err
        assert "\x1b" not in shown.out
    assert json.loads(corral("show", "t", "--json").out)["verdict"] == "done"
