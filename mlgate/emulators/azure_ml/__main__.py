"""Runs the emulator in the foreground, and prints the variables that a shell must export.

It runs until it is interrupted, and then prints the violations it saw.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
from pathlib import Path

from mlgate.emulators.azure_ml.azurite import StorageUnavailable
from mlgate.emulators.azure_ml.server import AzureML


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mlgate.emulators.azure_ml",
        description="Run an Azure ML workspace on this machine until Ctrl-C.",
    )
    parser.add_argument("--parallel", type=int, default=2, help="how many jobs run at once")
    parser.add_argument(
        "--python",
        type=Path,
        default=Path(sys.executable),
        help="the interpreter that jobs find as `python`",
    )
    arguments = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        with AzureML(parallel=arguments.parallel, python=arguments.python) as server:
            variables = {**server.environment, "MLGATE_WORKSPACE": server.workspace_name}
            lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
            sys.stdout.write("\n".join([*lines, ""]))
            sys.stdout.flush()
            ended.wait()
            for violation in server.violations:
                sys.stderr.write(f"{violation}\n")
    except StorageUnavailable as missing:
        sys.stderr.write(f"{missing}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
