"""Creates shared access signatures that the storage service accepts.

String to sign: learn.microsoft.com/rest/api/storageservices, "Create an account SAS" and "Create
a service SAS", for the version below.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

_VERSION = "2020-10-02"


def account_sas(account: str, key: str, ends: datetime) -> str:
    """The signature that listSecrets returns: for containers and blobs, services blob and file."""
    end = _time(ends)
    permissions, services, kinds = "rwdlcu", "bf", "co"
    lines = [account, permissions, services, kinds, "", end, "", "", _VERSION, ""]
    return urlencode(
        {
            "sv": _VERSION,
            "sig": _sign(key, lines),
            "se": end,
            "srt": kinds,
            "ss": services,
            "sp": permissions,
        }
    )


def service_sas(account: str, key: str, resource: str, ends: datetime, *, permissions: str) -> str:
    """A signature for a container, "name", or one of its blobs, "name/path"."""
    kind = "b" if "/" in resource else "c"
    start, end = _time(datetime.now(UTC) - timedelta(minutes=10)), _time(ends)
    lines = [
        permissions, start, end, f"/blob/{account}/{resource}",
        "", "", "", _VERSION, kind, "", "", "", "", "", "",
    ]  # a row a line # fmt: skip
    return urlencode(
        {
            "sv": _VERSION,
            "st": start,
            "se": end,
            "sr": kind,
            "sp": permissions,
            "sig": _sign(key, lines),
        }
    )


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _sign(key: str, lines: list[str]) -> str:
    signed = hmac.new(base64.b64decode(key), "\n".join(lines).encode(), hashlib.sha256)
    return base64.b64encode(signed.digest()).decode()
