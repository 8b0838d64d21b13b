"""Images built by a real engine: the chain, setup and what it keeps, the user's own images, pruning."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from runner.errors import ImageError, UsageError
from runner.git.base_store import BaseStore
from runner.sandbox.box import MIB, BoxSpec, Mount
from runner.sandbox.engine import Engine
from runner.sandbox.images import Images
from runner.settings import BOX_UID
from runner.tasks.plan import ImageSpec, Source
from tests.conftest import FULL

pytestmark = pytest.mark.engine

PLAIN: dict[str, str] = {"README": "x\n"}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(os.environ) as connection:
        yield connection


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def images_of(engine: Engine, home: Path) -> Images:
    bundle = os.environ.get("SSL_CERT_FILE")
    return Images(engine, home, BOX_UID, files_of, Path(bundle) if bundle else None)


@pytest.fixture
def images(engine: Engine, home: Path) -> Images:
    return images_of(engine, home)


def files_of(source: Source) -> BaseStore:
    return BaseStore(Path(source.git_dir), source.base)


@pytest.fixture
def repository(tmp_path: Path, engine: Engine, images: Images) -> Iterator[Any]:
    """Makes sources of one-commit repositories; what was built for them is removed afterwards."""
    sources: list[Source] = []

    def make(files: Mapping[str, str], **more: Any) -> Source:
        sources.append(commit(tmp_path / f"repo{len(sources)}", files, **more))
        return sources[-1]

    yield make
    for source in sources:
        rows = images.describe(source, None)
        for row in reversed([row for row in rows if row.layer not in {"image", "base"}]):
            if row.tag and not is_shared(row.tag, images, tmp_path):
                engine.remove_image(row.tag)


def is_shared(tag: str, images: Images, tmp_path: Path) -> bool:
    """Whether an image is the default one, which other tests and real runs use too."""
    plain = Source(repo="/", git_dir=str(tmp_path), base="0" * 40, base_name="HEAD")
    return tag in {row.tag for row in images.describe(plain, None)}


def commit(folder: Path, files: Mapping[str, str], **more: Any) -> Source:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        command = ["git", "-C", str(folder), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    folder.mkdir()
    git("init", "-q")
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            (folder / name).symlink_to(content.removeprefix("-> "))
        else:
            (folder / name).write_text(content)
    git("add", "-A", "-f")
    git("commit", "-q", "-m", "base")
    return Source(
        repo=str(folder),
        git_dir=str(folder / ".git"),
        base=git("rev-parse", "HEAD"),
        base_name="HEAD",
        **more,
    )


def box_spec(
    image: str, script: str, mounts: tuple[Mount, ...] = (), labels: Mapping[str, str] | None = None
) -> BoxSpec:
    """A box that runs a script as the box's uid."""
    name = f"corral-test-{uuid.uuid4().hex[:12]}"
    env = {"HOME": "/home/agent"}
    argv = ("/bin/sh", "-c", script)
    return BoxSpec(
        name, image, argv, dict(labels or {}), BOX_UID, 1.0, 512 * MIB, 128, mounts=mounts, env=env
    )


def run(engine: Engine, image: str, script: str, mounts: tuple[Mount, ...] = ()) -> tuple[int, str]:
    """Run a script in a box as the box's uid; its exit code and output."""
    box = engine.create(box_spec(image, script, mounts))
    try:
        output = engine.attach(box)
        engine.start(box)
        text = b"".join((out or b"") + (err or b"") for out, err in output).decode()
        state = engine.inspect(box)
        assert state is not None
        assert state.exit_code is not None
        return state.exit_code, text
    finally:
        engine.remove(box)


def succeed(engine: Engine, image: str, script: str, mounts: tuple[Mount, ...] = ()) -> str:
    code, text = run(engine, image, f"set -e\n{script}", mounts)
    assert code == 0, text
    return text


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Mount]:
    """A directory for /workspace that the box may write; scripts leave it as empty as they found it."""
    place = tmp_path / "workspace"
    place.mkdir()
    place.chmod(0o777)
    yield Mount(str(place), "/workspace", read_only=False)
    assert list(place.iterdir()) == []


