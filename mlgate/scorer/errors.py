"""What can be wrong with a model, with what it is asked, or with what it answers.

    ScorerError
    ├── Unusable         what was kept is no model that can be served
    ├── MissingLibrary   the environment lacks what the model's format needs
    ├── BadRequest       the caller's fault; the model was not asked
    │   └── BadMedia     the body is of a type that is not taken
    ├── BadAnswer        the model answered with what no JSON can hold
    └── NotAsRecorded    it answers its example otherwise than when it was checked

The message of each is for people, with a remedy. What the model itself raises is none of them.
"""

from __future__ import annotations


class ScorerError(Exception):
    """The root: catch its children, not it."""


class Unusable(ScorerError):
    """There is no model, or several, or what there is cannot answer."""


class MissingLibrary(ScorerError):
    """`distribution` is what to install."""

    def __init__(self, what: str, distribution: str) -> None:
        super().__init__(
            f"{what} needs {distribution}, which its environment does not have: add {distribution} "
            "to the environment"
        )
        self.distribution = distribution


class BadRequest(ScorerError):
    """A request that the model does not take."""


class BadMedia(BadRequest):
    """A request of another content type."""


class BadAnswer(ScorerError):
    """An answer that cannot be sent."""


class NotAsRecorded(ScorerError):
    """A model that would answer otherwise than the one that was weighed."""
