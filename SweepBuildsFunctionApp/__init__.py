"""The timer's function: mend builds whose next look is overdue."""

import azure.functions as func

from mlgate.hosts.functions import application
from mlgate.orchestration.sweeper import sweep


def main(timer: func.TimerRequest) -> None:  # noqa: ARG001 -- the binding's name is its contract
    """Sweep once; the timer is a singleton, so its owner needs no name of its own."""
    running = application()
    sweep(running.conductor, "sweeper-timer", running.queue.dead_letters())
