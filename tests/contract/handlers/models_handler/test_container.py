"""A store in a container: what is large comes in pieces, and answers are lost."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress

import pytest

from handlers.blobs.streams import read_streamed, write_streamed
from handlers.models_handler import ModelStore
from mlgate.emulators.azure_ml import Azurite
from mlgate.orchestration.durable import Head
from mlgate.orchestration.errors import Permanent, Temporary
from tests.contract.handlers.models_handler.places import InBlobs
from tests.contract.handlers.models_handler.some import (
    MODEL,
    append,
    entry_after,
    keep,
    manifest_for,
    parts_of,
)
from tests.servers.blob_relay import BlobRelay

MARK = "mlgate-models.json"
LARGE = {"large": bytes(range(256)) * (9 << 12), "small": b"1"}  # 9 MiB: two pieces
ID = manifest_for(LARGE).id


def test_a_container_is_made_with_its_mark_by_the_first_write(containers: InBlobs) -> None:
    store = containers.open()
    assert store.head(MODEL) == Head()
    assert store.models() == store.versions(MODEL) == []
    append(store)
    assert containers.names() == [f"{MODEL}/log/00000001.json", MARK]
    mark = containers.get(MARK)
    containers.open().init()
    append(containers.open())
    assert containers.get(MARK) == mark


def test_a_container_of_another_version_is_not_written_to(containers: InBlobs) -> None:
    containers.put(MARK, b'{"version": 2}')
    with pytest.raises(Permanent, match="is of another version of mlgate"):
        append(containers.open())
    assert containers.names() == [MARK]


@pytest.mark.parametrize("call", [f"PUT {MODEL}", f"GET {MODEL}", f"HEAD {MODEL}", f"LIST {MODEL}"])
def test_an_answer_that_is_lost_changes_nothing(containers: InBlobs, call: str) -> None:
    store = containers.open()
    for times in (1, 2):
        containers.relay.fail(call, "lost", times)
        keep(store, LARGE)
        containers.relay.revive()
    containers.relay.fail(call, "lost", 3)
    entry = append(store)
    containers.relay.revive()
    assert containers.open().head(MODEL) == Head(entry, 1)
    assert containers.open().damaged(MODEL, ID) == []


@pytest.mark.parametrize("becomes", ["other", "none"])
def test_what_changes_while_it_is_read_is_not_read_in_part(
    containers: InBlobs, becomes: str
) -> None:
    containers.open().init()
    containers.put("a", bytes(9 << 20))
    container = containers.container()
    parts = read_streamed(container, "a")
    assert parts is not None
    next(parts)
    if becomes == "none":
        container.delete("a")
    else:
        containers.put("a", b"\1" * (9 << 20))
    with pytest.raises(Temporary, match="changed while it was read"):
        list(parts)


def test_wherever_a_host_is_killed_its_version_is_whole_or_not_there(containers: InBlobs) -> None:
    append(containers.open(), model="first")
    for requests in range(40):
        store = containers.open()
        containers.relay.die_after(requests)
        with suppress(Temporary):
            keep(store, LARGE)
            append(store)
        killed = (containers.relay.left or 0) < 0
        containers.relay.revive()
        other = containers.open()
        kept = other.versions(MODEL)
        assert kept in ([], [ID])
        assert not kept or other.damaged(MODEL, ID) == []
        assert kept or other.head(MODEL) == Head()
        if not killed:
            break
        if other.head(MODEL).taken:
            assert requests > 5
    assert other.head(MODEL).taken
    assert not killed


def test_two_uploads_of_one_large_file_at_once_end_well(containers: InBlobs) -> None:
    """Whoever commits its pieces first drops those of the other."""
    halfway, go_on = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def slow(path: str) -> Iterator[bytes]:
        content = LARGE[path]
        yield content[: len(content) - 9]
        if path == "large":
            halfway.set()
            go_on.wait()
        yield content[len(content) - 9 :]

    def run() -> None:
        try:
            containers.open().keep(MODEL, manifest_for(LARGE), slow)
        except BaseException as error:  # noqa: BLE001 -- shown below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert halfway.wait(30)
    keep(containers.open(), LARGE)
    go_on.set()
    thread.join()
    assert errors == []
    assert containers.open().damaged(MODEL, ID) == []


def test_a_right_that_is_missing_and_a_service_that_is_busy(containers: InBlobs) -> None:
    store: ModelStore = containers.open()
    entry = append(store)
    containers.relay.fail("*", (403, "AuthorizationPermissionMismatch"))
    with pytest.raises(Permanent, match="read, add, create"):
        store.head(MODEL)
    containers.relay.fail("*", (503, "ServerBusy"), 9)
    with pytest.raises(Temporary):
        store.append(entry_after(Head(entry, 1)))
    containers.relay.revive()
    containers.relay.fail("*", (503, "ServerBusy"), 9)
    with pytest.raises(Temporary):
        store.keep(MODEL, manifest_for(LARGE), parts_of(LARGE))


def test_a_large_file_takes_little_memory(azurite: Azurite) -> None:
    """Nor is there a relay, which would have it in this process."""
    import tracemalloc

    container = InBlobs(BlobRelay(azurite, azurite.url), f"models-{uuid.uuid4().hex}").container()
    size, part = 100 << 20, bytes(1 << 20)
    tracemalloc.start()
    try:
        write_streamed(container, "large", (part for _ in range(size >> 20)))
        found = read_streamed(container, "large")
        assert found is not None
        assert sum(len(each) for each in found) == size
        assert tracemalloc.get_traced_memory()[1] < 75 << 20
    finally:
        tracemalloc.stop()