def test_the_default_image_is_made_once_and_fits_a_box(
    engine: Engine, images: Images, repository: Any
) -> None:
    source = repository(PLAIN)
    image = images.prepare(source, None)
    assert [row.exists for row in images.describe(source, None)] == [True, True, True]
    said: list[str] = []
    assert images.prepare(source, None, said.append) == image
    assert said == []
    script = """
    test "$(whoami)" = agent && test "$(id -u)" = "$(id -g)"
    test "$(cd && pwd)" = /home/agent
    python -c 'import venv, ssl'; git --version; socat -V; rg --version; pip --version; make --version
    test -x /opt/corral/enter && test -d /gitdir && test -d /base && test -d /run/gw && test -d /run/corral
    test ! -e /opt/corral/build-ca.crt && test ! -e /opt/corral/prepare
    test -z "$PIP_CERT$SSL_CERT_FILE$NODE_EXTRA_CA_CERTS$GIT_SSL_CAINFO"
    """
    succeed(engine, image, script)


def test_the_steward_has_git_and_its_scripts(engine: Engine, images: Images) -> None:
    image = images.steward()
    assert image == images.steward()
    succeed(engine, image, "git --version; test -x /opt/corral/gather.sh; test ! -e /opt/corral/build-ca.crt")


def test_claude_code_runs_in_its_layer(engine: Engine, home: Path, images: Images, repository: Any) -> None:
    image = images.prepare(repository(PLAIN), "claude")
    assert "2.1.329" in succeed(engine, image, "claude --version")
    program = home / "cache" / "cli"
    assert not program.exists() or list(program.glob(".new-*")) == []


PACKAGE = {
    "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
    '[project]\nname = "small"\nversion = "1"\n[tool.setuptools.packages.find]\nwhere = ["src"]\n',
    "src/small/__init__.py": "WORD = 'from the image'\n",
    ".gitignore": "*.egg-info/\n.venv/\nkept*\n",
}
EDIT = "mkdir -p src/small && echo \"WORD = 'from the workspace'\" > src/small/__init__.py"


def test_an_editable_install_uses_the_workspace(
    engine: Engine, images: Images, repository: Any, workspace: Mount
) -> None:
    image = images.prepare(repository(PACKAGE, setup=("pip install -e .",)), None)
    script = f"cd /workspace; {EDIT}; python -c 'import small; print(small.WORD)'; rm -rf src"
    assert "from the workspace" in succeed(engine, image, script, (workspace,))


def test_a_virtual_environment_in_the_tree_is_kept_and_works(
    engine: Engine, images: Images, repository: Any, workspace: Mount
) -> None:
    setup = ("python -m venv .venv && .venv/bin/pip install -e . iniconfig",)
    image = images.prepare(repository(PACKAGE, setup=setup), None)
    script = f"""
    cp -R /opt/corral/kept/. /workspace/; cd /workspace; {EDIT}
    .venv/bin/python -c 'import iniconfig, small; print(small.WORD)'
    test "$(stat -c %u /opt/corral/kept/.venv/bin/pip)" = "$(id -u)"
    rm -rf src .venv
    """
    assert "from the workspace" in succeed(engine, image, script, (workspace,))


