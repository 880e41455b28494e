"""Executes runs on this machine: each attempt is a folder and a supervised group of processes.

`handler` implements the port and is used by the worker. `supervisor` is a separate process that
executes one attempt and outlives the worker. The modules that both use (`attempts`, `processes`,
`trees`, `variables`), like all that the supervisor imports, need only the standard library, so that
it starts within a few hundredths of a second. This file imports nothing for the same reason.

Runs are forked where possible, because importing Jupyter can take longer than the run itself.
`warm` is the worker's side of that, `template` the process that forks, and `seeds` and `kernels`
are what it forks. What several notebooks import first (`imports`) is imported by forks of the
template (`branches`), if it changes nothing for their kernels (`watching`, `recording`,
`stand_ins`, `holders`), which find it as their own (`libraries`).
"""
