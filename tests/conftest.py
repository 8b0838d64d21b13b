"""What all tests share: a seed that is printed, small counts, and the leak check.

A test that needs the engine says so by its directory. Nothing that a test starts outlives it: the leak
check compares what is there before and after, and fails the test that left something.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

FULL = os.environ.get("CORRAL_TEST_COUNTS") == "full"
SEED = int(os.environ.get("CORRAL_TEST_SEED") or secrets.randbelow(2**32))
os.environ["CORRAL_TEST_SEED"] = str(SEED)  # for the processes that tests are spread over

settings.register_profile(
    "small", max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.register_profile(
    "full", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("full" if FULL else "small")


def pytest_configure(config: pytest.Config) -> None:
    """Seed hypothesis unless the command line does."""
    if getattr(config.option, "hypothesisseed", None) is None:
        config.option.hypothesisseed = str(SEED)


def pytest_report_header() -> str:
    """Say how to get the same random tests again."""
    return f"random tests: seed {SEED} (CORRAL_TEST_SEED), {'full' if FULL else 'small'} counts"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their directory, and run the quick ones first."""
    order = ("unit", "contract", "engine", "attacks", "e2e")
    for item in items:
        kind = item.path.relative_to(Path(__file__).parent).parts[0]
        if kind in {"engine", "attacks", "e2e"}:
            item.add_marker("engine" if kind == "attacks" else kind)
        item.add_marker(pytest.mark.timeout(600))
    items.sort(key=lambda item: order.index(item.path.relative_to(Path(__file__).parent).parts[0]))


@pytest.fixture(autouse=True)
def no_leaked_threads_or_variables() -> Iterator[None]:
    """Fail the test that leaves a thread running or an environment variable changed."""
    threads, variables = set(threading.enumerate()), dict(os.environ)
    yield
    for thread in set(threading.enumerate()) - threads:
        thread.join(timeout=5)
    left = [thread.name for thread in set(threading.enumerate()) - threads if thread.is_alive()]
    assert left == [], f"threads left running: {left}"
    now = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    variables.pop("PYTEST_CURRENT_TEST", None)
    assert now == variables, "environment variables were changed"
