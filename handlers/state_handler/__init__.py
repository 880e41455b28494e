"""Where builds and their secrets are remembered; the implementations of `StatePort`."""

from handlers.state_handler.sqlite import SqliteState

__all__ = ["SqliteState"]
