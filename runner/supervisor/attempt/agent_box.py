"""The agent's box of one attempt: made or adopted, watched, and gone; and the workspace that it works in."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

from runner import names
from runner.agents import catalog
from runner.agents.launch import FORWARD_PORT, PROMPT_FILE, Launch, proxy_environment
from runner.errors import EngineError, HostError
from runner.gateway.grants import Usage
from runner.gather import home as kept
from runner.git.base_store import BaseStore, base_store
from runner.names import AttemptKey
from runner.sandbox import workspace
from runner.sandbox.box import BoxSpec, Mount
from runner.sandbox.engine import BoxState
from runner.sandbox.outbox import Outbox
from runner.sandbox.workspace import Workspace
from runner.supervisor import signboard
from runner.supervisor.attempt import passing
from runner.supervisor.attempt.metering import Meter, glance, usage_file
from runner.supervisor.attempt.postbox import Postbox
from runner.supervisor.attempt.resuming import GO_ON, earlier, nudges_left
from runner.supervisor.attempt.spec import AttemptSpec, Known, Orders, Rooms, box_spec
from runner.supervisor.attempt.watch import Watch
from runner.supervisor.slept import slept
from runner.tasks.items import variables

MORE_FILE = PROMPT_FILE.replace("prompt", workspace.MORE)
"""Where the box sees what an agent is told that goes on."""


class AgentBox:
    """What one attempt's agent lives in.

    Attributes:
        space: Its workspace.
        existed: Whether a box of it ever ran, so that work may lie in the workspace.
        disk: Bytes of disk that it got; less than its limit where the host had no more.
        found_dead: The container that was adopted, if it lived no more then.
    """

    def __init__(self, spec: AttemptSpec, rooms: Rooms, known: Known) -> None:
        self.space = Workspace(spec.box, rooms.home / "w" / spec.box)
        self.existed = False
        self.found_dead: str | None = None
        self.disk = spec.task.limits.disk
        self._spec = spec
        self._rooms = rooms
        self._known = known
        self._git_dir = Path(spec.source.git_dir)
        self._store: BaseStore | None = None
        self._first: str | None = None
        self._reached = False
        self._started: set[str] = set()

    @property
    def base(self) -> BaseStore:
        """The history that the attempt starts from."""
        if self._store is None:
            bases, history = self._rooms.home / "bases", self._spec.source.history
            self._store = base_store(bases, self._git_dir, self._spec.base, history)
        return self._store

    def adopt(self, known: Known) -> str | None:
        """The box that was started for this attempt and may live on, if there is one.

        An earlier process started it, or this one did before the engine went away; nothing is known to be as
        it was left. None also where its agent waits to go on in another one.

        Args:
            known: What was noted of the attempt until now.

        Raises:
            EngineError: There was one, and it is lost: what it left can still be gathered.
        """
        self._known, self._reached = known, False
        self._started.clear()
        if not known.begun:
            return None
        self.existed = self.existed or self.space.is_whole  # until the engine has said more
        boxes = [box for box in self.boxes() if box.labels.get(names.LABEL_ROLE) == "agent"]
        done = {held.container for held in known.held}
        started = [box for box in boxes if box.started is not None and box.id not in done]
        waits = bool(known.held) and known.began_again is None
        self.existed = bool(started) or (known.running and self.space.root.exists())
        if not started and self.existed and not (waits and self.space.root.exists()):
            raise EngineError("its box was lost while nobody watched it")
        if not started and not waits:
            self._clear_half_made(boxes)
            return None
        self.grant()
        for box in boxes:
            if box not in started:
                self.gone(box.id)
        if not started:
            return None
        if self._spec.post is not None:  # its outbox lies there
            self._reach()
        self.found_dead = None if started[0].alive else started[0].id
        return started[0].id

    def _clear_half_made(self, boxes: list[BoxState]) -> None:
        """Remove what an earlier process left of a box in which nothing ever ran."""
        for box in boxes:
            self.gone(box.id)
        if self.space.root.exists():
            self._rooms.disks.free(self._spec.box)
            workspace.take_down(self.space, self._git_dir, self._rooms.locks)

    def last_measured(self, container: str) -> float | None:
        """When a box of it was measured last, in seconds since the epoch; None if nobody measured it."""
        record = glance(usage_file(self._rooms.home, self._spec.run, self._spec.key))
        if record is None or not record.samples or record.box != container[:12]:
            return None
        return record.began + record.last.at

    def boxes(self, key: AttemptKey | None = None) -> list[BoxState]:
        """All containers of this attempt, or of another try of it."""
        home = names.home_id(str(self._rooms.home))
        filters = names.label_filters(home, self._spec.run, key or self._spec.key)
        return self._rooms.engine.find(filters)

    def prepare(self) -> Launch:
        """Lay out the workspace; returns how the agent is started in it."""
        spec, rooms = self._spec, self._rooms
        self._end_earlier_tries()
        begins = spec.begins
        launch = catalog.launch(
            spec.profile.settings, spec.prompt, spec.run, str(spec.key), resume=begins.session
        )
        inputs = workspace.Inputs(
            spec.prompt, launch.home, spec.include, spec.task.protect, mail=spec.post is not None
        )
        workspace.remember(self.space, spec.run, self._git_dir)
        self._first = workspace.lay_out(
            self.space, self.base, self._git_dir, rooms.locks, inputs, on=begins.on
        )
        start = passing.Start(self._git_dir, spec.base, spec.source.history)
        passing.lay_out(self.space.root / "in" / "passed", start, spec.task.passes, spec.passed)
        self.disk = rooms.disks.make(spec.box, "agent", spec.task.limits.disk, rooms.owner)
        if begins.home is not None:
            archive = (Mount(str(begins.home), kept.ARCHIVE),)
            kept.unpack(rooms.engine, self._keeper(kept.UNPACK, archive))
        return launch

    def _end_earlier_tries(self) -> None:
        """End what may live on of an earlier try, if the engine was away for too long at its end."""
        for number in range(1, self._spec.key.try_):
            for box in self.boxes(replace(self._spec.key, try_=number)):
                self.gone(box.id)

    def keep_home(self) -> bool:
        """Keep HOME for a later try; returns whether it could be."""
        archive = self._rooms.kept_home(self._spec.run, self._spec.key)
        if archive.exists():  # before an earlier process ended
            return True
        if not self.existed:
            return False
        self._rooms.disks.reach(self._spec.box, "agent")
        return kept.pack(self._rooms.engine, self._keeper(kept.PACK), archive)

    def _keeper(self, argv: tuple[str, ...], archive: tuple[Mount, ...] = ()) -> BoxSpec:
        """A container of ours that packs HOME, or lays one out."""
        spec, rooms = self._spec, self._rooms
        mounts = self.space.home_mounts(rooms.disks.seen(spec.box), archive)
        return box_spec(spec, rooms, "gather", argv, {"HOME": "/nonexistent"}, mounts)

    def start(self, launch: Launch) -> str:
        """Start the agent; returns its container."""
        return self._start("work", launch, PROMPT_FILE)

    def start_again(self, session: str | None, told: str = GO_ON) -> str:
        """Start the agent in a new container on the same files; returns that.

        Args:
            session: What it takes up again; without one it begins anew.
            told: What it is told then.
        """
        spec = self._spec
        self._reach()
        workspace.say_more(self.space, told)
        words = spec.prompt if session is None else told
        launch = catalog.launch(spec.profile.settings, words, spec.run, str(spec.key), resume=session)
        return self._start("again", launch, PROMPT_FILE if session is None else MORE_FILE)

    def _start(self, mode: Literal["work", "again"], launch: Launch, words: str) -> str:
        spec, rooms = self._spec, self._rooms
        sockets = self.grant()
        ways_out = proxy_environment() if spec.task.network else {}
        env = {**ways_out, **launch.env, **variables(spec.task.item)}
        if launch.prompt_on_stdin:
            env["CORRAL_STDIN"] = words
        if (launch.forwarder or ways_out) and sockets is not None:
            env["CORRAL_FORWARD_PORT"] = str(FORWARD_PORT)
        if spec.post is not None:
            env["CORRAL_MAIL"] = workspace.MAIL
        has_mail = spec.post is not None
        mounts = self.space.agent_mounts(rooms.disks.seen(spec.box), self.base, sockets, mail=has_mail)
        argv = ("/opt/corral/enter", mode, self._first or self.base.commit, *launch.argv)
        container = rooms.engine.create(box_spec(spec, rooms, "agent", argv, env, mounts))
        self.existed = True
        rooms.engine.start(container)
        self._started.add(container)
        return container

    def grant(self) -> Path | None:
        """Let the box reach its model and its hosts, if it has any; granting again changes nothing."""
        spec, gateway = self._spec, self._rooms.gateway
        if not spec.has_grant or gateway is None:
            return None
        task = spec.task
        return gateway.grant(
            spec.box, *spec.accesses, hosts=task.network, hosted=task.hosted, account=spec.account
        )

    def revoke(self) -> Usage | None:
        """Take back what was granted; returns what it was used for, if there was anything."""
        if not self._spec.has_grant or self._rooms.gateway is None:
            return None
        return self._rooms.gateway.revoke(self._spec.box)

    def postbox(self) -> Postbox:
        """Its mail."""
        spec, rooms = self._spec, self._rooms
        outbox = Outbox(rooms.disks, rooms.steward, spec.box)
        return Postbox(spec.key, spec.post, outbox, self.space.inbox)

    def watch(self, container: str, orders: Orders, known: Known, post: Postbox) -> Watch:
        """The watch over a container of it that runs."""
        spec, rooms = self._spec, self._rooms
        return Watch(
            engine=rooms.engine,
            gateway=rooms.gateway,
            container=container,
            grant=spec.box if spec.has_grant else None,
            limits=spec.task.limits,
            reader=catalog.reader(spec.profile.settings),
            log=rooms.log(spec.run, spec.key),
            orders=orders,
            exceeds=lambda: rooms.disks.exceeds(spec.box, "agent", spec.task.limits.disk),
            mark=self._mark,
            health=spec.task.health,
            nudges=nudges_left(known),
            silence=self._silence(container),
            earlier=earlier(known, time.time()),
            after=known.held[-1].output if known.held else 0,
            asking=post.asking,
            waited=post.waited_since,
            meter=Meter(
                usage_file(rooms.home, spec.run, spec.key),
                container,
                lambda: rooms.disks.used(spec.box, "agent"),
            ),
            attempt=str(spec.key),
            frozen=known.frozen(time.time(), slept()),
            slept=known.slept_before(container),
        )

    def _mark(self) -> tuple[int, ...] | None:
        """Figures of its disk that change when files on it do; None where they are not known."""
        disks, box = self._rooms.disks, self._spec.box
        with contextlib.suppress(EngineError):
            self._reach()
        room = disks.room(box, "agent")
        if room is not None:
            return room.bytes, room.files
        used = disks.used(box, "agent")
        return None if used is None else (used,)

    def _silence(self, container: str) -> float:
        """For how long an earlier process saw no sign of life of a container; 0 for one of this process."""
        if container in self._started:
            return 0.0
        told = signboard.read(self._rooms.home, self._spec.run)
        return next((one.silence or 0.0 for one in told if one.attempt == str(self._spec.key)), 0.0)

    def is_full(self) -> bool:
        """Whether its disk has no room left, as far as that can be told."""
        with contextlib.suppress(EngineError):
            self._reach()
        room = self._rooms.disks.room(self._spec.box, "agent")
        return room is not None and room.is_full

    def _reach(self) -> None:
        """See to it that the disk is there which an earlier process made.

        A box that it left has it anyhow: fifty are watched again before any disk was asked for.
        """
        if self._known.begun and not self._reached:
            self._rooms.disks.reach(self._spec.box, "agent")
            self._reached = True

    def gone(self, container: str) -> None:
        """Remove a container, and wait until nothing of it runs."""
        self._rooms.engine.remove(container)
        self._rooms.engine.wait_gone(container)

    def end(self) -> None:
        """End whatever container of this attempt is left, and revoke what it was granted.

        A gateway that can't answer lets no box live on, and keeps no work from coming home.
        """
        with contextlib.suppress(HostError):
            self.revoke()
        for box in self.boxes():
            self.gone(box.id)

    def take_down(self) -> None:
        """Remove the workspace, if there is one, with all that is in it and whatever still has it mounted.

        That is a container whose end a killed process did not live to see, such as one that packed HOME.
        """
        if not (self.space.root.exists() or self.space.note.exists()):
            return
        for box in self.boxes():
            self.gone(box.id)
        self._rooms.disks.free(self._spec.box)
        workspace.take_down(self.space, self._git_dir, self._rooms.locks)
        workspace.forget(self.space)
