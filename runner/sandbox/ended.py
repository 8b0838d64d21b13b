"""How a container ended, once its output has: by itself, or because the engine went away."""

from __future__ import annotations

from runner.errors import EngineAwayError
from runner.sandbox.engine import BoxState, Engine

WITH_THE_ENGINE = frozenset({255, 137, 143})
"""Exit codes of a container that died with the machine or the engine: 255 where the engine does not find its
processes again when it starts, 137 where it ends them then, 143 where it asks them to end as it goes down
(moby, `daemon/daemon.go`, `restore` and `shutdownContainer`; the first two seen with 20.10)."""


def see_end(engine: Engine, container: str) -> BoxState | None:
    """The state of a container whose output came to its end; None if it is gone.

    Raises:
        EngineAwayError: The engine broke the output off and the container lives on, or it goes down and took
            the container along. How that ends is to be asked again when it answers.
    """
    state = engine.wait_ended(container)
    if state is None:
        return None
    if state.alive:
        raise EngineAwayError("the engine broke off the output of a container that lives on")
    fell = state.exit_code in WITH_THE_ENGINE and not state.oom_killed
    if fell and not engine.answers():
        raise EngineAwayError("the engine went down, and a container with it")
    return state
