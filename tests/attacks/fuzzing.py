"""Random cases until a budget of time is spent, each of which can be made again by its number.

A case depends on the seed, which every test run prints, and on its own number alone. A failing one says
both; `CORRAL_TEST_SEED=… CORRAL_FUZZ_CASE=…` runs that one again. `make fuzz SECONDS=…` spends more time.
"""

from __future__ import annotations

import ast
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from tests.conftest import FULL, SEED

SECONDS = float(os.environ.get("CORRAL_FUZZ_SECONDS") or (60 if FULL else 3))
"""How long each target is fuzzed."""
ONLY = os.environ.get("CORRAL_FUZZ_CASE")
MARGIN = 300
"""Seconds that a target may take to begin and to end, on top."""
CORPUS = Path(__file__).parent / "corpus"


def cases(target: str) -> Iterator[tuple[int, Random]]:
    """Numbers, each with its own source of random choices; at least one."""
    number, until = int(ONLY or 0), time.monotonic() + SECONDS
    while True:
        yield number, Random(f"{SEED} {target} {number}")  # noqa: S311 - not for secrets
        number += 1
        if ONLY or time.monotonic() > until:
            break
    print(f"{target}: {number} cases, seed {SEED}")


@contextmanager
def told(target: str, number: int, given: object) -> Iterator[None]:
    """Say with a failure which case it was, and what was given."""
    try:
        yield
    except BaseException as failure:
        failure.add_note(f"{target}: case {number} of CORRAL_TEST_SEED={SEED}, given {given!r:.2000}")
        raise


def corpus(name: str) -> list[bytes]:
    """The seeds in a file of the corpus: one a line, as the inside of a Python bytes literal."""
    lines = (CORPUS / name).read_text().splitlines()
    return [ast.literal_eval(f'b"{line}"') for line in lines if line and not line.startswith("#")]


def mutated(random: Random, seeds: list[bytes], words: list[bytes]) -> bytes:
    """One of the seeds, changed in a few places: bits, bytes, stretches, words of its own language."""
    data = bytearray(random.choice(seeds))
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        _change(random, data, seeds, words)
    return bytes(data)


def _change(random: Random, data: bytearray, seeds: list[bytes], words: list[bytes]) -> None:
    at = random.randrange(len(data) + 1)
    end = min(len(data), at + random.choice((0, 1, 2, 4, 16, 200)))
    match random.randrange(7):
        case 0 if data:
            data[at % len(data)] ^= 1 << random.randrange(8)
        case 1:
            data[at:end] = random.randbytes(random.choice((0, 1, 1, 4)))
        case 2:
            data[at:at] = random.choice(words)
        case 3:
            data[at:end] = random.choice(words)
        case 4:
            data[at:at] = data[at:end] * random.choice((1, 2, 50))
        case 5:
            other = random.choice(seeds)
            cut = random.randrange(len(other) + 1)
            data[at:] = other[cut:]
        case _:
            del data[at:end]
