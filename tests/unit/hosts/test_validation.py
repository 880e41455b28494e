"""`mlgate validate` finds what the message alone tells, and what its repository does."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from mlgate.hosts import cli
from mlgate.hosts.locally import policy_here
from mlgate.hosts.settings import Settings
from mlgate.hosts.usage import UsageError
from mlgate.hosts.validation import validate
from mlgate.orchestration.admission.allowed_models import ANY
from mlgate.orchestration.wire.messages import StartMessage, read
from tests.contract.handlers.repository_handler.origins import bare, commit, git


def options(folder: Path, text: str, **changes: Any) -> argparse.Namespace:
    path = folder / "message.json"
    path.write_text(text)
    chosen = {"repository": None, "ref": None, "worktree": False, "checkout": False, **changes}
    return argparse.Namespace(message=str(path), **chosen)


def a_message(url: str) -> dict[str, Any]:
    runs = [{"kind": "training", "name": "t", "command": "true"}]
    return {"version": 1, "repository": {"url": url}, "runs": runs}


def test_a_repository_that_cannot_be_had_is_a_finding(tmp_path: Path) -> None:
    message = json.dumps(a_message(str(tmp_path / "nowhere")))

    assert validate(options(tmp_path, message)).findings == ()
    [found] = validate(options(tmp_path, message, checkout=True)).findings
    assert found.code == "unavailable-repository"
    assert "nowhere" in found.message


def test_what_a_worker_would_refuse_is_refused_here(tmp_path: Path) -> None:
    message = json.dumps(a_message("/srv/r"))[:-1] + ', "runs": []}'
    codes = [found.code for found in validate(options(tmp_path, message)).findings]

    assert "duplicate-key" in codes


def test_the_command_line_replaces_repository_and_ref(tmp_path: Path) -> None:
    message = json.dumps(a_message("https://$(Build.Repository.Uri)"))

    assert [found.code for found in validate(options(tmp_path, message)).findings] != []
    chosen = options(tmp_path, message, repository="https://github.com/a/b", ref="main")
    assert validate(chosen).findings == ()


def test_an_address_that_no_host_can_clone_is_a_finding_wherever_it_stands(tmp_path: Path) -> None:
    message = json.dumps(a_message("file:///srv/r"))
    chosen = options(tmp_path, message, repository="https://github.com/a/b?x=1")

    for found in (validate(options(tmp_path, message)), validate(chosen)):
        assert [(each.code, each.pointer) for each in found.findings] == [
            ("bad-format", "/repository/url")
        ]
    chosen = options(tmp_path, message, repository="https://github.com/a/b")
    assert validate(chosen).findings == ()


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("fields", "warned"),
    [({"build_id": "1"}, True), ({"build_id": "1", "attempt": 1}, False), ({}, False)],
)
def test_a_build_id_without_attempt_is_a_warning(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fields: dict[str, Any],
    warned: bool,
    as_json: bool,
) -> None:
    path = tmp_path / "message.json"
    path.write_text(json.dumps(a_message("/srv/r") | fields))
    code = cli.main(["validate", str(path), *(["--json"] if as_json else [])])
    printed = capsys.readouterr()

    assert code == 0
    if as_json:
        report = json.loads(printed.out)
        assert (report["valid"], report["findings"]) == (True, [])
        assert [each["code"] for each in report["warnings"]] == ["no-attempt"] * warned
    else:
        assert printed.out == "The message is valid.\n"
        assert ("$(System.JobAttempt)" in printed.err) == warned


PROMOTING = {"promote": {"model": "churn"}}


def test_what_promote_adds_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "message.json"
    path.write_text(json.dumps(a_message("/srv/r") | PROMOTING))

    assert cli.main(["validate", str(path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "The message is valid."
    assert printed[1].startswith("`promote` adds the run `check-churn`, which loads the model that")
    assert cli.main(["validate", str(path), "--json"]) == 0
    [added] = json.loads(capsys.readouterr().out)["adds"]
    assert (added["name"], added["kind"]) == ("check-churn", "serving")


def test_with_a_checkout_what_the_file_of_the_runs_promotes_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    repository = bare(tmp_path / "r")
    plan = {"runs": a_message("")["runs"], **PROMOTING}
    git(repository, "update-ref", "HEAD", commit(repository, {"p.json": json.dumps(plan).encode()}))
    message = {"version": 1, "repository": {"url": str(repository)}, "runs_from": "p.json"}
    text = json.dumps(message)

    assert validate(options(tmp_path, text)).adds == []
    found = validate(options(tmp_path, text, checkout=True))
    assert found.findings == []
    assert [each.name for each in found.adds] == ["check-churn"]


@pytest.mark.parametrize("checkout", [False, True])
def test_a_kind_that_runs_nothing_is_checked_by_itself(tmp_path: Path, checkout: bool) -> None:
    rollback = {"version": 1, "kind": "rollback", "model": "churn", "to": "x", "build_id": "7"}
    found = validate(options(tmp_path, json.dumps(rollback), checkout=checkout))
    assert [(each.code, each.pointer) for each in found.findings] == [("bad-format", "/to")]

    found = validate(options(tmp_path, json.dumps(rollback | {"to": 41}), checkout=checkout))
    assert found.findings == ()
    assert [each.code for each in found.warnings] == ["no-attempt"]


@pytest.mark.parametrize("option", [{"repository": "https://github.com/a/b"}, {"ref": "main"}])
def test_it_has_no_repository_to_replace(tmp_path: Path, option: dict[str, str]) -> None:
    rollback = json.dumps({"version": 1, "kind": "rollback", "model": "churn"})
    with pytest.raises(UsageError, match="no repository"):
        validate(options(tmp_path, rollback, **option))


def test_a_laptop_lets_the_repository_of_its_message_change_any_model() -> None:
    settings = Settings.read({"MLGATE_ALLOWED_MODELS": "churn=https://github.com/c@main"})
    raw = json.dumps(a_message("https://contoso@dev.azure.com/contoso/p/_git/r"))
    message = read(raw.encode()).message()
    assert isinstance(message, StartMessage)
    models = policy_here(settings, message).models

    assert models.branches("any", message.repository.url) is ANY
    assert models.branches("any", "https://dev.azure.com/contoso/p/_git/other") is None
    assert models.branches("churn", "https://github.com/c") == frozenset({"main"})
