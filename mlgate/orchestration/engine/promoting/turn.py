"""One step of a promotion, by the handler that acts on the build."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlgate.orchestration.admission.allowed_models import ModelPolicy
from mlgate.orchestration.builds import Build
from mlgate.orchestration.engine.news import News
from mlgate.orchestration.engine.promoting import acts, candidates, verifying
from mlgate.orchestration.engine.steps import Promote, Promoting
from mlgate.orchestration.engine.trouble import Doing
from mlgate.orchestration.engine.work import Work
from mlgate.orchestration.ports import Ports

Act = Callable[[Ports, Build, ModelPolicy], Build]
_ACTS: Mapping[Promoting, tuple[Act, str]] = {
    Promoting.WEIGH: (acts.weighed, "weighed its model"),
    Promoting.COPY: (lambda ports, build, _: acts.copied(ports, build), "copied its model"),
    Promoting.COMMIT: (lambda ports, build, _: acts.committed(ports, build), "entered its model"),
    Promoting.UNDO: (lambda ports, build, _: verifying.undone(ports, build), "undid its entry"),
    Promoting.CLOSE: (lambda ports, build, _: verifying.closed(ports, build), "ended it"),
    Promoting.LEAVE: (lambda ports, build, _: acts.left(ports, build), "ended its promotion"),
}


def take(work: Work, news: News, step: Promote, policy: ModelPolicy) -> None:
    """Do what the step says, and save the result."""
    act, what = _ACTS[step.what]
    name = f"{Doing.PROMOTE}:{step.what}"
    work.refuse_deadly(name, what)
    if step.what is Promoting.COMMIT:
        # A step that ended since it was last asked must change no model.
        news.ask("before the model", again=True)
        if work.build.ending_since is not None:
            return
    try:
        with work.on(name):
            promoted = act(work.ports, work.build, policy)
    except candidates.FilesError as failed:
        work.failed(f"{Doing.OFFER}:{step.what}")
        raise failed.error from failed
    work.save(promoted)
    entered = promoted.promotion
    if step.what is Promoting.COMMIT and entered is not None and entered.number is not None:
        model = entered.model
        work.well_done(Doing.TIDY, lambda: acts.tidied(work.ports, model, policy.keep))
    work.take_in_ending()


def verify(work: Work) -> None:
    """Look at the server once, and save the result."""
    work.refuse_deadly(Doing.VERIFY, "asked the server")
    work.saved.keep(verifying.looking(work.build, work.broker_now()))
    with work.on(Doing.VERIFY):
        verified = verifying.looked(work.ports, work.build)
    work.save(verified)
    work.take_in_ending()
