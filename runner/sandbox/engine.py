"""The container engine: the only module that speaks Docker.

Thin and typed: each function is one thing asked of the engine. What to ask is decided elsewhere
(`box`, `layers`). Every failure of the engine becomes an `EngineError`, so callers handle one kind.
The API version is negotiated; nothing above 1.41 (engine 20.10) is used.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any, TypeVar

import docker
import docker.errors
import docker.utils.build
import docker.utils.socket
import requests.exceptions
import urllib3.exceptions

from runner.errors import EngineAwayError, EngineError, ImageError, ImageGoneError
from runner.sandbox import absent
from runner.sandbox.box import BoxSpec, create_arguments
from runner.sandbox.facts import BoxState as BoxState  # noqa: PLC0414 - callers find the values here too
from runner.sandbox.facts import EngineFacts as EngineFacts  # noqa: PLC0414 - as above
from runner.sandbox.facts import ImageFacts as ImageFacts  # noqa: PLC0414 - as above
from runner.sandbox.facts import box_state, engine_facts, image_facts
from runner.sandbox.progress import Progress
from runner.sandbox.talk import Talk

T = TypeVar("T")
_MISSING = (docker.errors.NotFound, docker.errors.ImageNotFound)


class Engine:
    """A connection to the engine; safe to use from several threads. Close it, or use it as a context."""

    def __init__(self, environment: Mapping[str, str], timeout: float = 60) -> None:
        """Connect.

        Args:
            environment: Where `DOCKER_HOST`, `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` are looked up.
            timeout: Seconds that one answer may take.

        Raises:
            EngineError: No engine answers.
        """
        try:
            self._client = docker.from_env(
                version="auto", timeout=int(timeout), environment=dict(environment), max_pool_size=64
            )
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            why, cure = absent.explain(environment, error, _reason(error))
            raise EngineError(f"no container engine answers: {why}", cure=cure) from error
        self._api = self._client.api
        self._environment = dict(environment)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the engine itself

    def facts(self) -> EngineFacts:
        """Ask what the engine is and has."""
        with _asking("describe itself"):
            info = self._api.info()
            version = self._api.version()
        return engine_facts(info, version)

    def answers(self, patience: float = 5) -> bool:
        """Whether it answers in so many seconds, on a new connection: an engine that goes down takes none."""
        version, environment = self._api.api_version, self._environment
        client = docker.from_env(version=version, timeout=patience, environment=environment)
        with contextlib.closing(client), contextlib.suppress(EngineError), _asking("answer"):
            return bool(client.ping())
        return False

    # -- containers

    def create(self, spec: BoxSpec) -> str:
        """Create a container, not yet started, and return its id; `ImageGoneError`: no such image."""
        with _asking(f"create the container {spec.name}", image=spec.image):
            answer = self._api.create_container_from_config(create_arguments(spec), spec.name)
        return str(answer["Id"])

    def start(self, container: str) -> None:
        """Start a created container."""
        with _asking("start a container"):
            self._api.start(container)

    def attach(self, container: str) -> Iterator[tuple[bytes | None, bytes | None]]:
        """Stream (stdout, stderr) chunks from now on, until the container ends. Attach before `start`."""
        with _asking("attach to a container"):
            response = self._api._post(  # noqa: SLF001 - `attach()` never closes its connection
                self._api._url("/containers/{0}/attach", container),  # noqa: SLF001 - as above
                params={"stream": 1, "stdout": 1, "stderr": 1, "logs": 0},
                stream=True,
                timeout=None,
            )
            self._api._raise_for_status(response)  # noqa: SLF001 - as above
        return _while_asking("read a container's output", _frames(response))

    def hold_stdin(self, container: str) -> Callable[[], None]:
        """Keep a container's standard input open; calling what is returned, or dying, ends it there."""
        with _asking("attach to a container's input"):
            stream = self._api.attach_socket(container, params={"stdin": 1, "stream": 1})
        close: Callable[[], None] = stream._response.close  # noqa: SLF001 - the stream's leaves the connection
        return close

    def talk(self, container: str) -> Talk:
        """A container's terminal: what it prints from now on, and what is typed there. Before `start`."""
        with _asking("attach to a container's terminal"):
            params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            return Talk(self._api.attach_socket(container, params=params))

    def resize(self, container: str, rows: int, columns: int) -> None:
        """Tell a container how large its terminal is; one that isn't running is left as it is."""
        self._unless_gone(
            lambda: self._api.resize(container, rows, columns), "resize a terminal", also=(409, 500)
        )

    def follow(self, container: str) -> Iterator[tuple[bytes | None, bytes | None]]:
        """Stream a container's kept output, from its start until it ends."""
        with _asking("follow a container's output"):
            response = self._client.api._get(  # noqa: SLF001 - `logs()` offers no split of the two streams
                self._api._url("/containers/{0}/logs", container),  # noqa: SLF001 - as above
                params={"stdout": 1, "stderr": 1, "follow": 1, "timestamps": 0},
                stream=True,
                timeout=None,
            )
            self._api._raise_for_status(response)  # noqa: SLF001 - as above
        return _while_asking("read a container's output", _frames(response))

    def inspect(self, container: str) -> BoxState | None:
        """The container's state, or None if the engine doesn't have it."""
        try:
            with _asking("inspect a container"):
                return box_state(self._api.inspect_container(container))
        except EngineError as error:
            if isinstance(error.__cause__, _MISSING):
                return None
            raise

    def find(self, filters: list[str]) -> list[BoxState]:
        """All containers, running or not, that carry every one of these labels (`names.label_filters`)."""
        with _asking("list containers"):
            rows = self._api.containers(all=True, filters={"label": filters})
        states = (self.inspect(row["Id"]) for row in rows)
        return [state for state in states if state is not None]

    def running(self, filters: list[str]) -> dict[str, str]:
        """The state, in a word, of each container that runs and carries every one of these labels."""
        with _asking("list containers"):
            rows = self._api.containers(filters={"label": filters})
        return {str(row["Id"]): str(row.get("State") or "running") for row in rows}

    def kill(self, container: str, signal: str = "SIGKILL") -> None:
        """Send a signal to the main process; a container that isn't running is left as it is."""
        self._unless_gone(lambda: self._api.kill(container, signal), "kill a container", also=(409,))

    def pause(self, container: str) -> None:
        """Freeze all processes of a container: they keep their memory, and get no CPU until `unpause`.

        One that is frozen already, does not run any more, or is gone is left as it is.

        Raises:
            EngineError: It could not be frozen, and may go on running.
        """
        self._unless_gone(lambda: self._api.pause(container), "pause a container", also=(409,))

    def unpause(self, container: str) -> None:
        """Let a frozen container go on; one that is not frozen, or is gone, is left as it is.

        Raises:
            EngineError: It could not be thawed, and may be frozen still.
        """
        if (state := self.inspect(container)) is not None and state.status == "paused":
            self._unless_gone(lambda: self._api.unpause(container), "unpause a container", also=(409,))

    def remove(self, container: str) -> None:
        """Kill and remove a container with its anonymous volumes; one that is gone already is fine."""
        self._unless_gone(
            lambda: self._api.remove_container(container, v=True, force=True),
            "remove a container",
            also=(409,),
        )

    def wait_gone(self, container: str, timeout: float = 20) -> None:
        """Wait until the engine no longer knows the container.

        Raises:
            EngineError: It is still there after `timeout` seconds.
        """
        until = time.monotonic() + timeout
        while self.inspect(container) is not None:
            if time.monotonic() > until:
                raise EngineError(f"the container {container[:12]} is still there after {timeout:.0f} s")
            time.sleep(0.05)

    def wait_ended(self, container: str, timeout: float = 10) -> BoxState | None:
        """The state once the engine has noted the end, which comes just after the output's; None if gone."""
        until = time.monotonic() + timeout
        while True:
            state = self.inspect(container)
            if state is None or not state.alive or time.monotonic() > until:
                return state
            time.sleep(0.02)

    def execute(self, container: str, argv: list[str]) -> tuple[int, str]:
        """Run a command in a steward of ours; never used on a box. Returns exit code and output."""
        with _asking("run a command in the steward"):
            made = self._api.exec_create(container, argv)["Id"]
            response = self._api._post_json(  # noqa: SLF001 - `exec_start()` loses what came with the headers
                self._api._url("/exec/{0}/start", made),  # noqa: SLF001 - docker-py issue 3332
                data={"Tty": False, "Detach": False},
                stream=True,
                timeout=None,
            )
            self._api._raise_for_status(response)  # noqa: SLF001 - as above
            output = b"".join(out or err or b"" for out, err in _frames(response))
            code = self._api.exec_inspect(made)["ExitCode"]
        if code is None:
            raise EngineAwayError("the engine broke off a command in the steward")
        return int(code), output.decode(errors="replace")

    def usage(self, container: str) -> Mapping[str, Any] | None:
        """One reading of the engine's own statistics, or None if the container is gone."""
        try:
            with _asking("read statistics"):
                answer: Mapping[str, Any] = self._api.stats(container, stream=False, one_shot=True)
                return answer
        except EngineError:
            return None

    # -- volumes

    def make_volume(self, name: str, options: Mapping[str, str], labels: Mapping[str, str]) -> str:
        """The directory at which the engine mounts a volume of its local driver, made where it is missing."""
        with _asking(f"make the volume {name}"):
            made = self._api.create_volume(name, "local", dict(options), dict(labels))
        return str(made["Mountpoint"])

    def find_volumes(self, filters: list[str]) -> dict[str, Mapping[str, str]]:
        """All volumes that carry every one of these labels: each name with its labels."""
        with _asking("list volumes"):
            rows = self._api.volumes(filters={"label": filters})["Volumes"] or []
        return {row["Name"]: row.get("Labels") or {} for row in rows}

    def remove_volume(self, name: str) -> None:
        """Remove a volume; one that is gone already is fine.

        Raises:
            EngineError: A container still uses it.
        """
        self._unless_gone(lambda: self._api.remove_volume(name), f"remove the volume {name}", also=())

    # -- images

    def image(self, reference: str) -> ImageFacts | None:
        """The image of that name or id, or None if the engine doesn't hold it."""
        try:
            with _asking(f"inspect the image {reference}"):
                return image_facts(self._api.inspect_image(reference))
        except EngineError as error:
            if isinstance(error.__cause__, _MISSING):
                return None
            raise

    def images(self, label: str) -> list[ImageFacts]:
        """All tagged images that carry this label."""
        with _asking("list images"):
            rows = self._api.images(filters={"label": [label]})
        found = (self.image(row["Id"]) for row in rows)
        return [facts for facts in found if facts is not None]

    def build(
        self,
        context: Iterable[bytes],
        tag: str,
        *,
        dockerfile: str = "Dockerfile",
        labels: Mapping[str, str],
        args: Mapping[str, str] | None = None,
        target: str | None = None,
        on_line: Callable[[str], None] = lambda _: None,
    ) -> str:
        """Build an image from a tar stream with the engine's own builder and return its id.

        Args:
            context: An uncompressed tar of the build context, in pieces; read once, as it is sent.
            tag: What the image is called.
            dockerfile: The Dockerfile's path inside the context.
            labels: Labels of the image.
            args: Build arguments; never secrets, since they stay in the image's history.
            target: The Dockerfile's stage to stop at; None for the last.
            on_line: Called with each line of output as it comes.

        Raises:
            ImageError: A step failed; the error carries the last lines of output.
        """
        with _asking(f"build the image {tag}"):
            messages = self._api.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                dockerfile=dockerfile,
                labels=dict(labels),
                buildargs=dict(args or {}),
                target=target,
                rm=True,
                forcerm=True,
                decode=True,
                timeout=24 * 3600,
            )
        progress = _relay(_while_asking(f"build the image {tag}", messages), on_line)
        if progress.error is not None:
            self._drop_unfinished(progress.step)
            raise ImageError(f"building {tag} failed: {progress.error}", log=progress.last)
        return self._built(tag)

    def import_tar(self, stream: IO[bytes], repository: str, tag: str, changes: list[str]) -> str:
        """Make an image of one layer from a tar of a root file system; returns its id."""
        with _asking(f"import the image {repository}:{tag}"):
            self._api.import_image_from_stream(stream, repository=repository, tag=tag, changes=changes)
        return self._built(f"{repository}:{tag}")

    def pull(self, reference: str, on_line: Callable[[str], None] = lambda _: None) -> str:
        """Pull an image; returns its id.

        Raises:
            ImageError: It doesn't exist, or no registry answers.
        """
        try:
            messages = self._api.pull(reference, stream=True, decode=True)
            progress = _relay(_while_asking(f"pull {reference}", messages), on_line)
        except (docker.errors.DockerException, requests.exceptions.RequestException, EngineError) as error:
            raise ImageError(f"can't pull {reference}: {_reason(error)}") from error
        if progress.error is not None:
            raise ImageError(f"pulling {reference} failed: {progress.error}", log=progress.last)
        return self._built(reference)

    def remove_image(self, reference: str) -> bool:
        """Remove an image; False if something still uses it, or it is gone."""
        try:
            with _asking(f"remove the image {reference}"):
                self._api.remove_image(reference)
        except EngineError as error:
            if isinstance(error.__cause__, docker.errors.APIError):
                return False
            raise
        return True

    # -- inside

    def _drop_unfinished(self, step: str | None) -> None:
        """Remove what a failed build had made so far; its parent has a name, so it stays."""
        made = self.image(step) if step else None
        if made is not None and not made.tags:
            self.remove_image(made.id)

    def _built(self, reference: str) -> str:
        facts = self.image(reference)
        if facts is None:
            raise ImageError(f"the engine reported success, but has no image {reference}")
        return facts.id

    @staticmethod
    def _unless_gone(call: Callable[[], object], what: str, also: tuple[int, ...] = ()) -> None:
        try:
            with _asking(what):
                call()
        except EngineError as error:
            cause = error.__cause__
            if isinstance(cause, _MISSING):
                return
            if isinstance(cause, docker.errors.APIError) and cause.status_code in also:
                return
            raise


