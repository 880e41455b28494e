"""Reports to the waiting pipeline step through Azure DevOps' callback endpoints."""

from handlers.devops_handler.handler import DevOpsHandler

__all__ = ["DevOpsHandler"]
