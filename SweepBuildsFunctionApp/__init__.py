"""The timer's function: mend builds whose next look is overdue."""

import azure.functions as func

from mlgate.hosts.functions import application
from mlgate.orchestration.sweeper import sweep

RUNNING = application()


def main(timer: func.TimerRequest) -> None:  # noqa: ARG001 -- the binding's name is its contract
    """Sweep once; the timer is a singleton, so its owner needs no name of its own."""
    # The builds first: they must be mended also while the dead letters cannot be read.
    sweep(RUNNING.conductor, "sweeper-timer")
    sweep(RUNNING.conductor, "sweeper-timer", RUNNING.queue.dead_letters())
