"""The endpoints of the Tests tab, one method for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handlers.devops_handler import testbodies
from handlers.devops_handler.client import Access, Client, Json, Request
from handlers.devops_handler.pacing import Kind
from handlers.devops_handler.testbodies import FoundResult, FoundRun
from mlgate.orchestration.errors import Permanent
from mlgate.orchestration.telling import Results, RunResult

VERSION = "7.1"
PAGE = 100  # test runs
MOST_PAGES = 50


@dataclass(frozen=True, slots=True)
class TabCalls:
    """Raises Temporary, Permanent and `PlanOverError`.

    Requests that add something are never repeated here, because the first one may have arrived.
    """

    client: Client
    access: Access

    def find_run(self, results: Results) -> FoundRun | None:
        """The build's test run with the title of `results`, among any that other tasks made."""
        seen: set[int] = set()
        for _ in range(MOST_PAGES):
            query = {
                "buildUri": f"vstfs:///Build/Build/{results.build_id}",
                "$top": str(PAGE),
                "$skip": str(len(seen)),
            }
            runs = testbodies.read_runs(self._call("GET", "", query=query, repeat=True))
            for run in runs:
                if run.name == results.title:
                    return run
            # The service may shorten pages, so only a page without new test runs is the last.
            if seen.issuperset(run.id for run in runs):
                return None
            seen.update(run.id for run in runs)
        raise Permanent(f"The build has {PAGE * MOST_PAGES} test runs or more.")

    def add_run(self, results: Results) -> FoundRun:
        answer = self._call("POST", "", testbodies.new_run(results))
        return FoundRun(testbodies.read_run_id(answer), results.title, over=False)

    def end_run(self, run_id: int, state: str) -> None:
        self._call("PATCH", f"/{run_id}", {"state": state}, repeat=True)

    def find_results(self, run_id: int) -> dict[str, FoundResult]:
        answer = self._call("GET", f"/{run_id}/results", query={"$top": "1000"}, repeat=True)
        return testbodies.read_results(answer)

    def add_results(self, run_id: int, runs: Sequence[RunResult]) -> dict[str, FoundResult]:
        body = [testbodies.new_result(run) for run in runs]
        answer = self._call("POST", f"/{run_id}/results", body, kind=Kind.RESULTS_ADDED)
        return testbodies.read_added(answer, runs)

    def change_results(self, run_id: int, changes: Sequence[Mapping[str, Any]]) -> None:
        self._call("PATCH", f"/{run_id}/results", changes, repeat=True, kind=Kind.RESULTS_CHANGED)

    def find_files(self, run_id: int, result_id: int) -> set[str]:
        answer = self._call("GET", f"/{run_id}/Results/{result_id}/attachments", repeat=True)
        return testbodies.read_files(answer)

    def attach(self, run_id: int, result_id: int, name: str, content: bytes) -> None:
        body = testbodies.attachment(name, content)
        path = f"/{run_id}/Results/{result_id}/attachments"
        self._call("POST", path, body, kind=Kind.RESULT_FILE)

    def _call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: Mapping[str, str] | None = None,
        repeat: bool = False,
        kind: Kind | None = None,
    ) -> Any:
        url = f"{self.access.plan.test_runs}{path}"
        request = Request(method, url, VERSION, body, repeat, kind, query or {})
        return self.client.call(self.access, request)
