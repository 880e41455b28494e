"""Whatever a host lacks, the handler says so in the words of its port, and goes on afterwards."""

from __future__ import annotations

import itertools
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlgate.orchestration.builds import RepositoryRequest
from mlgate.orchestration.errors import OrchestrationError, Temporary
from tests.contract.handlers.repository_handler.conftest import MakeHandler
from tests.contract.handlers.repository_handler.origins import Origin


@contextmanager
def limited(what: int, soft: int) -> Iterator[None]:
    before, hard = resource.getrlimit(what)
    resource.setrlimit(what, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (before, hard))


def check_out(make_handler: MakeHandler, origin: Origin, ref: str) -> str:
    """What came out: the number of files, or an error's class."""
    handler = make_handler(allowed=[str(origin.path)])
    try:
        with handler.checkout(RepositoryRequest(str(origin.path), ref)) as checkout:
            return str(len(checkout.files()))
    except OrchestrationError as error:
        return type(error).__name__


def limit_for(more: int) -> int:
    """The limit of open files that leaves so many more; it is of their numbers, which have gaps."""
    free = (number for number in itertools.count() if not is_open(number))
    return next(itertools.islice(free, more, None))


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("cached", [True, False])
def test_a_host_out_of_open_files_is_asked_again_later(
    cached: bool, make_handler: MakeHandler, origin: Origin
) -> None:
    """At whichever of them: what is cached stays, and is no repository that cannot be read."""
    if cached:
        assert check_out(make_handler, origin, "main") == "10"
    found = set()
    for more in range(16):
        with limited(resource.RLIMIT_NOFILE, limit_for(more)):
            found.add(check_out(make_handler, origin, "main"))
    assert "Temporary" in found
    assert found <= {"Temporary", "10"}
    assert check_out(make_handler, origin, "main") == "10"


@pytest.mark.parametrize("most", [0, 20, 2_000, 20_000])
def test_a_host_that_takes_no_larger_files_says_so(
    most: int, make_handler: MakeHandler, origin: Origin
) -> None:
    with limited(resource.RLIMIT_FSIZE, most):
        found = check_out(make_handler, origin, "main")
    assert found in ("Temporary", "Permanent")
    assert check_out(make_handler, origin, "main") == "10"


def in_the_way(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.touch()


def in_a_circle(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.symlink_to(path)


@pytest.mark.parametrize("harm", [in_the_way, in_a_circle])
@pytest.mark.parametrize("folder", ["", "repositories", "checkouts"])
def test_a_home_that_cannot_be_used_is_told(
    folder: str,
    harm: Callable[[Path], None],
    make_handler: MakeHandler,
    origin: Origin,
    tmp_path: Path,
) -> None:
    place = tmp_path / "home" / folder
    place.parent.mkdir(exist_ok=True)
    harm(place)
    handler = make_handler(allowed=[str(origin.path)])
    with pytest.raises(Temporary, match="for checkouts cannot be used"):
        handler.checkout(RepositoryRequest(str(origin.path))).__enter__()
    place.unlink()
    assert check_out(make_handler, origin, "main") == "10"


def test_a_tree_that_is_gone_while_it_is_read_is_told(
    make_handler: MakeHandler, origin: Origin
) -> None:
    handler = make_handler(allowed=[str(origin.path)])
    with handler.checkout(RepositoryRequest(str(origin.path))) as checkout:
        shutil.rmtree(checkout.folder)
        with pytest.raises(Temporary, match="cannot be used: No such file"):
            checkout.read("run.sh")
