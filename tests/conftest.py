"""What all tests share: a seed that is printed, small counts, and the leak check.

A test that needs the engine says so by its directory. Nothing that a test starts outlives it: the leak
check compares what is there before and after, and fails the test that left something.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import turns

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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by their directory; run the quick ones first, or, in several processes, last.

    Those of the engine wait more than they work: begun first, and many side by side, they leave the
    quick ones to fill up the end.
    """
    order = ("unit", "contract", "browser", "engine", "attacks", "e2e")
    order = order[::-1] if hasattr(config, "workerinput") else order
    for item in items:
        kind = item.path.relative_to(Path(__file__).parent).parts[0]
        if kind in {"engine", "attacks", "e2e"}:
            item.add_marker("engine" if kind == "attacks" else kind)
        if item.get_closest_marker("timeout") is None:  # an item's own would count for more than its file's
            item.add_marker(pytest.mark.timeout(600))
    items.sort(key=lambda item: order.index(item.path.relative_to(Path(__file__).parent).parts[0]))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Give a test its turn."""
    assert item.config.cache is not None
    alone = item.get_closest_marker("alone") is not None
    with turns.turn(item.config.cache.mkdir("turns"), alone=alone):
        return (yield)


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
