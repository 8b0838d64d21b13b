"""Small files in which the kernel tells of itself: control groups, pressure, processes."""

from __future__ import annotations

import os


def content(file: str, most: int = 16 * 1024) -> str | None:
    """What a small file of the kernel's holds; None if it can't be read, or what it tells of has vanished."""
    try:
        opened = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(opened, most).decode(errors="replace")
    except OSError:  # its group was removed between the two
        return None
    finally:
        os.close(opened)
