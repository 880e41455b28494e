"""What can be wrong with a model, a request, or an answer.

    ScorerError
    ├── Unusable         the kept files are not a model that can be served
    ├── MissingLibrary   the environment lacks what the model's format needs
    ├── BadRequest       the caller's fault
    │   └── BadMedia     the request's content type is not supported
    ├── BadAnswer        the model's answer cannot be written as JSON
    └── NotAsRecorded    the model's answer to its example differs from the recorded one

Each message is for people and has a remedy. Errors that the model raises are not among these.
"""

from __future__ import annotations


class ScorerError(Exception):
    """The base class; catch its subclasses instead."""


class Unusable(ScorerError):
    """There is no model, or there are several, or the model cannot answer."""


class MissingLibrary(ScorerError):
    """A library is missing; `distribution` is what to install."""

    def __init__(self, what: str, distribution: str) -> None:
        super().__init__(
            f"{what} needs {distribution}, which is missing in its environment: add {distribution} "
            "to the environment"
        )
        self.distribution = distribution


class BadRequest(ScorerError):
    """The model cannot accept the request."""


class BadMedia(BadRequest):
    """The request has an unsupported content type."""


class BadAnswer(ScorerError):
    """The answer cannot be sent."""


class NotAsRecorded(ScorerError):
    """The model does not answer as the model that was checked."""
