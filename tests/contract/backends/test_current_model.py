"""What a run finds of the version that is current while its build tries another one."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace

from mlgate.orchestration.runs import Outcome, RunStatus, Task
from tests.contract.backends.conftest import Backend, in_every_workspace
from tests.contract.bench import Files

VERSION, OTHER = "3f9a1c0b7d52", "0123456789ab"
FILES: Files = {
    "MLmodel": "flavors: {}\n",
    "data/deep/model.pkl": b"\x80\x04N.\x00\xff" * 20_000,
    "empty": b"",
    "a name ü #1%20.txt": "ü",
}
DIGESTS = {
    name: hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()
    for name, text in FILES.items()
}
# By digest, for a report shows the code of a cell, and colors it.
FINDS = f"""
import hashlib, os, pathlib
folder = pathlib.Path(os.environ["MLGATE_CURRENT_MODEL"])
assert folder.is_absolute(), folder
found = {{
    path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in folder.rglob("*") if path.is_file()
}}
assert found == {DIGESTS!r}, found
"""
FINDS_NONE = "import os; assert 'MLGATE_CURRENT_MODEL' not in os.environ"
CHANGES = """
import contextlib, os, pathlib, shutil
folder = pathlib.Path(os.environ["MLGATE_CURRENT_MODEL"])
for act in (
    lambda: (folder / "MLmodel").write_text("changed"),
    lambda: (folder / "added").touch(),
    lambda: (folder / "data" / "added").touch(),
    lambda: (folder / "empty").unlink(),
    lambda: shutil.rmtree(folder / "data"),
):
    with contextlib.suppress(OSError):
        act()
"""


def passed(backend: Backend, task: Task, word: str | None) -> Outcome:
    outcome = backend.run(replace(task, current_model=word))
    assert outcome.status is RunStatus.SUCCEEDED, (outcome, backend.log(task))
    return outcome


@in_every_workspace
def test_9_a_run_finds_every_file_of_the_version(backend: Backend) -> None:
    passed(backend, backend.task(FINDS), backend.stage_model(VERSION, FILES))


def test_9_so_does_a_notebook(backend: Backend) -> None:
    passed(backend, backend.notebook(FINDS), backend.stage_model(VERSION, FILES))


def test_9_a_run_that_is_given_none_has_no_such_variable(backend: Backend) -> None:
    backend.stage_model(VERSION, FILES)
    own = {"MLGATE_CURRENT_MODEL": "/mine"}
    [warning] = passed(backend, backend.task(FINDS_NONE, environment_variables=own), None).warnings
    assert "'MLGATE_CURRENT_MODEL' was left out" in warning


def test_9_a_run_cannot_put_another_folder_in_its_place(backend: Backend) -> None:
    own = {"MLGATE_CURRENT_MODEL": "/mine"}
    task = backend.task(FINDS, environment_variables=own)
    passed(backend, task, backend.stage_model(VERSION, FILES))


@in_every_workspace
def test_9_what_a_run_changes_there_no_other_run_finds(backend: Backend) -> None:
    word = backend.stage_model(VERSION, FILES)
    passed(backend, backend.task(CHANGES, name="changes"), word)
    passed(backend, backend.task(FINDS, name="next"), word)
    passed(backend, backend.task(FINDS, name="changes", number=2), word)
    backend.build = secrets.token_hex(16)
    again = backend.stage_model(VERSION, FILES)
    assert again == word
    passed(backend, backend.task(FINDS), again)


def test_9_another_process_submits_with_what_was_staged(backend: Backend) -> None:
    word = backend.stage_model(VERSION, FILES)
    backend.handler = backend.another_handler()
    assert backend.stage_model(VERSION, FILES) == word
    passed(backend, backend.task(FINDS), word)


def test_9_each_version_has_files_of_its_own(backend: Backend) -> None:
    other = backend.stage_model(OTHER, {"MLmodel": "another one", "more": "x"})
    assert other != backend.stage_model(VERSION, FILES)
    passed(backend, backend.task(FINDS), backend.stage_model(VERSION, FILES))


def test_9_a_run_finds_what_its_needs_kept_beside_it(backend: Backend) -> None:
    word = backend.stage_model(VERSION, FILES)
    base = backend.task("open('outputs/a', 'w').write('kept')", name="base")
    passed(backend, base, word)
    script = f"{FINDS}\nkept = pathlib.Path(os.environ['MLGATE_INPUT_BASE'], 'outputs/a')\n"
    script += "assert kept.read_text() == 'kept'"
    passed(backend, backend.task(script, inputs={"base": base.attempt}), word)
