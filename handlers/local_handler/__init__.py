"""Runs on this machine: each attempt is a folder and a supervised group of processes.

`handler` is the port's implementation, used by the worker; `supervisor` is the process of its own
that executes one attempt and outlives the worker. What both share (`attempts`, `processes`,
`trees`, `variables`) and all that the supervisor imports is the standard library alone, so that it
starts in a few hundredths of a second; this file imports nothing for the same reason.

Notebook runs are forked where they can be, as importing Jupyter takes longer than a short one does:
`warm` is the worker's side of it, `template` the process, `seeds` and `kernels` what it forks.
"""
