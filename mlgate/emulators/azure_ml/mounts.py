"""A job's folders on its node (code, inputs, outputs), and the command that refers to them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from mlgate.emulators.azure_ml.jobs import Job
from mlgate.emulators.azure_ml.storage import Folder, Storage
from mlgate.emulators.azure_ml.workspace import BLOB_STORE, Workspace

_BINDING = re.compile(r"\$\{\{\s*(inputs|outputs)\.(\w+)\s*\}\}")
_CODE_ID = re.compile(r"/codes/([^/]+)/versions/([^/]+)$")
CODE_URI = re.compile(r"https://[^/]+/([^/]+)/(.+)")  # container and folder


class NotMountable(Exception):
    """An input, an output or the code does not exist; the message says which."""


def unbound(job: Job) -> list[str]:
    """The `inputs.x` and `outputs.x` in the command that the job does not have."""
    return [
        f"{kind}.{name}"
        for kind, name in _BINDING.findall(str(job.spec["command"]))
        if name not in (job.spec.get(kind) or {})
    ]


def identity_refusal(job: Job, workspace: Workspace) -> str | None:
    """The error of a mount if storage does not accept the job's identity; None if it does.

    An identity is needed only without keys. The default is the compute's identity: a cluster here
    has one. Serverless compute has none of its own and uses the workspace's user-assigned one for a
    managed identity (MicrosoftDocs/azure-ai-docs,
    how-to-identity-based-service-authentication.md and how-to-use-serverless-compute.md).
    """
    if not workspace.keyless:
        return None
    identity = job.spec.get("identity") or {}
    match identity.get("identityType"):
        case "UserIdentity":
            return None
        case "Managed" if identity.get("clientId") in (None, workspace.client_id):
            return None
        case None if job.spec.get("computeId"):
            return None
    # The error code is from how-to-troubleshoot-data-access.md in the same repository.
    return (
        f"Failed to mount URI azureml://datastores/{BLOB_STORE}. Error Code: "
        "ScriptExecution.StreamAccess.Authentication. Native Error: "
        "StreamError(PermissionDenied(Some(This request is not authorized to perform this "
        "operation using this permission.)))"
    )


def code_of(workspace: Workspace, code_id: str) -> Folder | None:
    """Where a code version's files are; None if there is no such version."""
    found = _CODE_ID.search(code_id)
    asset = workspace.codes.get((found[1], found[2])) if found else None
    uri = CODE_URI.fullmatch(asset.properties["codeUri"]) if asset else None
    return Folder(uri[1], uri[2].strip("/")) if uri else None


def output_uri(job: Job, name: str) -> str:
    """The path that the job sets for an output, or the one the service chooses."""
    asked = ((job.spec.get("outputs") or {}).get(name) or {}).get("uri")
    return asked or f"azureml://datastores/{BLOB_STORE}/paths/azureml/{job.name}/{name}/"


@dataclass(slots=True)
class Mounts:
    """The folders that `prepare` creates below `root`; `values` replace the command's bindings."""

    root: Path
    values: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, tuple[Path, Folder]] = field(default_factory=dict)

    @property
    def working_directory(self) -> Path:
        return self.root / "wd"

    def prepare(self, job: Job, workspace: Workspace, storage: Storage) -> None:
        self.working_directory.mkdir(parents=True)
        code_id = job.spec.get("codeId")
        if code_id:
            code = code_of(workspace, code_id)
            if code is None:
                raise NotMountable(f"There is no code {code_id}.")
            storage.download(code, self.working_directory)
        for name, given in (job.spec.get("inputs") or {}).items():
            if given["jobInputType"] == "literal":
                self.values[f"inputs.{name}"] = given["value"]
                continue
            source = self._place(workspace, given["uri"])
            local = self.root / "inputs" / name
            if given["jobInputType"] == "uri_folder":
                local.mkdir(parents=True)
            else:
                local = local / source.path.rpartition("/")[2]
            storage.download(source, local)
            self.values[f"inputs.{name}"] = str(local)
        for name in job.spec.get("outputs") or {}:
            local = self.root / "outputs" / name
            local.mkdir(parents=True)
            self.outputs[name] = local, self._place(workspace, output_uri(job, name))
            self.values[f"outputs.{name}"] = str(local)

    def command(self, job: Job) -> str:
        command = str(job.spec["command"])
        return _BINDING.sub(lambda named: self.values[f"{named[1]}.{named[2]}"], command)

    @staticmethod
    def _place(workspace: Workspace, uri: str) -> Folder:
        place = workspace.folder(uri)
        if place is None:
            raise NotMountable(f"{uri} is in no datastore of this workspace.")
        return place
