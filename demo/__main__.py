"""The demo: prepares its repositories, runs its task file, and sees that everything ended as it should.

    python -m demo

Ends with 0 if every attempt ended as `EXPECTED` says. The run itself ends with 1, since two tasks stay
unserved on purpose. Where an earlier demo was killed in its middle, that one is taken up again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from demo.prepare import prepare

NIGHT = Path(__file__).with_name("night.yaml")
CORRAL = [str(Path(sys.executable).with_name("corral"))]

EXPECTED = {
    "xml-int-indent/steady": "accepted",
    "xml-int-indent/hasty": "accepted",
    "xml-streaming-attrs/steady": "accepted",
    "xml-streaming-attrs/hasty": "accepted",
    "sql-cte-comment/steady": "accepted",
    "sql-cte-comment/hasty": "rejected",
    "cache-info/steady": "rejected",
    "cache-info/hasty": "rejected",
    "parse-sign/steady": "accepted",
    "parse-sign/hasty": "rejected",
    "parse-grouping/steady": "accepted",
    "parse-grouping/hasty": "rejected",
    "sql-large-script/steady": "oom",
    "xml-modern-syntax/pyupgrade": "accepted",
}


def main() -> int:
    """Run the demo; returns its exit code."""
    print("Preparing real packages with known bugs:", flush=True)
    prepare()
    run = unfinished()
    if run is None:
        print(f"\nRunning {NIGHT} (images are built the first time):\n", flush=True)
        code = subprocess.run([*CORRAL, "run", "--record", str(NIGHT)], check=False).returncode
    else:
        print(
            f"\nAn earlier demo was killed; its run goes on where it was:\n\n$ corral resume {run}",
            flush=True,
        )
        code = subprocess.run([*CORRAL, "resume", run], check=False).returncode
    if code not in {0, 1}:
        return code
    name = run or latest()
    differing = differences(found(name))
    for line in differing:
        print(f"not as expected: {line}")
    if differing:
        return 1
    print("\nWhat goes together, on one branch of each repository:\n", flush=True)
    code = subprocess.run([*CORRAL, "integrate", name], check=False).returncode
    if code != 1:  # one branch is left out: it conflicts with another
        print(f"not as expected: corral integrate ended with {code}, expected 1")
        return 1
    print(_LAST_WORDS, flush=True)
    print("The report, to be opened in a browser:\n", flush=True)
    subprocess.run([*CORRAL, "report", name, "--html"], check=True)
    return 0


def unfinished() -> str | None:
    """The latest run of the demo's own, if it did not come to its end."""
    answer = subprocess.run([*CORRAL, "status", "--all", "--json"], check=True, capture_output=True).stdout
    ours = [row for row in json.loads(answer) if row["file"] == str(NIGHT)]
    return str(ours[-1]["run"]) if ours and ours[-1]["ended"] is None else None


def latest() -> str:
    """The name of the latest run of the demo's own."""
    answer = subprocess.run([*CORRAL, "status", "--all", "--json"], check=True, capture_output=True).stdout
    return [str(row["run"]) for row in json.loads(answer) if row["file"] == str(NIGHT)][-1]


def found(run: str) -> dict[str, str]:
    """Each attempt of a run with its verdict."""
    answer = subprocess.run([*CORRAL, "report", run, "--json"], check=True, capture_output=True).stdout
    rows: list[dict[str, Any]] = json.loads(answer)["attempts"]
    return {f"{row['task']}/{row['profile']}": str(row["verdict"]) for row in rows}


def differences(verdicts: dict[str, str]) -> list[str]:
    """Where the verdicts are not the expected ones."""
    return [
        f"{attempt} ended as {verdicts.get(attempt)}, expected {wanted}"
        for attempt, wanted in EXPECTED.items()
        if verdicts.get(attempt) != wanted
    ] + [f"{attempt} was not expected at all" for attempt in verdicts.keys() - EXPECTED.keys()]


_LAST_WORDS = """
Every attempt ended as it should: real bugs were fixed and checked by real
tests, one profile failed where the other succeeded, and one box ended at its
memory limit with its work brought home. The branches are in demo/.work/*; what
goes together is on `corral/RUN/+integration`, without the one that conflicts.
`corral compare` says what the two profiles' figures are worth.
It was recorded: `corral replay latest xml-int-indent/steady` plays an attempt
again from what was said, without the script.
To use the commands above: . .venv/bin/activate
"""

if __name__ == "__main__":
    sys.exit(main())
