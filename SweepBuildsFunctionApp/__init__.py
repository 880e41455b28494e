"""The timer's function: wake builds whose next look is overdue, mend dead letters, and keep the
page of all builds up to date."""

import azure.functions as func

from mlgate.hosts.functions import application, tell_wrong_settings

tell_wrong_settings()


def main(timer: func.TimerRequest) -> None:  # noqa: ARG001 -- the binding's name is its contract
    """One pass of both; they must not run at the same time, and a timer is a singleton."""
    running = application()
    # The builds first: they must be mended also while the dead letters cannot be read.
    running.conductor.sweep()
    running.queue.mend_dead_letters(running.conductor.mend)
    running.refresh_history()
