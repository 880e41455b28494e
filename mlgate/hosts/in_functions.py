"""What the function apps have in common: Microsoft's worker runs them."""

from __future__ import annotations

import logging
import os
import sys

# The worker forwards INFO and above, and at INFO Azure's SDKs log every request.
logging.getLogger("azure").setLevel(logging.WARNING)


def in_worker() -> bool:
    """Whether this process is a function app.

    The host sets the variable, and the worker imports function folders below `__app__`
    (`loader.py` of Azure/azure-functions-python-worker).
    """
    return "FUNCTIONS_WORKER_RUNTIME" in os.environ or "__app__" in sys.modules
