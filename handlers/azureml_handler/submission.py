"""Registers environments, and submits and cancels jobs, through `azure-ai-ml`; imported lazily."""

from __future__ import annotations

import logging
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from azure.ai.ml import Input, MLClient, Output, command
from azure.ai.ml.entities import (
    Command,
    Environment,
    ManagedIdentityConfiguration,
    UserIdentityConfiguration,
)
from azure.ai.ml.exceptions import MlException
from azure.core.credentials import TokenCredential
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from handlers.azureml_handler.answers import read_by_sdk
from handlers.azureml_handler.control import reason, translated
from handlers.azureml_handler.environments import Recipe
from handlers.azureml_handler.jobs import FINGERPRINT, Job
from handlers.azureml_handler.transport import Transport
from handlers.azureml_handler.workspace import OUTPUT, Workspace
from mlgate.orchestration.errors import Permanent
from mlgate.orchestration.runs import Resources
from mlgate.orchestration.text import one_line

ENVIRONMENT = "mlgate"
# As the SDK formats what is wrong (`format_validation_error` of azure-ai-ml).
_DETAILS = re.compile(r"Details: (?:\(x\) )?(.+?) Resolutions: ")

# The SDK logs experimental classes and uploads, which a host's log does not need.
logging.getLogger("azure.ai.ml").setLevel(logging.ERROR)


class Submission:
    """One client per workspace and process; safe for threads."""

    def __init__(
        self, workspace: Workspace, credential: TokenCredential, transport: Transport
    ) -> None:
        self._workspace = workspace
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._client = MLClient(
                credential,
                workspace.subscription_id,
                workspace.resource_group,
                workspace.name,
                transport=transport,
            )

    def register(self, recipe: Recipe) -> str:
        """Register an environment, or find it; returns its name in jobs."""
        with _translated(self._workspace), tempfile.TemporaryDirectory() as folder:
            conda = Path(folder, "conda.yaml")
            conda.write_text(recipe.conda, encoding="utf-8")
            made = Environment(
                name=ENVIRONMENT, version=recipe.version, image=recipe.image, conda_file=conda
            )
            with read_by_sdk():
                self._client.environments.create_or_update(made)
        return f"azureml:{ENVIRONMENT}:{recipe.version}"

    def submit(self, job: Job) -> None:
        """Submit the job, or find it: a name belongs to one job, which never runs again."""
        with _translated(self._workspace):
            made = _command(job)
            try:
                with read_by_sdk():
                    self._client.jobs.create_or_update(made, skip_validation=True)
            except HttpResponseError as error:
                if error.status_code == 404 and _code(error) == "UserError":
                    # Azure ML's own code, for something that the job names. A missing workspace is
                    # reported by Azure Resource Manager, with codes of its own.
                    raise Permanent(f"Azure ML refuses (404): {reason(error)}") from error
                if error.status_code != 400 or not self._is_there(job):
                    raise

    def cancel(self, name: str) -> None:
        """Cancel the job; one that does not exist, or has ended, is fine."""
        with _translated(self._workspace):
            try:
                with read_by_sdk():
                    self._client.jobs.begin_cancel(name, polling=False)
            except ResourceNotFoundError:
                return
            except HttpResponseError as error:
                if error.status_code != 400:
                    raise

    def _is_there(self, job: Job) -> bool:
        """Whether the refused job exists already; raises Permanent if its name is another job's."""
        try:
            with read_by_sdk():
                found = self._client.jobs.get(job.name)
        except ResourceNotFoundError:
            return False
        if (found.properties or {}).get(FINGERPRINT) == job.fingerprint:
            return True
        raise Permanent(
            f"The workspace {self._workspace} already has another job named {job.name}."
        )


def _command(job: Job) -> Command:
    asked = job.resources or Resources()
    return command(
        name=job.name,
        display_name=job.display_name,
        experiment_name=job.experiment,
        command=job.command,
        code=job.code,
        environment=job.environment,
        compute=job.compute,
        environment_variables=dict(job.variables),
        inputs={name: Input(type="uri_folder", path=uri) for name, uri in job.inputs.items()},
        outputs={OUTPUT: Output(type="uri_folder", path=job.output, mode="rw_mount")},
        timeout=job.timeout_seconds,
        instance_type=asked.instance_type,
        instance_count=asked.instance_count,
        shm_size=asked.shm_size,
        tags=dict(job.tags),
        properties={**job.properties, FINGERPRINT: job.fingerprint},
        identity=_identity(job.identity),
    )


def _identity(
    asked: str | None,
) -> ManagedIdentityConfiguration | UserIdentityConfiguration | None:
    kind, _, client_id = (asked or "").partition(":")
    if kind == "user":
        return UserIdentityConfiguration()
    return ManagedIdentityConfiguration(client_id=client_id or None) if kind else None


def _code(error: HttpResponseError) -> str | None:
    return None if error.error is None else error.error.code


@contextmanager
def _translated(workspace: Workspace) -> Iterator[None]:
    """Like `translated`; what the SDK itself refuses is Permanent."""
    with translated(str(workspace)):
        try:
            yield
        except (MlException, ValueError, TypeError, RecursionError) as error:
            raise Permanent(f"azure-ai-ml refuses: {_detail(str(error))}") from error


def _detail(text: str) -> str:
    """What the SDK says is wrong, without the advice around it and without its colors."""
    line = one_line(text, 4000)
    found = _DETAILS.search(line)
    return one_line(found[1] if found else line, 500)
