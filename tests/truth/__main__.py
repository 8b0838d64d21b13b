"""Tries the table of bugs on this machine, without containers, and prints what came of it.

    python -m tests.truth             # every bug; or those that are named
    python -m tests.truth --fix ID    # which pieces of the later release a bug's tests need, none too many
    python -m tests.truth --comparisons 1000    # how often comparing all the agents finds the truth

For each bug, the tests that it hides must fail on the base, pass with the real fix, and fail with everything
else that the later release changed; the base's own tests must pass before and after, and fail once something
is broken. This runs code of the packages, as `pip install` would.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from demo.packages import Release
from demo.prepare import as_released, lay_down
from tests.truth import agents, fixes, making, night, worlds
from tests.truth.bugs import BUGS, Bug

EXPECTED: dict[agents.Work, dict[str, bool | None]] = {
    "nothing": {"fixed": False, "kept": True},
    "fix": {"fixed": True, "kept": True},
    "broken": {"fixed": None, "kept": False},
    "unfixed": {"fixed": False, "kept": None},
}
"""By what is done: which checks pass; None is whatever may be."""


def main() -> int:
    """Try them; returns the exit code."""
    options = argparse.ArgumentParser(prog="python -m tests.truth", description="Try the table of bugs.")
    options.add_argument("ids", nargs="*", help="bugs to try (default: all)")
    options.add_argument("--fix", action="store_true", help="find out which pieces their tests need")
    options.add_argument("--comparisons", type=int, metavar="N", help="compare the agents so often")
    given = options.parse_args()
    if given.comparisons:
        show_comparisons(given.comparisons)
        return 0
    chosen = [bug for bug in BUGS if bug.id in given.ids or not given.ids]
    found = making.archives({bug.step for bug in chosen})
    wrong = 0
    for bug in chosen:
        with tempfile.TemporaryDirectory(prefix="corral-truth-") as scratch:
            if given.fix:
                print(f"{bug.id}: {needed(bug, found, Path(scratch))}", flush=True)
                continue
            differing = differences(bug, found, Path(scratch))
        wrong += len(differing)
        print(f"{bug.id} ({bug.step.name}): {'; '.join(differing) or 'as it should be'}", flush=True)
    return 1 if wrong else 0


def show_comparisons(times: int) -> None:
    """Print how often what is known of each two models is found, in percent."""
    for repeats in (1, 3):
        print(f"{len(BUGS)} bugs × {repeats}: {times} comparisons of {len(worlds.SHARES)} models")
        print("| of two models | truth | seen | wrong | interval holds it |\n|---|---|---|---|---|")
        for (a, b), told in worlds.found(tuple(worlds.SHARES), repeats, range(times)).items():
            figures = " | ".join(f"{100 * figure:.1f}" for figure in (told.seen, told.wrong, told.held))
            print(f"| {a}, {b} | {worlds.SHARES[a] - worlds.SHARES[b]:+} | {figures} |", flush=True)


def differences(bug: Bug, found: Mapping[Release, Path], scratch: Path) -> list[str]:
    """Where the checks don't say what they should of what may be done."""
    tree = laid_out(bug, found, scratch)
    told = []
    for work, expected in EXPECTED.items():
        change(tree, bug, found, {p: text.encode() for p, text in agents.answer(work, bug, found).items()})
        for name, wanted in expected.items():
            if wanted is not None and passes(tree, bug, name) != wanted:
                told.append(f"{work}: {name} {'fails' if wanted else 'passes'}")
    return told


def needed(bug: Bug, found: Mapping[Release, Path], scratch: Path) -> tuple[int, ...]:
    """The numbers of the pieces that make the tests of a bug pass, none of which can be left out."""
    tree = laid_out(bug, found, scratch)
    earlier, later = making.sources(bug.step, found)
    changed = fixes.pieces(earlier, later)

    def holds(numbers: Collection[int]) -> bool:
        change(tree, bug, found, fixes.applied(earlier, [changed[number - 1] for number in numbers]))
        return passes(tree, bug, "fixed")

    return fixes.least(range(1, len(changed) + 1), holds)


def laid_out(bug: Bug, found: Mapping[Release, Path], scratch: Path) -> Path:
    """The base with the hidden tests in it."""
    tree = scratch / "tree"
    lay_down(tree, as_released(found[bug.step.earlier]))
    lay_down(tree, making.hidden_files(bug.step, found))
    return tree


def change(tree: Path, bug: Bug, found: Mapping[Release, Path], files: Mapping[str, bytes]) -> None:
    """Make the sources those of the base, but for these files."""
    earlier, later = making.sources(bug.step, found)
    for path in later.keys() - earlier.keys():
        (tree / path).unlink(missing_ok=True)
    for path, content in {**earlier, **files}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)


def passes(tree: Path, bug: Bug, name: str) -> bool:
    """Whether a check of a bug passes; one that takes longer than half a minute does not."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(tree.parent),
        "CORRAL_JUNIT": str(tree.parent / "junit.xml"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    command = ["timeout", "30", "sh", "-c", night.checks(bug)[name]]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, check=False)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
