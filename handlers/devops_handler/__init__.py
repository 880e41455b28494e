"""Reports to the waiting pipeline step through Azure DevOps' callback endpoints."""

from handlers.devops_handler.handler import DevOpsHandler
from handlers.devops_handler.pacing import FILES_AT_ONCE

__all__ = ["FILES_AT_ONCE", "DevOpsHandler"]
