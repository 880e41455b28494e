"""What a turn reports to the pipeline while the build goes on, and asks it.

Nothing depends on an answer, so failures here are only logged. A pipeline that has failed to answer
once is not called again in this turn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from pydantic import SecretStr

from mlgate.orchestration.builds import Phase, PipelineAddress
from mlgate.orchestration.engine.trouble import Doing
from mlgate.orchestration.engine.work import Work
from mlgate.orchestration.telling import Progress
from mlgate.orchestration.verdict.evidence import notebooks_in
from mlgate.orchestration.verdict.narration import operation
from mlgate.orchestration.verdict.results import results_so_far

CHECK = timedelta(seconds=15)  # how often the pipeline is asked whether its step still waits


class News:
    def __init__(self, work: Work) -> None:
        self._work = work
        self._ports = work.ports
        self._ended = {run.spec.name for run in work.build.runs if run.status.ended}
        self._unheard = False

    def ask(self, when: str, *, again: bool = False) -> None:
        """Record whether the step still waits; `again`: even if it was asked a moment ago.

        If there is no answer, the runs go on and a later look asks again.
        """
        build, now = self._work.build, self._work.now()
        asked = build.pipeline_asked_at
        lately = asked is not None and asked <= now < asked + CHECK
        if again or not (lately or self._late or build.phase is Phase.COMPLETING):
            self._try(f"{Doing.ASK}:{when}", self._ask)
        self._work.take_in_ending()

    def ask_name(self) -> None:
        """Record the pipeline's name, which runs are filed under."""
        if self._work.build.pipeline_name is None:
            self._try(Doing.NAME, self._ask_name)

    def show(self, when: str) -> None:
        """Show the build's progress; the port knows what of it is new."""
        if not self._late:
            self._try(f"{Doing.SHOW}:{when}", self._show)

    def show_results(self) -> None:
        """Publish the results of runs that ended in this look, while the build goes on.

        Also when there are none, since some of an earlier look may still wait to be sent.
        """
        if self._work.build.phase is Phase.WATCHING and not self._late:
            self._try(Doing.SHOW_RESULTS, self._show_results)

    @property
    def _late(self) -> bool:
        """Whether failures already delay the verdict, which matters more than news."""
        return self._work.build.ended_at is not None and self._work.build.hindered > 0

    def _try(self, step: str, act: Callable[[], None]) -> None:
        if not self._unheard:
            self._unheard = not self._work.well_done(step, act)

    def _address(self) -> tuple[PipelineAddress, SecretStr] | None:
        """None where nobody waits any more, as far as is known."""
        build = self._work.build
        if build.pipeline is None or build.pipeline_ended or build.completion_posted:
            return None
        token = self._ports.state.token(build.key)
        return None if token is None else (build.pipeline, token)

    def _ask(self) -> None:
        saved = self._work.saved
        if address := self._address():
            saved.keep(replace(saved.build, pipeline_asked_at=self._ports.clock.now()))
            waiting = self._ports.pipeline.is_waiting(*address)
            saved.keep(replace(saved.build, pipeline_ended=not waiting))

    def _ask_name(self) -> None:
        saved = self._work.saved
        if address := self._address():
            name = self._ports.pipeline.name(*address)
            saved.keep(replace(saved.build, pipeline_name=name))

    def _show(self) -> None:
        saved = self._work.saved
        saved.narrate()  # a quiet look saves once, when nothing can be shown any more
        lines, saved.lines = tuple(saved.lines), []
        if address := self._address():
            build = saved.build
            shown = Progress(build.percent, operation(build), lines, build.log_lines + 1)
            self._ports.pipeline.show(*address, shown)
            saved.keep(replace(saved.build, log_lines=build.log_lines + len(lines)))

    def _show_results(self) -> None:
        build = self._work.build
        new = [run for run in build.runs if run.status.ended and run.spec.name not in self._ended]
        if not build.ending_since and (address := self._address()):
            results = results_so_far(build, new, notebooks_in(self._ports.files, build))
            self._ports.pipeline.publish(*address, results, self._ports.files)
