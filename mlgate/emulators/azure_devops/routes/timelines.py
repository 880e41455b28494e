"""Timeline records (state, percent, issues) and the live feed."""

from __future__ import annotations

import copy
import re
from typing import Any

from mlgate.emulators.azure_devops.exchange import (
    Answer,
    Refusal,
    boolean,
    guid,
    list_of,
    map_of,
    nullable,
    one_of,
    text,
    whole,
)
from mlgate.emulators.azure_devops.plan import FeedLine, Plan
from mlgate.emulators.azure_devops.routes.plans import PLAN, RESULTS
from mlgate.emulators.azure_devops.routing import Call, route

RECORDS = PLAN + "/timelines/{timeline}/records"

# Limits of Microsoft's agent; the service's own are not documented.
LINE_LENGTH = 1024
LINES_PER_POST = 100
RECORDS_PER_PATCH = 25
ISSUES_PER_RECORD = 10  # of each type

VARIABLE = re.compile(r"[A-Za-z0-9_.]+")  # names of pipeline variables
ATTACHMENT_TYPES = tuple(
    f"DistributedTask.Core.{kind}" for kind in ("Log", "Summary", "FileAttachment", "DiagnosticLog")
)


def get_records(call: Call) -> Answer:
    plan = _plan_of_timeline(call)
    return _listed([copy.deepcopy(record) for record in plan.records.values()])


def patch_records(call: Call) -> Answer:
    plan = _plan_of_timeline(call)
    issue = call.shape(
        {
            "type": one_of("error", "warning"),
            "category": nullable(text),
            "message": text,
            "data": map_of(text),
        },
        required=("type", "message"),
    )
    variable = call.shape({"value": nullable(text), "isSecret": boolean}, required=("value",))
    record = call.shape(
        {
            "id": guid,
            "parentId": nullable(guid),
            "type": text,
            "name": text,
            "state": one_of("pending", "inProgress", "completed"),
            "result": nullable(one_of(*RESULTS)),
            "percentComplete": nullable(whole),
            "currentOperation": nullable(text),
            "startTime": text,
            "finishTime": text,
            "order": whole,
            "log": nullable(call.shape({"id": whole}, required=("id",))),
            "errorCount": whole,
            "warningCount": whole,
            "issues": list_of(issue),
            "variables": map_of(variable),
        },
        required=("id",),
    )
    body = call.read({"value": list_of(record), "count": whole}, required=("value", "count"))
    _check_patch(call, plan, body)
    return _listed([plan.update_record(changes) for changes in body["value"]])


def post_feed(call: Call) -> Answer:
    plan = _plan_of_timeline(call)
    body = call.read(
        {"value": list_of(text), "count": whole, "stepId": guid, "startLine": nullable(whole)},
        required=("value", "count"),
    )
    if call.groups["record"].lower() != plan.job_id:
        call.violation("the feed belongs to the job's record")
    if body.get("stepId", plan.task_id) != plan.task_id:
        call.violation("stepId is not the task's")
    if body["count"] != len(body["value"]) or not body["value"]:
        call.violation("count is not the number of lines, or there are no lines")
    if len(body["value"]) > LINES_PER_POST:
        call.violation(f"more than {LINES_PER_POST} lines in one request")
    if any(len(line) > LINE_LENGTH or "\n" in line for line in body["value"]):
        call.violation(f"a line is longer than {LINE_LENGTH} characters, or has a line break")
    call.write_to(plan)
    start = body.get("startLine")
    for place, line in enumerate(body["value"]):
        number = None if start is None else start + place
        plan.feed.append(FeedLine(line, number, call.now))
    return Answer(204)


def put_attachment(call: Call) -> Answer:
    plan = _plan_of_timeline(call)
    kind, name = call.groups["kind"], call.groups["name"]
    if kind not in ATTACHMENT_TYPES:
        call.violation(f"attachment type {kind}")
    if call.groups["record"].lower() != plan.task_id:
        call.violation("the attachment belongs to the task's record")
    if not call.request.body:
        call.violation("an empty attachment")
    call.write_to(plan)
    plan.attachments[kind, name] = call.request.body
    return Answer(201, {"type": kind, "name": name, "recordId": plan.task_id})


def _plan_of_timeline(call: Call) -> Plan:
    plan = call.plan
    if plan.timeline_id != call.groups["timeline"].lower():
        raise Refusal(404, "TimelineNotFoundException", "No such timeline in this plan.")
    return plan


def _check_patch(call: Call, plan: Plan, body: dict[str, Any]) -> None:
    records = body["value"]
    if body["count"] != len(records) or not 1 <= len(records) <= RECORDS_PER_PATCH:
        call.violation("count is not the number of records, or there are no or too many records")
    call.write_to(plan)
    for changes in records:
        percent = changes.get("percentComplete")
        if percent is not None and not 0 <= percent <= 100:
            call.violation(f"percentComplete {percent}")
        for kind in ("error", "warning"):
            shown = [issue for issue in changes.get("issues", ()) if issue["type"] == kind]
            if len(shown) > ISSUES_PER_RECORD:
                call.violation(f"more than {ISSUES_PER_RECORD} issues of type {kind}")
        for name in changes.get("variables", {}):
            if not VARIABLE.fullmatch(name):
                call.violation(f"{name!r} is not a valid name of a variable")
        if changes["id"] == plan.task_id:
            if percent is not None and plan.percents and percent < plan.percents[-1]:
                call.violation("percentComplete falls")
            if "name" in changes:
                call.violation("name would overwrite the task's display name")
            if changes.get("state") == "completed":
                call.violation("a task is completed by its event, not through its record")
        log = changes.get("log")
        if log is not None and log["id"] not in plan.logs:
            raise Refusal(400, "VssPropertyValidationException", f"There is no log {log['id']}.")


def _listed(records: list[dict[str, Any]]) -> Answer:
    return Answer(body={"count": len(records), "value": records})


ROUTES = (
    route("records.get", f"GET {RECORDS}", ("4.1",), get_records),
    route("records.patch", f"PATCH {RECORDS}", ("4.1",), patch_records, "application/json"),
    route("feed", f"POST {RECORDS}/{{record}}/feed", ("4.1",), post_feed, "application/json"),
    route(
        "attachments.put",
        f"PUT {RECORDS}/{{record}}/attachments/{{kind:word}}/{{name:word}}",
        ("5.1-preview.1",),
        put_attachment,
        "application/octet-stream",
    ),
)
