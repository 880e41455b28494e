"""Fetch the tests of the installed `azure-servicebus` and run them in one go.

They are in its source distribution, under the MIT licence, and are kept in `build/conformance`.
Most of them wait, for locks to end and links to go idle, so many run at once.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import sys
import tarfile
from pathlib import Path

FILES = ("test_queues.py", "async_tests/test_queues_async.py")
_SHIM = Path(__file__).parent / "shim"
_ROOT = Path(__file__).parents[2]
_PLACE = _ROOT / "build" / "conformance"
# Two tests keep a connection idle for minutes, which is what they are about.
_CAP_SECONDS = 900


def main() -> int:
    """Pytest's exit code."""
    parser = argparse.ArgumentParser(
        prog="make conformance", description="Azure's own tests of its client, on the emulator."
    )
    parser.add_argument("--at-once", type=int, default=8, help="tests at once; default 8")
    parser.add_argument("-k", metavar="NAMES", help="only the tests whose names match")
    options = parser.parse_args()
    version = importlib.metadata.version("azure-servicebus")
    tests = _fetched(version)
    sys.stdout.write(f"azure-servicebus {version}, Python {sys.version.split()[0]}\n")
    sys.stdout.flush()
    paths = [_SHIM, tests, tests / "async_tests", _ROOT]
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-c", str(_SHIM / "pytest.ini"), "--noconftest"),
            # Before the module of its name beside the tests, which needs Azure's management API.
            *("-p", "servicebus_preparer"),
            *("-p", "conformance_plugin", "-n", str(options.at_once), "--dist", "worksteal"),
            *("--rootdir", str(tests), "--timeout", str(_CAP_SECONDS), "-q"),
            *(["-k", options.k] if options.k else []),
            *(str(tests / file) for file in FILES),
        ],
        cwd=_PLACE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        check=False,
    ).returncode


def _fetched(version: str) -> Path:
    """The folder of the tests of that version."""
    tests = _PLACE / f"azure_servicebus-{version}" / "tests"
    if not tests.is_dir():
        _PLACE.mkdir(parents=True, exist_ok=True)
        requirement = f"azure-servicebus=={version}"
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "-q", "--no-deps"),
                *("--no-binary", ":all:", "-d", str(_PLACE), requirement),
            ],
            check=True,
        )
        with tarfile.open(_PLACE / f"azure_servicebus-{version}.tar.gz") as archive:
            archive.extractall(_PLACE, filter="data")
    return tests


if __name__ == "__main__":
    sys.exit(main())
