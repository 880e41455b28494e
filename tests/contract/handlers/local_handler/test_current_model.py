"""Where the current version's files are on this machine, for whom, and until when."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from handlers.local_handler.staging import IDLE
from mlgate.orchestration.errors import Permanent
from mlgate.orchestration.runs import RunKind, RunStatus, Task
from tests.contract.handlers.local_handler.conftest import STUB, Bench
from tests.contract.handlers.local_handler.warmth import LINUX_ALONE, of_cells, was_warm

VERSION, OTHER = "3f9a1c0b7d52", "0123456789ab"
FILES = {"MLmodel": "flavors: {}", "data/model.pkl": "model"}
READS = """
import os, pathlib
model = pathlib.Path(os.environ["MLGATE_CURRENT_MODEL"])
assert sorted(path.name for path in model.rglob("*")) == ["MLmodel", "data", "model.pkl"]
assert (model / "data" / "model.pkl").read_text() == "model"
"""
CHANGES = {
    "writes": "(model / 'data' / 'model.pkl').write_text('x')",
    "adds": "(model / 'b').touch()",
    "removes": "(model / 'data' / 'model.pkl').unlink()",
    "takes the right to write": "(model / 'data').chmod(0o700); (model / 'data' / 'b').touch()",
}


def of_model(task: Task, word: str) -> Task:
    return replace(task, current_model=word)


def succeeded(bench: Bench, task: Task) -> None:
    outcome = bench.run(task)
    assert outcome.status is RunStatus.SUCCEEDED, (outcome, bench.log(task))


def kept(bench: Bench) -> list[str]:
    return sorted(path.name for path in (bench.home / "current-models").iterdir())


def age(bench: Bench, version: str = VERSION, seconds: float = IDLE + 60) -> None:
    then = time.time() - seconds
    os.utime(bench.home / "current-models" / version, (then, then))


@LINUX_ALONE
@pytest.mark.parametrize("how", CHANGES)
def test_the_current_model_can_be_read_alone(bench: Bench, how: str) -> None:
    word = bench.stage_model(VERSION, FILES)
    changes = f"{READS}\n(pathlib.Path('outputs')).mkdir()\n{CHANGES[how]}"
    assert bench.run(of_model(bench.task(changes), word)).status is RunStatus.FAILED
    succeeded(bench, of_model(bench.task(READS, number=2), word))


@LINUX_ALONE
def test_a_warm_run_finds_it_as_a_cold_one_does(warm: Bench) -> None:
    word = warm.stage_model(VERSION, FILES)
    refused = "try:\n    (model / 'b').touch()\nexcept OSError: pass\nelse: raise SystemExit(1)"
    task = of_model(of_cells(warm, READS, refused), word)
    succeeded(warm, task)
    assert was_warm(warm, task)


@pytest.mark.parametrize("how", ["adds", "takes the right to write"])
def test_where_there_are_no_views_a_run_has_a_copy_of_its_own(bench: Bench, how: str) -> None:
    """As where a home is inside of what is shared, here what is around the launcher."""
    launcher = shutil.copy(STUB, bench.folder / "launcher.py")
    bench.handler = bench.new_handler(launcher=Path(launcher))
    word = bench.stage_model(VERSION, FILES)
    for number in (1, 2):
        task = of_model(bench.task(f"{READS}\n{CHANGES[how]}", number=number), word)
        bench.run(task)
        assert (bench.attempt_folder(task) / "model" / "data" / "model.pkl").exists()
        succeeded(bench, of_model(bench.task(READS, name=f"reads-{number}"), word))
    bench.handler.release(bench.build)
    assert list((bench.home / "attempts").iterdir()) == []


def test_the_same_version_is_copied_once(bench: Bench) -> None:
    bench.stage_model(VERSION, FILES)
    file = bench.home / "current-models" / VERSION / "MLmodel"
    first = file.stat().st_ino
    bench.handler = bench.new_handler()
    assert bench.stage_model(VERSION, FILES) == VERSION
    assert file.stat().st_ino == first
    assert kept(bench) == [VERSION]


@pytest.mark.parametrize("how", ["changed", "added", "linked"])
def test_one_that_a_run_has_changed_is_copied_again(bench: Bench, how: str) -> None:
    bench.stage_model(VERSION, FILES)
    place = bench.home / "current-models" / VERSION
    for path in (place, place / "MLmodel"):
        path.chmod(0o700)
    if how == "changed":
        (place / "MLmodel").write_text("flavors: no")
    elif how == "added":
        (place / "sitecustomize.py").write_text("evil = True")
    else:
        (place / "MLmodel").rename(place.with_name("elsewhere"))
        (place / "MLmodel").symlink_to(place.with_name("elsewhere"))
        place.with_name("elsewhere").rename(bench.home / "elsewhere")
    bench.stage_model(VERSION, FILES)

    found = sorted(path.relative_to(place).as_posix() for path in place.rglob("*"))
    assert found == ["MLmodel", "data", "data/model.pkl"]
    assert (place / "MLmodel").read_text() == "flavors: {}"
    assert not (place / "MLmodel").is_symlink()


@LINUX_ALONE
def test_a_run_without_one_cannot_change_those_of_others(bench: Bench) -> None:
    bench.stage_model(VERSION, FILES)
    place = bench.home / "current-models" / VERSION
    writes = f"import pathlib; p = pathlib.Path({str(place)!r}); p.chmod(0o700); (p / 'x').touch()"
    outcome = bench.run(bench.task(writes))

    assert outcome.status is RunStatus.FAILED
    assert not (place / "x").exists()


def test_it_goes_when_no_open_build_needs_it(bench: Bench) -> None:
    word = bench.stage_model(VERSION, FILES)
    bench.stage_model(OTHER, FILES)
    succeeded(bench, of_model(bench.task(READS), word))
    age(bench)
    age(bench, OTHER)
    bench.new_handler()
    assert kept(bench) == [VERSION], "the build may have more attempts"
    age(bench)
    bench.handler.release(bench.build)
    assert kept(bench) == []


def test_it_stays_for_a_build_that_has_no_attempt_yet(bench: Bench) -> None:
    bench.stage_model(VERSION, FILES)
    age(bench, seconds=IDLE - 60)
    bench.handler.release("f" * 32)
    assert kept(bench) == [VERSION]


USES: dict[str, Callable[[Bench, Task], object]] = {
    "is staged again": lambda bench, _: bench.stage_model(VERSION, FILES),
    "waits for a place": lambda bench, task: bench.new_handler(parallel=0).submit(task),
}


@pytest.mark.parametrize("how", USES)
def test_it_stays_while_a_build(how: str, bench: Bench) -> None:
    task = of_model(bench.task(), bench.stage_model(VERSION, FILES))
    age(bench, seconds=IDLE - 60)  # a build's worker is away for less
    USES[how](bench, task)
    assert time.time() - (bench.home / "current-models" / VERSION).stat().st_mtime < 60


def test_a_run_without_it_is_not_begun(bench: Bench) -> None:
    task = of_model(bench.task(), VERSION)
    with pytest.raises(Permanent, match=rf"{VERSION} are no longer on this machine. Publish"):
        bench.handler.submit(task)
    assert list((bench.home / "places").iterdir()) == []


@pytest.mark.parametrize("version", ["../snapshots", ".new-1", "", "3F9A1C0B7D52"])
def test_what_is_no_version_is_refused(version: str, bench: Bench) -> None:
    with pytest.raises(Permanent, match="is not the id of a model's version"):
        bench.stage_model(version, FILES)
    assert kept(bench) == []


def test_a_serving_run_is_given_it_as_any_other(bench: Bench) -> None:
    word = bench.stage_model(VERSION, FILES)
    task = of_model(bench.task(READS, kind=RunKind.SERVING), word)
    succeeded(bench, task)
