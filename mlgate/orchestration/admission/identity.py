"""Which step waits for a build, and which build a message is about.

The pipeline's coordinates travel as application properties. Everyone who may send to the queue can
set them, so they are checked before they are used; whether the host allows the URL is decided
elsewhere (`policy`).
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping

from pydantic import SecretStr

from mlgate.orchestration.addresses.allowlist import parse_url
from mlgate.orchestration.builds import Build, PipelineAddress
from mlgate.orchestration.errors import BadMessage, Finding
from mlgate.orchestration.findings import Code, finding, pointer

PIPELINE_PROPERTIES = (
    "PlanUrl",
    "ProjectId",
    "HubName",
    "PlanId",
    "JobId",
    "TimelineId",
    "TaskInstanceName",
    "TaskInstanceId",
    "AuthToken",
)

_MANDATORY = ("PlanUrl", "ProjectId", "PlanId", "JobId", "TimelineId", "AuthToken")
_GUIDS = ("ProjectId", "PlanId", "JobId", "TimelineId", "TaskInstanceId")
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_HUBS = ("build", "release", "gates", "checks", "deployment")
# What an absent hub means to Microsoft's own library for such receivers.
_DEFAULT_HUB = "Release"


def pipeline_address(properties: Mapping[str, str]) -> tuple[PipelineAddress, SecretStr] | None:
    """The waiting step and its token; None when the message comes from no pipeline.

    Names are case-sensitive, as in Microsoft's library; an empty value counts as absent.
    Raises `BadMessage` when only some of the mandatory properties are there or any is malformed.
    The hub is echoed as received, since the server may not accept another spelling.
    """
    given = {name: properties[name] for name in PIPELINE_PROPERTIES if properties.get(name)}
    if not any(name in given for name in _MANDATORY):
        return None
    if findings := [*_missing(given), *_malformed(given)]:
        raise BadMessage(findings)
    address = PipelineAddress(
        plan_url=given["PlanUrl"],
        project_id=given["ProjectId"],
        hub_name=given.get("HubName", _DEFAULT_HUB),
        plan_id=given["PlanId"],
        job_id=given["JobId"],
        timeline_id=given["TimelineId"],
        # An absent one becomes a new GUID in Microsoft's library. It is part of the build's
        # identity, so here it must come out the same for every delivery.
        task_instance_id=given.get("TaskInstanceId")
        or str(uuid.uuid5(uuid.NAMESPACE_OID, f"{given['PlanId']}/{given['JobId']}".lower())),
        task_instance_name=given.get("TaskInstanceName", ""),
    )
    return address, SecretStr(given["AuthToken"])


def build_key(address: PipelineAddress | None, attempt: int, message_id: str) -> str:
    """The build's key, 20 lower-case hex digits, the same for every delivery of one request.

    Without a pipeline, only the message's id distinguishes builds; `BadMessage` when that is empty
    too.
    """
    if address is not None:
        parts = (address.plan_id, address.job_id, address.task_instance_id, str(attempt))
        identity = "pipeline/" + "/".join(parts).lower()
    elif message_id:
        identity = f"message/{message_id}"
    else:
        raise BadMessage(
            [
                finding(
                    Code.MISSING_PROPERTY,
                    "",
                    "The message has neither a pipeline's properties nor a message id.",
                    "Set a message id of its own on each message you send.",
                )
            ]
        )
    return hashlib.sha256(identity.encode(errors="backslashreplace")).hexdigest()[:20]


def already_judged(build: Build) -> Finding:
    """For a step that still waits though its build has ended, or is ending."""
    verdict = f"{build.verdict}: {build.reason}" if build.verdict else "it was canceled."
    return finding(
        Code.ALREADY_JUDGED,
        "/attempt",
        f"Attempt {_attempt_of(build)} of this step was judged before: {verdict}",
        'Write `"attempt": $(System.JobAttempt)` in the message, so that a job that runs again '
        "is a new build.",
    )


def different_body(build: Build) -> Finding:
    """For a message whose identity is that of an open build with another message."""
    return finding(
        Code.DIFFERENT_BODY,
        "",
        f"This step sent another message before, for its attempt {_attempt_of(build)}, and that "
        "build is still open.",
        'Send one message per step, with `"attempt": $(System.JobAttempt)` in it, so that a job '
        "that runs again is a new build.",
    )


def _attempt_of(build: Build) -> object:
    return build.request.get("attempt", 1)


def _missing(given: Mapping[str, str]) -> list[Finding]:
    return [
        finding(
            Code.MISSING_PROPERTY,
            _where(name),
            f"The application property `{name}` is missing, though others of a pipeline are set.",
            "Send with the task PublishToAzureServiceBus, which sets all nine, or set none.",
        )
        for name in _MANDATORY
        if name not in given
    ]


def _malformed(given: Mapping[str, str]) -> list[Finding]:
    """The values are not repeated: one of them is a token, and they may be mixed up."""
    wrong = {
        name: "a GUID" for name in _GUIDS if name in given and not _GUID.fullmatch(given[name])
    }
    url = parse_url(given.get("PlanUrl", "https://none"))
    if url is None or url.scheme not in ("http", "https"):
        wrong["PlanUrl"] = "a plain absolute URL"
    if given.get("HubName", _DEFAULT_HUB).lower() not in _HUBS:
        wrong["HubName"] = f"one of {', '.join(_HUBS)}"
    if not re.fullmatch(r"[\x21-\x7e]+", given.get("AuthToken", "-")):
        wrong["AuthToken"] = "a token of printable ASCII characters"
    return [
        finding(
            Code.BAD_PROPERTY,
            _where(name),
            f"The application property `{name}` is not {wanted}.",
            "Send with the task PublishToAzureServiceBus, which sets it from the pipeline.",
        )
        for name, wanted in wrong.items()
    ]


def _where(name: str) -> str:
    """Properties are outside the body: a pointer into the message around it."""
    return pointer("application-properties", name)
