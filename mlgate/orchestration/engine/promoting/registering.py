"""After the verdict: the version that an entry made current, in the backend's own list of models.

Best effort: what fails is a warning and changes no verdict.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from mlgate.orchestration.builds import Build
from mlgate.orchestration.durable import ModelsPort, StatePort
from mlgate.orchestration.engine.promoting import candidates
from mlgate.orchestration.engine.saved import SupersededError
from mlgate.orchestration.engine.trouble import Doing, sentence
from mlgate.orchestration.engine.work import Work, deaths
from mlgate.orchestration.models import Entry, EntryKind, Manifest
from mlgate.orchestration.ports import Kept, Ports, Registration
from mlgate.orchestration.wire.messages import message_of
from mlgate.orchestration.wire.promotion import PromoteMessage

log = logging.getLogger("mlgate")

_TAG = 200  # characters


def register(work: Work, *, always: bool) -> None:
    """List the build's version, and save the result; `always`: whatever its message says."""
    build = work.build
    assert build.promotion is not None
    warning = None
    if work.deadly(Doing.REGISTER):
        warning = deaths("registered its model")
    else:
        try:
            with work.on(Doing.REGISTER):
                _register(work.ports, build, always)
        except SupersededError:
            raise
        except candidates.FilesError as error:
            warning = sentence(error.error)
        except Exception as error:
            log.warning("build %s: its model is not registered", build.build_id, exc_info=error)
            warning = sentence(error)
    warnings = work.build.warnings
    if warning is not None:
        name = f"{build.promotion.model}@{build.promotion.id}"
        warnings = (*warnings, f"{name} could not be registered: {warning}")
    promotion = replace(build.promotion, registered=True)
    work.save(replace(work.build, promotion=promotion, warnings=warnings))


def _register(ports: Ports, build: Build, always: bool) -> None:
    promotion = build.promotion
    assert promotion is not None
    undone = promotion.verification.undone if promotion.verification else None
    number = promotion.number if undone is None else undone
    models = ports.models()
    entry = None if number is None else models.entry(promotion.model, number)
    if entry is None:
        return
    origin = build if entry.kind is EntryKind.PROMOTED else _origin(ports.state, models, entry)
    create = always or (origin is not None and _asks(ports.state, origin))
    if not create and not _was_listed(ports.state, models, entry):
        return
    offer = _offer(ports, origin, entry) if create and origin is not None else None
    source = offer.source if offer else origin or build
    head = models.head(entry.model).entry
    made = _registration(entry, source, offer)
    current = head is None or head.number <= entry.number
    ports.backend(source).register(replace(made, current=current, create=create))


def _was_listed(state: StatePort, models: ModelsPort, entry: Entry) -> bool:
    """Whether the version that the entry replaces was to be listed, so that its marks are wrong."""
    replaced = next((each for each in models.log(entry.model) if each.id == entry.replaces), None)
    origin = None if replaced is None else _origin(state, models, replaced)
    return origin is not None and _asks(state, origin)


def _origin(state: StatePort, models: ModelsPort, entry: Entry) -> Build | None:
    """The build that has promoted the version; None for one that is not remembered."""
    for each in models.log(entry.model):
        if each.id == entry.id and each.kind is EntryKind.PROMOTED and each.build is not None:
            stored = state.load(each.build.key)
            return None if stored is None else stored.build
    return None


def _asks(state: StatePort, origin: Build) -> bool:
    """Whether the message of the build that has trained the version asks for it."""
    message = message_of(origin.request)
    if isinstance(message, PromoteMessage):
        origin = candidates.earlier(state, message.build, message.run)
    return origin.promote is not None and origin.promote.register


def _offer(ports: Ports, origin: Build, entry: Entry) -> candidates.Offer | None:
    """Which attempt kept the version, and where; None when that is gone, long after promotion."""
    try:
        offer = candidates.find(ports, origin)
    except (candidates.FilesError, candidates.NotOfferedError):
        if entry.kind is EntryKind.PROMOTED:
            raise
        return None
    return offer if offer.manifest.digest == entry.digest else None


def _registration(entry: Entry, source: Build, offer: candidates.Offer | None) -> Registration:
    tags = {
        "mlgate.version": entry.id,
        "mlgate.entry": str(entry.number),
        "mlgate.build": source.build_id,
        "mlgate.commit": source.commit or "",
        "mlgate.verdict": source.verdict or "",
    }
    return Registration(
        model=entry.model,
        version=entry.id,
        kept=None if offer is None else _kept(source, offer),
        replaces=entry.replaces if entry.replaces != entry.id else None,
        rolled_back=entry.kind is EntryKind.ROLLED_BACK,
        number=entry.number,
        tags={name: value[:_TAG] for name, value in tags.items() if value},
    )


def _kept(source: Build, offer: candidates.Offer) -> Kept:
    run = offer.request.run
    path = _path(offer.manifest, offer.folder.removeprefix(f"runs/{run}"))
    return Kept(source.attempt_of(source.run(run)), path, offer.manifest.format)


def _path(manifest: Manifest, folder: str) -> str:
    """What is registered: the folder that MLflow loads, the only file, or else all files."""
    only = manifest.files[0].path if len(manifest.files) == 1 else "."
    inside = manifest.path if manifest.format == "mlflow" else only
    return "/".join(part for part in (folder.strip("/"), inside) if part not in ("", ".")) or "."
