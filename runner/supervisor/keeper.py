"""Keeps the supervisor of a detached run alive: `python -m runner.supervisor.keeper LOG COMMAND…`.

A small process without a terminal that starts the supervisor and waits for it. One that was killed is started
again: it resumes the run. One that ended by itself, whatever it says, is not.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

MOST = 5
"""Restarts within `SPAN`: whatever dies more often has a trouble that another start does not cure."""

SPAN = 600.0
PAUSE = 2.0
"""Seconds before the first restart in a row; then twice as many each."""

HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Keeper:
    """One supervisor, and the process that it lives in."""

    def __init__(self, command: Sequence[str], log: Path, pause: float = PAUSE) -> None:
        self._command = list(command)
        self._log = log
        self._pause = pause
        self._child: subprocess.Popen[bytes] | None = None
        self._asked = False

    def run(self) -> int:
        """Keep it alive until it ends; returns its exit code."""
        for number in HEEDED:
            signal.signal(number, self._hand_on)
        died: list[float] = []
        while True:
            code = self._live()
            now = time.monotonic()
            died = [*(at for at in died if now - at < SPAN), now]
            if code >= 0 or self._asked or len(died) > MOST:
                return code if code >= 0 else 128 - code
            time.sleep(self._pause * 2 ** (len(died) - 1))

    def _live(self) -> int:
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            if self._asked:  # between two lives
                self._child.terminate()
            return self._child.wait()

    def _hand_on(self, number: int, _: object) -> None:
        self._asked = True
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)


if __name__ == "__main__":
    sys.exit(Keeper(sys.argv[2:], Path(sys.argv[1])).run())
