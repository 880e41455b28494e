"""Models of a few lines, kept as any other: a pickle that brings its own source."""

from __future__ import annotations

import pickle
from typing import Any

SUM = """
class Model:
    feature_names_in_ = ["a", "b"]
    def predict(self, rows):
        return [float(a) + float(b) for a, b in rows]
"""


class _Sourced:
    """Unpickled, it is what `expression` gives once the source was executed."""

    def __init__(self, source: str, expression: str, payload: bytes) -> None:
        self._payload = payload
        self._code = f"(exec({source!r}, globals()), eval({expression!r}, globals()))[1]"

    def __reduce__(self) -> Any:
        return eval, (self._code, {"__name__": "model", "payload": self._payload})


def pickled(source: str = SUM, expression: str = "Model()", payload: bytes = b"") -> bytes:
    """A pickle that needs nothing but Python; it holds the payload, as large as that is."""
    return pickle.dumps(_Sourced(source, expression, payload))