def test_what_git_ignores_is_kept_with_its_links_and_the_rest_goes(
    engine: Engine, images: Images, repository: Any
) -> None:
    files = PACKAGE | {"deep/er/file": "x", "kept-tracked": "1", "link": "-> /etc/passwd"}
    setup = (
        "test -d .git && git status --porcelain && git log --oneline",
        'test -L link && test "$(cat kept-tracked)" = 1',
        "echo a > 'deep/er/kept\nodd' && ln -s /etc/shadow kept-link && echo b > /srv/outside",
        "echo 2 > kept-tracked && echo x > left-behind && rm -r src && ln -s /etc src",
        "git config core.hooksPath /x && echo '!kept*' >> .gitignore && git checkout -q .gitignore",
    )
    said: list[str] = []
    image = images.prepare(repository(files, setup=setup), None, said.append)
    script = """
    cd /opt/corral; find kept | sort | tr '\\n' ' '
    test "$(readlink kept/kept-link)" = /etc/shadow; test -f /srv/outside; test -f /etc/passwd
    test "$(ls -A /workspace | wc -l)" = 0; test ! -e setup; test ! -e build-ca.crt
    """
    found = succeed(engine, image, script)
    kept = ["kept", "kept/deep", "kept/deep/er", "kept/deep/er/kept", "kept/kept-link", "odd"]
    assert found.split() == kept
    assert any("left-behind, which git does not ignore" in line for line in said)


def test_setup_that_fails_says_step_code_and_last_lines(images: Images, repository: Any) -> None:
    with pytest.raises(ImageError, match="step 02 ended with exit code 7: echo too bad") as caught:
        images.prepare(repository(PLAIN, setup=("true", "echo too bad; exit 7")), None)
    assert "too bad" in caught.value.log
    assert caught.value.cure


def test_setup_sees_no_standard_input_and_stops_at_the_first_error(images: Images, repository: Any) -> None:
    with pytest.raises(ImageError, match="step 01"):
        images.prepare(repository(PLAIN, setup=("cat; false\ntrue",)), None)


DOCKERFILE = (
    'ARG V=x\nFROM {base}\nARG V\nCOPY . /ctx\nRUN useradd -m dev && echo $V > /v\nENTRYPOINT ["false"]\n'
)


@pytest.fixture
def base(images: Images) -> str:
    """An image without git and socat."""
    images.steward()
    return str(images.describe_steward()[0].tag)


@pytest.fixture
def dev(images: Images, repository: Any) -> str:
    """An image that has what boxes need, so that nothing must be installed."""
    source = repository(PLAIN)
    images.prepare(source, None)
    return str(images.describe(source, None)[1].tag)


def test_an_image_of_the_repository_s_own(engine: Engine, images: Images, repository: Any, base: str) -> None:
    files = {
        "ci/Dockerfile": DOCKERFILE.format(base=base),
        "ci/.dockerignore": "secret*\n",
        "ci/secret.txt": "x",
        "ci/a b": "x",
        "else": "",
    }
    image = images.prepare(repository(files, image=ImageSpec(kind="build", path="ci")), None)
    found = succeed(engine, image, "ls -A /ctx; cat /v; whoami; git --version; socat -V | head -n 1")
    assert "a b" in found
    assert "secret" not in found
    assert "else" not in found
    assert "agent" in found


def test_a_dev_container_with_a_user_of_its_own(
    engine: Engine, images: Images, repository: Any, dev: str
) -> None:
    text = """{ // for people
        "build": {"dockerfile": "D", "context": "..", "args": {"V": "from args"}},
        "containerEnv": {"GREETING": "it's \\"$HOME\\""}, "remoteUser": "dev",
        "postCreateCommand": {"a": "whoami > kept-user; git status; echo $HOME >> kept-user",
                              "b": ["touch", "/home/dev/b b"]},
    }"""
    files = {
        ".devcontainer/devcontainer.json": text,
        ".devcontainer/D": DOCKERFILE.format(base=dev),
        ".gitignore": "kept*\n",
    }
    source = repository(files, image=ImageSpec(kind="devcontainer"), setup=("whoami > kept-root",))
    image = images.prepare(source, None)
    found = succeed(engine, image, 'cat /v /opt/corral/kept/*; ls /home/dev; echo "$GREETING"')
    assert found.split("\n")[:6] == ["from args", "root", "dev", "/home/dev", "b b", 'it\'s "$HOME"']


