"""What MLflow raises in a job of Azure ML whose environment does not fit, and what people read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.contract.launcher.harness import Start, notebook

AZURE_ML = "azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/s/resourceGroups/g"
ADD = "Add azureml-mlflow to the environment."
PIN = "Write the model below outputs/ instead, or pin mlflow<2.19."
START = "import mlflow\nmlflow.start_run()"
DOWNLOAD = f"import mlflow\nmlflow.artifacts.list_artifacts('{AZURE_ML}/artifacts/a')"
LOG_MODEL = "import mlflow\nmlflow.MlflowClient().create_logged_model('0', 'm')"


class Lacking(BaseHTTPRequestHandler):
    """A server without the address that is asked for: an empty 404, as Azure ML answers."""

    def do_POST(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815 -- the base class's names

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def lacking() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Lacking) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("kind", "source", "uri", "remedy"),
    [
        ("notebook", START, AZURE_ML, ADD),
        ("training", START, AZURE_ML, ADD),
        ("training", DOWNLOAD, AZURE_ML, ADD),
        ("training", LOG_MODEL, None, PIN),
    ],
    ids=["plugin in a notebook", "plugin", "plugin of artifacts", "logged models"],
)
def test_an_environment_that_does_not_fit_azure_ml_is_told_with_the_remedy(
    start: Start, lacking: str, kind: str, source: str, uri: str | None, remedy: str
) -> None:
    files = {"notebook.ipynb": notebook(source), "train.py": source}

    run = start(
        files, {"MLFLOW_TRACKING_URI": uri or lacking}, kind=kind, command="python train.py"
    ).wait()

    assert run.failure["kind"] == "environment"
    assert f" {remedy} (" in run.failure["message"]
    assert "Exception: " in run.failure["message"]
    assert "Traceback" in run.failure["traceback"]
