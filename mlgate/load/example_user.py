"""What a caller does by default: sends the model's example, and sends it again once answered.

locust executes this file in its own environment, so nothing of ours is imported.
"""

from __future__ import annotations

import os
from pathlib import Path

from locust import HttpUser, task

BODY = Path(os.environ["MLGATE_LOAD_BODY"]).read_bytes()
HEADERS = {"content-type": "application/json"}
_SHOWN = 200  # characters of an answer that is an error


class Caller(HttpUser):
    @task
    def invoke(self) -> None:
        # A redirect, to where people log in perhaps, is no answer of the model's.
        sent = self.client.post(
            "/invocations", data=BODY, headers=HEADERS, allow_redirects=False, catch_response=True
        )
        with sent as answer:
            if answer.status_code != 200 and answer.status_code:
                answer.failure(f"HTTP {answer.status_code}: {answer.text[:_SHOWN]}")
