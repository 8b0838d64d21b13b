"""The file `needs-attention`: there while something needs a person, with a line for each; for status bars.

All runs of a state directory share it. Each writes its own lines, which begin with its name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from runner.locks import locked

NAME = "needs-attention"


def raise_flag(home: Path, run: str, needs: Iterable[str]) -> None:
    """Put the lines of one run in place of those that it had; without any line the file is gone.

    A state directory that can't be written is left as it is: nothing of the night depends on this.
    """
    with suppress(OSError), locked(home / "locks" / NAME):
        file = home / NAME
        try:
            before = file.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            before = []
        lines = [line for line in before if not line.startswith(f"{run}: ")]
        lines += [f"{run}: {need}" for need in needs]
        if not lines:
            file.unlink(missing_ok=True)
        elif lines != before:
            made = file.with_name(f".{NAME}.new")
            made.write_text("".join(f"{line}\n" for line in lines))
            os.replace(made, file)  # noqa: PTH105 - what is read is never half of it
