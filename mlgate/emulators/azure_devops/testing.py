"""Test runs with results and attachments as plain state; `fields` are unchanged from requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FIRST_RESULT = 100_000  # the service numbers the results of each run from here


@dataclass(slots=True)
class Result:
    id: int
    fields: dict[str, Any]
    attachments: dict[str, bytes] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.fields.get("automatedTestName", ""))

    def json(self) -> dict[str, Any]:
        """The result as in a list of results, which leaves out long fields."""
        shown = ("automatedTestName", "testCaseTitle", "state", "outcome")
        return {"id": self.id, **{key: self.fields[key] for key in shown if key in self.fields}}


@dataclass(slots=True)
class Run:
    """`state` is one of NotStarted, InProgress, Waiting, Completed, Aborted."""

    id: int
    build_id: int
    name: str
    state: str
    results: dict[int, Result] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.state in ("Completed", "Aborted")

    def json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "isAutomated": True,
            "totalTests": len(self.results),
        }

    def add(self, fields: dict[str, Any]) -> Result:
        result = Result(FIRST_RESULT + len(self.results), fields)
        self.results[result.id] = result
        return result

    def named(self, name: str) -> Result:
        """The result of that test; raises StopIteration if there is none."""
        return next(result for result in self.results.values() if result.name == name)
