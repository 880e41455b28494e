"""What a template does while nobody asks it for a run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.contract.handlers.local_handler.warmth import LINUX_ALONE

pytestmark = LINUX_ALONE

# In a process of its own, because a template reads requests from its standard input.
SCRIPT = """
import json, os, sys
from handlers.local_handler import template

asked_in = int(sys.argv[1])
requests, ask = os.pipe()
os.dup2(requests, 0)
if asked_in == 0:
    os.write(ask, b"{}\\n")
taken = []

def steps():
    for step in (1, 2, 3):
        taken.append(step)
        if step == asked_in:
            os.write(ask, b"{}\\n")
        yield

template._prepare_until_asked(steps)
print(json.dumps(taken))
"""


@pytest.mark.parametrize(
    ("asked_in", "taken"), [(0, []), (1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (9, [1, 2, 3])]
)
def test_it_prepares_step_by_step_until_it_is_asked(asked_in: int, taken: list[int]) -> None:
    command = [sys.executable, "-c", SCRIPT, str(asked_in)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)

    assert json.loads(done.stdout) == taken
