"""Which function answers which request, and what that function can use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mlgate.emulators.azure_devops.exchange import (
    Answer,
    Reader,
    Refusal,
    Request,
    list_of,
    object_of,
    read_json,
)
from mlgate.emulators.azure_devops.plan import Plan
from mlgate.emulators.azure_devops.testing import Run

_PAGE = (("$skip", "0"), ("$top", "1000"))
_GUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


@dataclass(slots=True)
class Organization:
    """The emulator's whole state; `identities` are tokens that are valid for every plan."""

    plans: dict[str, Plan] = field(default_factory=dict)
    test_runs: dict[int, Run] = field(default_factory=dict)
    identities: set[str] = field(default_factory=set, repr=False)

    def add_test_run(self, build_id: int, name: str, state: str) -> Run:
        run = Run(len(self.test_runs) + 1, build_id, name, state)
        self.test_runs[run.id] = run
        return run


@dataclass(slots=True)
class Call:
    """A matched request; `caller` is the plan whose job's token it has, None for an identity's."""

    request: Request
    groups: Mapping[str, str]
    organization: Organization
    caller: Plan | None
    now: datetime
    violations: list[str] = field(default_factory=list)

    @property
    def plan(self) -> Plan:
        """The plan of the path; Refusal if it is unknown, another caller's, or over."""
        plan = self.organization.plans.get(self.groups["plan"].lower())
        if (
            plan is None
            or plan.project_id != self.groups["project"].lower()
            or plan.hub.lower() != self.groups["hub"].lower()
            or (self.caller is not None and self.caller.id != plan.id)
        ):
            raise Refusal(
                404,
                "TaskOrchestrationPlanNotFoundException",
                f"No orchestration plan found with identifier {self.groups['plan']} "
                f"for hub {self.groups['hub']}.",
            )
        plan.refuse_when_ended()
        return plan

    def plan_of_build(self, build_id: int) -> Plan:
        """The plan of a build in the path's project; Refusal if the caller has no access to it."""
        for plan in self.organization.plans.values():
            mine = self.caller is None or self.caller.id == plan.id
            if mine and (plan.build_id, plan.project_id) == (build_id, self._project):
                return plan
        raise Refusal(404, "BuildNotFoundException", f"There is no build {build_id} here.")

    @property
    def test_run(self) -> Run:
        """The test run of the path."""
        run = self.organization.test_runs.get(int(self.groups["run"]))
        if run is None:
            raise Refusal(404, "TestObjectNotFoundException", "There is no such test run.")
        self.plan_of_build(run.build_id)
        return run

    @property
    def _project(self) -> str:
        return self.groups["project"].lower()

    def read(self, readers: Mapping[str, Reader], required: tuple[str, ...] = ()) -> Any:
        """The body as a JSON object."""
        return read_json(self.request, self.shape(readers, required))

    def shape(self, readers: Mapping[str, Reader], required: tuple[str, ...] = ()) -> Reader:
        return object_of(readers, required, self.violation)

    def read_list(self, readers: Mapping[str, Reader], required: tuple[str, ...] = ()) -> Any:
        """The body as a JSON list of objects."""
        return read_json(self.request, list_of(self.shape(readers, required)))

    def page(self, *, most: int) -> tuple[int, int]:
        """How many items of a list to skip and to return, at most `most`, by $skip and $top."""
        asked = [self.request.query.get(name, default) for name, default in _PAGE]
        if not all(number.isascii() and number.isdigit() for number in asked):
            raise Refusal(400, "InvalidPropertyException", "$skip or $top is not a number.")
        skip, top = map(int, asked)
        return skip, min(top, most)

    def violation(self, what: str) -> None:
        self.violations.append(what)

    def write_to(self, plan: Plan) -> None:
        """Record a violation if the client has already completed the step."""
        if plan.completions:
            self.violation("written after TaskCompleted")


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the service.

    `name` is its name in faults and in the list of requests. `versions` are those of the service's
    own clients and samples; others work but are a violation.
    """

    name: str
    method: str
    path: re.Pattern[str]
    versions: tuple[str, ...]
    answer: Callable[[Call], Answer]
    content_type: str | None = None
    query: tuple[str, ...] = ()  # parameters beside api-version, in lower case
    public: bool = False  # a request without a token is answered with a sign-in page


def route(
    name: str,
    request: str,
    versions: tuple[str, ...],
    answer: Callable[[Call], Answer],
    content_type: str | None = None,
    *,
    query: tuple[str, ...] = (),
    public: bool = False,
) -> Route:
    """A route from `METHOD path`; `{name}` is a GUID, `{name:word}` and `{name:number}` are not."""
    method, template = request.split(" ", 1)
    kinds = {"": _GUID, "word": r"[^/]+", "number": r"\d+"}
    pattern = re.sub(r"\{(\w+):?(\w*)\}", lambda part: f"(?P<{part[1]}>{kinds[part[2]]})", template)
    path = re.compile(f"/org/{pattern}", re.IGNORECASE)
    return Route(name, method, path, versions, answer, content_type, query, public)


@dataclass(frozen=True, slots=True)
class Match:
    route: Route
    groups: Mapping[str, str]


def match_route(routes: tuple[Route, ...], request: Request) -> Match | None:
    for candidate in routes:
        found = candidate.path.fullmatch(request.path)
        if found and candidate.method == request.method:
            return Match(candidate, found.groupdict())
    return None
