"""From a passed gate to the current version: weigh, copy, commit. The effects, through the ports.

The commit point is the entry of the model's log, which is created exclusively. The entry is saved
with the build first: if a handler dies in between, the next one creates the same entry, or finds
it. So there is never a second one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import islice

from mlgate.orchestration.addresses.allowlist import same_place
from mlgate.orchestration.admission.allowed_models import ModelPolicy
from mlgate.orchestration.builds import Build, Phase
from mlgate.orchestration.durable import ModelsPort
from mlgate.orchestration.engine.promoting import candidates, endings
from mlgate.orchestration.engine.promoting.permission import require
from mlgate.orchestration.errors import Busy, Temporary
from mlgate.orchestration.models import Entry, EntryKind
from mlgate.orchestration.ports import Ports
from mlgate.orchestration.promotion import history, offers
from mlgate.orchestration.promotion.rollback import going_back
from mlgate.orchestration.promotion.weighing import Weighed, weigh
from mlgate.orchestration.promotions import (
    Promotion,
    PromotionOutcome,
    PromotionRequest,
    TrendPoint,
    Verification,
)
from mlgate.orchestration.wire.messages import message_of
from mlgate.orchestration.wire.promotion import RollbackMessage

MOST_POINTS = 12  # of what reports draw
PAUSE = 10.0  # seconds between checks whether another build has verified its version
MOST_OUTRUN = 5  # times that somebody else's entry may come first


def weighed(ports: Ports, build: Build, policy: ModelPolicy) -> Build:
    """The build with the entry that is to be appended, or with the end of its promotion."""
    assert build.promotion is not None
    message = message_of(build.request)
    if isinstance(message, RollbackMessage):
        return _weighed_back(ports, build, build.promotion, message)
    models, now = ports.models(), ports.clock.now()
    head = models.head(build.promotion.model)
    author = _author(ports, head.entry, build)
    _wait_for(author)
    offer = candidates.find(ports, build)
    if offer.source is not build:  # its own offer was permitted before it began
        require(ports, policy, build, offer.source, offer.request.model, "/model")
    manifest, request, current = offer.manifest, offer.request, head.entry
    known = models.manifest(request.model, manifest.id) is not None
    found = weigh(
        request,
        manifest.id,
        offers.metrics_of(offer.source),
        current,
        scored=offer.source.current_version,
        withdrawn=known and history.withdrawn(manifest.id, models.log(request.model)),
        later=offer.source is build and _trained_later(author, current, build),
    )
    promotion = replace(
        build.promotion,
        id=manifest.id,
        digest=manifest.digest,
        was=current.id if current else None,
        trend=_trend(models, request) if current else (),
        comparison=found.comparison,
        reason=found.reason,
    )
    new = tuple(each for each in found.warnings if each not in build.warnings)
    build = replace(build, promotion=promotion, warnings=(*build.warnings, *new))
    if found.outcome is not PromotionOutcome.PROMOTED:
        return endings.concluded(ports, build, found)
    if why := _elsewhere(ports, promotion):
        return endings.refused(ports, build, why)
    entry = offers.promoted(build, offer.source, request, manifest, head, found, now)
    return replace(build, promotion=replace(promotion, entry=entry, copied=False))


def copied(ports: Ports, build: Build) -> Build:
    """The build whose version is kept, so that its entry may be appended."""
    promotion = build.promotion
    assert promotion is not None
    assert promotion.entry is not None
    if promotion.entry.kind is EntryKind.PROMOTED:
        _keep(ports, build, promotion.entry)
    return replace(build, promotion=replace(promotion, copied=True))


def _keep(ports: Ports, build: Build, entry: Entry) -> None:
    """Have the store keep the entry's version, and no other that has taken the place of its files.

    Raises `candidates.NotOfferedError`.
    """
    offer = candidates.find(ports, build)
    if offer.manifest.digest != entry.digest:
        raise candidates.NotOfferedError(
            f"The files that {offer.request.run} kept changed after they were weighed: they were "
            f"{entry.id} and are {offer.manifest.id}."
        )
    ports.models().keep(entry.model, offer.manifest, partial(candidates.parts, ports, offer))


def committed(ports: Ports, build: Build) -> Build:
    """The build whose entry is appended; where somebody else's came first, it is weighed again."""
    promotion = build.promotion
    assert promotion is not None
    entry = promotion.entry
    assert entry is not None
    models = ports.models()
    # The build that came first has removed versions that no entry named.
    if models.missing(promotion.model, entry.id):
        return _not_there(ports, build, entry)
    if models.append(entry):
        if entry.kind is EntryKind.PROMOTED and models.missing(promotion.model, entry.id):
            _keep(ports, build, entry)
        return _entered(ports, build, entry)
    own = history.of_build(build.key, models.log(promotion.model), entry.number)
    if own is not None:
        return _entered(ports, build, own)
    outrun = promotion.outrun + 1
    build = replace(build, promotion=replace(promotion, entry=None, copied=False, outrun=outrun))
    if outrun > MOST_OUTRUN:
        return endings.refused(
            ports,
            build,
            f"Entries of other builds came first {outrun} times in a row. Run the build again.",
        )
    return build


