"""A launcher whose run is a script of the tree, executed in the launcher itself.

So a test's run can do all that a launcher can: end in any way, and write any record. The script
finds `ROOT`, `OUTPUT`, `EVENTS` (paths), `TASK`, and `finish(status, **fields)`.
"""

import argparse
import json
import os
import sys
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("task", "root", "output", "events"):
    parser.add_argument(f"--{name}")
arguments = parser.parse_args()
output = Path(arguments.output)
task = json.loads(Path(arguments.task).read_text())


def finish(status: str = "succeeded", **fields: object) -> None:
    record = {"version": 1, "status": status, "metrics": {}, "outputs": [], "warnings": []}
    (output / "outcome.json").write_text(json.dumps(record | {"failure": None} | fields))
    sys.stdout.flush()
    os._exit(0 if status == "succeeded" else 1)


os.chdir(Path(arguments.root, task["directory"]))
(output / "log.txt").write_text("the log\n")
script = Path(arguments.root, task["command"])
names = {
    "__name__": "__main__",
    "ROOT": Path(arguments.root),
    "OUTPUT": output,
    "EVENTS": Path(arguments.events),
    "TASK": task,
    "finish": finish,
}
exec(compile(script.read_text(), str(script), "exec"), names)
finish()
