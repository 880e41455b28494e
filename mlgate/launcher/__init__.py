"""Executes a run from inside it, on both backends: runs the notebook or command, and records it.

The launcher travels with every run as one file (see `archive`), which the interpreter of the run's
environment executes by path. So it imports only the standard library, Jupyter inside functions, and
the scorer and load that travel with it. It imports itself by its full name, so that no module of
the user can replace one of its own. Importing it does nothing, so a warm process can import it,
fork, and call `run.main`.

    python launcher.pyz --task TASK --root DIR --output DIR
                        [--events FILE] [--overlay DIR] [--executable FILE]

It writes `log.txt`, `executed.ipynb`, `executed.html`, `kept/` and, last, `outcome.json` to the
output. When the run is asked to end, it writes an outcome at once, and replaces it when the run has
ended. Exit codes: 0 the run succeeded, 1 it did not (the outcome says why), any other: ignore the
outcome. Environments of Azure ML may have older interpreters than a host: Python 3.9 is enough.
"""
