"""Publishes what stays with the pipeline: the Tests tab, and the step's summary and files.

Each part is published on its own: if one is refused or fails for now, the others still appear.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from handlers.devops_handler.attachments import FILE_SIZE, content_of
from handlers.devops_handler.callbacks import Callbacks
from handlers.devops_handler.display import Display
from handlers.devops_handler.testtab import Tab
from mlgate.orchestration.errors import Permanent, Temporary
from mlgate.orchestration.ports import BuildFiles
from mlgate.orchestration.telling import Results

log = logging.getLogger("mlgate")

SUMMARY_NAME = "mlgate"


def has_tests_tab(results: Results) -> bool:
    """Whether the build has a number, by which the Tests tab finds its results."""
    said = results.build_id or ""
    return said.isascii() and said.isdigit()


def fill_tab(tab: Tab, display: Display) -> bool:
    """Bring the Tests tab up to date; returns whether it has every result that it will accept."""
    if display.tab_refused or not has_tests_tab(tab.results):
        return True
    # Forget the test run until the update succeeds: an error leaves its state in doubt.
    known, display.tests = display.tests, None
    try:
        display.tests, done = tab.bring_up(known)
    except Permanent as error:
        log.warning("the Tests tab is incomplete: %s", error)
        display.tab_refused = f"The Tests tab is incomplete: {error}"
        return True
    display.tab_begun = True
    if display.tests is None:  # the test run has ended
        display.ended.clear()
    else:
        complete = {name for name, result in display.tests.results.items() if result.complete}
        display.ended = {n: run for n, run in display.ended.items() if n not in complete}
    return done


def publish_all(
    callbacks: Callbacks, tab: Tab, display: Display, results: Results, files: BuildFiles
) -> bool:
    """Whether everything is published. Raises `Permanent` if the rest can never be."""
    fault = _keep(callbacks, display, results, files)
    done = fill_tab(tab, display)
    if fault is not None:
        raise fault
    refusals = list(display.refusals)
    if display.tab_refused:
        refusals.append(display.tab_refused)
    if not has_tests_tab(results):
        refusals.append(
            "The Tests tab stays empty because the message has no numeric build_id. "
            'Add "build_id": "$(Build.BuildId)".'
        )
    if done and refusals:
        raise Permanent(" ".join(refusals))
    return done


def _keep(
    callbacks: Callbacks, display: Display, results: Results, files: BuildFiles
) -> Temporary | None:
    """Attach the missing parts to the step's record; returns an error that is worth a retry."""
    parts: dict[str, Callable[[], None]] = {
        "summary": partial(callbacks.attach, "Summary", SUMMARY_NAME, results.summary.encode()),
        **{name: partial(_keep_file, callbacks, results, files, name) for name in results.files},
    }
    fault = None
    for what, keep in parts.items():
        if what in display.kept:
            continue
        try:
            keep()
        except Temporary as error:
            fault = error
            continue
        except Permanent as error:
            display.refusals.append(f"The step has no {what}: {error}")
        display.kept.add(what)
    return fault


def _keep_file(callbacks: Callbacks, results: Results, files: BuildFiles, name: str) -> None:
    content = content_of(files, results.build, name)
    if content is None:
        raise Permanent(f"it is too large to attach (more than {FILE_SIZE:,} bytes).")
    if content:
        callbacks.attach("FileAttachment", name, content)
