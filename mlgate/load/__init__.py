"""Load on a served model, made by locust: in an environment and a process of its own.

It travels with a serving run as the launcher does, so it imports the standard library only, and
nothing of ours outside this folder. Python 3.9 is enough.

    pins           what locust's environment holds
    callers        locust, as it is started
    stats          what it measured, and what is wrong with that
    program        locust itself, which its own interpreter executes
    example_user   what a caller does where no locustfile says it
"""
