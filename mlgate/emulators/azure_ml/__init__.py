"""An emulator of Azure ML on loopback, for the unmodified `azure-ai-ml` and `azure-identity`.

with AzureML() as server:
    ...with server.environment set, submit to server.workspace_name...
    assert server.jobs.wait("my-job").status == "Completed"
    assert server.violations == []
"""

from mlgate.emulators.azure_ml.azurite import Azurite, StorageUnavailable
from mlgate.emulators.azure_ml.faults import Fault, FaultKind, Faults
from mlgate.emulators.azure_ml.jobs import Job, RunError
from mlgate.emulators.azure_ml.server import AzureML, Received

__all__ = [
    "AzureML",
    "Azurite",
    "Fault",
    "FaultKind",
    "Faults",
    "Job",
    "Received",
    "RunError",
    "StorageUnavailable",
]
