"""Starts the launcher, or records that this Python is too old.

Any Python must be able to execute this file, so it uses only the oldest syntax, and imports the
rest after the check.
"""

import json
import os
import sys
import time

OLDEST = (3, 9)

if __name__ == "__main__":
    if sys.version_info < OLDEST:
        version, oldest = (".".join(map(str, each[:2])) for each in (sys.version_info, OLDEST))
        text = "Python %s is too old: the environment needs Python %s or later" % (version, oldest)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        outcome = {
            "version": 1,
            "status": "failed",
            "started_at": now,
            "finished_at": now,
            "metrics": {},
            "outputs": [],
            "warnings": [],
            "failure": {"kind": "environment", "message": text, "cell": None, "traceback": None},
        }
        output = sys.argv[sys.argv.index("--output") + 1]
        if not os.path.isdir(output):
            os.makedirs(output)
        with open(os.path.join(output, "log.txt"), "w") as log:
            log.write("failed: %s\n" % text)
        with open(os.path.join(output, "outcome.json"), "w") as record:
            json.dump(outcome, record, indent=2)
        sys.exit(1)

    from mlgate.launcher.run import main

    del sys.path[0]  # the launcher's own path: the run must not find modules there
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the outcome is written, so no hanging thread may delay the exit
