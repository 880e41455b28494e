"""Runs inside a run, on both backends: executes the notebook or the command, and records it.

It travels with every run as one file (see `archive`), and is executed by path, by the interpreter
of the run's environment. That is why it imports the standard library only, Jupyter inside
functions, and nothing of ours outside this folder; and itself by its full name, so that no module
of the user's takes the place of one of its own. Importing it does nothing, so that a warm process
may import it, fork, and call `run.main`.

    python launcher.pyz --task TASK --root DIR --output DIR
                        [--events FILE] [--overlay DIR] [--executable FILE]

Into the output go `log.txt`, `executed.ipynb`, `executed.html`, `kept/` and, last, `outcome.json`;
when the run is told to end, an outcome is there at once, and replaced when it has ended. Exit
codes: 0 the run succeeded, 1 it did not (the outcome says why), any other: no outcome holds.
Environments of Azure ML have older interpreters than a host: Python 3.9 is enough.
"""
