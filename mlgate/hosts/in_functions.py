"""What the function apps have in common: that Microsoft's worker runs them."""

from __future__ import annotations

import logging
import os
import sys

# The worker passes on what is INFO or more, and there Azure's SDKs tell of each of their requests.
logging.getLogger("azure").setLevel(logging.WARNING)


def in_worker() -> bool:
    """Whether this is a function app: the host sets the variable, and the worker imports function
    folders below `__app__` (`loader.py` of Azure/azure-functions-python-worker)."""
    return "FUNCTIONS_WORKER_RUNTIME" in os.environ or "__app__" in sys.modules
