"""An emulator of the Azure DevOps callback endpoints that an agentless task's receiver calls.

with AzureDevOps() as server:
    task = server.new_task()
    ...publish a message with task.properties, let it be handled...
    assert task.wait_completed(timeout=60) == "succeeded"
"""

from mlgate.emulators.azure_devops.faults import Fault, FaultKind, Faults
from mlgate.emulators.azure_devops.plan import FeedLine
from mlgate.emulators.azure_devops.server import AzureDevOps, Received
from mlgate.emulators.azure_devops.task import Task, TaskRecord

__all__ = [
    "AzureDevOps",
    "Fault",
    "FaultKind",
    "Faults",
    "FeedLine",
    "Received",
    "Task",
    "TaskRecord",
]
