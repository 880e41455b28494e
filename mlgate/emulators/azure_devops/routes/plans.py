"""The plan, and the events that report a task's end."""

from __future__ import annotations

from mlgate.emulators.azure_devops.exchange import Answer, Refusal, guid, one_of
from mlgate.emulators.azure_devops.routing import Call, route

PLAN = "{project}/_apis/distributedtask/hubs/{hub:word}/plans/{plan}"
RESULTS = (
    "succeeded",
    "succeededWithIssues",
    "failed",
    "canceled",
    "skipped",
    "abandoned",
    "manuallyQueued",
    "dependentOnManualQueue",
    "deliveryFailed",
)


def get_plan(call: Call) -> Answer:
    """Fields of TaskOrchestrationPlan in microsoft/azure-devops-python-api; no recording."""
    plan = call.plan
    definition = {"definition": {"id": 1, "name": plan.pipeline}} if plan.pipeline else {}
    return Answer(
        body={
            **definition,
            "planId": plan.id,
            "planType": plan.hub,
            "version": plan.version,
            "state": "completed" if plan.finished else "inProgress",
            "result": plan.task_record["result"],
            "timeline": {"id": plan.timeline_id},
        }
    )


def post_event(call: Call) -> Answer:
    plan = call.plan
    event = call.read(
        {
            "name": one_of("TaskAssigned", "TaskStarted", "TaskCompleted"),
            "taskId": guid,
            "jobId": guid,
            "result": one_of(*RESULTS),
        },
        required=("name", "taskId", "jobId"),
    )
    if not plan.waits:
        raise Refusal(400, "TaskEventNotEnabledException", "The task does not wait for events.")
    if (event["jobId"], event["taskId"]) != plan.event_ids():
        raise Refusal(
            404,
            "TaskOrchestrationJobNotFoundException",
            f"No task {event['taskId']} of job {event['jobId']} waits in plan {plan.id}.",
        )
    call.write_to(plan)
    plan.events.append(event["name"])
    if event["name"] == "TaskCompleted":
        if "result" not in event:
            raise Refusal(400, "VssPropertyValidationException", "TaskCompleted has no result.")
        plan.complete(event["result"])
    return Answer(204)


ROUTES = (
    route("plan", f"GET {PLAN}", ("7.2-preview.2",), get_plan),
    route("events", f"POST {PLAN}/events", ("2.0-preview.1",), post_event, "application/json"),
)
