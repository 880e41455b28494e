"""The timer's function: mend builds whose next look is overdue."""

from functools import partial

import azure.functions as func

from mlgate.hosts.functions import application, tell_wrong_settings
from mlgate.orchestration.sweeper import sweep, take_up

tell_wrong_settings()


def main(timer: func.TimerRequest) -> None:  # noqa: ARG001 -- the binding's name is its contract
    """Sweep once; the timer is a singleton, so its owner needs no name of its own."""
    # The builds first: they must be mended also while the dead letters cannot be read.
    running = application()
    sweep(running.conductor, "sweeper-timer")
    running.queue.dead_letters(partial(take_up, running.conductor))
