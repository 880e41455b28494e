"""Load-tests a served model with locust, in its own environment and process.

This package travels with a serving run, as the launcher does, so it imports only the standard
library and nothing of ours outside this folder. It supports Python 3.9.

    pins           the packages in locust's environment
    callers        how locust is started
    stats          what locust measured, and what is wrong with it
    program        runs locust in its own interpreter
    example_user   what a caller does without a locustfile
"""
