"""A client that says exactly what a test wants said, mistakes included."""

from __future__ import annotations

from typing import Any

import requests

from mlgate.emulators.azure_devops import AzureDevOps, Task

VERSIONS = {"events": "2.0-preview.1", "plan": "7.2-preview.2"}


class Client:
    """Speaks for one task; `url` is its plan's."""

    def __init__(self, server: AzureDevOps, task: Task) -> None:
        self.server = server
        self.task = task
        self.ids = task.properties
        self.url = (
            f"{self.ids['PlanUrl']}{self.ids['ProjectId']}/_apis/distributedtask"
            f"/hubs/{self.ids['HubName']}/plans/{self.ids['PlanId']}"
        )
        self.records = f"{self.url}/timelines/{self.ids['TimelineId']}/records"
        self.feed = f"{self.records}/{self.ids['JobId']}/feed"

    def send(
        self,
        method: str,
        url: str,
        *,
        version: str | None = "4.1",
        token: str | None = None,
        **options: Any,
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {token or self.ids['AuthToken']}"}
        headers.update(options.pop("headers", {}))
        params = {} if version is None else {"api-version": version}
        return requests.request(
            method,
            url,
            params=params,
            headers=headers,
            timeout=options.pop("timeout", 30),
            allow_redirects=False,
            **options,
        )

    def event(self, **changes: Any) -> requests.Response:
        body = {
            "name": "TaskCompleted",
            "taskId": self.ids["TaskInstanceId"],
            "jobId": self.ids["JobId"],
            "result": "succeeded",
        }
        return self.send(
            "POST", f"{self.url}/events", version="2.0-preview.1", json={**body, **changes}
        )

    def patch(self, **changes: Any) -> requests.Response:
        record = {"id": self.ids["TaskInstanceId"], **changes}
        return self.send("PATCH", self.records, json={"count": 1, "value": [record]})

    def lines(self, *lines: str, **changes: Any) -> requests.Response:
        body = {"value": list(lines), "count": len(lines), **changes}
        return self.send("POST", self.feed, json=body)

    def get(self) -> requests.Response:
        return self.send("GET", self.records)