def _not_there(ports: Ports, build: Build, entry: Entry) -> Build:
    assert build.promotion is not None
    if entry.kind is EntryKind.PROMOTED:
        return replace(build, promotion=replace(build.promotion, copied=False))
    build = replace(build, promotion=replace(build.promotion, entry=None, copied=False))
    return endings.refused(ports, build, f"The files of {entry.model}@{entry.id} were removed.")


def tidied(ports: Ports, model: str, keep: int) -> None:
    """Remove the files of versions that are no longer kept."""
    models = ports.models()
    for version in models.versions(model):
        # Read each time: somebody may have brought it back since.
        if version not in history.kept(models.log(model), keep, ports.clock.now()):
            models.drop_files(model, version)


def left(ports: Ports, build: Build) -> Build:
    """The end of a build that was asked to end meanwhile: an entry that is there stays."""
    promotion = build.promotion
    assert promotion is not None
    entry = promotion.entry
    if entry is not None and promotion.copied:
        models = ports.models()
        # Another handler's append may hang at this moment; from now on it cannot succeed.
        models.void(promotion.model, entry.number)
        if models.entry(promotion.model, entry.number) == entry:
            return _entered(ports, build, entry)
    return endings.unentered(ports, build)


def _weighed_back(
    ports: Ports, build: Build, promotion: Promotion, message: RollbackMessage
) -> Build:
    to = None if message.to is None else str(message.to)
    if promotion.verify is not None:
        _wait_for(_author(ports, ports.models().head(promotion.model).entry, build))
        if why := _elsewhere(ports, promotion):
            return endings.refused(ports, build, why)
    found = going_back(
        ports.models(), message.model, to, message.reason, ports.clock.now(), build=build
    )
    if isinstance(found, Weighed):
        return endings.concluded(ports, build, found)
    promotion = replace(
        promotion,
        id=found.id,
        digest=found.digest,
        was=found.replaces,
        entry=found,
        reason=found.reason,
    )
    return replace(build, promotion=promotion)


def _trend(models: ModelsPort, request: PromotionRequest) -> tuple[TrendPoint, ...]:
    """The last versions' values of the metric that is compared first."""
    if not request.compare:
        return ()
    first = request.compare[0]
    entries = list(islice(models.log(request.model), MOST_POINTS))
    values = ((each, each.metrics.get(first.run, {}).get(first.metric)) for each in entries)
    points = [
        TrendPoint(each.id, first.metric, value) for each, value in values if value is not None
    ]
    return tuple(reversed(points))


def _author(ports: Ports, current: Entry | None, build: Build) -> Build | None:
    """The other build that made the version the current one, as far as it is remembered."""
    if current is None or current.build is None or current.build.key == build.key:
        return None
    known = ports.state.load(current.build.key)
    return None if known is None else known.build


def _wait_for(author: Build | None) -> None:
    """Two builds that verify at the same time could return to each other's version, so one waits
    for the other. Raises `Busy`."""
    if author is None or author.phase is not Phase.PROMOTING or author.promotion is None:
        return
    if author.promotion.verify is not None:
        raise Busy(f"The build {author.build_id} verifies the current version.", PAUSE)


def _elsewhere(ports: Ports, promotion: Promotion) -> str | None:
    """What is wrong with the server, asked before anything changes; one that does not answer now
    may do so later. Raises what will not pass."""
    if promotion.verify is None:
        return None
    url = promotion.verify.url
    try:
        found = ports.service.health(url).model
    except Temporary:
        return None
    if found in (None, promotion.model):
        return None
    return f"{url} serves {found}, not {promotion.model}: check the URL of `verify`."


def _trained_later(author: Build | None, current: Entry | None, build: Build) -> bool:
    """Whether the current version was trained by a build of the same repository that began later.

    A version that a rollback, or the promotion of an earlier build, made current is a person's
    choice.
    """
    if current is None or current.kind is not EntryKind.PROMOTED or current.repository is None:
        return False
    if build.repository is None or not same_place(current.repository.url, build.repository.url):
        return False
    if author is None or author.promote is None:
        return False
    return author.received_at > build.received_at


def _entered(ports: Ports, build: Build, entry: Entry) -> Build:
    """The build whose entry is in the log: its end, where no server is to be asked."""
    assert build.promotion is not None
    new = f"{entry.model}@{entry.id}"
    outcome = endings.entered(build)
    what = "the current version" if outcome is PromotionOutcome.PROMOTED else "current again"
    reason = f"{new} is {what}, by entry {entry.number}. {build.promotion.reason}".strip()
    promotion = replace(
        build.promotion,
        number=entry.number,
        was=entry.replaces,
        id=entry.id,
        entry=None,
        copied=False,
        reason=reason,
    )
    build = replace(build, promotion=promotion, infrastructure=False)
    if promotion.verify is not None:
        promotion = replace(promotion, verification=Verification(promotion.verify))
        # Earlier failures are over: they must not delay reports of what comes now.
        return replace(build, promotion=promotion, hindered=0.0)
    return endings.concluded(ports, build, Weighed(outcome, True, reason))