def test_a_user_that_the_image_does_not_have(images: Images, repository: Any, dev: str) -> None:
    text = f'{{"image": "{dev}", "remoteUser": "nobodyhere", "postCreateCommand": "true"}}'
    with pytest.raises(ImageError, match="no user nobodyhere"):
        images.prepare(repository({".devcontainer.json": text}, image=ImageSpec(kind="devcontainer")), None)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("VOLUME /data", "VOLUME /data"),
        ("ENV GIT_DIR=/x", "GIT_DIR"),
        ("ENV GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=core.fsmonitor GIT_CONFIG_VALUE_0=/x", "GIT_CONFIG_COUNT"),
        ("ONBUILD RUN touch /x", "ONBUILD"),
        ("WORKDIR /proc/self/fd/8", "WORKDIR"),
        ("RUN exit 3", "non-zero code: 3"),
    ],
)
def test_an_image_that_does_not_fit_is_refused_each_time(
    images: Images, repository: Any, dev: str, lines: str, words: str
) -> None:
    source = repository({"Dockerfile": f"FROM {dev}\n{lines}\n"}, image=ImageSpec(kind="build", path="."))
    for _ in range(2):
        with pytest.raises((UsageError, ImageError), match=words):
            images.prepare(source, None)


def nameless_volumes(engine: Engine) -> set[str]:
    """Volumes that an image made the engine make: it calls them by 64 digits."""
    names = (row["Name"] for row in engine._api.volumes()["Volumes"] or ())
    return {name for name in names if len(name) == 64}


HOSTILE = """FROM {base}
RUN mkdir -p /evil && printf '#!/bin/sh\\ntouch /tmp/ran\\n"$@"\\n' > /evil/run && chmod 755 /evil/run
HEALTHCHECK --interval=1s CMD touch /tmp/ran-health
ENTRYPOINT ["/evil/run"]
CMD ["/evil/run", "sleep", "1000"]
ENV LD_PRELOAD=/evil/none.so LD_AUDIT=/evil/none.so HTTPS_PROXY=http://192.0.2.1:1 http_proxy=http://192.0.2.1:1
ENV HOME=/evil LD_LIBRARY_PATH=/opt/lib
STOPSIGNAL SIGUSR1
EXPOSE 80
LABEL corral.role=agent corral.run=other
USER 0
WORKDIR /evil
"""


