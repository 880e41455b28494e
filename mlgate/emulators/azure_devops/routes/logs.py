"""Persistent logs: one per path, appended to in bytes, shown for records that refer to them."""

from __future__ import annotations

from mlgate.emulators.azure_devops.exchange import Answer, Refusal, text
from mlgate.emulators.azure_devops.routes.plans import PLAN
from mlgate.emulators.azure_devops.routing import Call, route

PAGE_SIZE = 8 * 1024 * 1024  # bytes per request of Microsoft's clients


def create_log(call: Call) -> Answer:
    plan = call.plan
    body = call.read({"path": text}, required=("path",))
    if not body["path"].startswith("logs\\"):
        call.violation("a log's path begins with logs\\")
    call.write_to(plan)
    return Answer(body=plan.log_at(body["path"]).json())


def append_log(call: Call) -> Answer:
    plan = call.plan
    log = plan.logs.get(int(call.groups["log"]))
    if log is None:
        raise Refusal(404, "TaskOrchestrationLogNotFoundException", "No such log in this plan.")
    if not 0 < len(call.request.body) <= PAGE_SIZE:
        call.violation(f"a page of a log must have 1 to {PAGE_SIZE} bytes")
    call.write_to(plan)
    log.content += call.request.body
    return Answer(body=log.json())


ROUTES = (
    route("logs.create", f"POST {PLAN}/logs", ("4.1",), create_log, "application/json"),
    route(
        "logs.append",
        f"POST {PLAN}/logs/{{log:number}}",
        ("4.1",),
        append_log,
        "application/octet-stream",
    ),
)
