"""Attacks run as agents in the real command; each module's attacks share one night, and one oracle.

A module names its attacks in the fixture `night`; `test_the_promises_hold` comes with it.
"""

from __future__ import annotations

import pytest

from tests.attacks import night
from tests.attacks.oracle import PROMISES, Stakes
from tests.contract.conftest import folder, gateway, upstream  # noqa: F401 - the same fixtures serve here
from tests.engine.conftest import corral, prepared, repo  # noqa: F401 - the same fixtures serve here


@pytest.fixture(scope="module")
def stakes(tmp_path_factory: pytest.TempPathFactory, prepared: None) -> Stakes:  # noqa: ARG001, F811 - only that it was done
    """A host of this module's own."""
    return night.stakes(tmp_path_factory.mktemp("attacks"))


@pytest.fixture(params=PROMISES)
def promise(request: pytest.FixtureRequest) -> str:
    """Each promise in turn."""
    return str(request.param)
