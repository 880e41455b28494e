"""Shows a build in GitHub Actions: a summary on the run's page, and annotations.

The summary file, the annotations and their escapes follow GitHub's reference for workflow commands.
GitHub shows ten errors and ten warnings per step.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from mlgate.hosts.terminal import annotate, complain
from mlgate.orchestration.builds import Build, Verdict
from mlgate.orchestration.errors import Finding
from mlgate.orchestration.verdict.completion import completion_of
from mlgate.orchestration.verdict.summary import summary_markdown

_MOST = 10  # of a kind


def show(build: Build, stream: TextIO) -> None:
    """Add the build's summary to the step's, and annotate its failures and warnings.

    Does nothing if the variables of GitHub Actions are not set.
    """
    if place := os.environ.get("GITHUB_STEP_SUMMARY"):
        _append(Path(place), summary_markdown(build))
    if _is_here():
        said = completion_of(build)
        failed = [] if build.verdict is Verdict.SUCCEEDED else [f"{build.verdict}: {build.reason}"]
        _annotate("error", (*failed, *said.issues), stream)
        _annotate("warning", said.warnings, stream)


def show_findings(findings: Iterable[Finding], stream: TextIO) -> None:
    """Annotate what is wrong with a message."""
    if _is_here():
        _annotate("error", map(str, findings), stream)


def _is_here() -> bool:
    return os.environ.get("GITHUB_ACTIONS") == "true"


def _annotate(level: str, texts: Iterable[str], stream: TextIO) -> None:
    for _, text in zip(range(_MOST), texts, strict=False):
        annotate(level, text, file=stream)


def _append(file: Path, text: str) -> None:
    try:
        with file.open("a", encoding="utf-8", errors="replace") as summary:
            summary.write(text)
    except OSError as error:
        complain(f"mlgate: GITHUB_STEP_SUMMARY {file} cannot be written: {error.strerror}")
