"""The endpoints of the Tests tab, a method each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from handlers.devops_handler import testbodies
from handlers.devops_handler.client import Client, Json, Request
from handlers.devops_handler.endpoints import Endpoints
from handlers.devops_handler.testbodies import FoundResult, FoundRun
from mlgate.orchestration.told import Results, RunResult

VERSION = "7.1"


@dataclass(frozen=True, slots=True)
class TabCalls:
    """Raises Temporary, Permanent and `PlanOverError`.

    What only adds is never repeated here: whether it arrived is not known.
    """

    client: Client
    plan: Endpoints
    token: SecretStr
    patience: float  # seconds

    def find_run(self, results: Results) -> FoundRun | None:
        query = {"buildUri": f"vstfs:///Build/Build/{results.build_id}"}
        answer = self._call("GET", "", query=query, repeat=True)
        return testbodies.read_runs(answer).get(results.title)

    def add_run(self, results: Results) -> FoundRun:
        answer = self._call("POST", "", testbodies.new_run(results))
        return FoundRun(testbodies.read_run_id(answer), over=False)

    def end_run(self, run_id: int, state: str) -> None:
        self._call("PATCH", f"/{run_id}", {"state": state}, repeat=True)

    def find_results(self, run_id: int) -> dict[str, FoundResult]:
        answer = self._call("GET", f"/{run_id}/results", query={"$top": "1000"}, repeat=True)
        return testbodies.read_results(answer)

    def add_results(self, run_id: int, runs: Sequence[RunResult]) -> dict[str, FoundResult]:
        body = [testbodies.new_result(run) for run in runs]
        return testbodies.read_added(self._call("POST", f"/{run_id}/results", body), runs)

    def change_results(self, run_id: int, changes: Sequence[Mapping[str, Any]]) -> None:
        self._call("PATCH", f"/{run_id}/results", changes, repeat=True)

    def find_files(self, run_id: int, result_id: int) -> set[str]:
        answer = self._call("GET", f"/{run_id}/Results/{result_id}/attachments", repeat=True)
        return testbodies.read_files(answer)

    def attach(self, run_id: int, result_id: int, name: str, content: bytes) -> None:
        body = testbodies.attachment(name, content)
        self._call("POST", f"/{run_id}/Results/{result_id}/attachments", body)

    def _call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: Mapping[str, str] | None = None,
        repeat: bool = False,
    ) -> Any:
        url = f"{self.plan.test_runs}{path}"
        request = Request(method, url, VERSION, body, repeat, query or {})
        return self.client.call(self.plan, self.token, request, patience=self.patience)
