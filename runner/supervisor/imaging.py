"""A run's images, prepared one after the other beside its loop, and once more where they are removed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from runner.agents import catalog
from runner.supervisor import events as e
from runner.supervisor.attempt.life import FAULTS
from runner.supervisor.complaints import image_words
from runner.supervisor.graph.schedule import images_of
from runner.supervisor.state import RunState
from runner.tasks.plan import Plan, Source

Need = tuple[int, str | None]
"""An image by what it is for: the number of a source, and the agent CLI."""


class ImageMaker(Protocol):
    """What prepares images."""

    def prepare(self, source: Source, cli: str | None, on_line: Callable[[str], None]) -> str:
        """The id of the image for a source and an agent CLI, built where it isn't there.

        Raises:
            HostError: It could not be prepared.
            UsageError: The repository asks for what can't be done.
        """
        ...


class Imaging:
    """Prepares what a run lacks of images, in a thread of its own.

    Args:
        images: What prepares them.
        tell: Takes what happens.
        bug: Reports a bug of ours; returns where that is to be found, in words.
    """

    def __init__(
        self, images: ImageMaker, tell: Callable[[e.Event], None], bug: Callable[[Exception], str]
    ) -> None:
        self._images = images
        self._tell = tell
        self._bug = bug
        self._thread: threading.Thread | None = None
        self._plan: Plan | None = None
        self._needed: list[Need] = []

    def tend(self, state: RunState) -> None:
        """Begin to prepare what is lacking, unless that is being done."""
        if self._thread is not None and self._thread.is_alive():
            return
        if state.plan is not self._plan:
            self._plan, self._needed = state.plan, images_of(state.plan)
        lacking = [one for one in self._needed if one not in state.images and one not in state.broken_images]
        if lacking:
            self._thread = threading.Thread(
                target=self._prepare, args=(state.plan, lacking), name="images", daemon=True
            )
            self._thread.start()

    def _prepare(self, plan: Plan, lacking: list[Need]) -> None:
        for source, cli in lacking:
            self._tell(self._prepared(plan.sources[source], source, cli))

    def _prepared(self, files: Source, source: int, cli: str | None) -> e.Event:
        def show(line: str) -> None:
            self._tell(e.ImageLine(at=time.time(), source=source, cli=cli, line=line))

        try:
            image = self._images.prepare(files, cli, show)
        except FAULTS as fault:
            return e.ImageFailed(at=time.time(), source=source, cli=cli, reason=image_words(fault))
        except Exception as error:
            return e.ImageFailed(at=time.time(), source=source, cli=cli, reason=self._bug(error))
        version = catalog.version(cli)
        return e.ImageReady(at=time.time(), source=source, cli=cli, image=image, version=version)
