"""What the Functions host and its Service Bus extension do around Microsoft's worker code.

It reads function.json, resolves `%settings%`, has the worker load the functions, hands each message
over with the trigger metadata that the .NET extension makes of it, and settles by the answer: a
message is completed, or given back at once. A function that could not be loaded gets no
invocation: the host answers in its place with the error of its loading.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from azure.servicebus import ServiceBusClient, ServiceBusReceivedMessage, ServiceBusReceiver

from tests.functions.process import ENVIRONMENT, Answer, WorkerProcess

QUEUE_FUNCTION, TIMER_FUNCTION = "RunNotebookFunctionApp", "SweepBuildsFunctionApp"
MOST_SECONDS = 0.5  # to wait for a message that should be there

Typed = Mapping[str, str]  # one entry: the kind of TypedData, and its content


class FunctionsHost:
    """A context manager; `environment` is all that the worker's process finds, PATH included.

    `log` gets what that process writes to standard error.
    """

    def __init__(self, app: Path, environment: Mapping[str, str], log: Path) -> None:
        self._app = app
        self._environment = environment
        python = ENVIRONMENT / "app" / "bin" / "python"
        self._worker = WorkerProcess(python, app, environment, log)
        self.loaded: dict[str, Answer] = {}
        self._bindings: dict[str, dict[str, Any]] = {}
        self._receiver: ServiceBusReceiver | None = None
        self._listener = ExitStack()

    def __enter__(self) -> Self:
        self._worker.__enter__()
        for file in sorted(self._app.glob("*/function.json")):
            self.loaded[file.parent.name] = self._load(file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()
        self._worker.__exit__(kind, error, traceback)

    def deliver(self) -> Answer | None:
        """Take one message from the queue, invoke, settle; None when there is none just now."""
        receiver = self._receiver = self._receiver or self._listen()
        for message in receiver.receive_messages(1, max_wait_time=MOST_SECONDS):
            body = base64.b64encode(b"".join(message.body)).decode()
            answer = self._invoke(QUEUE_FUNCTION, {"bytes": body}, trigger_metadata(message))
            if answer.ok:
                receiver.complete_message(message)
            else:
                receiver.abandon_message(message)
            return answer
        # Else it would go on asking, and take what comes next.
        self._receiver = None
        self._listener.close()
        return None

    def tick(self) -> Answer:
        """What the timer trigger passes when it is due."""
        status = {"ScheduleStatus": {}, "IsPastDue": False, "Schedule": {"AdjustForDST": True}}
        return self._invoke(TIMER_FUNCTION, {"json": json.dumps(status)}, {})

    def _listen(self) -> ServiceBusReceiver:
        binding = self._bindings[QUEUE_FUNCTION]
        # The extension's own conversion of a body to a string is no part of this.
        assert binding["dataType"] == "binary"
        connection = self._environment[binding["connection"]]
        client = ServiceBusClient.from_connection_string(connection)
        receiver = client.get_queue_receiver(self._resolved(binding["queueName"]))
        self._listener.push(client)
        return self._listener.enter_context(receiver)

    def _load(self, file: Path) -> Answer:
        described = json.loads(file.read_text())
        [binding] = described["bindings"]
        self._bindings[file.parent.name] = binding
        return self._worker.ask(
            "load",
            name=file.parent.name,
            script=described["scriptFile"],
            entry=described.get("entryPoint", ""),
            bindings=[binding],
        )

    def _invoke(self, name: str, data: Typed, metadata: Mapping[str, Typed]) -> Answer:
        if not self.loaded[name].ok:
            return self.loaded[name]
        return self._worker.ask(
            "invoke",
            name=name,
            number=str(uuid.uuid4()),
            binding=self._bindings[name]["name"],
            data=data,
            metadata=metadata,
        )

    def _resolved(self, text: str) -> str:
        return re.sub("%([^%]+)%", lambda found: self._environment[found[1]], text)


def trigger_metadata(message: ServiceBusReceivedMessage) -> dict[str, Typed]:
    """Binding data as `ServiceBusTriggerBindingStrategy` of the extension 5.x makes it.

    What is null there is left out by the host, strings travel raw, all else is JSON.
    """
    properties = {
        _text(name): _text(value) if isinstance(value, bytes) else value
        for name, value in (message.application_properties or {}).items()
    }
    data = {
        "MessageId": message.message_id,
        "ContentType": message.content_type,
        "CorrelationId": message.correlation_id,
        "Subject": message.subject,
        "Label": message.subject,
        "ReplyTo": message.reply_to,
        "To": message.to,
        "PartitionKey": message.partition_key,
        "LockToken": str(message.lock_token),
        "SequenceNumber": message.sequence_number,
        "DeliveryCount": (message.delivery_count or 0) + 1,
        "EnqueuedTimeUtc": _dotnet(message.enqueued_time_utc),
        "ExpiresAtUtc": _dotnet(message.expires_at_utc),
        "ApplicationProperties": properties,
        "UserProperties": properties,
        "MessageReceiver": {"FullyQualifiedNamespace": "127.0.0.1", "IsClosed": False},
        "MessageActions": {},
        "sys": {"MethodName": QUEUE_FUNCTION, "RandGuid": str(uuid.uuid4())},
    }
    return {
        name: {"string": value}
        if isinstance(value, str) and not name.endswith("Utc")
        else {"json": json.dumps(value)}
        for name, value in data.items()
        if value is not None
    }


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _dotnet(moment: datetime | None) -> str:
    """A .NET DateTime of no stated zone, as `DateTimeOffset.DateTime` is, in UTC.

    Its fraction has no zeros at the end; `DateTime.MaxValue` when there is none.
    """
    if moment is None:
        return "9999-12-31T23:59:59.9999999"
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}".rstrip("0").rstrip(".")
