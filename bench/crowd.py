"""`python -m bench.crowd HOW_MANY SECONDS`: a supervisor with so many living boxes of the FAKE engine.

For more boxes than a machine can bear. The supervisor, its threads, git and the journal are real; the boxes
are timetables in its own memory, so that what is measured holds a little of the fake as well. Prints, as
JSON, how many cores it kept busy while all lived, for so many seconds, and its resident memory then.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

import psutil

from runner.supervisor.journal import Row
from runner.supervisor.state import RunState
from runner.tasks.plan import PlannedAttempt
from tests.contract.fake_night import Place


def main() -> None:
    """Measure, and end everything."""
    parser = argparse.ArgumentParser(prog="bench.crowd", description=__doc__)
    parser.add_argument("boxes", type=int)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder:
        print(json.dumps(_measure(Path(folder), options.boxes, options.seconds)))


def _measure(folder: Path, boxes: int, seconds: float) -> dict[str, float]:
    place, all_live, figures = Place(folder), threading.Event(), dict[str, float]()
    plan = place.plan(
        *(PlannedAttempt(task=f"t{number}", profile="p") for number in range(boxes)),
        commands={"p": "echo begun; sleep infinity"},
    )

    def watch(_: Row, state: RunState) -> None:
        if sum(one.phase == "running" for one in state.attempts.values()) == boxes:
            all_live.set()

    with place.supervisor(boxes, watch) as night:

        def look() -> None:
            all_live.wait()
            time.sleep(3)  # what came with the starts is over
            used, began = time.process_time(), time.monotonic()
            time.sleep(seconds)
            passed = time.monotonic() - began
            figures["cores"] = (time.process_time() - used) / passed
            figures["memory"] = psutil.Process().memory_info().rss
            night.interrupt(130, times=2)

        looker = threading.Thread(target=look)
        looker.start()
        night.start(plan)
        looker.join()
    return figures


if __name__ == "__main__":
    main()