def test_what_an_image_brings_is_neutralised(
    engine: Engine, images: Images, repository: Any, dev: str
) -> None:
    source = repository({"Dockerfile": HOSTILE.format(base=dev)}, image=ImageSpec(kind="build", path="."))
    image = images.prepare(source, None)
    volumes = nameless_volumes(engine)
    script = """sleep 1.5; ls /tmp; id -u; pwd
    echo "[$LD_PRELOAD$LD_AUDIT$HTTPS_PROXY$http_proxy] $LD_LIBRARY_PATH"
    """
    labels = {"corral.role": "check", "corral.run": "mine"}
    spec = box_spec(image, script, labels=labels)
    box = engine.create(spec)
    try:
        output = engine.attach(box)
        engine.start(box)
        said = b"".join(out or err or b"" for out, err in output).decode()
        told = engine._api.inspect_container(box)
    finally:
        engine.remove(box)
    assert said.split() == [str(BOX_UID), "/workspace", "[]", "/opt/lib"]
    config = told["Config"]
    assert told["Mounts"] == []
    assert config["Entrypoint"] in ([""], [], None)
    assert config["Cmd"] == ["/bin/sh", "-c", script]
    assert config["Healthcheck"]["Test"] == ["NONE"]
    assert "Health" not in told["State"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["User"] == f"{BOX_UID}:{BOX_UID}"
    assert config["WorkingDir"] == "/workspace"
    assert not config.get("Volumes")
    assert {name: config["Labels"][name] for name in labels} == labels
    assert not told["NetworkSettings"]["Ports"]
    assert nameless_volumes(engine) <= volumes


def test_an_image_without_a_shell_is_refused_with_a_cure(images: Images, repository: Any) -> None:
    source = repository({"Dockerfile": "FROM scratch\nCOPY . /\n"}, image=ImageSpec(kind="build", path="."))
    with pytest.raises(ImageError) as caught:
        images.prepare(source, None)
    assert "a shell" in str(caught.value.cure)


def test_an_image_by_name_that_nobody_has(images: Images, repository: Any) -> None:
    name = f"corral-test.invalid/none:{uuid.uuid4().hex[:8]}"
    source = repository(PLAIN, image=ImageSpec(kind="name", name=name))
    rows = images.describe(source, "claude")
    assert [(row.layer, row.tag, row.exists) for row in rows] == [("image", name, False), ("…", None, False)]
    with pytest.raises(ImageError, match="can't pull"):
        images.prepare(source, None)


def test_callers_side_by_side_build_once(engine: Engine, home: Path, repository: Any) -> None:
    source = repository(PLAIN, setup=(f"sleep 1; echo {uuid.uuid4().hex}",))
    said: list[str] = []
    made: list[str] = []

    def prepare() -> None:
        made.append(images_of(engine, home).prepare(source, None, said.append))

    threads = [threading.Thread(target=prepare) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 3
    assert len(set(made)) == 1
    assert sum(line.startswith("building corral-setup:") for line in said) == 1


def test_an_image_in_use_is_not_removed_and_a_failed_build_leaves_nothing(
    engine: Engine, images: Images, repository: Any
) -> None:
    source = repository(PLAIN, setup=(f"echo {uuid.uuid4().hex}",))
    images.prepare(source, None)
    tag = str(images.describe(source, None)[-1].tag)
    box = engine.create(
        BoxSpec(f"corral-test-{uuid.uuid4().hex[:12]}", tag, ("true",), {}, 1, 1.0, 64 * MIB, 8)
    )
    try:
        assert not engine.remove_image(tag)
    finally:
        engine.remove(box)
    assert engine.remove_image(tag)
    assert not engine.remove_image(tag)
    steps: list[str] = []
    with pytest.raises(ImageError):
        images.prepare(repository(PLAIN, setup=(f"false {uuid.uuid4().hex}",)), None, steps.append)
    made = [line.removeprefix(" ---> ") for line in steps if re.match(" ---> [0-9a-f]{12}$", line)]
    assert made
    assert engine.image(made[-1]) is None  # those before it are shared with other builds of the same parent


@pytest.mark.skipif(not FULL, reason="it installs 300 packages; a virtual environment is kept the same way")
def test_node_modules_in_the_tree_are_kept(
    engine: Engine, images: Images, repository: Any, dev: str, workspace: Mount
) -> None:
    """The one test that installs a language: npm, from the distribution."""
    files = {
        "ci/Dockerfile": f"FROM {dev}\nRUN apt-get update && apt-get install -y --no-install-recommends "
        "nodejs npm && rm -rf /var/lib/apt/lists/*\n",
        "package.json": '{"name": "a", "version": "1.0.0", "dependencies": {"is-number": "7.0.0"}}',
        "package-lock.json": LOCK,
        ".gitignore": "node_modules\n",
    }
    source = repository(files, image=ImageSpec(kind="build", path="ci"), setup=("npm ci",))
    image = images.prepare(source, None)
    script = """cp -R /opt/corral/kept/. /workspace/; cd /workspace
    node -e 'console.log("is", require("is-number")(7))'; rm -rf node_modules"""
    assert "is true" in succeed(engine, image, script, (workspace,))


LOCK = """{"name": "a", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {
"": {"name": "a", "version": "1.0.0", "dependencies": {"is-number": "7.0.0"}},
"node_modules/is-number": {"version": "7.0.0",
"integrity": "INTEGRITY"}}}
""".replace(
    "INTEGRITY",
    "sha512-41Cifkg6e8TylSpdtTpeLVMqvSBEVzTttHvERD741+pnZ8ANv0004MRL43QKPDlK9cGvNp6NZWZUBlbGXYxxng==",
)
