"""Checks that this host can use an Azure ML workspace as its builds will."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError

from handlers.azureml_handler import access, lazily
from handlers.azureml_handler.access import Access
from handlers.azureml_handler.control import Control, translated
from handlers.azureml_handler.transport import ARM, Transport
from handlers.azureml_handler.workspace import STORE, Workspace
from handlers.identity_faults import without_token
from mlgate.orchestration.checks import Examination, Wrong
from mlgate.orchestration.clock import Clock
from mlgate.orchestration.errors import Temporary

_SERVERLESS = "serverless"
_OWN_ENVIRONMENT = re.compile(r"(?:azureml:)?([^:/@]+):([^:/@]+)")

_SIGN_IN = (
    "Give the host a managed identity and set AZURE_CLIENT_ID to its client id; on a laptop, run "
    "`az login`."
)
_PACKAGES = "Install mlgate with what Azure ML needs: pip install -e '.[azureml]'."
_WORKSPACE = (
    "Check that MLGATE_WORKSPACE is subscription/resource-group/name, and give the host's identity "
    "the role AzureML Data Scientist there."
)
_ROLE = "Give the host's identity the role AzureML Data Scientist in the workspace."
_COMPUTE = "Set MLGATE_COMPUTE to a compute of the workspace, or to serverless."
_ENVIRONMENT = "Set MLGATE_ENVIRONMENT to name:version of an environment of the workspace."
_STORAGE = (
    "Give the host's identity the role Storage Blob Data Contributor on the workspace's storage "
    "account, and let this host in by its network rules."
)
_JOBS = (
    "Set MLGATE_JOB_IDENTITY to managed, where the workspace has a user-assigned identity with the "
    "role Storage Blob Data Contributor on that storage, or to user."
)


@dataclass(frozen=True)
class AzureMLChecks:
    """`credential` returns the host's identity, or raises; the other fields are as in
    `AzureMLHandler`."""

    workspace: str
    credential: Callable[[], TokenCredential]
    compute: str
    environment: str
    job_identity: str | None
    clock: Clock
    _name: str = field(default_factory=lambda: f"mlgate-check-{uuid.uuid4().hex[:12]}")

    def examinations(self) -> tuple[Examination, ...]:
        """They register and submit nothing."""
        there, role = ("azureml-workspace",), ("azureml-role",)
        return (
            Examination("azureml-identity", self._sign_in, _SIGN_IN),
            Examination("azureml-packages", self._import, _PACKAGES),
            Examination("azureml-workspace", self._look, _WORKSPACE, needs=("azureml-identity",)),
            Examination("azureml-role", self._cancel, _ROLE, needs=there),
            Examination("azureml-compute", self._find_compute, _COMPUTE, needs=there),
            Examination("azureml-environment", self._find_environment, _ENVIRONMENT, needs=there),
            Examination("azureml-upload", self._upload, _STORAGE, needs=role),
            Examination("azureml-outputs", self._read_outputs, _STORAGE, needs=there),
            Examination("azureml-job-identity", self._lend, _JOBS, needs=there),
        )

    @cached_property
    def _parsed(self) -> Workspace:
        return Workspace.parse(self.workspace)

    @cached_property
    def _transport(self) -> Transport:
        return Transport(self.clock)

    @cached_property
    def _identity(self) -> TokenCredential:
        return self.credential()

    @cached_property
    def _control(self) -> Control:
        return Control(self._parsed, self._identity, self._transport)

    def _sign_in(self) -> str:
        try:
            self._identity.get_token(f"{ARM}/.default")
        except ClientAuthenticationError as error:
            raise without_token(error, "Azure ML") from error
        except AzureError as error:
            raise Temporary("The host's identity service does not answer.") from error
        return "The host's identity can sign in to Azure."

    def _import(self) -> str:
        lazily.submission()
        return "The packages that submit jobs are installed."

    def _look(self) -> str:
        location = self._control.workspace().get("location")
        return f"The workspace {self._parsed} exists, in {location}."

    def _cancel(self) -> str:
        self._control.try_to_cancel(self._name)
        return "The host's identity may submit and cancel jobs."

    def _find_compute(self) -> str:
        if self.compute == _SERVERLESS:
            return "Jobs run on serverless compute; its quota is not checked."
        found = self._control.compute(self.compute)
        if found is None:
            raise Wrong(f"The workspace has no compute {self.compute}.")
        if (state := found.get("provisioningState", "Succeeded")) != "Succeeded":
            raise Wrong(f"The compute {self.compute} is {state}.")
        return f"The compute {self.compute} exists."

    def _find_environment(self) -> str:
        own = _OWN_ENVIRONMENT.fullmatch(self.environment)
        if own is None:
            why = "is not in the workspace" if "://" in self.environment else "names no version"
            return f"{self.environment} {why}, so it is not checked."
        if not self._control.has_environment(*own.groups()):
            raise Wrong(f"The workspace has no environment {self.environment}.")
        return f"The environment {self.environment} exists."

    def _upload(self) -> str:
        place = self._control.start_upload(self._name)
        with translated(str(self._parsed)):
            access.try_to_upload(place, self._identity, self.clock)
        how = "with its identity" if place[1] is None else "with a signature from Azure ML"
        return f"The host can upload code, {how}; Azure ML keeps an empty container for it."

    def _read_outputs(self) -> str:
        storage = Access(self._control, self._identity, self.clock, self._transport)
        with translated(str(self._parsed)):
            storage.use(lambda outputs: outputs.sizes(f"mlgate/{self._name}"))
        return f"The host can read the files of jobs in {STORE}."

    def _lend(self) -> str:
        _, secrets = self._control.datastore(STORE)
        if self.job_identity is not None:
            return f"Jobs run with the identity of MLGATE_JOB_IDENTITY, {self.job_identity}."
        if secrets:
            return f"Jobs reach {STORE} with its key."
        if self.compute == _SERVERLESS:
            raise Wrong(f"{STORE} has no key, and jobs on serverless compute have no identity.")
        return f"{STORE} has no key: the identity of {self.compute} must be able to write there."
