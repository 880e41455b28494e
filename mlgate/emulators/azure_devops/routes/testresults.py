"""Results of a test run, in batches, and the files attached to each."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from mlgate.emulators.azure_devops.exchange import Answer, Reader, Refusal, one_of, text, whole
from mlgate.emulators.azure_devops.routes.testruns import RUN, VERSIONS
from mlgate.emulators.azure_devops.routing import Call, route
from mlgate.emulators.azure_devops.testing import Result, Run

RESULTS = f"{RUN}/results"
RESULT = RESULTS + "/{result:number}"
RESULTS_PER_REQUEST = 1000
TEXT_LENGTH = 1000  # of comment and stackTrace, as documented
ATTACHMENT_SIZE = 75 * 1024 * 1024  # bytes: the limit of Microsoft's agent
OUTCOMES = (
    "Unspecified",
    "None",
    "Passed",
    "Failed",
    "Inconclusive",
    "Timeout",
    "Aborted",
    "Blocked",
    "NotExecuted",
    "Warning",
    "Error",
    "NotApplicable",
    "Paused",
    "InProgress",
    "NotImpacted",
)


def moment(value: Any) -> str:
    """An ISO 8601 time with its zone."""
    if datetime.fromisoformat(text(value)).tzinfo is None:
        raise ValueError("a time without a zone")
    return text(value)


FIELDS: dict[str, Reader] = {
    "testCaseTitle": text,
    "automatedTestName": text,
    "automatedTestType": text,
    "automatedTestStorage": text,
    "state": one_of("InProgress", "Completed"),
    "outcome": one_of(*OUTCOMES),
    "durationInMs": whole,
    "startedDate": moment,
    "completedDate": moment,
    "errorMessage": text,
    "stackTrace": text,
    "comment": text,
}


def list_results(call: Call) -> Answer:
    return _listed(list(call.test_run.results.values()))


def add_results(call: Call) -> Answer:
    run = _written(call)
    added = call.read_list(FIELDS, required=("testCaseTitle", "automatedTestName", "outcome"))
    _check_batch(call, added)
    known = [result.name for result in run.results.values()]
    for fields in added:
        if fields["automatedTestName"] in known:
            call.violation(f"a second result of {fields['automatedTestName']}")
        known.append(fields["automatedTestName"])
    return _listed([run.add(fields) for fields in added])


def update_results(call: Call) -> Answer:
    run = _written(call)
    changes = call.read_list({"id": whole, **FIELDS}, required=("id",))
    _check_batch(call, changes)
    if any(fields["id"] not in run.results for fields in changes):
        raise Refusal(404, "TestObjectNotFoundException", "There is no such result.")
    changed = []
    for fields in changes:
        result = run.results[fields.pop("id")]
        result.fields.update(fields)
        changed.append(result)
    return _listed(changed)


def list_attachments(call: Call) -> Answer:
    result = _result(call, call.test_run)
    files = [{"id": number, "fileName": name} for number, name in enumerate(result.attachments, 1)]
    return Answer(body={"count": len(files), "value": files})


def add_attachment(call: Call) -> Answer:
    result = _result(call, _written(call))
    body = call.read(
        {
            "stream": lambda value: base64.b64decode(text(value), validate=True),
            "fileName": text,
            "comment": text,
            "attachmentType": one_of("GeneralAttachment", "ConsoleLog"),
        },
        required=("stream", "fileName"),
    )
    if not 0 < len(body["stream"]) <= ATTACHMENT_SIZE:
        call.violation(f"an attachment must have 1 to {ATTACHMENT_SIZE} bytes")
    if body["fileName"] in result.attachments:
        call.violation(f"a second {body['fileName']} of result {result.id}")
    result.attachments[body["fileName"]] = body["stream"]
    return Answer(body={"id": len(result.attachments), "url": f"{call.request.path}/1"})


def _written(call: Call) -> Run:
    """The run of the path, for writing; records violations."""
    run = call.test_run
    if run.over:
        call.violation(f"written to a test run that is {run.state}")
    call.write_to(call.plan_of_build(run.build_id))
    return run


def _result(call: Call, run: Run) -> Result:
    result = run.results.get(int(call.groups["result"]))
    if result is None:
        raise Refusal(404, "TestObjectNotFoundException", "There is no such result.")
    return result


def _check_batch(call: Call, batch: list[dict[str, Any]]) -> None:
    if not 1 <= len(batch) <= RESULTS_PER_REQUEST:
        call.violation(f"a batch must have 1 to {RESULTS_PER_REQUEST} results")
    for fields in batch:
        for name in ("comment", "stackTrace"):
            if len(fields.get(name, "")) > TEXT_LENGTH:
                call.violation(f"{name} is longer than {TEXT_LENGTH} characters")
        started, completed = fields.get("startedDate"), fields.get("completedDate")
        if started and completed and not _moment(completed) > _moment(started):
            call.violation("completedDate is not after startedDate")


def _moment(value: str) -> datetime:
    return datetime.fromisoformat(value)


def _listed(results: list[Result]) -> Answer:
    return Answer(body={"count": len(results), "value": [result.json() for result in results]})


ROUTES = (
    route("results.list", f"GET {RESULTS}", VERSIONS, list_results, query=("$top",)),
    route("results.add", f"POST {RESULTS}", VERSIONS, add_results, "application/json"),
    route("results.update", f"PATCH {RESULTS}", VERSIONS, update_results, "application/json"),
    route("results.files", f"GET {RESULT}/attachments", VERSIONS, list_attachments),
    route(
        "results.attach",
        f"POST {RESULT}/attachments",
        VERSIONS,
        add_attachment,
        "application/json",
    ),
)
