"""The default caller: it sends the model's example, and again as soon as it is answered.

locust runs this file in its own environment, so it imports nothing of ours.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from gevent import GreenletExit
from locust import HttpUser, task

ROUTE = "/invocations"
BODY = Path(os.environ["MLGATE_LOAD_BODY"]).read_bytes()
HEADERS = {"content-type": "application/json"}
if KEY := os.environ.get("MLGATE_LOAD_KEY"):
    HEADERS["x-functions-key"] = KEY
# A little less than locust waits at the end, because when overloaded it may start a request late.
UNANSWERED_SECONDS = 9.0
_SHOWN = 200  # characters of an error's text


class NoAnswer(Exception):
    pass


class Caller(HttpUser):
    def on_start(self) -> None:
        # locust ignores proxies and certificates of the environment; use them, except locally.
        self.client.trust_env = not str(self.host).startswith("http://127.0.0.1:")

    @task
    def invoke(self) -> None:
        began = time.perf_counter()
        try:
            # A redirect, for example to a login page, is not an answer of the model.
            sent = self.client.post(
                ROUTE, data=BODY, headers=HEADERS, allow_redirects=False, catch_response=True
            )
        except GreenletExit:  # the time is up, and locust has stopped waiting
            self._stopped(time.perf_counter() - began)
            raise
        with sent as answer:
            if answer.status_code and (wrong := _wrong(answer)):
                answer.failure(wrong)

    def _stopped(self, seconds: float) -> None:
        """Report a request that got no answer, because locust doesn't count it."""
        if seconds < UNANSWERED_SECONDS:
            return
        self.environment.events.request.fire(
            request_type="POST",
            name=ROUTE,
            response_time=seconds * 1000,
            response_length=0,
            exception=NoAnswer(f"no answer within {seconds:.0f} s"),
            context={},
        )


def _wrong(answer: Any) -> str | None:
    """Why an answer is not the model's; None if it is."""
    if answer.status_code != 200:
        return f"HTTP {answer.status_code}: {answer.text[:_SHOWN]}"
    try:
        said = json.loads(answer.content)
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict) and "predictions" in said and "error_code" not in said:
        return None
    return f"HTTP 200 without predictions: {answer.text[:_SHOWN]}"
