"""Load on a served model, made by locust: in an environment and a process of its own."""

from __future__ import annotations

from pathlib import Path

PROGRAM = Path(__file__).with_name("program.py")
EXAMPLE_USER = Path(__file__).with_name("example_user.py")  # the locustfile where none is named
