"""Test runs of a build: created in progress, listed by build, completed or aborted once."""

from __future__ import annotations

import re

from mlgate.emulators.azure_devops.exchange import (
    Answer,
    Refusal,
    boolean,
    one_of,
    text,
    whole,
)
from mlgate.emulators.azure_devops.routing import Call, route

TESTS = "{project}/_apis/test"
RUN = TESTS + "/runs/{run:number}"
VERSIONS = ("7.1",)
PAGE = 100  # test runs per page, whatever $top says; the service's limit is not documented
_BUILD_URI = re.compile(r"vstfs:///Build/Build/(\d+)")


def list_runs(call: Call) -> Answer:
    uri = _BUILD_URI.fullmatch(call.request.query.get("builduri", ""))
    if uri is None:
        raise Refusal(400, "InvalidPropertyException", "buildUri is not the URI of a build.")
    plan = call.plan_of_build(int(uri[1]))
    runs = [run for run in call.organization.test_runs.values() if run.build_id == plan.build_id]
    skip, top = call.page(most=PAGE)
    shown = [run.json() for run in runs[skip : skip + top]]
    return Answer(body={"count": len(shown), "value": shown})


def create_run(call: Call) -> Answer:
    reference = call.shape({"id": text}, required=("id",))
    body = call.read(
        {
            "name": text,
            "automated": boolean,
            "state": one_of("NotStarted", "InProgress", "Waiting"),
            "type": one_of("NoConfigRun", "RunWithDtlEnv"),
            "build": reference,
            "pipelineReference": call.shape({"pipelineId": whole}, required=("pipelineId",)),
            "comment": text,
        },
        required=("name", "build"),
    )
    if not body["build"]["id"].isascii() or not body["build"]["id"].isdigit():
        raise Refusal(400, "InvalidPropertyException", "build.id is not a number.")
    plan = call.plan_of_build(int(body["build"]["id"]))
    pipeline = body.get("pipelineReference", {"pipelineId": plan.build_id})
    if pipeline["pipelineId"] != plan.build_id:
        raise Refusal(400, "InvalidPropertyException", "pipelineId is not build.id.")
    runs = call.organization.test_runs
    if any((run.build_id, run.name) == (plan.build_id, body["name"]) for run in runs.values()):
        call.violation(f"a second test run {body['name']!r} of build {plan.build_id}")
    if not body.get("automated"):
        call.violation("a test run that is not automated")
    call.write_to(plan)
    state = body.get("state", "NotStarted")
    return Answer(body=call.organization.add_test_run(plan.build_id, body["name"], state).json())


def update_run(call: Call) -> Answer:
    run = call.test_run
    states = one_of("NotStarted", "InProgress", "Waiting", "Completed", "Aborted")
    body = call.read({"state": states}, required=("state",))
    if run.over and body["state"] != run.state:
        call.violation(f"a test run that is {run.state} becomes {body['state']}")
    open_results = [r for r in run.results.values() if r.fields.get("state") != "Completed"]
    if body["state"] == "Completed" and open_results:
        call.violation("a test run is completed before its results")
    if body["state"] != "Aborted":
        call.write_to(call.plan_of_build(run.build_id))
    run.state = body["state"]
    return Answer(body=run.json())


ROUTES = (
    route(
        "runs.list",
        f"GET {TESTS}/runs",
        VERSIONS,
        list_runs,
        query=("builduri", "$skip", "$top"),
    ),
    route("runs.create", f"POST {TESTS}/runs", VERSIONS, create_run, "application/json"),
    route("runs.update", f"PATCH {RUN}", VERSIONS, update_run, "application/json"),
)
