"""The command line: help, errors with their cures and exit codes, and what programs read from it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner, Result

from runner import cli
from runner.errors import UsageError
from runner.names import AttemptKey
from runner.sandbox.output import READY
from runner.supervisor import events as e
from runner.supervisor.attempt.spec import log_file
from runner.supervisor.journal import Journal
from runner.tasks.plan import PlannedAttempt
from tests.support import Corral, git, make_repo, tree_hashes
from tests.unit.makers import life, make_plan

NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
FILE = "agents: {a: {cli: command, run: make}}\ntasks:\n  - {id: t, check: make test}\n"
COMMANDS = [
    *(["init"], ["doctor"], ["selfcheck"], ["schema"]),
    *(["plan"], ["run"], ["resume"], ["status"], ["top"], ["logs"], ["show"]),
    *(
        ["diff"],
        ["take"],
        ["discard"],
        ["integrate"],
        ["pr"],
        ["report"],
        ["compare"],
        ["history"],
        ["replay"],
        ["reap"],
        ["image"],
        ["gateway"],
    ),
    *(["notify"], ["notify", "test"]),
    *(["attach"], ["wait"], ["stop"], ["pause"], ["unpause"], ["shell"], ["retry"], ["decide"]),
    *(["image", "build"], ["image", "list"], ["image", "prune"]),
    *(["gateway", "status"], ["gateway", "stop"], ["gateway", "login"]),
    *(["inbox"], ["inbox", "show"], ["inbox", "answer"]),
]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_repo(tmp_path / "repo", {"a.txt": "one\n", "corral.yaml": FILE})


def call(home: Path, *arguments: str | Path) -> Result:
    """The command in this process, where no engine answers and no key is set."""
    ours = ("ANTHROPIC_", "CLAUDE_", "CORRAL_", "OPENAI_", "GEMINI_", "GOOGLE_")
    keys = {name: None for name in os.environ if name.startswith(ours)}
    environment = {**keys, **NO_ENGINE, "CORRAL_HOME": str(home), "CORRAL_CONFIG": os.devnull}
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], env=environment)


@pytest.fixture
def past(home: Path, repo: Path) -> None:
    """A journal with two runs: one that ended, and `r-live`, which has not."""
    plan = make_plan(PlannedAttempt(task="good", profile="p"), PlannedAttempt(task="bad", profile="p"))
    (repo / "a.txt").write_text("two\n")
    git(repo, "commit", "-qam", "more")
    commit = git(repo, "rev-parse", "HEAD")
    source = plan.sources[0].model_copy(
        update={"repo": str(repo), "git_dir": str(repo / ".git"), "base": commit}
    )
    plan = plan.model_copy(update={"sources": (source,), "notes": ("HEAD is detached",)})
    book = Journal(home / "journal.db")
    for run in ("r", "r-live"):
        book.append(
            run, e.RunStarted(at=1, plan=plan.model_copy(update={"run": run}), jobs=2, weaker=("no caps",))
        )
        for event in life("good/p/1", "accepted", commit=commit, base=git(repo, "rev-parse", "HEAD~1")):
            book.append(run, event)
    for event in life("bad/p/1", "rejected", commit=commit):
        book.append("r", event)
    book.append("r", e.RunEnded(at=9, exit_code=1))
    book.close()


# -- help and errors


def test_the_list_of_commands_is_whole() -> None:
    top = get_command(cli.app)
    assert set(top.commands) == {command[0] for command in COMMANDS}  # type: ignore[attr-defined] # a group


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_every_command_explains_itself(home: Path, command: list[str]) -> None:
    done = call(home, *command, "--help")
    assert done.exit_code == 0
    assert "Usage: " in done.output
    assert len(done.output.splitlines()[2].strip()) > 20, "a sentence says what it does"
    assert not home.exists()


def test_without_arguments_it_shows_the_commands(home: Path) -> None:
    done = Corral(home)()
    assert "Show exactly what `run` will do" in done.out + done.err
    assert not home.exists()


def test_its_version(home: Path) -> None:
    assert Corral(home)("--version").out.startswith("corral 0.")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["plan"], ["run", "--jobs", "0", "x"], ["run", "--name"], ["take", "t"]]
)
def test_a_wrong_command_line_is_exit_code_2(home: Path, arguments: list[str]) -> None:
    done = call(home, *arguments)
    assert done.exit_code == 2
    assert "Error: " in done.output


def test_an_error_shows_its_place_its_cause_and_its_cure(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "night.yaml"
    file.write_text("agents: {a: {cli: command, run: make}}\ntasks:\n  - {id: t, chek: x}\n  - {id: ../u}\n")
    done = Corral(home, NO_ENGINE)("plan", file)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[:2] == [
        f"error: {file}:3: unknown key 'chek' in task 't'",
        "  → did you mean 'check'?",
    ]
    assert f"{file}:4: " in done.err, "all problems are told at once"
    assert not home.exists()


def test_an_unexpected_error_is_a_bug_with_a_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("all is lost")

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr("runner.settings.forget_git_environment", lambda: None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 5
    (report,) = tmp_path.glob("corral-bug-*.txt")
    assert str(report) in capsys.readouterr().err.replace("\n", "")
    assert "all is lost" in report.read_text()


def test_variables_of_git_that_a_caller_set_are_forgotten(home: Path, repo: Path, tmp_path: Path) -> None:
    other = make_repo(tmp_path / "other")
    corral = Corral(home, {**NO_ENGINE, "GIT_DIR": str(other / ".git"), "GIT_INDEX_FILE": "/nowhere"})
    planned = corral("plan", "corral.yaml", "--json", cwd=repo).json["plan"]
    assert planned["sources"][0]["git_dir"] == str(repo / ".git")


@pytest.mark.parametrize(
    ("name", "value"), [("CORRAL_JOBS", "many"), ("CORRAL_JOBS", "0"), ("CORRAL_BOX_UID", "0")]
)
def test_a_variable_that_cannot_be_used_is_named(home: Path, name: str, value: str) -> None:
    done = Corral(home, {name: value})("status")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {name} can't be used: ")


def test_without_an_engine_a_run_says_what_to_do_and_leaves_no_run(home: Path, repo: Path) -> None:
    done = Corral(home, NO_ENGINE)("run", repo / "corral.yaml")
    assert done.code == 3
    assert "no container engine answers" in done.err
    assert "Docker" in done.err.partition("→")[2] or "docker" in done.err.partition("→")[2]
    assert not (home / "journal.db").exists()


# -- init, schema, doctor, plan


def test_init_writes_a_file_that_plan_takes_and_never_overwrites(home: Path, repo: Path) -> None:
    file = repo / "first.yaml"
    assert call(home, "init", file).exit_code == 0
    assert isinstance(yaml.safe_load(file.read_text()), dict)
    before = file.read_bytes()
    for place, why in ((file, "exists"), (repo / "no" / "folder.yaml", "can't be written")):
        error = call(home, "init", place).exception
        assert isinstance(error, UsageError)
        assert why in error.message
    assert file.read_bytes() == before


def test_the_schema_is_one_and_takes_a_good_file_and_no_bad_one(home: Path) -> None:
    schema = json.loads(call(home, "schema").stdout)
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    validator(schema).validate(yaml.safe_load(FILE))
    assert not validator(schema).is_valid({"tasks": [{"id": "t", "chek": "x"}]})


def test_doctor_names_what_is_missing_with_its_cure(home: Path) -> None:
    done = Corral(home, NO_ENGINE)("doctor", "--json")
    findings = done.json
    assert all(set(finding) == {"name", "level", "found", "cure"} for finding in findings)
    assert {finding["level"] for finding in findings} <= {"ok", "weaker", "broken"}
    broken = [finding for finding in findings if finding["level"] == "broken"]
    assert broken
    assert all(finding["cure"] for finding in broken)
    assert done.code == 3


def test_plan_needs_no_engine_and_touches_nothing(home: Path, repo: Path, tmp_path: Path) -> None:
    before, corral = tree_hashes(tmp_path), Corral(home, NO_ENGINE)
    said = corral("plan", repo / "corral.yaml", "--json").json
    keys = {"plan", "jobs", "jobs_auto", "allowed_out", "images", "weaker", "broken", "left", "unfit"}
    assert set(said) == {*keys, "power"}
    assert [(f["name"], bool(f["cure"])) for f in said["broken"]] == [("engine", True)]
    assert [(a["task"], a["profile"], a["n"]) for a in said["plan"]["attempts"]] == [("t", "a", 1)]
    assert said["plan"]["sources"][0]["base"] == git(repo, "rev-parse", "HEAD")
    assert said["images"] == {str(repo): None}, "what is unknown is null"
    shown = corral("plan", repo / "corral.yaml").out
    assert "no engine answers" in shown
    assert "a run would be refused: engine: no container engine answers" in shown
    assert tree_hashes(tmp_path) == before


# -- status, show, report

ROW = {
    *("task", "profile", "n", "try", "verdict", "ended", "work", "check", "reason", "branch", "commit"),
    *("usd", "tokens", "seconds", "held_s", "flags"),
}


@pytest.mark.parametrize("command", ["status", "report"])
@pytest.mark.usefixtures("past")
def test_a_summary_has_what_the_contract_says(home: Path, command: str) -> None:
    said = json.loads(call(home, command, "r", "--json").stdout)
    assert (said["kind"], said["schema"], said["run"], said["exit_code"]) == ("run.summary", 1, "r", 1)
    assert (said["notes"], said["weaker"]) == (["HEAD is detached"], ["no caps"])
    rows = {row["task"]: row for row in said["attempts"]}
    assert {task: row["verdict"] for task, row in rows.items()} == {"good": "accepted", "bad": "rejected"}
    for row in rows.values():
        assert set(row) >= ROW
        assert (row["usd"], row["tokens"], row["held_s"]) == (None, None, None)


@pytest.mark.usefixtures("past")
def test_all_runs_are_listed(home: Path) -> None:
    said = json.loads(call(home, "status", "--all", "--json").stdout)
    assert [(one["run"], one["exit_code"]) for one in said] == [("r", 1), ("r-live", None)]


@pytest.mark.usefixtures("past")
def test_show_is_one_row_of_the_summary(home: Path) -> None:
    row = json.loads(call(home, "show", "bad", "--run", "r", "--json").stdout)
    assert row.pop("course") is None, "there is no record of what it used"
    assert [one["weight"] for one in row.pop("findings")] == ["note"] * 4
    assert row == json.loads(call(home, "report", "r", "--json").stdout)["attempts"][1]
    assert json.loads(call(home, "show", "bad/p/1", "--json").stdout)["verdict"] is None, "of the latest run"


@pytest.mark.parametrize("command", [["status"], ["report"], ["report", "--markdown"], ["show", "good"]])
@pytest.mark.usefixtures("past")
def test_people_see_the_verdict(home: Path, command: list[str]) -> None:
    done = call(home, *command, *(["--run"] if command[0] == "show" else []), "r")
    assert done.exit_code == 0, done.output
    assert "accepted" in done.stdout


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["status", "nope"], "nope"),
        (["show", "nope"], "nope"),
        (["logs", "good"], "has no output"),
        (["diff", "bad"], "has no branch"),
        (["take", "bad", "mine"], "has no branch"),
    ],
)
@pytest.mark.usefixtures("past")
def test_what_is_not_there_is_said(home: Path, command: list[str], why: str) -> None:
    error = call(home, *command).exception
    assert isinstance(error, UsageError)
    assert why in error.message
    assert error.cure


@pytest.mark.usefixtures("past")
def test_take_makes_a_branch_of_ones_own_naming(home: Path, repo: Path) -> None:
    assert call(home, "take", "good", "mine").exit_code == 0
    assert git(repo, "rev-parse", "mine") == git(repo, "rev-parse", "HEAD")
    error = call(home, "take", "good", "mine").exception
    assert isinstance(error, UsageError)
    assert error.message == "there is a branch called 'mine'"


@pytest.mark.parametrize("command", [["status"], ["show", "t"], ["report"], ["resume"], ["logs", "t"]])
def test_before_the_first_run(home: Path, command: list[str]) -> None:
    error = call(home, *command).exception
    assert isinstance(error, UsageError)
    assert (error.message, error.cure) == ("there is no run yet", "corral run FILE")
    assert not home.exists()


# -- for programs


@pytest.fixture
def told(past: None, home: Path) -> Path:  # noqa: ARG001 - the journal it speaks of
    """The log of an attempt, with a line that is no UTF-8."""
    log = log_file(home, "r", AttemptKey("good", "p", 1), "log")
    log.parent.mkdir(parents=True)
    log.write_bytes(READY + b"\nfirst\n\xff\x1b[31m\n")
    return log


@pytest.mark.usefixtures("told")
def test_logs_for_programs_are_an_object_a_line(home: Path) -> None:
    rows = [json.loads(row) for row in call(home, "logs", "good", "--run", "r", "--json").stdout.splitlines()]
    assert [(row["kind"], row["schema"], row["attempt"]) for row in rows] == [("log.line", 1, "good/p/1")] * 2
    assert [row["line"] for row in rows] == ["first", "\ufffd\x1b[31m"]


@pytest.mark.usefixtures("told")
def test_raw_logs_are_the_bytes_and_nothing_else(home: Path) -> None:
    assert call(home, "logs", "good", "--run", "r", "--raw").stdout_bytes.endswith(b"\xff\x1b[31m\n")
    assert isinstance(call(home, "logs", "good", "--run", "r", "--raw", "--json").exception, UsageError)


@pytest.mark.usefixtures("past")
def test_a_diff_for_programs_says_what_it_is_of(home: Path) -> None:
    said = json.loads(call(home, "diff", "good", "--run", "r", "--json").stdout)
    assert set(said) == {"attempt", "branch", "commit", "base", "files", "insertions", "deletions", "diff"}
    assert said["attempt"] == "good/p/1"
    assert "-one\n+two\n" in said["diff"]


# -- images that can't be


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("image: {build: nodir}", "the base commit has no nodir/Dockerfile"),
        ("image: {devcontainer: true}", "the base commit has no .devcontainer/devcontainer.json"),
    ],
)
def test_an_image_that_the_base_cannot_give_is_refused_with_its_line(
    home: Path, repo: Path, image: str, why: str
) -> None:
    file = repo / "night.yaml"
    file.write_text(f"# mine\n{image}\n{FILE}")
    done = Corral(home, NO_ENGINE)("plan", file)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {file}:2: {why}")
    assert "→" in done.err


def test_what_of_a_dev_container_is_not_used_is_said(home: Path, tmp_path: Path) -> None:
    content = json.dumps({"image": "x", "init": True, "name": "n", "forwardPorts": [1]})
    repo = make_repo(tmp_path / "dev", {".devcontainer.json": content})
    file = tmp_path / "dev.yaml"
    file.write_text(f"repo: {repo}\nimage: {{devcontainer: true}}\n{FILE}")
    notes = Corral(home, NO_ENGINE)("plan", file, "--json").json["plan"]["notes"]
    assert notes == [f"of the dev container of {repo}, not used here: forwardPorts, init"]


def test_what_is_to_be_protected_and_is_not_there_is_said(home: Path, repo: Path) -> None:
    file = repo / "night.yaml"
    file.write_text(FILE.replace("check: make test", "check: make test, protect: [a.txt, nothere/]"))
    notes = Corral(home, NO_ENGINE)("plan", file, "--json").json["plan"]["notes"]
    assert "task t protects nothere/, which the base does not have" in notes
    assert len([note for note in notes if "protects" in note]) == 1


def test_a_run_cannot_be_called_as_the_latest_one_is(home: Path, repo: Path) -> None:
    done = Corral(home, NO_ENGINE)("run", repo / "corral.yaml", "--name", "latest")
    assert (done.code, "means the latest run" in done.err) == (2, True)
    file = repo / "night.yaml"
    file.write_text(f"name: latest\n{FILE}")
    assert Corral(home, NO_ENGINE)("plan", file, "--json").json["plan"]["run"] == "latest-2"


def test_without_a_gateway_that_is_said(home: Path) -> None:
    assert "no gateway runs" in call(home, "gateway", "status").stdout
    said = json.loads(call(home, "gateway", "status", "--json").stdout)
    assert (said["kind"], said["pid"], said["grants"]) == ("gateway.status", None, [])
    assert call(home, "gateway", "stop").exit_code == 0
    assert not home.exists()


def test_a_keeper_that_starts_a_run_that_ended_is_told_how_it_ended(past: None, home: Path) -> None:  # noqa: ARG001
    """Its supervisor died just after that: nothing of it is begun again, though a task was not done."""
    with Journal(home / "journal.db") as book:
        book.append("r-live", e.RunEnded(at=9, exit_code=4))
        before = list(book.events("r-live"))
    done = call(home, "resume", "r-live", "--kept")
    assert (done.exit_code, done.output) == (4, "")
    with Journal(home / "journal.db") as book:
        assert list(book.events("r-live")) == before
