"""Stores builds and their secrets: the implementations of `StatePort`."""

from handlers.state_handler.sqlite import SqliteState

__all__ = ["SqliteState"]
