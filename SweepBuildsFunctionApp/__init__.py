"""The timer's function: wakes builds whose next look is overdue, recovers dead letters, and updates
the history page."""

import azure.functions as func

from mlgate.hosts.functions import application, report_wrong_settings

report_wrong_settings()


def main(timer: func.TimerRequest) -> None:  # noqa: ARG001 -- the binding's name is its contract
    """Do one pass. Two must never run at the same time; Functions runs a timer on one instance."""
    running = application()
    # The builds first, so that they are swept even if the dead letters cannot be read.
    running.conductor.sweep()
    running.queue.mend_dead_letters(running.conductor.mend)
    running.refresh_history()
