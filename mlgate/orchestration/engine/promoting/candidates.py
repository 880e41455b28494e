"""What a build offers: a version, as the run that has tried it recorded it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mlgate.orchestration.builds import Build, Verdict
from mlgate.orchestration.durable import StatePort
from mlgate.orchestration.engine.dispatch import NOT_KEPT
from mlgate.orchestration.errors import Permanent
from mlgate.orchestration.models import Manifest, is_inside, manifest_of
from mlgate.orchestration.ports import Ports
from mlgate.orchestration.promotion import offers
from mlgate.orchestration.promotions import PromotionOutcome, PromotionRequest
from mlgate.orchestration.runs import RunKind
from mlgate.orchestration.verdict.facts import listed
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


class NotOfferedError(Permanent):
    """There is nothing to promote; the store is not at fault."""


class FilesError(Exception):
    """The files of a build cannot be read; the model store is not at fault."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def parts(ports: Ports, offer: Offer, path: str) -> Iterator[bytes]:
    """The content of one of the version's files. Raises `FilesError`."""
    with _reading():
        yield from ports.files.parts(offer.source.key, f"{offer.folder}/{path}")


def find(ports: Ports, build: Build) -> Offer:
    """What is offered. Raises `NotOfferedError` and `FilesError`."""
    source, request = build, build.promote
    message = message_of(build.request)
    if isinstance(message, PromoteMessage):
        source = earlier(ports.state, message.build, message.run)
        request = _request(source, message)
    assert request is not None
    check = offers.check_of(source, request.run, request.path)
    if check is None:
        raise NotOfferedError(
            f"No run tried the model that {request.run} kept, or that run did not pass."
        )
    with _reading():
        content = ports.files.read(source.key, f"runs/{check.spec.name}/{RECORD}")
    manifest = manifest_of(content or b"")
    folder = _folder(content)
    if manifest is None or folder is None:
        lost = next((each for each in check.warnings if NOT_KEPT in each), "")
        why = f"The run {check.spec.name} left no readable record of the model. {lost}"
        raise NotOfferedError(why.strip())
    if source is not build:
        _require_unchanged(source, request, manifest)
    kept = f"runs/{request.run}"
    return Offer(source, request, manifest, kept if folder == "." else f"{kept}/{folder}")


def _request(source: Build, message: PromoteMessage) -> PromotionRequest:
    """What an earlier build offers. Raises `NotOfferedError` where it could be several."""
    offer = source.promote
    run = message.run or (offer.run if offer else _tried(source)[0])
    if offer is not None and offer.run == run:
        return PromotionRequest(message.model, run, offer.path)
    paths = [*dict.fromkeys(each.spec.path for each in offers.trials_of(source, run))]
    if len(paths) > 1:
        names = listed([path or "the recognised one" for path in paths])
        raise NotOfferedError(
            f"The build {message.build} has tried several models of {run}, {names}, and offers "
            "none of them. Name one in `promote` of that build's message, for example for a "
            "staging model, and promote that."
        )
    return PromotionRequest(message.model, run, paths[0] if paths else None)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise FilesError(error) from error


def _require_unchanged(source: Build, request: PromotionRequest, manifest: Manifest) -> None:
    """Raises `NotOfferedError` when an earlier build's files were overwritten."""
    if source.promote is None or source.promotion is None or source.promote.run != request.run:
        return
    if source.promotion.id != manifest.id:
        raise NotOfferedError(
            f"The files of the build {source.build_id} were overwritten: it offered "
            f"{source.promotion.id}, and they are now {manifest.id}."
        )


def _folder(content: bytes | None) -> str | None:
    """Where the version's files are, among what its run kept."""
    try:
        said = json.loads(content or b"")
    except (ValueError, RecursionError):
        return None
    folder = said.get("folder") if isinstance(said, dict) else None
    return folder if folder == "." or is_inside(folder) else None


def earlier(state: StatePort, name: str, run: str | None) -> Build:
    """The earlier build of that key, or the one of that id, whose gate passed and that has tried
    what `run` kept; None is the only model that it has tried.

    Raises `NotOfferedError` where there is none, or more than one: steps of a pipeline share an id.
    """
    known = state.load(name)
    named = [known.build] if known else _of_id(state, name)
    if not named:
        raise NotOfferedError(f"There is no build {name} among the latest ones.")
    passed = [build for build in named if build.gate_passed is not None]
    if not passed:
        raise NotOfferedError(f"The build {name} has not passed its gate.")
    worse = [build for build in passed if _was_worse(build)]
    passed = [build for build in passed if build not in worse]
    if not passed:
        raise NotOfferedError(f"The build {name} failed, as its model was worse: {worse[0].reason}")
    tried = [build for build in passed if run in _tried(build) or (run is None and _tried(build))]
    if not tried:
        raise NotOfferedError(
            f"The build {name} has tried no model{f' that {run} kept' if run else ''}."
        )
    newest = {_what(build): build for build in reversed(tried)}  # a step that ran again counts once
    if len(newest) > 1:
        raise NotOfferedError(
            f"Several builds have the id {name}: "
            f"{listed([f'{build.key} ({_offered(build)})' for build in newest.values()])}. "
            "Name one by its key."
        )
    [source] = newest.values()
    if run is None and source.promote is None and len(_tried(source)) > 1:
        raise NotOfferedError(
            f"Name in `run` which model of the build {name} to promote: it has tried those of "
            f"{listed(_tried(source))}."
        )
    return source


def _of_id(state: StatePort, name: str) -> list[Build]:
    """The newest first."""
    return [build for build in state.builds(MOST_BUILDS) if build.build_id == name]


def _was_worse(build: Build) -> bool:
    """Whether it failed because its model was worse. A refused one is left to people to decide."""
    kept = build.promotion is not None and build.promotion.outcome is PromotionOutcome.KEPT
    return kept and build.verdict is Verdict.FAILED


def _tried(build: Build) -> list[str]:
    """The runs whose models were tried."""
    tried = [each.spec.model for each in build.runs if each.spec.kind is RunKind.SERVING]
    return [*dict.fromkeys(map(str, tried))]


def _what(build: Build) -> tuple[str, str, str]:
    """Equal for two builds of one id when one is a second try of the other."""
    return build.subject, _offered(build), " ".join(_tried(build))


def _offered(build: Build) -> str:
    return build.promote.model if build.promote else build.subject
