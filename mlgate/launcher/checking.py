"""Collects what is known of a model during its check, for metrics and for its record."""

from __future__ import annotations

import platform
import sysconfig
from dataclasses import asdict, dataclass, field
from typing import Any

from mlgate.launcher.claims import Said
from mlgate.launcher.timings import timings
from mlgate.launcher.trial import ANSWERING, DONE
from mlgate.launcher.under_load import Loaded
from mlgate.scorer import candidates, files
from mlgate.scorer.answers import alike

VERSION = 1  # of the record


@dataclass
class Check:
    """What is known of a model so far.

    `example` and each of `asks` are request bodies, as values for JSON; `asks` is None if only the
    example is sent. `memory_mb` is that of the largest process that tried the model. `under_load`
    says whether its load has begun, and `loaded` is the result of that.
    """

    candidate: candidates.Candidate
    parts: list[files.Part]
    example: Any = None
    asks: list[Any] | None = None
    said: list[Said] = field(default_factory=list)
    memory_mb: float = 0.0
    failed: bool = False
    under_load: bool = False
    loaded: Loaded | None = None
    warnings: list[str] = field(default_factory=list)

    def metrics(self) -> dict[str, float]:
        """The metrics. Without requests there is no ratio or time; a load's requests replace the
        others."""
        found = {"load_seconds": self.said[0].load_seconds, "memory_mb": self.memory_mb}
        if self.under_load:
            if self.loaded is None:
                return found
            found["memory_mb"] = max(self.memory_mb, self.loaded.memory_mb)
            return {**found, **self.loaded.metrics()}
        asked, failures = self._counts()
        found.update(requests=asked, failures=failures)
        if asked:
            found["failure_ratio"] = failures / asked
        return {**found, **timings(self.said[0].seconds)}

    def _counts(self) -> tuple[int, int]:
        """The numbers of requests and failures. The example alone counts as one request, which
        fails if any of its answers does."""
        first = self.said[0]
        if first.number:  # if the process did not finish, its last request failed as well
            return first.number, first.failed + int(first.step != DONE)
        answering = any(said.step in (ANSWERING, DONE) for said in self.said)
        asked = int(answering and self.example is not None)
        return asked, int(asked and self.failed)

    def record(self) -> dict[str, Any]:
        """The fields of a version's manifest, the folder of its files, and the warnings."""
        answer = self._answer()
        return {
            "version": VERSION,
            "format": self.candidate.format,
            "path": self.candidate.path,
            "python": platform.python_version(),
            "platform": sysconfig.get_platform(),
            "distributions": self.said[0].distributions,
            "files": [asdict(part) for part in self.parts],
            "folder": self.candidate.folder,  # relative to what its run kept
            "signature": self.said[0].signature,
            "example": self.example,
            "answer": answer,
            "warnings": self.warnings,
        }

    def _answer(self) -> Any:
        """The answer to the example; None, with a warning, if no server could reproduce it."""
        if self.example is None:
            return None
        if size := max(said.answer_bytes for said in self.said):
            self.warnings.append(
                f"the answer to the example has {size:,} bytes, which is too much to keep and "
                "compare when the model is served: use an example with fewer rows"
            )
            return None
        first, *others = [answer for said in self.said for answer in said.answers]
        if all(alike(first, other) for other in others):
            return first
        self.warnings.append(
            "the answers to the example differ, so none is kept to compare when the model is "
            "served: if they should be the same, give the model a fixed seed, and no state that "
            "requests change"
        )
        return None
