"""`mlgate serve`: answers with a model's current version, and switches without callers noticing.

The parent process has the listener, the store and the clock, and imports nothing that models need.
Each version is loaded by a child process in its own environment.

    versions      which version to serve, and whether it may be served
    environments  the Python that loads it
    child         the process that loads it and answers
    keeper        switches to new versions, and keeps the old one if a new one fails
    leaving       the child that a newer version has replaced
    app           the HTTP interface
    page          the web page for people
"""
