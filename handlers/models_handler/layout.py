"""The names in a model store, and the mark that identifies it.

mlgate-models.json                          the mark
churn/versions/3f9a1c0b7d52/files/...       as the run kept them
churn/versions/3f9a1c0b7d52/manifest.json   created last
churn/log/00000042.json
"""

from __future__ import annotations

import json
import re
import uuid

from mlgate.orchestration.errors import Permanent, UnfitHost
from mlgate.orchestration.models import is_id, is_name

MARK = "mlgate-models.json"
INIT = "mlgate models --init"
_FORMAT = 1
_MANIFEST = re.compile(r"([0-9a-f]{12})/manifest\.json")


def checked_name(model: str) -> str:
    if not is_name(model):
        raise Permanent(
            f"{model[:80]!a} cannot be the name of a model: it has 1 to 63 lower-case letters, "
            "digits, - and _, and begins with a letter or a digit."
        )
    return model


def entry_name(model: str, number: int) -> str:
    return f"{checked_name(model)}/log/{number:08d}.json"


def versions_of(model: str) -> str:
    return f"{checked_name(model)}/versions"


def version_name(model: str, version: str) -> str:
    """The folder of a version."""
    if not is_id(version):
        raise Permanent(
            f"{version[:80]!a} cannot be the id of a version: it has 12 hexadecimal digits."
        )
    return f"{versions_of(model)}/{version}"


def kept_version(path: str) -> str | None:
    """The id of the version whose manifest is at this path below `versions`; None for others."""
    found = _MANIFEST.fullmatch(path)
    return found[1] if found else None


def new_mark() -> bytes:
    return json.dumps({"version": _FORMAT, "id": str(uuid.uuid4())}).encode()


def store_of(mark: bytes, place: str) -> str:
    """The id in a mark; "" for a torn mark, which identifies a store as well.

    Raises `UnfitHost` for a mark of another version of mlgate.
    """
    try:
        said = json.loads(mark)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(said, dict):
        return ""
    if said.get("version") != _FORMAT:
        raise UnfitHost(
            f"{place} is of another version of mlgate, which stores models in another format. Use "
            "that version on this host, or set MLGATE_MODELS to another place."
        )
    return str(said.get("id", ""))
