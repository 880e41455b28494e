"""`mlgate serve`: the current version of a model answers, and no caller notices a switch.

The parent process has the listener, the store and the clock, and imports nothing that models need.
Each version is loaded by a child process, in an environment of its own.

    versions      which version is to be served, and whether it may be
    environments  the Python that loads it
    child         the process that has it loaded
    keeper        from one version to the next, back from one that fails
    app           what callers ask
    page          what people see
"""
