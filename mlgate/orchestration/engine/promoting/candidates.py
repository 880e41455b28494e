"""What a build offers: a version, as the run that has tried it recorded it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mlgate.orchestration.builds import Build, Verdict
from mlgate.orchestration.engine.dispatch import NOT_KEPT
from mlgate.orchestration.errors import Permanent
from mlgate.orchestration.models import Manifest, PromotionRequest, is_inside, manifest_of
from mlgate.orchestration.ports import Ports
from mlgate.orchestration.promotion import offers
from mlgate.orchestration.runs import RunKind
from mlgate.orchestration.wire.messages import message_of
from mlgate.orchestration.wire.promotion import PromoteMessage

MOST_BUILDS = 1_000  # among which an earlier one is looked for by its id
RECORD = "outputs/model.json"  # of a run that has tried a model


@dataclass(frozen=True, slots=True)
class Offer:
    """A version, and the build whose run has kept it: in `folder`, among that build's files."""

    source: Build
    request: PromotionRequest
    manifest: Manifest
    folder: str


class FilesError(Exception):
    """The files of a build cannot be read, which is no fault of the store of models."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def parts(ports: Ports, offer: Offer, path: str) -> Iterator[bytes]:
    """The content of one of the version's files. Raises `FilesError`."""
    with _reading():
        yield from ports.files.parts(offer.source.key, f"{offer.folder}/{path}")


def find(ports: Ports, build: Build) -> Offer:
    """What is offered. Raises `Permanent` where there is nothing to promote, and `FilesError`."""
    source, request = build, build.promote
    message = message_of(build.request)
    if isinstance(message, PromoteMessage):
        source, request = _earlier(ports, message)
    assert request is not None
    check = offers.check_of(source, request.run)
    if check is None:
        raise Permanent(f"No run has tried the model that {request.run} kept, or it did not pass.")
    with _reading():
        content = ports.files.read(source.key, f"runs/{check.spec.name}/{RECORD}")
    manifest = manifest_of(content or b"")
    folder = _folder(content)
    if manifest is None or folder is None:
        lost = next((each for each in check.warnings if NOT_KEPT in each), "")
        why = f"The run {check.spec.name} left no record of the model that can be read. {lost}"
        raise Permanent(why.strip())
    if source is not build:
        _require_unchanged(source, request, manifest)
    kept = f"runs/{request.run}"
    return Offer(source, request, manifest, kept if folder == "." else f"{kept}/{folder}")


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise FilesError(error) from error


def _require_unchanged(source: Build, request: PromotionRequest, manifest: Manifest) -> None:
    """An earlier build's files are its own only as long as nobody writes over them."""
    if source.promote is None or source.promotion is None or source.promote.run != request.run:
        return
    if source.promotion.id != manifest.id:
        raise Permanent(
            f"The files of the build {source.build_id} are not its own any more: it offered "
            f"{source.promotion.id}, and they are of {manifest.id}."
        )


def _folder(content: bytes | None) -> str | None:
    """Where the version's files are, among what its run kept."""
    try:
        said = json.loads(content or b"")
    except (ValueError, RecursionError):
        return None
    folder = said.get("folder") if isinstance(said, dict) else None
    return folder if folder == "." or is_inside(folder) else None


def _earlier(ports: Ports, message: PromoteMessage) -> tuple[Build, PromotionRequest]:
    """The build that the message names, and what of it is offered."""
    known = ports.state.load(message.build)
    found = (
        [known.build]
        if known
        else [each for each in ports.state.builds(MOST_BUILDS) if each.build_id == message.build]
    )
    if not found:
        raise Permanent(f"There is no build {message.build} among the latest ones.")
    source = next((each for each in found if each.verdict is Verdict.SUCCEEDED), None)
    if source is None:
        raise Permanent(f"The build {message.build} has not passed its gate.")
    tried = [run.spec.model for run in source.runs if run.spec.kind is RunKind.SERVING]
    run = message.run or (tried[0] if len(tried) == 1 else None)
    if run is None:
        names = ", ".join(str(each) for each in tried) or "none"
        raise Permanent(
            f"Say with `run` which model of the build {message.build} is meant: it has tried those "
            f"of {names}."
        )
    return source, PromotionRequest(message.model, run)
