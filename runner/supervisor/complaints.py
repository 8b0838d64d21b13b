"""How faults are told: one of an image, and one of ours."""

from __future__ import annotations

import time
import traceback
from pathlib import Path

from runner.errors import CorralError, ImageError


def image_words(fault: Exception) -> str:
    """Why an image could not be prepared, with the end of its build's output."""
    words = fault.message if isinstance(fault, CorralError) else str(fault)
    if isinstance(fault, ImageError):
        words = " | ".join((f"{words}; `corral image build FILE` shows all of its output", *fault.log[-5:]))
    return words


def report_bug(home: Path, run: str, error: Exception) -> str:
    """Write a bug of ours down; returns where it stands, or where it can't be written, what it is."""
    file = home / "runs" / run / f"bug-{time.time_ns()}.txt"
    text = "".join(traceback.format_exception(error))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    except OSError as full:
        return f"not written ({full.strerror}): {text}"
    return str(file)
