"""`mlgate validate` finds what the message alone tells, and what its repository does."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from mlgate.hosts.validation import validate


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

    assert list(validate(options(tmp_path, message))) == []
    [found] = validate(options(tmp_path, message, checkout=True))
    assert found.code == "unavailable-repository"
    assert "nowhere" in found.message


def test_what_a_worker_would_refuse_is_refused_here(tmp_path: Path) -> None:
    message = json.dumps(a_message("/srv/r"))[:-1] + ', "runs": []}'
    codes = [found.code for found in validate(options(tmp_path, message))]

    assert "duplicate-key" in codes


def test_the_command_line_replaces_repository_and_ref(tmp_path: Path) -> None:
    message = json.dumps(a_message("https://$(Build.Repository.Uri)"))

    assert [found.code for found in validate(options(tmp_path, message))] != []
    assert (
        list(validate(options(tmp_path, message, repository="https://github.com/a/b", ref="main")))
        == []
    )


def test_an_address_that_no_host_can_clone_is_a_finding_wherever_it_stands(tmp_path: Path) -> None:
    message = json.dumps(a_message("file:///srv/r"))
    chosen = options(tmp_path, message, repository="https://github.com/a/b?x=1")

    for found in (validate(options(tmp_path, message)), validate(chosen)):
        assert [(each.code, each.pointer) for each in found] == [("bad-format", "/repository/url")]
    assert list(validate(options(tmp_path, message, repository="https://github.com/a/b"))) == []
