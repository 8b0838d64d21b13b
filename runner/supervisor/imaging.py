"""A run's images, prepared one after the other beside its loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from runner.agents import catalog
from runner.supervisor import events as e
from runner.supervisor.attempt.life import FAULTS
from runner.supervisor.complaints import image_words
from runner.supervisor.graph.schedule import images_of
from runner.tasks.plan import Plan, Source


class ImageMaker(Protocol):
    """What prepares images."""

    def prepare(self, source: Source, cli: str | None, on_line: Callable[[str], None]) -> str:
        """The id of the image for a source and an agent CLI, built where it isn't there.

        Raises:
            HostError: It could not be prepared.
            UsageError: The repository asks for what can't be done.
        """
        ...


def prepare(
    plan: Plan, images: ImageMaker, tell: Callable[[e.Event], None], bug: Callable[[Exception], str]
) -> None:
    """Prepare all images of a plan.

    Args:
        plan: The plan.
        images: What prepares them.
        tell: Takes what happens.
        bug: Reports a bug of ours; returns where that is to be found, in words.
    """
    for source, cli in images_of(plan):

        def show(line: str, source: int = source, cli: str | None = cli) -> None:
            tell(e.ImageLine(at=time.time(), source=source, cli=cli, line=line))

        try:
            image = images.prepare(plan.sources[source], cli, show)
            version = catalog.version(cli)
            tell(e.ImageReady(at=time.time(), source=source, cli=cli, image=image, version=version))
        except FAULTS as fault:
            tell(e.ImageFailed(at=time.time(), source=source, cli=cli, reason=image_words(fault)))
        except Exception as error:
            tell(e.ImageFailed(at=time.time(), source=source, cli=cli, reason=bug(error)))