def context_filter(ignore: str) -> Callable[[str], bool]:
    """Which paths of a build context are sent, by the text of its `.dockerignore`.

    The engine itself doesn't apply that file to a context that it gets as a stream.
    """
    lines = (line.strip() for line in ignore.removeprefix("\ufeff").splitlines())
    matcher = docker.utils.build.PatternMatcher([line for line in lines if line and not line.startswith("#")])
    return lambda path: not matcher.matches(path)


@contextlib.contextmanager
def _asking(what: str, image: str = "") -> Iterator[None]:
    try:
        yield
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        ConnectionError,
    ) as error:
        words = f"the engine could not {what}: {_reason(error)}"
        if image and isinstance(error, docker.errors.ImageNotFound):
            raise ImageGoneError(words, image) from error
        said = isinstance(error, docker.errors.DockerException)  # else nobody said anything
        raise (EngineError if said else EngineAwayError)(words, cure="`corral doctor`") from error


def _while_asking(what: str, items: Iterator[T]) -> Iterator[T]:
    with _asking(what):
        yield from items


def _reason(error: Exception) -> str:
    if isinstance(error, docker.errors.APIError) and error.explanation:
        return str(error.explanation)
    return str(error) or type(error).__name__


def _relay(messages: Iterator[Mapping[str, Any]], on_line: Callable[[str], None]) -> Progress:
    """Follow a build or a pull to its end, also after an error: only then is the connection given back."""
    progress = Progress()
    for message in messages:
        for line in progress.take(message):
            on_line(line)
    return progress


def _frames(response: requests.Response) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Split the engine's multiplexed stream: 8 bytes of header (stream, 0, 0, 0, length), then data.

    Source: Docker Engine API 1.41, "Attach to a container", stream format.
    """
    raw = response.raw
    try:
        while len(header := raw.read(8)) == 8:
            data = raw.read(int.from_bytes(header[4:], "big"))
            yield (None, data) if header[0] == 2 else (data, None)
    finally:
        response.close()
