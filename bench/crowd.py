"""`python -m bench.crowd HOW_MANY SECONDS`: a supervisor with so many living boxes of the FAKE engine.

For more boxes than a machine can bear. The supervisor, its threads, git and the journal are real; the boxes
are timetables in its own memory, so that what is measured holds a little of the fake as well. Prints, as
JSON, how many cores it kept busy while all lived, for so many seconds, and its resident memory then.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
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
    """Measure."""
    parser = argparse.ArgumentParser(prog="bench.crowd", description=__doc__)
    parser.add_argument("boxes", type=int)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="corral-bench-") as folder:
        _measure(Path(folder), options.boxes, options.seconds)


def _measure(folder: Path, boxes: int, seconds: float) -> None:
    place, all_live = Place(folder), threading.Event()
    plan = place.plan(
        *(PlannedAttempt(task=f"t{number}", profile="p") for number in range(boxes)),
        commands={"p": "echo begun; sleep infinity"},
    )
    running = 0

    def watch(row: Row, _: RunState) -> None:
        nonlocal running
        running += row.event.kind == "attempt.running"
        if running == boxes:
            all_live.set()

    def look() -> None:
        all_live.wait()
        time.sleep(3)  # what came with the starts is over
        used, began = time.process_time(), time.monotonic()
        time.sleep(seconds)
        cores = (time.process_time() - used) / (time.monotonic() - began)
        print(json.dumps({"cores": cores, "memory": psutil.Process().memory_info().rss}), flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)  # bringing the work of all of them home is not what is measured

    threading.Thread(target=look, daemon=True).start()
    with place.supervisor(boxes, watch) as night:
        night.start(plan)


if __name__ == "__main__":
    main()
